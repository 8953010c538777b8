//! The way back from each disguise; `None` where no words come out. Pure.

/// Shares of a decoded text: what can be read, and what is letters and blanks.
const READABLE: f32 = 0.95;
const WORDED: f32 = 0.75;

/// Shortest text worth reading.
const SHORTEST: usize = 12;

pub(super) fn base64(run: &str) -> Option<String> {
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut bytes = Vec::with_capacity(run.len() * 3 / 4);
    for c in run.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    words(bytes)
}

pub(super) fn hex(run: &str) -> Option<String> {
    let plain = run.replace("0x", "").replace("\\x", "");
    let digits: Vec<u8> = plain.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    words(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
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
    words(bytes)
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
    words(letters.collect::<String>().into_bytes())
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

/// The bytes as text, if words are what they are.
fn words(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let count = text.chars().count();
    let share = |wanted: fn(char) -> bool| text.chars().filter(|&c| wanted(c)).count() as f32 / count.max(1) as f32;
    let readable = share(|c| !c.is_control() || matches!(c, '\n' | '\t' | '\r'));
    let worded = share(|c| c.is_alphabetic() || c == ' ');
    (count >= SHORTEST && text.contains(' ') && readable >= READABLE && worded >= WORDED).then_some(text)
}
