//! Words hidden in a text in plain sight of whoever decodes them: base64, hexadecimal,
//! percent and character escapes, rot13, letters spaced out. Pure.
//!
//! What is found is read by the jailbreak guard in addition to the text as it stands, once
//! (nothing is decoded twice) and up to a size. It has no offsets: no spans come from it.

use regex::Regex;
use tokio::time::Instant;

use super::deadline::{Late, in_time};

mod decode;

/// Decoded words of one kind in one part: more is a way to keep a guard busy. What decodes to none
/// takes no room: file paths and identifiers look like base64 too.
const MOST_BYTES: usize = 8192;

/// Letters standing alone, as in `i g n o r e`.
const FEWEST_SPACED: usize = 8;

/// On one line, or wrapped: a last line may be short, and the word behind it part of the run.
const BASE64: &str = r"[A-Za-z0-9+/_-]{8,}(?:\r?\n[ \t]{0,16}[A-Za-z0-9+/_-]+)+={0,2}|[A-Za-z0-9+/_-]{20,}={0,2}";
const HEX: &str =
    r"(?:0x)?[0-9A-Fa-f]{2}(?:(?:[ :,-]|\\x|0x|, ?0x)?[0-9A-Fa-f]{2}){15,}[0-9A-Fa-f]?|(?:\\x[0-9A-Fa-f]{2}){8,}";
const PERCENT: &str = r"[A-Za-z0-9._~+-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9._~+-]*){4,}";
const ESCAPES: &str = r"(?:\\u\{?[0-9A-Fa-f]{4}\}?){6,}|(?:&#x?[0-9A-Fa-f]{2,6};){6,}";
const SPACED: &str = r"(?:[A-Za-z][ .\-_*·|/]{1,3}){7,}[A-Za-z]";
const ROTATED: &str = r"(?i-u)\b(?:rot-?13|caesar)\b";

/// What a text was decoded from, and the words found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revealed {
    pub(super) from: &'static str,
    pub(super) text: String,
}

/// From a run to the words in it.
type Decode = fn(&str) -> Option<String>;

#[derive(Debug)]
pub(super) struct Disguises {
    runs: Vec<(&'static str, Regex, Decode)>,
    rotated: Regex,
}

impl Disguises {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let known: [(&str, &str, Decode); 5] = [
            ("base64", BASE64, decode::base64),
            ("hex", HEX, decode::hex),
            ("percent", PERCENT, decode::percent),
            ("escapes", ESCAPES, decode::escapes),
            ("spaced", SPACED, decode::spaced),
        ];
        let runs = known.into_iter().map(|(from, shape, decode)| Ok((from, Regex::new(shape)?, decode)));
        Ok(Self { runs: runs.collect::<Result<_, regex::Error>>()?, rotated: Regex::new(ROTATED)? })
    }

    /// The words hidden in `text`, one entry for each way of hiding. Gives up at `deadline`.
    pub(super) fn reveal(&self, text: &str, deadline: Instant) -> Result<Vec<Revealed>, Late> {
        let mut revealed = Vec::new();
        for (from, shape, decode) in &self.runs {
            let mut words = String::new();
            for run in shape.find_iter(text) {
                in_time(deadline)?;
                let Some(run) = decode(run.as_str()) else { continue };
                words.push_str(&run[..run.floor_char_boundary(MOST_BYTES - words.len())]);
                words.push('\n');
                if words.len() >= MOST_BYTES {
                    break;
                }
            }
            if words.len() > 1 {
                revealed.push(Revealed { from, text: words });
            }
        }
        in_time(deadline)?;
        if self.rotated.is_match(text) {
            let end = text.floor_char_boundary(MOST_BYTES);
            revealed.push(Revealed { from: "rot13", text: decode::rot13(&text[..end]) });
        }
        Ok(revealed)
    }
}

#[cfg(test)]
mod tests;
