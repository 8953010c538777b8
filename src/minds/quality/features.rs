//! What a predictor knows of a prompt.

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
    /// Unit length.
    pub embedding: Arc<[f32]>,
}

/// Values of [`Features::structure`].
pub const STRUCTURE: usize = 13;

impl Features {
    /// Of the person's own words and what brain and similarity said of them; `None` where one of
    /// the two said nothing.
    pub fn of(input: &Input, judgement: &Judgement) -> Option<Self> {
        Self::with(structure(input), judgement)
    }

    /// The same, of a text whose structure was counted before.
    pub fn with(structure: [f32; STRUCTURE], judgement: &Judgement) -> Option<Self> {
        let intent = judgement.intent.verdict()?;
        let embedding = Arc::clone(&judgement.embedding.verdict()?.vector);
        let log = |p: &f32| (p + FLOOR).ln();
        Some(Self {
            categories: intent.scores.iter().map(log).collect(),
            complexity: intent.complexity?.map(|p| log(&p)),
            structure,
            embedding,
        })
    }

    /// What tells prompts apart beside their meaning: categories and structure.
    pub fn shape(&self) -> impl Iterator<Item = f32> + '_ {
        self.categories.iter().chain(&self.structure).copied()
    }

    /// What difficulty is read off: structure, complexity, meaning.
    pub fn transferable(&self) -> impl Iterator<Item = f32> + '_ {
        self.structure.iter().chain(&self.complexity).chain(self.embedding.iter()).copied()
    }
}

/// What the person's own words are made of: [`Features::structure`].
pub fn structure(input: &Input) -> [f32; STRUCTURE] {
    let asked = input.parts.iter().zip(asks(&input.parts)).filter(|(_, ask)| *ask);
    let texts: Vec<&str> = asked.map(|(part, _)| part.text.trim()).collect();
    counts(&texts.join("\n"))
}

/// Logarithms of counts (`ln(1 + n)`) and two averages: characters, words, digits, share of digits,
/// symbols of formulas, lines, whether there is code, question marks, capitalised words, characters a
/// word, numbers, commas, lettered options.
fn counts(text: &str) -> [f32; STRUCTURE] {
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
        let found = counts("Is 12 + 3,5 = x?\nA. No\n(B) Yes\n");
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
        assert_eq!(counts("")[0], 0.0);
        assert!(counts("```\nlet x;\n```")[6] == 1.0);
    }
}
