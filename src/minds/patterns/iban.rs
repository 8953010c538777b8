//! International bank account numbers. Pure.

use regex::Regex;

use super::{Hit, checksum, stands_alone};

/// In one piece or in groups, in either case.
const IBAN: &str = r"(?i-u)\b[A-Z]{2}[ -]?[0-9]{2}(?:[ .-]{0,2}[A-Z0-9]){11,38}";
/// What an IBAN with a slip looks like: one run, or groups of four.
const SHAPE: &str = r"(?-u)\b(?:[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}|[A-Z]{2}[0-9]{2}(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,3})?|[a-z]{2}[0-9]{2}(?: [a-z0-9]{4}){3,7}(?: [a-z0-9]{1,3})?)\b";

#[derive(Debug)]
pub(super) struct Ibans {
    any: Regex,
    shape: Regex,
}

impl Ibans {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self { any: Regex::new(IBAN)?, shape: Regex::new(SHAPE)? })
    }

    pub(super) fn find(&self, text: &str, hits: &mut Vec<Hit>) {
        let mut from = 0;
        while let Some(run) = self.any.find_at(text, from) {
            let end = checksum::iban(run.as_str()).map(|end| run.start() + end);
            let end = end.filter(|&end| stands_alone(text, run.start(), end));
            hits.extend(end.map(|end| Hit::sure(run.start(), end, "IBAN_CODE", 0.99)));
            // `at 10 pm to DE89…` starts like one of Austria: the next word may be the real one.
            from = end.unwrap_or_else(|| run.start() + 1);
        }
        let mut from = 0;
        while let Some(run) = self.shape.find_at(text, from) {
            let end = checksum::iban_end(run.as_str()).map(|end| run.start() + end);
            let end = end.filter(|&end| stands_alone(text, run.start(), end)).unwrap_or_else(|| run.end());
            let number = &text[run.start()..end];
            let digits = number.bytes().filter(u8::is_ascii_digit).count();
            let fits = digits * 2 >= number.len() && checksum::has_ibans(number);
            hits.extend(fits.then(|| Hit::sure(run.start(), end, "IBAN_CODE", 0.88)));
            from = end;
        }
    }
}
