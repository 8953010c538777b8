//! From the columns of a token classifier to the tags that spans are decoded from. Pure.
//!
//! Graphs from elsewhere order their tags as they please; spans want `O, B-x, I-x, …` in
//! label order. Several columns may mean the same: their probabilities add. It knows no
//! spelling but `O`, `B-x` and `I-x`: an import translates.

use super::tokenizer::Token;

/// The tag of a token that no label fits.
pub(super) const OUTSIDE: &str = "O";

/// Where each column goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tags {
    slots: Vec<usize>,
    labels: usize,
}

impl Tags {
    /// `tags`: one per column; none where they are in the order that spans want.
    pub(super) fn new(tags: &[String], labels: &[String]) -> Result<Self, String> {
        if tags.is_empty() {
            return Ok(Self { slots: (0..=2 * labels.len()).collect(), labels: labels.len() });
        }
        let slot = |tag: &String| {
            if tag == OUTSIDE {
                return Ok(0);
            }
            let place = |prefix: &str| labels.iter().position(|label| tag.strip_prefix(prefix) == Some(label.as_str()));
            let found = place("B-").map(|at| 2 * at + 1).or_else(|| place("I-").map(|at| 2 * at + 2));
            found.ok_or_else(|| format!("the tag `{tag}` is neither O nor B- or I- with one of the labels"))
        };
        let slots = tags.iter().map(slot).collect::<Result<Vec<_>, _>>()?;
        if !slots.contains(&0) {
            return Err(format!("the tags have no `{OUTSIDE}`"));
        }
        Ok(Self { slots, labels: labels.len() })
    }

    /// Columns of the graph.
    pub(super) fn width(&self) -> usize {
        self.slots.len()
    }

    /// Appends one token's probabilities to `into`, in the order that spans want.
    pub(super) fn spread(&self, probabilities: &[f32], into: &mut Vec<f32>) {
        let start = into.len();
        into.resize(start + 2 * self.labels + 1, 0.0);
        for (slot, probability) in self.slots.iter().zip(probabilities) {
            into[start + slot] += probability;
        }
    }
}

/// A token that is only a space says nothing of its own: it takes the tags of the token that
/// it leads to. `tags`: tokens x `width`.
pub(super) fn settle(tokens: &[Token], tags: &mut [f32], width: usize) {
    for at in (0..tokens.len().saturating_sub(1)).rev() {
        if tokens[at].start == tokens[at].end && tokens[at + 1].continues {
            tags.copy_within((at + 1) * width..(at + 2) * width, at * width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn columns_find_their_place() {
        let tags = Tags::new(&names(&["I-B", "O", "B-B", "I-A", "B-B"]), &names(&["A", "B"])).unwrap();
        let mut spread = vec![9.0];
        tags.spread(&[0.1, 0.2, 0.3, 0.05, 0.35], &mut spread);
        assert_eq!(tags.width(), 5);
        assert_eq!(spread, [9.0, 0.2, 0.0, 0.05, 0.3 + 0.35, 0.1]);
    }

    #[test]
    fn the_shipped_order_needs_no_tags() {
        let tags = Tags::new(&[], &names(&["A", "B"])).unwrap();
        let mut spread = Vec::new();
        tags.spread(&[0.1, 0.2, 0.3, 0.3, 0.1], &mut spread);
        assert_eq!(spread, [0.1, 0.2, 0.3, 0.3, 0.1]);
    }

    #[test]
    fn contradictions_are_named() {
        assert!(Tags::new(&names(&["O", "B-C"]), &names(&["A"])).unwrap_err().contains("`B-C`"));
        assert!(Tags::new(&names(&["B-A", "I-A"]), &names(&["A"])).unwrap_err().contains("`O`"));
    }

    #[test]
    fn a_lone_space_follows_its_word() {
        let token =
            |start, end, continues| Token { id: 0, part: 0, start, end, continues, separates: false, joins: true };
        let tokens = [token(0, 2, false), token(3, 3, false), token(3, 5, true), token(6, 6, false)];
        let mut tags = vec![1.0, 2.0, 3.0, 4.0];
        settle(&tokens, &mut tags, 1);
        assert_eq!(tags, [1.0, 3.0, 3.0, 4.0]);
    }
}
