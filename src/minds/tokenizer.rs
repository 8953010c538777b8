//! From text to tokens, whole: no truncation, no padding, offsets into the text.
//!
//! Long texts are tokenised in pieces cut at white space, which for word-level
//! pre-tokenizers gives the same tokens in bounded memory.

use std::path::Path;

use tokenizers::Tokenizer as Inner;
use tokio::time::Instant;

use super::normalise::{CharCounter, Normalised};
use super::readable::{Letters, Readable};

/// Bytes tokenised at a time, and the stretch over which readability is judged.
const PIECE: usize = 1024;

const SEPARATORS: &str = ",;:'\"`\u{2018}\u{2019}\u{201C}\u{201D}";

/// One token of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) id: u32,
    /// Index of the part in the input.
    pub(super) part: u32,
    /// Code points of the part's original text, end exclusive.
    pub(super) start: u32,
    pub(super) end: u32,
    /// The token goes on where the one before it ended, inside the same word.
    pub(super) continues: bool,
    /// A comma, colon, semicolon or quote.
    pub(super) separates: bool,
    /// Nothing or one space stands between it and the token before it.
    pub(super) joins: bool,
}

/// A tokenizer file, ready to use.
#[derive(Debug)]
pub(super) struct Tokenizer {
    inner: Inner,
    unknown: Option<u32>,
    /// Tokens around every text, as in `[CLS] … [SEP]`.
    pub(super) prefix: Vec<u32>,
    pub(super) suffix: Vec<u32>,
    pub(super) padding: u32,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TokenizerError {
    #[error("the deadline passed while reading")]
    Late,
    #[error("{0}")]
    Failed(String),
}

impl From<tokenizers::Error> for TokenizerError {
    fn from(error: tokenizers::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Tokenizer {
    pub(super) fn load(path: &Path) -> Result<Self, TokenizerError> {
        let mut inner = Inner::from_file(path)?;
        inner.with_truncation(None)?;
        inner.with_padding(None);
        // A `[SEP]` typed by a user is five characters, not the token.
        inner.set_encode_special_tokens(true);
        let framed = inner.encode("a", true)?.get_ids().to_vec();
        let bare = inner.encode("a", false)?.get_ids().to_vec();
        let at = framed
            .windows(bare.len().max(1))
            .position(|window| window == bare)
            .ok_or_else(|| TokenizerError::Failed("the tokenizer does not keep a text together".to_owned()))?;
        let id = |names: [&str; 2]| names.iter().find_map(|name| inner.token_to_id(name));
        Ok(Self {
            unknown: id(["[UNK]", "<unk>"]),
            padding: id(["[PAD]", "<pad>"]).unwrap_or(0),
            prefix: framed[..at].to_vec(),
            suffix: framed[at + bare.len()..].to_vec(),
            inner,
        })
    }

    /// Tokens that surround a text inside a window.
    pub(super) fn frame(&self) -> usize {
        self.prefix.len() + self.suffix.len()
    }

    /// How many tokens `text` has. Gives up at `deadline`.
    pub(super) fn count(&self, text: &str, deadline: Instant) -> Result<usize, TokenizerError> {
        pieces(text).try_fold(0, |sum, piece| {
            in_time(deadline)?;
            Ok(sum + self.inner.encode_fast(piece, false)?.len())
        })
    }

    /// Appends the tokens of one part to `tokens`; returns the letter counts of each piece.
    /// Gives up at `deadline`.
    pub(super) fn read(
        &self,
        part: u32,
        text: &Normalised<'_>,
        readable: &Readable,
        deadline: Instant,
        tokens: &mut Vec<Token>,
    ) -> Result<Vec<Letters>, TokenizerError> {
        let mut chars_before = 0;
        let mut counted = Vec::new();
        for piece in pieces(&text.text) {
            in_time(deadline)?;
            let encoding = self.inner.encode(piece, false)?;
            let mut letters = readable.count(piece);
            let mut chars = CharCounter::new(piece);
            let (mut last_word, mut last_end) = (None, None);
            for ((&id, &(from, to)), &word) in
                encoding.get_ids().iter().zip(encoding.get_offsets()).zip(encoding.get_word_ids())
            {
                let covered = piece.get(from..to).unwrap_or_default();
                if covered.chars().any(char::is_alphabetic) {
                    letters.token(Some(id) != self.unknown);
                }
                let start = chars_before + chars.at(from);
                let end = start + covered.chars().count();
                let origin = text.origin(start..end);
                tokens.push(Token {
                    id,
                    part,
                    start: origin.start as u32,
                    end: origin.end as u32,
                    continues: word.is_some() && word == last_word,
                    separates: !covered.is_empty() && covered.chars().all(|c| SEPARATORS.contains(c)),
                    joins: last_end.is_some_and(|end: usize| matches!(piece.get(end..from), Some("" | " "))),
                });
                (last_word, last_end) = (word, Some(to));
            }
            chars_before += chars.at(piece.len());
            counted.push(letters);
        }
        Ok(counted)
    }
}

fn in_time(deadline: Instant) -> Result<(), TokenizerError> {
    if Instant::now() < deadline { Ok(()) } else { Err(TokenizerError::Late) }
}

/// Cuts `text` after white space into pieces of about [`PIECE`] bytes; a longer run without
/// white space is cut between characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(cut(rest));
        rest = tail;
        Some(piece)
    })
}

