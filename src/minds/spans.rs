//! From per-token tag probabilities to spans. Pure.
//!
//! Tags are `O, B-x, I-x, …` in label order. A word's tokens decide together, so that no
//! span starts or ends inside a word; spans never leave their part. Scores are means of the
//! label's probability. No span starts or ends with a comma, colon, semicolon or quote.

use std::collections::BTreeMap;

use super::tokenizer::Token;

/// A stretch of one part that carries a label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found<L> {
    pub(super) part: u32,
    /// Code points of the part's original text, end exclusive.
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) label: L,
    pub(super) score: f32,
}

/// Decodes `tags`, tokens x (2 x labels + 1) probabilities, into label indices.
pub(super) fn decode(tokens: &[Token], tags: &[f32], labels: usize) -> Vec<Found<usize>> {
    let width = 2 * labels + 1;
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    let mut first = 0;
    while first < tokens.len() {
        let end = tokens[first + 1..].iter().position(|token| !token.continues).map_or(tokens.len(), |n| first + 1 + n);
        let word = Word::of(&tags[first * width..end * width], width);
        let token = &tokens[first];
        let goes_on = open.as_ref().is_some_and(|open: &Open| {
            // Two of a kind are hardly ever one space apart; names, numbers and cards of several
            // words are, and the model is not sure where those begin.
            let begins = word.begins && !token.joins;
            word.label == Some(open.label) && !begins && open.part == token.part
        });
        if !goes_on {
            found.extend(open.take().map(Open::close));
        }
        if let Some(label) = word.label.filter(|_| !token.separates) {
            let fresh = || Open { label, part: token.part, start: token.start, end: 0, sum: 0.0, words: 0 };
            let span = open.get_or_insert_with(fresh);
            span.end = tokens[end - 1].end;
            span.sum += word.score;
            span.words += 1;
        }
        first = end;
    }
    found.extend(open.map(Open::close));
    found
}

struct Open {
    label: usize,
    part: u32,
    start: u32,
    end: u32,
    sum: f32,
    words: u32,
}

impl Open {
    fn close(self) -> Found<usize> {
        let score = self.sum / self.words.max(1) as f32;
        Found { part: self.part, start: self.start, end: self.end, label: self.label, score }
    }
}

struct Word {
    /// `None` where "outside" is more probable than each label.
    label: Option<usize>,
    score: f32,
    begins: bool,
}

impl Word {
    /// `tags`: the word's tokens x `width`.
    fn of(tags: &[f32], width: usize) -> Self {
        let rows = tags.chunks_exact(width);
        let count = rows.len().max(1) as f32;
        let mean = |at: usize| rows.clone().map(|row| row[at]).sum::<f32>() / count;
        let score = |label: usize| mean(2 * label + 1) + mean(2 * label + 2);
        let best = (0..width / 2).map(|label| (label, score(label))).max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((label, score)) = best.filter(|(_, score)| *score > mean(0)) else {
            return Self { label: None, score: 0.0, begins: false };
        };
        Self { label: Some(label), score, begins: tags[2 * label + 1] > tags[2 * label + 2] }
    }
}

