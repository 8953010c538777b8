//! Dates in their clear spellings, and ages. Pure.
//!
//! Bare years, weekdays and clock times are left to the model: whether they are personal
//! data is a matter of meaning.

use regex::Regex;
use tokio::time::Instant;

use super::numbers::isolated;
use super::{Hit, compile};
use crate::minds::deadline::{Late, in_time};

const MONTH: &str = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|januar|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro)";
const DAY: &str = r"(?:3[01]|[12][0-9]|0?[1-9])";
const WEEKDAY: &str = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,? )?";
const CLOCK: &str = r"(?:[T ,]{1,2}(?:at )?[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?(?: ?[ap]\.?m\b\.?)?(?:Z|(?: ?(?:UTC|GMT))?[+-][0-9]{2}:?[0-9]{2})?)?";

/// The number is the first group.
const AGES: &[&str] = &[
    r"(?i-u)\b([0-9]{1,3})[ -]*(?:years?|yrs?)\.?[ -]*(?:old|of age)\b",
    r"(?i-u)\b([0-9]{1,3})[ -]?(?:y/?o|y\.o\.?|yo)\b",
    r"(?i-u)\b(?:aged?|ages)(?: of)?(?: is| was)?\s?[:=]?\s?([0-9]{1,3})\b",
    r#"(?i-u)\bage["']?\s?[:=|>]\s?["']?([0-9]{1,3})\b"#,
    r"(?i-u)\bturn(?:s|ed|ing)? ([0-9]{1,3})(?:[.,;!?]?(?:\s|$))",
    r"(?i-u)\bI(?:'m| am) ([1-9][0-9])(?:[,.;!?](?:\s|$)| and\b|$)",
    r"(?i-u)\b([1-9][0-9]?)(?:st|nd|rd|th) birthday\b",
    r"(?i-u)\b((?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen))[ -]years?[ -]old\b",
    r"(?i-u)\baged ((?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?|(?:thir|four|fif|six|seven|eigh|nine)teen))\b",
];

/// Words after "turned 90" that make it no age.
const MEASURES: &[&str] = &[
    "degree", "percent", "minute", "hour", "time", "page", "of ", "to ", "into", "out", "dollar", "day", "week",
    "month", "mile", "%",
];

const OLDEST: u32 = 120;

#[derive(Debug)]
pub(super) struct Times {
    dates: Vec<Regex>,
    ages: Vec<Regex>,
}

impl Times {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let dates = [
            format!(r"(?i)[12][0-9]{{3}}-(?:1[0-2]|0?[1-9])-{DAY}{CLOCK}"),
            format!(r"(?i)[12][0-9]{{3}}[/.](?:1[0-2]|0?[1-9])[/.]{DAY}{CLOCK}"),
            format!(
                r"(?i)(?:{DAY}[/.-](?:1[0-2]|0?[1-9])|(?:1[0-2]|0?[1-9])[/.-]{DAY})[/.-](?:19|20)[0-9]{{2}}{CLOCK}"
            ),
            format!(r"(?i)(?:{DAY}/(?:1[0-2]|0?[1-9])|(?:1[0-2]|0?[1-9])/{DAY})/[0-9]{{2}}{CLOCK}"),
            format!(
                r"(?i)\b{WEEKDAY}{DAY}(?:st|nd|rd|th|\.)?(?: of| de)?[ /-]{MONTH}\b\.?,?(?: of| de)?[ /-](?:[12][0-9]{{3}}|'[0-9]{{2}})(?::[0-9:]{{5,8}}(?: [+-][0-9]{{4}})?|{CLOCK})"
            ),
            format!(
                r"(?i)\b{WEEKDAY}{MONTH}\b\.?[ -]{DAY}(?:st|nd|rd|th)?\b,?[ -](?:[12][0-9]{{3}}|'[0-9]{{2}}\b){CLOCK}"
            ),
            format!(r"(?i)\b{MONTH}\b\.?,? (?:19|20)[0-9]{{2}}"),
            format!(r"(?i)\b{WEEKDAY}{DAY}(?:st|nd|rd|th)?(?: of)? {MONTH}\b"),
            format!(r"(?i)\b{WEEKDAY}{MONTH}\b\.? {DAY}(?:st|nd|rd|th)?\b"),
        ];
        let dates = dates.iter().map(|date| Regex::new(date)).collect::<Result<_, _>>()?;
        Ok(Self { dates, ages: compile(AGES)? })
    }

    pub(super) fn find(&self, text: &str, deadline: Instant, hits: &mut Vec<Hit>) -> Result<(), Late> {
        for (place, date) in self.dates.iter().enumerate() {
            in_time(deadline)?;
            for hit in date.find_iter(text).filter(|hit| isolated(text, hit.range())) {
                let full = place + 3 < self.dates.len();
                if full || says_month(hit.as_str()) {
                    hits.push(Hit::sure(hit.start(), hit.end(), "DATE_TIME", if full { 0.97 } else { 0.86 }));
                }
            }
        }
        self.find_words(text, deadline, hits)
    }

    /// What needs no digit.
    pub(super) fn find_words(&self, text: &str, deadline: Instant, hits: &mut Vec<Hit>) -> Result<(), Late> {
        for age in &self.ages {
            in_time(deadline)?;
            for number in age.captures_iter(text).filter_map(|captures| captures.get(1)) {
                let rest = text[number.end()..].trim_start_matches(['.', ',', ' ']);
                let measured = MEASURES.iter().any(|measure| rest.starts_with(measure));
                let possible = number.as_str().parse::<u32>().map_or(true, |age| age <= OLDEST);
                if possible && !measured {
                    hits.push(Hit::sure(number.start(), number.end(), "AGE", 0.92));
                }
            }
        }
        Ok(())
    }
}

/// `may 5` and `march 3` in small letters are more often words than months.
fn says_month(date: &str) -> bool {
    let word =
        date.split(|c: char| !c.is_alphabetic()).find(|word| matches!(*word, "may" | "march" | "mar" | "mars" | "sun"));
    word.is_none()
}
