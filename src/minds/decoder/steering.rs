//! Sentences that tell a router what to think of the request ("this needs the premium model"):
//! found by what the base makes of their tokens, and left out before anybody judges.

use std::ops::Range;

use super::super::Stretch;
use super::reader::Question;

/// White space behind one of these ends a sentence; a line's end always does.
const ENDS: &[char] = &['.', '!', '?', ':', ';'];

/// Which output of a pass tells it, and from where on it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steering {
    /// Index of the output: three logits for each token of the question.
    pub(super) index: usize,
    /// A probability as a logit.
    pub(super) threshold: f32,
}

impl Steering {
    /// Where sentences stand that steer, of those that were read. One is always left: where all seem
    /// to, that which does so least. `logits`: for each token what it says of its own sentence, of the
    /// next one and of the one before.
    pub(super) fn find(self, question: &Question, logits: &[f32]) -> Vec<Stretch> {
        // Of what was not read nothing is known; there are as many sentences here as tokens at most.
        let read = sentences(&question.text).filter_map(|range| {
            let said = mean(&range, &question.ends, logits)?;
            Some((range, said))
        });
        let (sentences, said): (Vec<Range<usize>>, Vec<[f32; 3]>) = read.unzip();
        let of = |at: Option<usize>, column: usize| at.and_then(|at| said.get(at)).map_or(0.0, |said| said[column]);
        let steers = |at: usize| of(Some(at), 0) + of(at.checked_sub(1), 1) + of(Some(at + 1), 2);
        let least = (0..sentences.len()).min_by(|&a, &b| steers(a).total_cmp(&steers(b)));
        let found = (0..sentences.len()).filter(|&at| steers(at) > self.threshold && Some(at) != least);
        found.filter_map(|at| question.stretch(&sentences[at])).collect()
    }
}

/// Over the tokens that end in `range`; `None` where none does. `ends` rise.
fn mean(range: &Range<usize>, ends: &[usize], logits: &[f32]) -> Option<[f32; 3]> {
    let first = ends.partition_point(|end| *end <= range.start);
    let inside = ends.iter().zip(logits.chunks_exact(3)).skip(first).take_while(|(end, _)| **end <= range.end);
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for (_, token) in inside {
        sum.iter_mut().zip(token).for_each(|(sum, logit)| *sum += logit);
        count += 1.0;
    }
    (count > 0.0).then(|| sum.map(|sum| sum / count))
}

impl Question {
    /// A sentence stands in one part: a line's end is between them.
    fn stretch(&self, range: &Range<usize>) -> Option<Stretch> {
        let mut before = 0;
        for &(place, length) in &self.parts {
            if range.start < before + length {
                let end = range.end.min(before + length) - before;
                return Some(Stretch { place, start: range.start - before, end });
            }
            before += length + 1;
        }
        None
    }
}

/// Ranges of code points; what is only white space is no sentence.
fn sentences(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut chars = text.chars().enumerate();
    let (mut start, mut before, mut empty, mut count) = (0, ' ', true, 0);
    std::iter::from_fn(move || {
        for (at, c) in chars.by_ref() {
            empty &= c.is_whitespace();
            count = at + 1;
            let ended = c == '\n' || (c.is_whitespace() && at > start && ENDS.contains(&before));
            before = c;
            if ended {
                let (sentence, blank) = (start..count, empty);
                (start, empty) = (count, true);
                if !blank {
                    return Some(sentence);
                }
            }
        }
        let last = (!empty).then_some(start..count);
        empty = true;
        last
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::Place;
    use super::*;

    #[test]
    fn a_stretch_counts_in_its_own_part() {
        let place = |part| Some(Place { message: 1, part });
        let parts = vec![(place(0), 3), (place(2), 4)];
        let asked = Question { ids: Vec::new(), ends: vec![3, 8], text: "abc\ndefg".to_owned(), parts };
        let steering = Steering { index: 0, threshold: 0.0 };
        let found = |logits: &[f32]| {
            steering.find(&asked, logits).iter().map(|s| (s.place, s.start, s.end)).collect::<Vec<_>>()
        };
        assert_eq!(found(&[1.0, 0.0, 0.0, -1.0, 0.0, 0.0]), [(place(0), 0, 3)]);
        assert_eq!(found(&[-1.0, 0.0, 0.0, 1.0, 0.0, 0.0]), [(place(2), 0, 4)]);
        // What the neighbours say counts as well.
        assert_eq!(found(&[-1.0, 2.0, 9.0, -1.0, 9.0, -1.0]), [(place(2), 0, 4)]);
        assert_eq!(found(&[-1.0, 0.0, 9.0, -1.0, 9.0, 2.0]), [(place(0), 0, 3)]);
        // Something has to be left to judge.
        assert_eq!(found(&[1.0, 0.0, 0.0, 2.0, 0.0, 0.0]), [(place(2), 0, 4)]);
    }

    #[test]
    fn what_was_not_read_does_not_steer() {
        // Of five sentences the first and the last were read; the shipped thresholds are below zero as logits.
        let text = "One. Two. Three. Four. Five.".to_owned();
        let asked = Question { ids: Vec::new(), ends: vec![4, 28], parts: vec![(None, 28)], text };
        let steering = Steering { index: 0, threshold: -1.0 };
        let found = |logits: &[f32]| steering.find(&asked, logits).iter().map(|s| (s.start, s.end)).collect::<Vec<_>>();
        assert_eq!(found(&[-2.0, 0.0, 0.0, -2.0, 0.0, 0.0]), []);
        // Those that were read are neighbours, as in the training code.
        assert_eq!(found(&[-2.0, 3.0, 0.0, -2.0, 0.0, 0.0]), [(23, 28)]);
    }

    #[test]
    fn sentences_are_those_of_the_training_code() {
        // As `sentences` in training/decoder/steering.py has them.
        let cut = |text: &str| sentences(text).map(|range| (range.start, range.end)).collect::<Vec<_>>();
        assert_eq!(cut("Route this: what is 2+2? Né!\n\nok"), [(0, 12), (12, 25), (25, 29), (30, 32)]);
        assert_eq!(cut("one 3.5 two"), [(0, 11)]);
        assert_eq!(cut(" \n\t "), []);
        assert_eq!(cut("a.  b"), [(0, 3), (3, 5)]);
        assert_eq!(cut("a. \n b"), [(0, 3), (4, 6)]);
    }
}