/// Lays `over` on top of `under`: a span of `under` that overlaps one of `over` gives way,
/// and within `over` the less sure one. The result is sorted and free of overlaps.
pub(super) fn overlay<L>(under: Vec<Found<L>>, mut over: Vec<Found<L>>) -> Vec<Found<L>> {
    over.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.end.cmp(&a.end)));
    let mut taken: BTreeMap<(u32, u32), Found<L>> = BTreeMap::new();
    for span in over.into_iter().chain(under).filter(|span| span.start < span.end) {
        // Taken spans do not overlap each other, so the last that starts before this one's end decides.
        let nearest = taken.range(..(span.part, span.end)).next_back();
        if !nearest.is_some_and(|(_, other)| other.part == span.part && other.end > span.start) {
            taken.insert((span.part, span.start), span);
        }
    }
    taken.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two labels: 0 and 1. `O B0 I0 B1 I1`.
    fn row(tag: usize) -> [f32; 5] {
        let mut row = [0.025; 5];
        row[tag] = 0.9;
        row
    }

    fn tokens(spec: &[(u32, u32, bool)]) -> Vec<Token> {
        spec.iter()
            .scan(0, |last, &(start, end, continues)| {
                let joins = start <= std::mem::replace(last, end) + 1;
                Some(Token { id: 0, part: 0, start, end, continues, separates: false, joins })
            })
            .collect()
    }

    fn spans(tokens: &[Token], tags: &[usize]) -> Vec<(u32, u32, usize)> {
        let tags: Vec<f32> = tags.iter().flat_map(|&tag| row(tag)).collect();
        decode(tokens, &tags, 2).iter().map(|span| (span.start, span.end, span.label)).collect()
    }

    #[test]
    fn begin_inside_outside() {
        let words = tokens(&[(0, 3, false), (4, 8, false), (9, 12, false), (13, 15, false), (17, 20, false)]);
        assert_eq!(spans(&words, &[1, 2, 0, 1, 1]), [(0, 8, 0), (13, 15, 0), (17, 20, 0)]);
        assert_eq!(spans(&words, &[1, 4, 4, 0, 0]), [(0, 3, 0), (4, 12, 1)]);
        assert_eq!(spans(&words, &[2, 0, 0, 0, 4]), [(0, 3, 0), (17, 20, 1)]);
        assert_eq!(spans(&words, &[0; 5]), []);
        assert_eq!(spans(&[], &[]), []);
    }

    #[test]
    fn what_is_at_most_one_space_apart_is_one_span() {
        let words = tokens(&[(0, 1, false), (1, 2, false), (3, 6, false), (8, 9, false)]);
        assert_eq!(spans(&words, &[1, 2, 1, 1]), [(0, 6, 0), (8, 9, 0)]);
    }

    #[test]
    fn separators_join_but_never_start_or_end() {
        let mut words = tokens(&[(0, 1, false), (1, 4, false), (4, 5, false), (6, 9, false), (9, 10, false)]);
        for separator in [0, 2, 4] {
            words[separator].separates = true;
        }
        assert_eq!(spans(&words, &[1, 2, 2, 2, 2]), [(1, 9, 0)]);
    }

    #[test]
    fn a_word_is_never_cut() {
        let words = tokens(&[(0, 2, false), (2, 4, true), (4, 6, true), (7, 9, false)]);
        assert_eq!(spans(&words, &[1, 0, 2, 0]), [(0, 6, 0)]);
        assert_eq!(spans(&words, &[1, 0, 0, 0]), []);
        assert_eq!(spans(&words, &[1, 1, 1, 2]), [(0, 9, 0)]);
    }

    #[test]
    fn a_span_stays_in_its_part() {
        let mut words = tokens(&[(0, 3, false), (0, 4, false)]);
        words[1].part = 1;
        let tags: Vec<f32> = [1, 2].iter().flat_map(|&tag| row(tag)).collect();
        let found = decode(&words, &tags, 2);
        assert_eq!(
            found.iter().map(|span| (span.part, span.start, span.end)).collect::<Vec<_>>(),
            [(0, 0, 3), (1, 0, 4)]
        );
    }

    #[test]
    fn overlay_keeps_the_surer_and_sorts() {
        let span = |start, end, score| Found { part: 0, start, end, label: 'x', score };
        let merged = overlay(
            vec![span(0, 5, 0.9), span(8, 12, 0.9)],
            vec![span(10, 20, 0.5), span(3, 4, 0.2), span(12, 30, 0.9)],
        );
        assert_eq!(merged.iter().map(|s| (s.start, s.end)).collect::<Vec<_>>(), [(3, 4), (8, 12), (12, 30)]);
    }
}
