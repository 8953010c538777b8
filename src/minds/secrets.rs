//! What is found by its shape rather than its meaning: secrets, addresses of mailboxes and
//! machines, and numbers with a checksum.
//!
//! SECRET spans come from the published list below and, for shapes that nobody publishes,
//! from entropy. A valid checksum makes a card number or an IBAN certain; an invalid one
//! never deletes what the model found: real people mistype.

use regex::Regex;

use super::normalise::{CharCounter, Normalised};
use super::spans::Found;

mod checksum;

/// Shapes of credentials, as their issuers publish them. Where a shape has a group, the
/// group is the secret.
const SHAPES: &[&str] = &[
    // Private keys in PEM, ended or cut off.
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s:.,]*(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)?",
    // Amazon, Google, Azure, DigitalOcean.
    r"(?-u:\b)(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}(?-u:\b)",
    r"(?-u:\b)AIza[A-Za-z0-9_-]{35}",
    r"(?-u:\b)ya29\.[A-Za-z0-9_-]{20,}",
    r"(?-u:\b)GOCSPX-[A-Za-z0-9_-]{20,}",
    r"AccountKey=([A-Za-z0-9+/]{40,}={0,2})",
    r"(?-u:\b)do[opr]_v1_[a-f0-9]{64}",
    // OpenAI, Anthropic, Hugging Face and others that write `sk-`.
    r"(?-u:\b)sk-[A-Za-z0-9_-]{20,}",
    r"(?-u:\b)hf_[A-Za-z0-9]{30,}",
    // GitHub, GitLab, npm, PyPI.
    r"(?-u:\b)gh[pousr]_[A-Za-z0-9]{30,}",
    r"(?-u:\b)github_pat_[A-Za-z0-9_]{22,}",
    r"(?-u:\b)glpat-[A-Za-z0-9_-]{20,}",
    r"(?-u:\b)npm_[A-Za-z0-9]{36}",
    r"(?-u:\b)pypi-[A-Za-z0-9_-]{50,}",
    // Slack, Stripe, SendGrid, Shopify, Twilio, Telegram, Square, Mailgun.
    r"(?-u:\b)xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"hooks\.slack\.com/services/([A-Za-z0-9/]{20,})",
    r"(?-u:\b)[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",
    r"(?-u:\b)whsec_[A-Za-z0-9]{20,}",
    r"(?-u:\b)SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"(?-u:\b)shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    r"(?-u:\b)SK[a-f0-9]{32}(?-u:\b)",
    r"(?-u:\b)[0-9]{8,10}:[A-Za-z0-9_-]{35}(?-u:\b)",
    r"(?-u:\b)sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}",
    r"(?-u:\b)key-[a-f0-9]{32}(?-u:\b)",
    // JSON web tokens, bearer and basic credentials, passwords in URLs.
    r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"(?i-u:\bbearer)\s+([A-Za-z0-9._~+/-]{20,}=*)",
    r"(?i-u:\bauthorization:\s*basic)\s+([A-Za-z0-9+/]{8,}={0,2})",
    r"(?i-u:\b[a-z][a-z0-9+.-]*)://[^\s:/@]+:([^\s:/@]{3,})@",
];

/// `password = …` and its kin; the group is the value.
const NAMED: &str = r#"(?i-u:\b(?:[a-z0-9]+[_-])*(?:password|passwd|passphrase|passcode|pwd|secret|api[ _-]?key|access[ _-]?key|secret[ _-]?key|private[ _-]?key|auth[ _-]?key|token|credentials?))["'`]?\s*(?:(?P<sign>:=|=>|[:=])|is\s+set\s+to|is|was)\s*["'`]?(?P<value>[^\s"'`,;<>(){}\[\]]{6,})"#;

/// A long unbroken run that may be random.
const RUN: &str = r"[A-Za-z0-9+/_-]{32,}={0,2}";

const CARD: &str = r"[0-9](?:[ -]?[0-9]){12,22}";
const IBAN: &str = r"(?-u:\b)[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9](?:[ -]?[A-Z0-9]){10,40}";

/// Personal data whose shape says what it is.
const PERSONAL: &[(&str, &str)] = &[
    ("EMAIL_ADDRESS", r"(?i-u:\b[a-z0-9][a-z0-9._%+-]*@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,24}\b)"),
    ("IP_ADDRESS", r"(?-u:\b(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\b)"),
    ("IP_ADDRESS", r"(?i-u:\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b)"),
    ("US_SSN", r"(?-u:\b(?:00[1-9]|0[1-9][0-9]|[1-578][0-9]{2}|6[0-57-9][0-9]|66[0-57-9])-[0-9]{2}-[0-9]{4}\b)"),
];

const SHAPE_SCORE: f32 = 0.99;
const PERSONAL_SCORE: f32 = 0.95;
const NAMED_SCORE: f32 = 0.9;
const ENTROPY_SCORE: f32 = 0.8;
const CHECKSUM_SCORE: f32 = 0.99;

