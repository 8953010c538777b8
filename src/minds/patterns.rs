//! What is found by its shape rather than its meaning: secrets, addresses of mailboxes and
//! machines, numbers with a form of their own, dates, ages, and words of closed lists
//! (countries, nationalities, forms of address).
//!
//! A checksum makes a number certain; a wrong one never deletes what has the shape and the
//! words around it: real people mistype. How these findings and the model's are combined
//! stands in `merge.rs`. This refuses to judge meaning: a shape that could be several
//! things is only [`Standing::Weak`].

use regex::Regex;
use tokio::time::Instant;

use super::deadline::{Late, in_time};
use super::normalise::{CharCounter, Normalised};
use super::spans::Found;

mod address;
mod checksum;
mod cue;
mod iban;
mod names;
mod net;
mod numbers;
mod phone;
mod secrets;
mod times;

pub(super) use names::{is_country, is_honorific};

pub(super) const SECRET: &str = "SECRET";

/// How much a finding counts beside the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Stands whatever the model says, with these borders.
    Sure,
    /// The borders of something that the model must also see there.
    Weak,
    /// Takes the place of the model's names that lie inside it.
    Outer,
    /// Fills a gap: stands where the model and the sure patterns say nothing.
    Filler,
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sighting {
    pub(super) found: Found<&'static str>,
    pub(super) standing: Standing,
}

/// A finding in bytes of the normalised text.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hit {
    start: usize,
    end: usize,
    label: &'static str,
    score: f32,
    standing: Standing,
}

impl Hit {
    fn sure(start: usize, end: usize, label: &'static str, score: f32) -> Self {
        Self { start, end, label, score, standing: Standing::Sure }
    }

    fn filler(start: usize, end: usize, label: &'static str, score: f32) -> Self {
        Self { start, end, label, score, standing: Standing::Filler }
    }
}

/// What a weak finding scores once the model agrees.
const WEAK_SCORE: f32 = 0.8;

/// The compiled patterns.
#[derive(Debug)]
pub(super) struct Patterns {
    secrets: secrets::Secrets,
    cues: cue::Cues,
    numbers: numbers::Numbers,
    ibans: iban::Ibans,
    phones: phone::Phones,
    net: net::Net,
    times: times::Times,
    addresses: address::Addresses,
    names: names::Names,
}

impl Patterns {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            secrets: secrets::Secrets::new()?,
            cues: cue::Cues::new()?,
            numbers: numbers::Numbers::new()?,
            ibans: iban::Ibans::new()?,
            phones: phone::Phones::new()?,
            net: net::Net::new()?,
            times: times::Times::new()?,
            addresses: address::Addresses::new()?,
            names: names::Names::new()?,
        })
    }

    /// Everything found in one part, sorted; findings may overlap. Gives up at `deadline`.
    pub(super) fn find(&self, part: u32, text: &Normalised<'_>, deadline: Instant) -> Result<Vec<Sighting>, Late> {
        let mut hits = self.hits(&text.text, deadline)?;
        hits.sort_by_key(|hit| (hit.start, hit.end));
        let mut starts = CharCounter::new(&text.text);
        let located = hits.into_iter().map(|hit| {
            let first = starts.at(hit.start);
            let origin = text.origin(first..first + text.text[hit.start..hit.end].chars().count());
            let (start, end) = (origin.start as u32, origin.end as u32);
            let found = Found { part, start, end, label: hit.label, score: hit.score };
            Sighting { found, standing: hit.standing }
        });
        Ok(located.collect())
    }

    fn hits(&self, text: &str, deadline: Instant) -> Result<Vec<Hit>, Late> {
        let mut hits = Vec::new();
        self.secrets.find(text, deadline, &mut hits)?;
        self.net.find(text, deadline, &mut hits)?;
        self.names.find(text, deadline, &mut hits)?;
        if text.bytes().any(|byte| byte.is_ascii_digit()) {
            let cues = self.cues.find(text);
            in_time(deadline)?;
            self.numbers.find(text, &cues, &mut hits);
            in_time(deadline)?;
            self.ibans.find(text, &mut hits);
            in_time(deadline)?;
            self.phones.find(text, &cues, &mut hits);
            self.times.find(text, deadline, &mut hits)?;
            self.addresses.find(text, deadline, &mut hits)?;
        } else {
            self.times.find_words(text, deadline, &mut hits)?;
        }
        Ok(hits)
    }
}

/// Compiles many.
fn compile(sources: &[&str]) -> Result<Vec<Regex>, regex::Error> {
    sources.iter().map(|source| Regex::new(source)).collect()
}

/// How far around a finding words may stand that say what it is, in bytes. Without a bound a text
/// of many findings would be read once for each.
const NEAR: usize = 64;

/// What stands right before `at`.
fn before(text: &str, at: usize) -> &str {
    &text[text.floor_char_boundary(at.saturating_sub(NEAR))..at]
}

/// What stands right behind `at`.
fn behind(text: &str, at: usize) -> &str {
    &text[at..text.floor_char_boundary(at + NEAR)]
}

/// Neither end of the stretch goes on in the same word or number.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    !before.is_some_and(|c| c.is_alphanumeric() || c == '_') && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests;
