//! From text to tokens, whole: no truncation, no padding, offsets into the text.
//!
//! Long texts are tokenised in pieces cut at white space, which gives the same tokens in
//! bounded memory: behind the space for tokenizers that drop it, before it for those whose
//! tokens begin with it. Such a space is no part of what the token stands for.

use std::path::Path;

use tokenizers::Tokenizer as Inner;
use tokio::time::Instant;

use super::deadline::{Late, in_time};
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
    /// Tokens begin with the space before their word, as in byte-level BPE.
    leading_space: bool,
    /// The tokenizer tells words from what stands beside them; some tell only spaces, or leave
    /// a whole text to their merges.
    splits_words: bool,
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

impl From<Late> for TokenizerError {
    fn from(Late: Late) -> Self {
        Self::Late
    }
}

impl From<tokenizers::Error> for TokenizerError {
    fn from(error: tokenizers::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Takes the spelling of a control token for the token.
#[derive(Debug)]
pub(super) struct Trusting(Inner);

impl Trusting {
    pub(super) fn ids(&self, text: &str) -> Result<Vec<i64>, TokenizerError> {
        Ok(self.0.encode(text, false)?.get_ids().iter().map(|&id| i64::from(id)).collect())
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
        let ids = |text: &str| inner.encode(text, false).map(|encoding| encoding.get_ids().to_vec());
        let leading_space = ids("the cat")? != [ids("the ")?, ids("cat")?].concat();
        let words = inner.encode("cat,", false)?;
        let splits_words = words.get_word_ids().first() != words.get_word_ids().last();
        let id = |names: [&str; 2]| names.iter().find_map(|name| inner.token_to_id(name));
        Ok(Self {
            unknown: id(["[UNK]", "<unk>"]),
            padding: id(["[PAD]", "<pad>"]).unwrap_or(0),
            prefix: framed[..at].to_vec(),
            suffix: framed[at + bare.len()..].to_vec(),
            leading_space,
            splits_words,
            inner,
        })
    }

    /// Tokens of a text of our own, in which control tokens are meant as such.
    pub(super) fn prompt(&self, text: &str) -> Result<Vec<i64>, TokenizerError> {
        self.trusting().ids(text)
    }

    /// For [`Tokenizer::prompt`] more than once: a copy of the vocabulary.
    pub(super) fn trusting(&self) -> Trusting {
        let mut inner = self.inner.clone();
        inner.set_encode_special_tokens(false);
        Trusting(inner)
    }

    /// The text of tokens, control tokens spelled out.
    pub(super) fn text(&self, ids: &[i64]) -> Result<String, TokenizerError> {
        let ids: Vec<u32> = ids.iter().filter_map(|&id| u32::try_from(id).ok()).collect();
        Ok(self.inner.decode(&ids, false)?)
    }

    /// Tokens that surround a text inside a window.
    pub(super) fn frame(&self) -> usize {
        self.prefix.len() + self.suffix.len()
    }

    /// The largest id that it can give.
    pub(super) fn largest_id(&self) -> u32 {
        self.inner.get_vocab(true).into_values().max().unwrap_or(0)
    }

    /// How many tokens `text` has. Gives up at `deadline`.
    pub(super) fn count(&self, text: &str, deadline: Instant) -> Result<usize, TokenizerError> {
        pieces(text, self.leading_space).try_fold(0, |sum, piece| {
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
        let (mut chars_before, mut bytes_before) = (0, 0);
        // Where the token before ends, in whichever piece.
        let mut end_of_last = None;
        let mut counted = Vec::new();
        for piece in pieces(&text.text, self.leading_space) {
            in_time(deadline)?;
            let encoding = self.inner.encode(piece, false)?;
            let mut letters = readable.count(piece);
            let mut chars = CharCounter::new(piece);
            let mut last: Option<Piece<'_>> = None;
            let places = encoding.get_ids().iter().zip(encoding.get_offsets()).zip(encoding.get_word_ids());
            for ((&id, &(from, to)), &word) in places {
                let this = Piece::new(piece, from, to, word);
                if this.shown.chars().any(char::is_alphabetic) {
                    letters.token(Some(id) != self.unknown);
                }
                let start = chars_before + chars.at(this.from);
                let end = start + this.shown.chars().count();
                let origin = text.origin(start..end);
                let continues = last.is_some_and(|last| this.continues(&last, self.splits_words));
                if continues && let Some(last) = tokens.last_mut().filter(|last| last.start == last.end) {
                    // The space before a word is read with the word.
                    last.separates = false;
                }
                tokens.push(Token {
                    id,
                    part,
                    start: origin.start as u32,
                    end: origin.end as u32,
                    continues,
                    separates: to > from && this.shown.chars().all(|c| SEPARATORS.contains(c)),
                    joins: end_of_last
                        .is_some_and(|end| matches!(text.text.get(end..bytes_before + this.from), Some("" | " "))),
                });
                end_of_last = Some(bytes_before + this.to);
                last = Some(this);
            }
            chars_before += chars.at(piece.len());
            bytes_before += piece.len();
            counted.push(letters);
        }
        Ok(counted)
    }
}

/// What one token covers of a piece of text.
#[derive(Clone, Copy)]
struct Piece<'a> {
    /// Without the space around it; empty where there is nothing else.
    shown: &'a str,
    /// Where `shown` stands, in bytes.
    from: usize,
    to: usize,
    /// The token itself begins with a space.
    spaced: bool,
    word: Option<u32>,
}

impl<'a> Piece<'a> {
    /// `from` and `to` may lie inside a character that several tokens share.
    fn new(text: &'a str, from: usize, to: usize, word: Option<u32>) -> Self {
        let (from, to) = (text.floor_char_boundary(from), text.ceil_char_boundary(to));
        let given = text.get(from..to).unwrap_or_default();
        let shown = given.trim_start();
        let from = to - shown.len();
        let shown = shown.trim_end();
        let spaced = given.starts_with(char::is_whitespace);
        Self { shown, from, to: from + shown.len(), spaced, word }
    }

    /// Whether the token goes on with the word of the one before it.
    fn continues(&self, last: &Self, splits_words: bool) -> bool {
        let shared = self.from < last.to;
        let touches = self.from == last.to && !self.spaced;
        let lettered = || {
            let joined = last.shown.chars().next_back().is_none_or(char::is_alphanumeric);
            joined && self.shown.chars().next().is_some_and(char::is_alphanumeric)
        };
        self.word.is_some() && self.word == last.word && (shared || (touches && (splits_words || lettered())))
    }
}

/// Cuts `text` after white space, or before it, into pieces of about [`PIECE`] bytes; a longer
/// run without white space is cut between characters.
fn pieces(text: &str, leading_space: bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(cut(rest, leading_space));
        rest = tail;
        Some(piece)
    })
}

fn cut(text: &str, leading_space: bool) -> usize {
    if text.len() <= PIECE {
        return text.len();
    }
    let end = text.floor_char_boundary(PIECE);
    let mut spaces = text[..end].char_indices().rev().filter(|(_, c)| c.is_whitespace());
    if leading_space {
        // Spaces in a row may be one token.
        let first = |at: usize| at > 0 && !text[..at].ends_with(char::is_whitespace);
        return spaces.map(|(at, _)| at).find(|&at| first(at)).unwrap_or(end);
    }
    spaces.next().map_or(end, |(at, c)| at + c.len_utf8())
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

    #[test]
    fn a_word_joins_the_one_before_it_in_another_piece() {
        let text = "Ann Lee, 12 words\nof ".repeat(PIECE / 6);
        for tokenizer in [tokenizer(), foreign("modernbert-token"), foreign("mmbert-token")] {
            let tokens = read(&tokenizer, &text);
            let plain = text.as_bytes();
            let joins = |pair: &[Token]| {
                let (end, start) = (pair[0].end as usize, pair[1].start as usize);
                start <= end || start == end + 1 && plain[end] == b' '
            };
            let apart = |pair: &&[Token]| pair[0].start < pair[0].end && pair[1].joins != joins(pair);
            assert_eq!(tokens.windows(2).find(apart), None);
        }
    }

    fn foreign(folder: &str) -> Tokenizer {
        Tokenizer::load(&Path::new("tests/data").join(folder).join("tokenizer.json")).unwrap()
    }

    #[test]
    fn pieces_change_nothing_where_spaces_lead() {
        let text = "The quick  brown fox, ünder 12.5 degrees;\n\njumps over O'Neill 忽略 \n".repeat(100);
        for folder in ["modernbert-token", "mmbert-token"] {
            let tokenizer = foreign(folder);
            let whole = tokenizer.inner.encode(text.as_str(), false).unwrap();
            let tokens = read(&tokenizer, &text);
            assert!(tokens.iter().map(|t| &t.id).eq(whole.get_ids()), "{folder}");
        }
    }

    #[test]
    fn tokens_of_any_family_make_the_same_words() {
        let text = "My name  is Zoë O'Neill,\n忽🦇 of Oslo.";
        let given: Vec<char> = text.chars().collect();
        for folder in ["modernbert-token", "mmbert-token"] {
            let mut words: Vec<std::ops::Range<u32>> = Vec::new();
            for token in read(&foreign(folder), text) {
                assert!(token.start <= token.end && token.end as usize <= given.len(), "{folder}: {token:?}");
                match words.last_mut().filter(|_| token.continues) {
                    Some(word) => word.end = token.end,
                    None => words.push(token.start..token.end),
                }
            }
            let words = words.into_iter().map(|word| given[word.start as usize..word.end as usize].iter().collect());
            let words: Vec<String> = words.filter(|word: &String| !word.is_empty()).collect();
            let expected = ["My", "name", "is", "Zoë", "O", "'", "Neill", ",", "忽", "🦇", "of", "Oslo", "."];
            assert_eq!(words, expected, "{folder}");
        }
    }

    #[test]
    fn a_comma_is_no_part_of_a_word_where_only_spaces_split() {
        let letters = "\u{2581}acdgot,".chars().enumerate().map(|(id, c)| (c.to_string(), serde_json::json!(id)));
        let vocabulary: serde_json::Map<_, _> = letters.collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        let metaspace = serde_json::json!({
            "version": "1.0", "added_tokens": [], "normalizer": null, "post_processor": null, "decoder": null,
            "pre_tokenizer": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
        });
        std::fs::write(file.path(), metaspace.to_string()).unwrap();
        let tokens = read(&Tokenizer::load(file.path()).unwrap(), "cat, dog");
        let first = |token: &&Token| !token.continues && token.start < token.end;
        assert_eq!(tokens.iter().filter(first).map(|token| token.start).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(tokens.last().map(|token| (token.end, token.continues)), Some((8, true)));
        assert!(tokens.iter().any(|token| token.start == token.end && token.end == 5), "the space before dog");
    }

    #[test]
    fn the_frame_is_the_tokenizers_own() {
        let (modern, many) = (foreign("modernbert-token"), foreign("mmbert-token"));
        let ids =
            |tokenizer: &Tokenizer, names: [&str; 2]| names.map(|name| tokenizer.inner.token_to_id(name).unwrap());
        assert_eq!([modern.prefix[0], modern.suffix[0]], ids(&modern, ["[CLS]", "[SEP]"]));
        assert_eq!([many.prefix[0], many.suffix[0]], ids(&many, ["<bos>", "<eos>"]));
    }

    proptest! {
        #[test]
        fn pieces_rebuild_the_text(text in "(\\PC| ){0,1500}") {
            for leading_space in [false, true] {
                prop_assert_eq!(pieces(&text, leading_space).collect::<String>(), &*text);
            }
        }
    }
}
