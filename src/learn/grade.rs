//! Grading a model's answer against the one that was wanted. Pure: texts in, a score out. Asking a judge or a
//! program is the command's; what a judge is told and how it is understood is in [`judge`].
//!
//! Rules are strict where they can be and never guess: an answer in which nothing of the wanted kind is found is
//! wrong.

use unicode_normalization::UnicodeNormalization as _;

mod choice;
pub mod judge;
mod number;

use choice::Choices;
use number::Numbers;

/// How an answer is compared with the one that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The same text, but for case, spaces and what stands around it.
    Exact,
    /// The last number in it is the same.
    Number,
    /// It names the same choice, by letter or text.
    Choice,
}

impl Rule {
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Number => "number",
            Self::Choice => "choice",
        }
    }
}

/// What was wanted of a prompt.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub answer: Option<&'a str>,
    /// The texts of choices, where they are known.
    pub choices: &'a [String],
}

/// Grades by rules. Holds what it reads numbers and choices with.
#[derive(Debug)]
pub struct Grader {
    numbers: Numbers,
    choices: Choices,
}

impl Grader {
    pub fn new() -> Result<Self, regex::Error> {
        Ok(Self { numbers: Numbers::new()?, choices: Choices::new()? })
    }

    /// The rule that suits what is wanted of a prompt; `None` where that is not known.
    pub fn rule(&self, wanted: Wanted<'_>) -> Option<Rule> {
        let answer = wanted.answer?;
        Some(match self.numbers.whole(answer) {
            _ if !wanted.choices.is_empty() => Rule::Choice,
            Some(_) => Rule::Number,
            None => Rule::Exact,
        })
    }

    /// Why answers to a prompt cannot be graded by this rule.
    pub fn fault(&self, rule: Rule, wanted: Wanted<'_>) -> Option<String> {
        let Some(answer) = wanted.answer else { return Some("it has no `answer` to compare with".to_owned()) };
        match rule {
            Rule::Exact if plain(answer).is_empty() => Some("its `answer` is empty".to_owned()),
            Rule::Number if self.numbers.last(answer).is_none() => {
                Some(format!("its `answer` {answer:?} has no number"))
            }
            Rule::Choice if choice::wanted(answer, wanted.choices).is_none() => {
                let what = if wanted.choices.is_empty() { "letter" } else { "letter and no text of its `choices`" };
                Some(format!("its `answer` {answer:?} is no {what}"))
            }
            _ => None,
        }
    }

    /// 1 for a right answer, 0 for a wrong one.
    pub fn score(&self, rule: Rule, answer: &str, wanted: Wanted<'_>) -> f64 {
        let (answer, right) = (said(answer), wanted.answer.unwrap_or_default());
        f64::from(match rule {
            Rule::Exact => exact(answer, right),
            Rule::Number => match (self.numbers.last(answer), self.numbers.last(right)) {
                (Some(found), Some(right)) => found.equals(&right),
                _ => false,
            },
            Rule::Choice => {
                let right = choice::wanted(right, wanted.choices);
                right.is_some() && self.choices.named(answer, wanted.choices) == right
            }
        })
    }
}

/// What a model says once it has thought: some servers leave the thoughts in.
pub fn said(answer: &str) -> &str {
    answer.rsplit_once("</think>").map_or(answer, |(_, said)| said).trim()
}

fn exact(answer: &str, wanted: &str) -> bool {
    let wanted = plain(wanted);
    let boxed = boxed(answer);
    let last = answer.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    [Some(answer), boxed, after_marker(last)].into_iter().flatten().any(|found| plain(found) == wanted)
}

/// What follows `Answer:` or `the answer is` in a line.
fn after_marker(line: &str) -> Option<&str> {
    ["answer is", "answer:", "answer:**", "answer**:"]
        .iter()
        .filter_map(|marker| {
            // Where lower case has other lengths the places would not be those of the line.
            let at = line.to_ascii_lowercase().rfind(marker)? + marker.len();
            line.get(at..)
        })
        .min_by_key(|rest| rest.len())
}

/// Lower case, one space between words, without marks of emphasis, and without quotes and full stops around it.
fn plain(text: &str) -> String {
    let text: String = text.nfkc().filter(|letter| !matches!(letter, '*' | '`')).collect::<String>().to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let around = |letter: char| matches!(letter, '.' | '!' | '"' | '\'' | '“' | '”' | '‘' | '’' | '«' | '»' | ' ');
    words.join(" ").trim_matches(around).to_owned()
}

/// What stands in the last `\boxed{…}`, braces within it balanced.
fn boxed(text: &str) -> Option<&str> {
    const BOX: &str = "\\boxed{";
    let inside = &text[text.rfind(BOX)? + BOX.len()..];
    let mut depth = 1_usize;
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&inside[..at]);
        }
    }
    None
}

#[cfg(test)]
mod tests;
