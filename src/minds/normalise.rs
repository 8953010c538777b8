//! What is done to a text before a mind reads it, and the way back.
//!
//! - compatibility forms become plain ones (NFKC): full-width and mathematical letters,
//!   ligatures, circled digits;
//! - characters that cannot be seen are dropped: zero-width and bidirectional controls,
//!   soft hyphens, variation selectors, fillers, control characters (tab and line ends stay);
//! - tag characters (U+E0020..U+E007E), a known way to smuggle text past a reader, become
//!   the ASCII letters that they stand for.
//!
//! It refuses to correct spelling, case or look-alikes of other alphabets: that is the
//! model's business. Offsets found in the result lead back to code points of the original.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// Longest run of characters normalised together; longer runs exist only to do harm.
const LONGEST_GROUP: usize = 32;

/// A text as the minds read it.
#[derive(Debug)]
pub(super) struct Normalised<'a> {
    pub(super) text: Cow<'a, str>,
    /// For each character of `text` the code points of the original it came from;
    /// `None` where the two are the same text.
    origins: Option<Vec<(u32, u32)>>,
}

impl Normalised<'_> {
    /// Characters of `text` to code points of the original.
    pub(super) fn origin(&self, chars: Range<usize>) -> Range<usize> {
        let Some(origins) = &self.origins else { return chars };
        let end_of = |index: usize| origins.get(index).map_or(0, |origin| origin.1 as usize);
        let end = chars.end.checked_sub(1).map_or(0, end_of);
        let start = origins.get(chars.start).map_or(end, |origin| origin.0 as usize);
        start..end.max(start)
    }
}

/// Normalises `text`; plain ASCII is borrowed unchanged.
pub(super) fn normalise(text: &str) -> Normalised<'_> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')) {
        return Normalised { text: Cow::Borrowed(text), origins: None };
    }
    let mut out = Output { text: String::with_capacity(text.len()), origins: Vec::with_capacity(text.len()) };
    let mut group = Group::default();
    for (index, given) in (0..).zip(text.chars()) {
        let Some(c) = visible(given) else { continue };
        if !group.takes(c) {
            out.close(&mut group);
        }
        group.push(c, index);
    }
    out.close(&mut group);
    Normalised { text: Cow::Owned(out.text), origins: Some(out.origins) }
}

struct Output {
    text: String,
    origins: Vec<(u32, u32)>,
}

impl Output {
    fn close(&mut self, group: &mut Group) {
        for c in group.text.nfkc() {
            self.text.push(c);
            self.origins.push((group.start, group.end));
        }
        group.text.clear();
    }
}

/// Neighbouring characters that normalise together, as a letter and its accents do.
#[derive(Default)]
struct Group {
    text: String,
    start: u32,
    end: u32,
}

impl Group {
    fn takes(&self, c: char) -> bool {
        if self.text.is_empty() {
            return true;
        }
        if c.is_ascii() || self.text.len() >= 4 * LONGEST_GROUP {
            return false;
        }
        // A mark belongs to what it stands on, whatever order it is typed in.
        if std::iter::once(c).nfkd().next().is_some_and(|first| canonical_combining_class(first) != 0) {
            return true;
        }
        // Together is different from one after the other: they compose.
        let joined = self.text.chars().chain([c]).nfkc();
        !joined.eq(self.text.nfkc().chain(std::iter::once(c).nfkc()))
    }

    fn push(&mut self, c: char, index: u32) {
        if self.text.is_empty() {
            self.start = index;
        }
        self.end = index + 1;
        self.text.push(c);
    }
}

/// The character to read, or `None` where there is nothing to see.
fn visible(c: char) -> Option<char> {
    match c {
        '\t' | '\n' | '\r' | ' '..='~' => Some(c),
        '\u{E0020}'..='\u{E007E}' => char::from_u32(u32::from(c) - 0xE0000),
        '\u{AD}'
        | '\u{34F}'
        | '\u{61C}'
        | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}' => None,
        c if c.is_control() => None,
        c => Some(c),
    }
}

/// Turns growing byte offsets into character offsets in one walk.
pub(super) struct CharCounter<'a> {
    text: &'a str,
    byte: usize,
    chars: usize,
}

impl<'a> CharCounter<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, byte: 0, chars: 0 }
    }

    pub(super) fn at(&mut self, byte: usize) -> usize {
        if byte < self.byte {
            (self.byte, self.chars) = (0, 0);
        }
        self.chars += self.text.get(self.byte..byte).unwrap_or_default().chars().count();
        self.byte = byte;
        self.chars
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        normalise(text).text.into_owned()
    }

    #[test]
    fn disguises_come_off() {
        assert_eq!(of("ig\u{200B}no\u{AD}re\u{0}"), "ignore");
        assert_eq!(of("ｉｇｎｏｒｅ 𝐚𝐥𝐥 ﬁles"), "ignore all files");
        assert_eq!(of("hi\u{E0062}\u{E0061}\u{E0064}"), "hibad");
        assert_eq!(of("a\tb\r\nc"), "a\tb\r\nc");
    }

    #[test]
    fn offsets_lead_back_to_the_original() {
        let text = "👩‍👩‍👧 e\u{301}t\u{200B}é ﬁn";
        let normalised = normalise(text);
        assert_eq!(normalised.text, "👩👩👧 été fin");
        let given: Vec<char> = text.chars().collect();
        let back = |range: Range<usize>| given[normalised.origin(range)].iter().collect::<String>();
        assert_eq!(back(4..7), "e\u{301}t\u{200B}é");
        assert_eq!(back(8..11), "ﬁn");
        assert_eq!(back(8..9), "ﬁ");
        assert_eq!(normalised.origin(0..0), 0..0);
    }

    #[test]
    fn a_pile_of_accents_stays_linear() {
        let text = format!("a{}", "\u{301}".repeat(200_000));
        assert!(!of(&text).is_empty());
    }

    proptest! {
        #[test]
        fn every_result_character_has_an_origin(text in "\\PC{0,40}") {
            let normalised = normalise(&text);
            let count = text.chars().count();
            let mut last = 0;
            for index in 0..normalised.text.chars().count() {
                let origin = normalised.origin(index..index + 1);
                prop_assert!(origin.start < origin.end && origin.end <= count);
                prop_assert!(origin.start >= last);
                last = origin.start;
            }
        }

        #[test]
        fn visible_text_is_plain_nfkc(text in "[a-zéüÅﬁ①ｱﾞ가각\u{301}\u{327}\u{1100}\u{1161}\u{11a8} ]{0,30}") {
            prop_assert_eq!(of(&text), text.nfkc().collect::<String>());
        }
    }
}
