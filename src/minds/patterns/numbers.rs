//! Payment cards, social security numbers, driver's licences and postal codes. Pure.

use std::ops::Range;

use regex::Regex;

use super::cue::{Found, Kind};
use super::{Hit, checksum, stands_alone};

/// Digits in groups, as cards are written: blanks, hyphens, dots, or nothing between. A card may
/// stand anywhere in it: behind a date, or beside another one.
const CARD: &str = r"[0-9](?:(?: ?[-.\x{2010}-\x{2014}_/] ?| )?[0-9]){11,}";

/// Nine digits, three and two and four of them together.
const SSN: &str = r"[0-9]{3}([-. \x{2010}-\x{2014}]?)[0-9]{2}([-. \x{2010}-\x{2014}]?)[0-9]{4}";

/// A licence number: letters and digits in one or a few groups.
const LICENCE: &str = r"(?i-u)[A-Z0-9]*[0-9][A-Z0-9]*(?:[ -][A-Z0-9]*[0-9][A-Z0-9]*)*";
/// One that says what it is.
const NAMED_LICENCE: &str = r"(?-u)DL[-#:]?[A-Z0-9](?:-?[A-Z0-9]){4,15}";

const ZIP_PLUS: &str = r"[0-9]{5}-[0-9]{4}";
const STATE_ZIP: &str = r"(?-u:\b)(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])\.?,? ([0-9]{5}(?:-[0-9]{4})?)";
const BRITISH: &str = r"[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][ABD-HJLNP-UW-Z]{2}";
const CANADIAN: &str = r"[ABCEGHJ-NPRSTVXY][0-9][A-Z][ -]?[0-9][A-Z][0-9]";
/// What may follow the words "postal code".
const ANY_ZIP: &str = r"(?i-u)(?:[0-9]{2,3}[ -][0-9]{2,3}|[0-9]{4} ?[A-Z]{2}|[0-9]{3,7}(?:-[0-9]{3,4})?|[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]|[A-Z]{1,2}-?[0-9]{4,5})";

const CHECKED: f32 = 0.99;
const CUED: f32 = 0.88;
const SHAPED: f32 = 0.78;

#[derive(Debug)]
pub(super) struct Numbers {
    card: Regex,
    ssn: Regex,
    licence: Regex,
    named_licence: Regex,
    zips: [Regex; 4],
    any_zip: Regex,
}

