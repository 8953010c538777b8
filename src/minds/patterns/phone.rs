//! Telephone numbers of many countries. Pure.
//!
//! An international prefix, a North American grouping, an area code in brackets or a trunk
//! zero says enough by itself; other groups of digits need a word such as "call" nearby, or
//! the model.

use regex::Regex;

use super::cue::{Found, Kind};
use super::numbers::{isolated, starts_alone};
use super::{Hit, Standing};

/// One alternative a group, the clearest first. No look-around: borders are tested in code.
const PHONE: &str = r"(?x-u)
    ( \+[0-9]{1,3} (?:[\ .-]?\(0?[0-9]{1,5}\))? (?:[\ .-]?[0-9]{1,8}){1,6}
    | 00[0-9]{1,3} (?:[\ .-][0-9]{2,4}){2,5} )
  | ( (?:1[\ .-])? (?:\([0-9]{3}\)[\ .-]?|[0-9]{3}[\ .-]) [0-9]{3}[\ .-]?[0-9]{4}
    | (?:1[\ .-])? [0-9]{3}-[0-9]{3}[\ .-]?[0-9]{4} )
  | ( \(\+?[0-9]{1,5}\)[\ -]? [0-9]{2,8} (?:[\ .-][0-9]{2,4}){0,3} )
  | ( 0[0-9]{1,4} (?:[\ .-]|/\ ?|\ -\ ) [0-9]{2,8} (?:[\ .-][0-9]{2,4}){0,4} )
  | ( [0-9]{2,4} (?:\ [0-9]{2,8}){1,4} | [0-9]{2,4} (?:-[0-9]{2,8}){1,4} | [0-9]{2,4} (?:\.[0-9]{2,8}){1,4} | [0-9]{2,4}(?:[\ -][0-9]{2,7}){1,4} )
  | ( [0-9]{7,12} )";

/// What may follow a number and belongs to it.
const EXTENSION: &str = r"(?i-u)^[ ,]{0,2}(?:x|ext\.?|extension)[ .:]?[0-9]{1,6}\b";

const CLEAR: f32 = 0.95;
const CUED: f32 = 0.9;
const SHAPED: f32 = 0.85;

#[derive(Debug)]
pub(super) struct Phones {
    phone: Regex,
    extension: Regex,
}

impl Phones {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self { phone: Regex::new(PHONE)?, extension: Regex::new(EXTENSION)? })
    }

    pub(super) fn find(&self, text: &str, cues: &Found<'_>, hits: &mut Vec<Hit>) {
        let mut from = 0;
        while let Some(captures) = self.phone.captures_at(text, from) {
            let group = (1..captures.len()).find_map(|form| Some((form, captures.get(form)?)));
            let Some((form, number)) = group else { break };
            let (start, mut end) = (number.start(), number.end());
            from = end;
            if let Some(extension) = self.extension.find(&text[end..]) {
                end += extension.end();
            }
            let digits = number.as_str().bytes().filter(u8::is_ascii_digit).count();
            if is_money(text, start) || !starts_alone(text, start) {
                continue;
            }
            if !isolated(text, start..end) {
                // `apt 22 704-555-7528`: the number may begin with a later group.
                from = start + first_group(number.as_str());
                continue;
            }
            let cue = cues.before(start);
            let cued = cue == Some(Kind::Phone) || cues.after(end) == Some(Kind::Phone);
            let standing = judge(form, digits, cued, cue);
            hits.extend(standing.map(|(standing, score)| Hit { start, end, label: "PHONE_NUMBER", score, standing }));
        }
    }
}

/// Whether a number of this form and length is a telephone's.
fn judge(form: usize, digits: usize, cued: bool, cue: Option<Kind>) -> Option<(Standing, f32)> {
    let sure = |score| Some((Standing::Sure, score));
    let weak = Some((Standing::Weak, super::WEAK_SCORE));
    let foreign = matches!(cue, Some(Kind::Other | Kind::Ssn | Kind::Licence | Kind::Zip)) && !cued;
    match (form, digits) {
        (1, 8..=15) => sure(CLEAR),
        _ if foreign => None,
        (2, 10 | 11) | (3, 7..=13) => sure(if cued { CLEAR } else { CUED }),
        (4, 9..=12) => sure(if cued { CUED } else { SHAPED }),
        (4 | 5, 6..=12) | (6, 7..=12) if cued => sure(CUED),
        (4 | 5, 7..=12) | (6, 7..=11) => weak,
        _ => None,
    }
}

/// Where the first group of digits ends.
fn first_group(number: &str) -> usize {
    let digits = number.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    number[digits..].find(|c: char| !c.is_ascii_digit()).map_or(number.len(), |length| digits + length)
}

fn is_money(text: &str, start: usize) -> bool {
    text[..start].trim_end().ends_with(['$', '€', '£', '¥'])
}
