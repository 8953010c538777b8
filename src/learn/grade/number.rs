//! Numbers as people and models write them: `1,234`, `-$5`, `3/4`, `\frac{3}{4}`, `2 ½`, `50 %`, `1.5 × 10^3`.

use regex::{Captures, Regex};

use super::boxed;

/// How far apart two numbers may be that are not whole, as a share of the larger: a third has to be written somehow.
const CLOSE: f64 = 2e-6;

/// Above it not every whole number has a float of its own.
const WHOLE: f64 = 9e15;

/// A number, and whether it was written as a percentage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    value: f64,
    percent: bool,
}

impl Number {
    /// The same number. `50 %` is both 50 and a half: questions ask for either.
    pub(super) fn equals(&self, other: &Self) -> bool {
        if self.percent == other.percent {
            return close(self.value, other.value);
        }
        let (percent, plain) = if self.percent { (self, other) } else { (other, self) };
        close(percent.value, plain.value) || close(percent.value / 100.0, plain.value)
    }
}

fn close(a: f64, b: f64) -> bool {
    let whole = |value: f64| value.fract() == 0.0 && value.abs() < WHOLE;
    if whole(a) && whole(b) { a == b } else { (a - b).abs() <= CLOSE * a.abs().max(b.abs()) }
}

/// A sign, a currency, digits; then one of: an exponent, a numerator over a denominator, a denominator; a percent sign.
const NUMBER: &str = r"(?x)
    (?P<sign>[-+])? (?:\\?[$€£¥₹]\s?)? (?P<inner>[-+])?
    (?P<digits> \d{1,3}(?:,\d{3})+(?:\.\d+)? | \d+,\d{1,2}\b | \d+(?:\.\d+)? | \.\d+ )
    (?: [eE](?P<exponent>[-+]?\d{1,3})\b
      | [\ ]+(?P<numerator>\d+)\s?/\s?(?P<under>\d+)
      | \s?/\s?(?P<denominator>\d+(?:\.\d+)?) )?
    (?P<percent>\s?(?:\\?%|percent\b|per\ cent\b))?";

/// A fraction in LaTeX, with the digit before it.
const FRACTION: &str =
    r"(\d?)\\[dt]?frac\s*(?:\{\s*(-?[\d.]+)\s*\}\s*\{\s*([\d.]+)\s*\}|(\d)\s*(\d)|(\d)\s*\{\s*(\d+)\s*\})";

/// Times ten to the power of.
const POWER: &str = r"(\d)\s*(?:×|\\times|\\cdot|·|\*|x)\s*10\s*\^\s*\{?\s*([-+]?\d{1,3})\s*\}?";

/// Fractions that are one letter.
const VULGAR: [(char, &str); 7] =
    [('½', "1/2"), ('⅓', "1/3"), ('⅔', "2/3"), ('¼', "1/4"), ('¾', "3/4"), ('⅕', "1/5"), ('⅛', "1/8")];

/// Finds numbers.
#[derive(Debug)]
pub(super) struct Numbers {
    number: Regex,
    fraction: Regex,
    power: Regex,
}

impl Numbers {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self { number: Regex::new(NUMBER)?, fraction: Regex::new(FRACTION)?, power: Regex::new(POWER)? })
    }

    /// The number that a text ends on: in its last box, else behind `####`, else the last one in it.
    pub(super) fn last(&self, text: &str) -> Option<Number> {
        let marked = || text.rsplit_once("####").and_then(|(_, after)| after.trim_start().lines().next());
        let place = boxed(text).or_else(marked);
        let in_place = place.and_then(|place| self.all(&self.usual(place)).pop());
        in_place.or_else(|| self.all(&self.usual(text)).pop()).map(|(number, _)| number)
    }

    /// The number that a text is, and nothing else.
    pub(super) fn whole(&self, text: &str) -> Option<Number> {
        let text = self.usual(text);
        let text = text.trim();
        let all = self.all(text);
        all.first().filter(|(_, length)| *length == text.len()).map(|(number, _)| *number)
    }

    /// As [`NUMBER`] has it.
    fn usual(&self, text: &str) -> String {
        let mut usual = String::with_capacity(text.len());
        for letter in text.chars() {
            match VULGAR.iter().find(|(one, _)| *one == letter) {
                Some((_, fraction)) => {
                    if usual.ends_with(|before: char| before.is_ascii_digit()) {
                        usual.push(' ');
                    }
                    usual.push_str(fraction);
                }
                None => usual.push(match letter {
                    '\u{2212}' => '-',
                    '\u{2044}' => '/',
                    '\u{a0}' | '\u{202f}' => ' ',
                    letter => letter,
                }),
            }
        }
        let usual = usual.replace("{,}", ",").replace("\\,", "").replace("\\!", "").replace("**", "");
        let usual = self.fraction.replace_all(&usual, |found: &Captures<'_>| {
            let of = |at: usize| found.get(at).map_or("", |part| part.as_str());
            let (before, above, below) = (of(1), [of(2), of(4), of(6)].concat(), [of(3), of(5), of(7)].concat());
            format!("{before}{}{above}/{below}", if before.is_empty() { "" } else { " " })
        });
        self.power.replace_all(&usual, "${1}e${2}").into_owned()
    }

    /// All numbers of a text, and how many bytes each takes there.
    fn all(&self, text: &str) -> Vec<(Number, usize)> {
        let mut numbers = Vec::new();
        for found in self.number.captures_iter(text) {
            let (Some(all), Some(digits)) = (found.get(0), found.name("digits")) else { continue };
            let before = text[..all.start()].chars().next_back();
            // A name such as `x2`; behind a digit a minus is a dash.
            if before.is_some_and(|before| before.is_alphabetic() || before == '_') && all.start() == digits.start() {
                continue;
            }
            let dash = before.is_some_and(|before| before.is_alphanumeric() || before == ')');
            if let Some(value) = value(&found, digits.as_str(), dash) {
                numbers.push((Number { value, percent: found.name("percent").is_some() }, all.len()));
            }
        }
        numbers
    }
}

fn value(found: &Captures<'_>, digits: &str, dash: bool) -> Option<f64> {
    let part = |name: &str| found.name(name).map(|part| part.as_str());
    let decimal_comma = digits.split_once(',').filter(|(_, behind)| behind.len() < 3 && !behind.contains(','));
    let plain = if decimal_comma.is_some() { digits.replace(',', ".") } else { digits.replace(',', "") };
    let mut value: f64 = match part("exponent") {
        Some(exponent) => format!("{plain}e{exponent}").parse().ok()?,
        None => plain.parse().ok()?,
    };
    if let (Some(above), Some(below)) = (part("numerator"), part("under")) {
        value += over(above.parse().ok()?, below)?;
    } else if let Some(below) = part("denominator") {
        value = over(value, below)?;
    }
    let negative = (part("sign") == Some("-") && !dash) || part("inner") == Some("-");
    Some(if negative { -value } else { value }).filter(|value| value.is_finite())
}

fn over(above: f64, below: &str) -> Option<f64> {
    let below: f64 = below.parse().ok()?;
    (below != 0.0).then(|| above / below)
}