/// Bits a character of random base64 text carries at least, over 32 characters or more.
const RANDOM_BITS: f32 = 4.2;

pub(super) const SECRET: &str = "SECRET";

/// The compiled patterns.
#[derive(Debug)]
pub(super) struct Patterns {
    shapes: Vec<Regex>,
    personal: Vec<(&'static str, Regex)>,
    named: Regex,
    run: Regex,
    card: Regex,
    iban: Regex,
}

impl Patterns {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            shapes: SHAPES.iter().map(|shape| Regex::new(shape)).collect::<Result<_, _>>()?,
            personal: PERSONAL
                .iter()
                .map(|(label, shape)| Ok((*label, Regex::new(shape)?)))
                .collect::<Result<_, regex::Error>>()?,
            named: Regex::new(NAMED)?,
            run: Regex::new(RUN)?,
            card: Regex::new(CARD)?,
            iban: Regex::new(IBAN)?,
        })
    }

    /// Everything found in one part; spans may overlap.
    pub(super) fn find(&self, part: u32, text: &Normalised<'_>) -> Vec<Found<&'static str>> {
        let mut found = self.secrets(&text.text);
        found.extend(self.numbers(&text.text));
        for (label, shape) in &self.personal {
            found.extend(shape.find_iter(&text.text).map(|hit| (hit.start(), hit.end(), *label, PERSONAL_SCORE)));
        }
        found.sort_by_key(|&(start, ..)| start);
        let mut starts = CharCounter::new(&text.text);
        let located = found.into_iter().map(|(start, end, label, score)| {
            let first = starts.at(start);
            let origin = text.origin(first..first + text.text[start..end].chars().count());
            Found { part, start: origin.start as u32, end: origin.end as u32, label, score }
        });
        located.collect()
    }

    fn secrets(&self, text: &str) -> Vec<Hit> {
        let mut found = Vec::new();
        for shape in &self.shapes {
            for captures in shape.captures_iter(text) {
                if let Some(secret) = captures.get(1).or_else(|| captures.get(0)) {
                    found.push((secret.start(), secret.end(), SECRET, SHAPE_SCORE));
                }
            }
        }
        for captures in self.named.captures_iter(text) {
            let Some(value) = captures.name("value") else { continue };
            let secret = value.as_str().trim_end_matches(['.', '?']);
            if looks_chosen(secret, captures.name("sign").is_some()) {
                found.push((value.start(), value.start() + secret.len(), SECRET, NAMED_SCORE));
            }
        }
        let random = self.run.find_iter(text).filter(|run| looks_random(run.as_str()));
        found.extend(random.map(|run| (run.start(), run.end(), SECRET, ENTROPY_SCORE)));
        found
    }

    fn numbers(&self, text: &str) -> Vec<Hit> {
        let inside = |base: usize, label| move |(start, end)| (base + start, base + end, label, CHECKSUM_SCORE);
        let cards = self
            .card
            .find_iter(text)
            .flat_map(|number| checksum::cards(number.as_str()).into_iter().map(inside(number.start(), "CREDIT_CARD")));
        let ibans = self
            .iban
            .find_iter(text)
            .filter_map(|number| checksum::iban(number.as_str()).map(inside(number.start(), "IBAN_CODE")));
        cards.chain(ibans).collect()
    }
}

/// Byte range, label, score.
type Hit = (usize, usize, &'static str, f32);

/// Whether the value after `password is` is one, rather than a word of the sentence.
fn looks_chosen(value: &str, assigned: bool) -> bool {
    let has = |class: fn(&char) -> bool| value.chars().any(|c| class(&c));
    let placeholder = value.contains("***") || value.contains("...") || value.contains("${") || value.starts_with('$');
    if value.chars().count() < 6 || placeholder {
        return false;
    }
    let mixed = has(char::is_ascii_lowercase) && value.chars().skip(1).any(|c| c.is_ascii_uppercase());
    let marked = has(char::is_ascii_digit) || value.chars().any(|c| "!@#$%^&*+=~|".contains(c));
    marked || (assigned && (mixed || (value.len() >= 12 && entropy(value) >= 3.0)))
}

/// Random base64 has all three kinds of characters and evenly many of each.
fn looks_random(run: &str) -> bool {
    let has = |class: fn(&u8) -> bool| run.bytes().any(|byte| class(&byte));
    has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && run.bytes().filter(u8::is_ascii_digit).count() >= 3
        && entropy(run) >= RANDOM_BITS
}

/// Shannon entropy in bits a byte.
fn entropy(text: &str) -> f32 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let total = text.len() as f32;
    let share = counts.iter().filter(|&&count| count > 0).map(|&count| count as f32 / total);
    share.map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests;
