//! What a predictor knows of a prompt.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::reading::asks;
use super::super::{Input, Judgement};

/// Keeps the logarithm of a probability finite, and differences below it unseen.
const FLOOR: f32 = 1e-3;

/// Symbols of formulas.
const SYMBOLS: [char; 6] = ['=', '+', '*', '/', '^', '\\'];

/// One prompt in numbers; all of them are there anyway once the flash minds have read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Log-probabilities of the categories.
    pub categories: Vec<f32>,
    /// Log-probabilities of simple, medium and hard.
    pub complexity: [f32; 3],
    /// Logarithms of counts of what the text is made of, and averages.
    pub structure: [f32; STRUCTURE],
    /// Logarithms of counts of what makes a question long to answer, its options aside.
    pub question: [f32; QUESTION],
    /// Unit length.
    pub embedding: Arc<[f32]>,
}

/// Values of [`Features::structure`], and which of them is a share.
pub const STRUCTURE: usize = 13;
pub const DIGIT_SHARE: usize = 3;

/// Values of [`Features::question`], and of [`Features::signs`].
pub const QUESTION: usize = 6;
pub const SIGNS: usize = QUESTION + 2;

/// Of both.
pub const COUNTS: usize = STRUCTURE + QUESTION;

/// Words that turn a question round, and words that give it conditions or steps.
const TURNS: [&str; 10] =
    ["not", "except", "least", "false", "incorrect", "never", "without", "neither", "nor", "unless"];
const STEPS: [&str; 14] = [
    "if",
    "when",
    "then",
    "given",
    "suppose",
    "assume",
    "after",
    "before",
    "total",
    "remaining",
    "left",
    "more",
    "less",
    "than",
];

impl Features {
    /// Of the person's own words and what brain and similarity said of them; `None` where one of
    /// the two said nothing.
    pub fn of(input: &Input, judgement: &Judgement) -> Option<Self> {
        Self::with(&counts(input), judgement)
    }

    /// The same, of a text that was counted before.
    pub fn with(counts: &[f32; COUNTS], judgement: &Judgement) -> Option<Self> {
        let intent = judgement.intent.verdict()?;
        let embedding = Arc::clone(&judgement.embedding.verdict()?.vector);
        let log = |p: &f32| (p + FLOOR).ln();
        let (structure, question) = counts.split_first_chunk()?;
        Some(Self {
            categories: intent.scores.iter().map(log).collect(),
            complexity: intent.complexity?.map(|p| log(&p)),
            structure: *structure,
            question: question.try_into().ok()?,
            embedding,
        })
    }

    /// What tells prompts apart beside their meaning: categories, structure, what is asked.
    pub fn shape(&self) -> impl Iterator<Item = f32> + '_ {
        self.categories.iter().chain(&self.structure).chain(&self.question).copied()
    }

    /// What difficulty is read off: more of any of these makes a prompt harder, or says nothing.
    pub fn signs(&self) -> [f32; SIGNS] {
        let [simple, _, hard] = self.complexity;
        let [chars, sentences, numbers, distinct, turns, steps] = self.question;
        [chars, sentences, numbers, distinct, turns, steps, hard, -simple]
    }
}

/// What the person's own words are made of: [`Features::structure`], then [`Features::question`].
pub fn counts(input: &Input) -> [f32; COUNTS] {
    let asked = input.parts.iter().zip(asks(&input.parts)).filter(|(_, ask)| *ask);
    let text = asked.map(|(part, _)| part.text.trim()).collect::<Vec<_>>().join("\n");
    let mut counts = [0.0; COUNTS];
    counts[..STRUCTURE].copy_from_slice(&structure(&text));
    counts[STRUCTURE..].copy_from_slice(&question(&text));
    counts
}

