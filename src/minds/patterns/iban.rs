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
        for run in self.any.find_iter(text) {
            let Some(end) = checksum::iban(run.as_str()) else { continue };
            let end = run.start() + end;
            if stands_alone(text, run.start(), end) {
                hits.push(Hit::sure(run.start(), end, "IBAN_CODE", 0.99));
            }
        }
        for run in self.shape.find_iter(text) {
            let digits = run.as_str().bytes().filter(u8::is_ascii_digit).count();
            if digits * 2 >= run.len() && checksum::has_ibans(run.as_str()) {
                hits.push(Hit::sure(run.start(), run.end(), "IBAN_CODE", 0.88));
            }
        }
    }
}
