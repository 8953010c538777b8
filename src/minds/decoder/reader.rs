//! From a request to the tokens that a decoder reads: the person's own words, whole or their
//! beginning and their end, then the fixed end of the prompt.

use tokio::time::Instant;

use super::super::normalise::normalise;
use super::super::readable::{Letters, Readable};
use super::super::reading::asks;
use super::super::tokenizer::{Tokenizer, TokenizerError};
use super::super::{Input, Unavailable};

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

impl Reader {
    /// Token ids of the ask and of what follows it in the prompt.
    pub(super) fn read(&self, input: &Input, deadline: Instant) -> Result<Vec<i64>, Unavailable> {
        let asks = asks(&input.parts);
        let parts = input.parts.iter().zip(asks).filter(|(_, ask)| *ask).map(|(part, _)| part.text.as_str());
        let text = parts.collect::<Vec<_>>().join("\n");
        // A base makes something even of nothing; the flash minds know what an empty request is.
        if text.trim().is_empty() {
            return Err(Unavailable::NotText);
        }
        let mut ids = self.ids(&text, deadline)?;
        ids.extend(&self.suffix);
        Ok(ids)
    }

    fn ids(&self, text: &str, deadline: Instant) -> Result<Vec<i64>, Unavailable> {
        let (mut ids, mut letters) = (Vec::new(), Letters::default());
        for stretch in ends(text, self.max_tokens * BYTES_PER_TOKEN) {
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
        }
        if !self.readable.accepts(letters) {
            return Err(Unavailable::UnreadableLanguage);
        }
        if ids.len() > self.max_tokens {
            let head = self.max_tokens * 3 / 4;
            ids.drain(head..ids.len() - (self.max_tokens - head));
        }
        Ok(ids)
    }
}

/// The whole text, or its first and its last `bytes`.
fn ends(text: &str, bytes: usize) -> impl Iterator<Item = &str> {
    let parts = if text.len() <= 2 * bytes {
        [text, ""]
    } else {
        let (head, tail) = (text.floor_char_boundary(bytes), text.ceil_char_boundary(text.len() - bytes));
        [&text[..head], &text[tail..]]
    };
    parts.into_iter().filter(|part| !part.is_empty())
}
