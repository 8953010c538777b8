//! Which of several choices an answer names: `B`, `(B)`, `the answer is B`, `B) Paris`, or the choice's text.

use regex::Regex;

use super::{boxed, plain};

/// Letters there are where the choices' texts are not known.
const LETTERS: usize = 26;

/// `answer is B`, `Answer: (B)`, `correct option: **B**`. The letter is upper case, or in brackets: `a` is a word.
const MARKED: &str = r#"(?x)
    (?i: \b(?:answer|choice|option)\b [*_]* (?:\s+(?:is|would\ be|should\ be|must\ be))? \s* [:=]? \s*
        (?:the\s+)? (?:option|choice|letter)? ) \s*
    (?: [*_"'`$]* \( \s* ([A-Za-z]) \s* \) | [*_"'`$\[]* (?:\\text\{)? ([A-Z]) (?:[^\p{Alphabetic}\d'’]|$) )"#;

/// The beginning of a text that is a letter with a bracket, full stop or colon, or is nothing else.
const LEADING: &str = r#"(?x) ^ [\s*_"'`$]*
    (?: \( \s* ([A-Za-z]) \s* \) | ([A-Za-z]) \s* \) | ([A-Z]) [*_"'`$]* \s* (?:[.:,]|$) | ([a-z]) [*_"'`$]* \s* \.? $ )"#;

/// `(B)` anywhere.
const BRACKETS: &str = r"\(\s*([A-Za-z])\s*\)";

/// Finds the choice that an answer names.
#[derive(Debug)]
pub(super) struct Choices {
    marked: Regex,
    leading: Regex,
    brackets: Regex,
}

/// The place of the choice that a file's `answer` stands for.
pub(super) fn wanted(wanted: &str, choices: &[String]) -> Option<usize> {
    same_text(wanted, choices).or_else(|| {
        let mut letters = wanted.chars().filter(|letter| !matches!(letter, '(' | ')' | '.' | ' '));
        let letter = letters.next()?;
        letters.next().is_none().then_some(letter).and_then(|letter| place(letter, choices))
    })
}

impl Choices {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self { marked: Regex::new(MARKED)?, leading: Regex::new(LEADING)?, brackets: Regex::new(BRACKETS)? })
    }

    /// The place of the choice that a model's answer names; `None` where it names none, or several.
    pub(super) fn named(&self, answer: &str, choices: &[String]) -> Option<usize> {
        let answer = &answer.replace("**", "");
        let last_line = answer.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let inside = boxed(answer).map(|inside| inside.trim_start_matches("\\text{").trim_end_matches('}'));
        inside
            .and_then(|inside| wanted(inside, choices).or_else(|| lettered(&self.leading, inside, choices).last()))
            // The last of several is where it ended up.
            .or_else(|| lettered(&self.marked, answer, choices).last())
            .or_else(|| same_text(answer, choices))
            .or_else(|| lettered(&self.leading, answer.trim_start(), choices).last())
            .or_else(|| lettered(&self.leading, last_line, choices).last())
            .or_else(|| only(lettered(&self.brackets, answer, choices)))
            .or_else(|| contained(answer, choices))
    }
}

/// The places of the letters that a pattern finds.
fn lettered<'a>(pattern: &'a Regex, text: &'a str, choices: &'a [String]) -> impl Iterator<Item = usize> + 'a {
    let letter = |found: regex::Captures<'a>| found.iter().skip(1).flatten().next()?.as_str().chars().next();
    pattern.captures_iter(text).filter_map(letter).filter_map(|letter| place(letter, choices))
}

/// One place, however often.
fn only(mut places: impl Iterator<Item = usize>) -> Option<usize> {
    let first = places.next()?;
    places.all(|place| place == first).then_some(first)
}

fn place(letter: char, choices: &[String]) -> Option<usize> {
    let place = (letter.to_ascii_uppercase() as usize).checked_sub('A' as usize)?;
    let most = if choices.is_empty() { LETTERS } else { choices.len() };
    (place < most).then_some(place)
}

fn same_text(text: &str, choices: &[String]) -> Option<usize> {
    let text = plain(text);
    choices.iter().position(|choice| plain(choice) == text)
}

/// The one choice whose text stands in the answer. Of two where one contains the other it is the longer.
fn contained(answer: &str, choices: &[String]) -> Option<usize> {
    let answer = plain(answer);
    let texts: Vec<String> = choices.iter().map(|choice| plain(choice)).collect();
    let stands = |text: &str| {
        let word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        answer
            .match_indices(text)
            .any(|(at, _)| !word(answer[..at].chars().next_back()) && !word(answer[at + text.len()..].chars().next()))
    };
    let found: Vec<usize> = (0..texts.len()).filter(|&at| !texts[at].is_empty() && stands(&texts[at])).collect();
    let longest = *found.iter().max_by_key(|&&at| texts[at].len())?;
    found.iter().all(|&at| texts[longest].contains(&texts[at])).then_some(longest)
}