/// Logarithms of counts (`ln(1 + n)`) and two averages: characters, words, digits, share of digits,
/// symbols of formulas, lines, whether there is code, question marks, capitalised words, characters a
/// word, numbers, commas, lettered options.
fn structure(text: &str) -> [f32; STRUCTURE] {
    let count = |n: usize| (n as f32).ln_1p();
    let chars = |wanted: fn(char) -> bool| text.chars().filter(|c| wanted(*c)).count();
    let (length, words) = (text.chars().count(), text.split_whitespace().count());
    let digits = chars(|c| c.is_ascii_digit());
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).count();
    let code = ["def ", "```", "assert"].iter().any(|sign| text.contains(sign));
    let capitalised = text.split_whitespace().filter(|word| word.starts_with(char::is_uppercase)).count();
    [
        count(length),
        count(words),
        count(digits),
        digits as f32 / length.max(1) as f32,
        count(chars(|c| SYMBOLS.contains(&c))),
        count(chars(|c| c == '\n')),
        if code { 1.0 } else { 0.0 },
        count(chars(|c| c == '?')),
        count(capitalised),
        length as f32 / words.max(1) as f32,
        count(numbers),
        count(chars(|c| c == ',')),
        count(text.lines().skip(1).filter(|line| is_option(line)).count()),
    ]
}

/// Logarithms of counts (`ln(1 + n)`) in the text without its lettered options: characters, sentences, numbers,
/// numbers that differ, words that turn the question round, words that give conditions or steps.
fn question(text: &str) -> [f32; QUESTION] {
    let kept = |(at, line): &(usize, &str)| {
        (*at == 0 || !is_option(line)) && !matches!(line.trim(), "Options:" | "Choices:" | "Answer:")
    };
    let text = text.lines().enumerate().filter(kept).map(|(_, line)| line).collect::<Vec<_>>().join("\n");
    let ends = |word: &&str| word.ends_with(['.', '!', '?']);
    let open = text.split_whitespace().last().is_some_and(|word| !ends(&word));
    let sentences = text.split_whitespace().filter(ends).count() + usize::from(open);
    let numbers: Vec<&str> = text
        .split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .map(|number| number.trim_matches(['.', ',']))
        .filter(|number| !number.is_empty())
        .collect();
    let (mut turns, mut steps, mut before) = (0, 0, String::new());
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        turns += usize::from(TURNS.contains(&&*word));
        let asks_count = before == "how" && (word == "many" || word == "much");
        steps += usize::from(STEPS.contains(&&*word) || asks_count);
        before = word;
    }
    let distinct = numbers.iter().collect::<BTreeSet<_>>().len();
    [text.chars().count(), sentences, numbers.len(), distinct, turns, steps].map(|n| (n as f32).ln_1p())
}

/// `A. …`, `B) …`, `(C) …`.
fn is_option(line: &str) -> bool {
    let mut rest = line.strip_prefix('(').unwrap_or(line).chars();
    matches!((rest.next(), rest.next()), (Some('A'..='J'), Some('.' | ')' | ':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_counts_what_it_says() {
        let found = structure("Is 12 + 3,5 = x?\nA. No\n(B) Yes\n");
        let expected: [f32; STRUCTURE] = [
            31_f32.ln_1p(),
            10_f32.ln_1p(),
            4_f32.ln_1p(),
            4.0 / 31.0,
            2_f32.ln_1p(),
            3_f32.ln_1p(),
            0.0,
            1_f32.ln_1p(),
            4_f32.ln_1p(),
            3.1,
            3_f32.ln_1p(),
            1_f32.ln_1p(),
            2_f32.ln_1p(),
        ];
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 1e-6, "{place}: {found} is not {expected}");
        }
        assert_eq!(structure("")[0], 0.0);
        assert!(structure("```\nlet x;\n```")[6] == 1.0);
    }

    #[test]
    fn a_question_is_counted_without_its_options() {
        let asked = "If 12 of 30 pens, each 1.5 cm, are not left, how many of the 30 are?  Say so.";
        let found = question(&format!("{asked}\nOptions:\nA. 12\n(B) 17, not 18.\nAnswer:"));
        assert_eq!(found, question(asked));
        let expected = [asked.len(), 2, 4, 3, 1, 3].map(|n| (n as f32).ln_1p());
        assert_eq!(found, expected);
        assert_eq!(question(""), [0.0; QUESTION]);
    }
}
