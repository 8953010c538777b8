//! The way back from each disguise; `None` where no words come out. Pure.

/// Shares of a decoded text: what can be read, and what is letters and blanks.
const READABLE: f32 = 0.95;
const WORDED: f32 = 0.75;

/// Bytes of the shortest text worth reading, and of the shortest inside something else: a few
/// bytes of any data look like words.
const SHORTEST: usize = 12;
const SHORTEST_INSIDE: usize = 20;

/// Words may begin anywhere in the run, behind a path for example: each way to group its letters is tried.
pub(super) fn base64(run: &str) -> Option<String> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let sextets: Vec<u8> = run.bytes().filter_map(value).collect();
    let bytes = |group: &[u8]| {
        let bits = group.iter().fold(0_u32, |bits, &sextet| bits << 6 | u32::from(sextet));
        let left = bits << (6 * (4 - group.len()));
        left.to_be_bytes().into_iter().skip(1).take(group.len() - 1)
    };
    any((0..4).filter_map(|skipped| Some(sextets.get(skipped..)?.chunks(4).flat_map(bytes).collect())))
}

pub(super) fn hex(run: &str) -> Option<String> {
    let plain = run.replace("0x", "").replace("\\x", "");
    let digits: Vec<u8> = plain.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    let byte = |pair: &[u8]| pair[0] << 4 | pair[1];
    any((0..2).filter_map(|skipped| Some(digits.get(skipped..)?.chunks_exact(2).map(byte).collect())))
}

pub(super) fn percent(run: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(run.len());
    let mut rest = run.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => {
                std::str::from_utf8(&[*high, *low]).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
            }
            _ => None,
        };
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => bytes.push(if *first == b'+' { b' ' } else { *first }),
        }
    }
    words(&bytes)
}

/// `\u0069`, `&#105;`, `&#x69;`.
pub(super) fn escapes(run: &str) -> Option<String> {
    let codes = run.split(['\\', '&', ';', '{', '}']).filter(|code| !code.is_empty());
    let letters = codes.filter_map(|code| {
        let (digits, radix) = match (code.strip_prefix("#x"), code.strip_prefix('#')) {
            (Some(digits), _) => (digits, 16),
            (None, Some(digits)) => (digits, 10),
            (None, None) => (code.trim_start_matches('u'), 16),
        };
        char::from_u32(u32::from_str_radix(digits, radix).ok()?)
    });
    words(letters.collect::<String>().as_bytes())
}

/// Letters one separator apart make a word; a wider gap ends it.
pub(super) fn spaced(run: &str) -> Option<String> {
    let mut text = String::new();
    let mut gap = 0;
    for c in run.chars() {
        if c.is_ascii_alphabetic() {
            if gap > 1 {
                text.push(' ');
            }
            text.push(c);
            gap = 0;
        } else {
            gap += 1;
        }
    }
    (text.len() >= super::FEWEST_SPACED).then_some(text)
}

pub(super) fn rot13(text: &str) -> String {
    let turn = |c: char, first: u8| char::from((c as u8 - first + 13) % 26 + first);
    text.chars()
        .map(|c| match c {
            'a'..='z' => turn(c, b'a'),
            'A'..='Z' => turn(c, b'A'),
            _ => c,
        })
        .collect()
}

/// The words in several readings of a run.
fn any(readings: impl Iterator<Item = Vec<u8>>) -> Option<String> {
    let found: Vec<String> = readings.filter_map(|bytes| words(&bytes)).collect();
    (!found.is_empty()).then(|| found.join("\n"))
}

/// The stretches of the bytes that are words, one a line.
fn words(bytes: &[u8]) -> Option<String> {
    let are_words = |text: &str| {
        let shortest = if text.len() == bytes.len() { SHORTEST } else { SHORTEST_INSIDE };
        text.len() >= shortest && are_words(text)
    };
    let stretches = bytes.utf8_chunks().flat_map(|chunk| match are_words(chunk.valid()) {
        true => vec![chunk.valid()],
        false => chunk.valid().split(is_broken).filter(|stretch| are_words(stretch)).collect(),
    });
    let found: Vec<&str> = stretches.collect();
    (!found.is_empty()).then(|| found.join("\n"))
}

fn is_broken(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t' | '\r')
}

/// Not every script has blanks between its words.
fn are_words(text: &str) -> bool {
    let count = text.chars().count() as f32;
    let share = |wanted: fn(char) -> bool| text.chars().filter(|&c| wanted(c)).count() as f32 / count;
    let spaced = text.contains(' ') || share(|c| !c.is_ascii() && c.is_alphabetic()) >= 0.5;
    spaced && share(|c| !is_broken(c)) >= READABLE && share(|c| c.is_alphabetic() || c == ' ') >= WORDED
}