impl Numbers {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            card: Regex::new(CARD)?,
            ssn: Regex::new(SSN)?,
            licence: Regex::new(LICENCE)?,
            named_licence: Regex::new(NAMED_LICENCE)?,
            zips: [Regex::new(STATE_ZIP)?, Regex::new(ZIP_PLUS)?, Regex::new(BRITISH)?, Regex::new(CANADIAN)?],
            any_zip: Regex::new(ANY_ZIP)?,
        })
    }

    pub(super) fn find(&self, text: &str, cues: &Found<'_>, hits: &mut Vec<Hit>) {
        self.cards(text, cues, hits);
        self.social_security(text, cues, hits);
        self.licences(text, cues, hits);
        self.postal_codes(text, cues, hits);
    }

    fn cards(&self, text: &str, cues: &Found<'_>, hits: &mut Vec<Hit>) {
        for run in self.card.find_iter(text) {
            let groups = checksum::groups(run.as_str());
            let hit = |groups: &[Range<usize>], score: f32| {
                let (start, end) = (run.start() + groups.first()?.start, run.start() + groups.last()?.end);
                let decimal = groups.len() == 1 && is_decimal(text, start);
                (!decimal && stands_alone(text, start, end)).then(|| Hit::sure(start, end, "CREDIT_CARD", score))
            };
            let slip = |groups: &[Range<usize>]| {
                let cued = cues.before(run.start() + groups.first()?.start) == Some(Kind::Card);
                hit(groups, mistyped(run.as_str(), groups, cued)?)
            };
            // What is left beside the valid ones: one card, or several pieces between the short
            // groups of dates and amounts.
            let slips = |left: &[Range<usize>]| match slip(left) {
                Some(hit) => vec![hit],
                None => left.split(|group| group.len() < 4).filter(|piece| piece.len() > 1).filter_map(slip).collect(),
            };
            let (mut left, mut first) = (0, 0);
            while first < groups.len() {
                let count = checksum::card(run.as_str(), &groups[first..]);
                match count.and_then(|count| Some((count, hit(&groups[first..first + count], CHECKED)?))) {
                    None => first += 1,
                    Some((count, valid)) => {
                        hits.extend(slips(&groups[left..first]));
                        hits.push(valid);
                        first += count;
                        left = first;
                    }
                }
            }
            hits.extend(slips(&groups[left..]));
        }
    }

    fn social_security(&self, text: &str, cues: &Found<'_>, hits: &mut Vec<Hit>) {
        for captures in self.ssn.captures_iter(text) {
            let (Some(all), Some(first), Some(second)) = (captures.get(0), captures.get(1), captures.get(2)) else {
                continue;
            };
            if first.as_str() != second.as_str() || !isolated(text, all.range()) {
                continue;
            }
            let score = match (cues.before(all.start()), first.as_str()) {
                (Some(Kind::Ssn), _) => Some(0.97),
                (Some(Kind::Other | Kind::Card | Kind::Zip | Kind::Licence), "-") => Some(SHAPED),
                (_, "-") if issued(all.as_str()) => Some(0.95),
                (_, "-") => Some(0.85),
                _ => None,
            };
            hits.extend(score.map(|score| Hit::sure(all.start(), all.end(), "US_SSN", score)));
        }
    }

    fn licences(&self, text: &str, cues: &Found<'_>, hits: &mut Vec<Hit>) {
        let named = self.named_licence.find_iter(text).filter(|hit| digits(hit.as_str()) >= 4);
        let named = named.filter(|hit| stands_alone(text, hit.start(), hit.end()));
        hits.extend(named.map(|hit| Hit::sure(hit.start(), hit.end(), "US_DRIVER_LICENSE", CUED)));
        for end in cues.ends(Kind::Licence) {
            let reach = text.floor_char_boundary(end + 60);
            let long = |hit: &regex::Match<'_>| digits(hit.as_str()) >= 4 && (5..=22).contains(&hit.len());
            let Some(value) = self.licence.find_iter(&text[end..reach]).find(long) else { continue };
            let (start, end) = (end + value.start(), end + value.end());
            let cued = cues.before(start) == Some(Kind::Licence);
            // `DL-N15265-65`: what announces the number is its first part.
            let start = if text[..start].ends_with("DL-") { start - 3 } else { start };
            if cued && stands_alone(text, start, end) {
                hits.push(Hit::sure(start, end, "US_DRIVER_LICENSE", 0.96));
            }
        }
    }

    fn postal_codes(&self, text: &str, cues: &Found<'_>, hits: &mut Vec<Hit>) {
        for shape in &self.zips {
            for captures in shape.captures_iter(text) {
                let Some(zip) = captures.get(1).or_else(|| captures.get(0)) else { continue };
                if isolated(text, zip.range()) && cues.before(zip.start()) != Some(Kind::Other) {
                    hits.push(Hit::sure(zip.start(), zip.end(), "ZIP_CODE", SHAPED));
                }
            }
        }
        for end in cues.ends(Kind::Zip) {
            let reach = text.floor_char_boundary(end + 24);
            let Some(value) = self.any_zip.find(&text[end..reach]) else { continue };
            let (start, end) = (end + value.start(), end + value.end());
            if cues.before(start) == Some(Kind::Zip) && stands_alone(text, start, end) {
                hits.push(Hit::sure(start, end, "ZIP_CODE", 0.92));
            }
        }
    }
}

/// The score of groups that fail every card's sum: a card with a slip, if the words or the
/// grouping say so.
fn mistyped(run: &str, groups: &[Range<usize>], cued: bool) -> Option<f32> {
    let first = run.as_bytes().get(groups.first()?.start);
    let sizes: Vec<usize> = groups.iter().map(Range::len).collect();
    match (sizes.iter().sum::<usize>(), sizes.as_slice()) {
        (12..=19, _) if cued => Some(CUED),
        (16, [4, 4, 4, 4]) | (15, [4, 6, 5]) => Some(SHAPED),
        (16, [16]) if matches!(first, Some(b'2'..=b'6')) => Some(SHAPED),
        _ => None,
    }
}

/// The digits behind the point of a number.
fn is_decimal(text: &str, start: usize) -> bool {
    let whole = text[..start].strip_suffix('.');
    whole.is_some_and(|whole| whole.ends_with(|c: char| c.is_ascii_digit()))
}

/// Area, group and serial that were ever given out.
fn issued(ssn: &str) -> bool {
    let part = |range: Range<usize>| ssn.get(range).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    let (area, group, serial) = (part(0..3), part(4..6), part(7..11));
    (1..900).contains(&area) && area != 666 && group != 0 && serial != 0
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// Not a stretch of a longer number, date or code.
pub(super) fn isolated(text: &str, at: Range<usize>) -> bool {
    starts_alone(text, at.start) && ends_alone(text, at.end)
}

/// Nothing before it is part of it.
pub(super) fn starts_alone(text: &str, start: usize) -> bool {
    let mut before = text[..start].chars().rev();
    match (before.next(), before.next()) {
        (Some(c), _) if c.is_alphanumeric() || c == '_' || c == '$' => false,
        (Some(c), Some(further)) => !(is_joint(c) && further.is_alphanumeric()),
        _ => true,
    }
}

fn ends_alone(text: &str, end: usize) -> bool {
    let mut after = text[end..].chars();
    match (after.next(), after.next()) {
        (Some(c), _) if c.is_alphanumeric() || c == '_' || c == '%' => false,
        (Some(c), Some(further)) => !(is_joint(c) && further.is_ascii_digit()),
        _ => true,
    }
}

fn is_joint(c: char) -> bool {
    "-.\u{2010}\u{2011}\u{2012}\u{2013}/:+".contains(c)
}
