//! What each token of a vocabulary may stand for inside a JSON text.

use super::super::tokenizer::{Tokenizer, TokenizerError};

/// Marks that would end the text, or make it read as something else wherever it is shown.
const BARRED: &[char] = &['"', '\\', '{', '}', '<', '>', '|', '`', char::REPLACEMENT_CHARACTER];

/// A vocabulary, looked at once.
#[derive(Debug)]
pub(super) struct Words {
    pieces: Vec<Piece>,
    /// Tokens that begin with the closing quote.
    closing: Vec<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    /// May stand inside the text.
    free: bool,
    /// Begins with a letter or a digit: it goes on with a word, if one stands before it.
    joins: bool,
    /// Has a letter or a digit.
    lettered: bool,
}

impl Words {
    pub(super) fn new(tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        let (mut pieces, mut closing) = (Vec::new(), Vec::new());
        for id in 0..=i64::from(tokenizer.largest_id()) {
            let text = tokenizer.text(&[id])?;
            if text.starts_with('"') {
                closing.push(id);
            }
            pieces.push(Piece::of(&text));
        }
        Ok(Self { pieces, closing })
    }

    /// The likeliest token that may stand inside the text, and its logit.
    pub(super) fn likeliest(&self, logits: &[f32]) -> Option<(i64, f32)> {
        let free = (0_i64..).zip(self.pieces.iter().zip(logits)).filter(|(_, (piece, _))| piece.free);
        free.map(|(id, (_, logit))| (id, *logit)).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// How much speaks for the closing quote.
    pub(super) fn closing(&self, logits: &[f32]) -> f32 {
        let logits = self.closing.iter().filter_map(|&id| logits.get(usize::try_from(id).ok()?));
        logits.copied().fold(f32::NEG_INFINITY, f32::max)
    }

    pub(super) fn is_free(&self, id: i64) -> bool {
        self.piece(id).free
    }

    /// Whether a word ends between these two tokens of a text.
    pub(super) fn apart(&self, before: i64, after: i64) -> bool {
        !(self.piece(after).joins && self.piece(before).lettered)
    }

    pub(super) fn is_lettered(&self, id: i64) -> bool {
        self.piece(id).lettered
    }

    fn piece(&self, id: i64) -> Piece {
        usize::try_from(id).ok().and_then(|id| self.pieces.get(id)).copied().unwrap_or_default()
    }
}

impl Piece {
    fn of(text: &str) -> Self {
        Self {
            free: !text.is_empty() && !text.chars().any(|c| c.is_control() || BARRED.contains(&c)),
            joins: text.chars().next().is_some_and(char::is_alphanumeric),
            lettered: text.chars().any(char::is_alphanumeric),
        }
    }
}
