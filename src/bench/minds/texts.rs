//! English texts of a wanted number of tokens, no two alike in a run.
//!
//! Whole sentences in random order, cut to length at a word. Tokens are counted once for each
//! word, by the minds' own tokenizer; what a request really had is told by its judgement.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::eval::stats::SplitMix;
use crate::minds::{Input, Minds, Part, Place};

const SENTENCES: &str = include_str!("sentences.txt");

/// Single tokens that end a text where the next word would be too long.
const LAST_WORDS: [&str; 3] = ["please", "now", "then"];

/// Tries at a text that has not been used yet; beyond it there are none left of that length.
const TRIES: usize = 100;

#[derive(Debug)]
pub(super) struct Texts {
    /// Each word and its tokens, by sentence.
    sentences: Vec<Vec<(&'static str, usize)>>,
    used: HashSet<u64>,
    random: SplitMix,
}

impl Texts {
    /// Has `minds` count the tokens of every word.
    pub(super) async fn new(minds: &Minds) -> Self {
        let words: Vec<&str> = SENTENCES.split_whitespace().collect::<HashSet<_>>().into_iter().collect();
        let parts = words
            .iter()
            .zip(0..)
            .map(|(word, part)| Part { place: Some(Place { message: 0, part }), ..Part::alone(*word) });
        let judged = minds.judge(Input { parts: parts.collect(), not_text: false }).await.judged;
        let counts: BTreeMap<&str, usize> =
            judged.iter().filter_map(|part| Some((*words.get(part.part)?, part.tokens))).collect();
        Self::with(|word| counts.get(word).copied().unwrap_or(1))
    }

    pub(super) fn with(count: impl Fn(&str) -> usize) -> Self {
        let sentence = |line: &'static str| line.split_whitespace().map(|word| (word, count(word).max(1))).collect();
        Self { sentences: SENTENCES.lines().map(sentence).collect(), used: HashSet::new(), random: SplitMix(7) }
    }

    /// A text of `tokens` tokens that was not given before, as long as there are any.
    pub(super) fn text(&mut self, tokens: usize) -> String {
        let mut text = String::new();
        for _ in 0..TRIES {
            text = self.compose(tokens);
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            if self.used.insert(hasher.finish()) {
                break;
            }
        }
        text
    }

    fn compose(&mut self, tokens: usize) -> String {
        let mut words = Vec::new();
        let mut left = tokens;
        while left > 0 {
            let sentence = &self.sentences[self.random.below(self.sentences.len())];
            for (word, length) in sentence {
                if *length > left {
                    words.extend(LAST_WORDS.into_iter().cycle().take(left));
                    left = 0;
                }
                if left == 0 {
                    break;
                }
                words.push(word);
                left -= length;
            }
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Like the tokenizer: punctuation counts.
    fn count(word: &str) -> usize {
        1 + word.chars().filter(|c| !c.is_alphanumeric()).count()
    }

    #[test]
    fn texts_have_the_wanted_length_and_differ() {
        let mut texts = Texts::with(count);
        let given: Vec<String> = (0..5000).map(|_| texts.text(32)).collect();
        assert!(given.iter().all(|text| text.split(' ').map(count).sum::<usize>() == 32));
        assert_eq!(given.iter().collect::<HashSet<_>>().len(), 5000);
        assert_eq!(texts.text(8000).split(' ').map(count).sum::<usize>(), 8000);
    }

    #[test]
    fn the_same_texts_come_in_every_run() {
        let (mut one, mut other) = (Texts::with(count), Texts::with(count));
        assert_eq!(one.text(32), other.text(32));
    }
}
