//! From a request to the tokens that a decoder reads: the person's own words, whole or their
//! beginning and their end, then the fixed end of the prompt.

use tokio::time::Instant;

use super::super::normalise::normalise;
use super::super::readable::{Letters, Readable};
use super::super::reading::asks;
use super::super::tokenizer::{Tokenizer, TokenizerError};
use super::super::{Input, Part, Place, Unavailable};

/// How much text is looked at for one token that is kept. Text beyond it is not even tokenised.
const BYTES_PER_TOKEN: usize = 8;

/// Tokenizer, limits and the tokens after the question.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) tokenizer: Tokenizer,
    pub(super) readable: Readable,
    /// Tokens of the question.
    pub(super) max_tokens: usize,
    pub(super) suffix: Vec<i64>,
}

/// A question as a decoder reads it.
pub(super) struct Question {
    pub(super) ids: Vec<i64>,
    /// Where each token ends: code points of `text`.
    pub(super) ends: Vec<usize>,
    /// The parts that ask, one below the other.
    pub(super) text: String,
    /// Where each of them stands in the request, and its length in code points.
    pub(super) parts: Vec<(Option<Place>, usize)>,
}

impl Reader {
    /// The ask: its tokens, as many as are read.
    pub(super) fn question(&self, input: &Input, deadline: Instant) -> Result<Question, Unavailable> {
        let asks = asks(&input.parts);
        let asking: Vec<&Part> = input.parts.iter().zip(asks).filter(|(_, ask)| *ask).map(|(part, _)| part).collect();
        let text = asking.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n");
        // A base makes something even of nothing; the flash minds know what an empty request is.
        if text.trim().is_empty() {
            return Err(Unavailable::NotText);
        }
        let (ids, ends) = self.tokens(&text, deadline)?;
        let parts = asking.iter().map(|part| (part.place, part.text.chars().count())).collect();
        Ok(Question { ids, ends, text, parts })
    }

    /// A question's tokens and those of what follows it in the prompt.
    pub(super) fn framed(&self, question: &Question) -> Vec<i64> {
        [&*question.ids, &self.suffix].concat()
    }

    fn tokens(&self, text: &str, deadline: Instant) -> Result<(Vec<i64>, Vec<usize>), Unavailable> {
        let (mut ids, mut places, mut letters) = (Vec::new(), Vec::new(), Letters::default());
        for (before, stretch) in ends(text, self.max_tokens * BYTES_PER_TOKEN) {
            let (mut tokens, text) = (Vec::new(), normalise(stretch));
            let pieces = self.tokenizer.read(0, &text, &self.readable, deadline, &mut tokens);
            let pieces = pieces.map_err(|error| match error {
                TokenizerError::Late => Unavailable::Deadline,
                TokenizerError::Failed(error) => {
                    tracing::error!(error, "a text could not be tokenised");
                    Unavailable::InferenceFailed
                }
            })?;
            pieces.into_iter().for_each(|piece| letters += piece);
            ids.extend(tokens.iter().map(|token| i64::from(token.id)));
            places.extend(tokens.iter().map(|token| before + token.end as usize));
        }
        if !self.readable.accepts(letters) {
            return Err(Unavailable::UnreadableLanguage);
        }
        if ids.len() > self.max_tokens {
            let head = self.max_tokens * 3 / 4;
            let left_out = head..ids.len() - (self.max_tokens - head);
            ids.drain(left_out.clone());
            places.drain(left_out);
        }
        Ok((ids, places))
    }
}

/// The whole text, or its first and its last `bytes`, each with the code points before it.
fn ends(text: &str, bytes: usize) -> impl Iterator<Item = (usize, &str)> {
    let parts = if text.len() <= 2 * bytes {
        [(0, text), (0, "")]
    } else {
        let (head, tail) = (text.floor_char_boundary(bytes), text.ceil_char_boundary(text.len() - bytes));
        [(0, &text[..head]), (text[..tail].chars().count(), &text[tail..])]
    };
    parts.into_iter().filter(|(_, part)| !part.is_empty())
}