fn cut(text: &str) -> usize {
    if text.len() <= PIECE {
        return text.len();
    }
    let end = text.floor_char_boundary(PIECE);
    let space = text[..end].char_indices().rev().find(|(_, c)| c.is_whitespace());
    space.map_or(end, |(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::normalise::normalise;
    use super::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::load(Path::new("models/onnx/flash-trunk/tokenizer.json")).unwrap()
    }

    fn later() -> Instant {
        Instant::now() + std::time::Duration::from_secs(60)
    }

    fn read(tokenizer: &Tokenizer, text: &str) -> Vec<Token> {
        let readable = Readable::new(&["Latin".to_owned()], 0.3).unwrap();
        let mut tokens = Vec::new();
        tokenizer.read(0, &normalise(text), &readable, later(), &mut tokens).unwrap();
        tokens
    }

    #[test]
    fn tokens_point_at_code_points_of_the_text_as_given() {
        let text = "🎉 caf\u{E9} na\u{69}\u{308}ve \u{200B}zero";
        let given: Vec<char> = text.chars().collect();
        let tokens = read(&tokenizer(), text);
        let words: Vec<String> =
            tokens.iter().map(|t| given[t.start as usize..t.end as usize].iter().collect()).collect();
        assert_eq!(words, ["🎉", "café", "nai\u{308}ve", "zero"]);
    }

    #[test]
    fn special_tokens_typed_by_a_user_are_text() {
        let tokenizer = tokenizer();
        assert_eq!((tokenizer.prefix.as_slice(), tokenizer.suffix.as_slice()), (&[101][..], &[102][..]));
        assert!(read(&tokenizer, "a [SEP] b").iter().all(|token| token.id != 102));
    }

    #[test]
    fn reading_stops_at_the_deadline() {
        let (tokenizer, now) = (tokenizer(), Instant::now());
        assert!(matches!(tokenizer.count("a b", now), Err(TokenizerError::Late)));
    }

    #[test]
    fn pieces_change_nothing() {
        let tokenizer = tokenizer();
        let text = "The quick brown fox, ünder 12.5 degrees; jumps\n".repeat(100);
        let whole = tokenizer.inner.encode(text.as_str(), false).unwrap();
        let tokens = read(&tokenizer, &text);
        assert_eq!(tokens.iter().map(|t| t.id).collect::<Vec<_>>(), whole.get_ids());
        assert_eq!(tokenizer.count(&text, later()).unwrap(), tokens.len());
    }

    proptest! {
        #[test]
        fn pieces_rebuild_the_text(text in "(\\PC| ){0,1500}") {
            prop_assert_eq!(pieces(&text).collect::<String>(), text);
        }
    }
}
