//! Whether a value is a secret or only stands where one would. Pure.

use std::ops::Range;

/// Bits a character of random base64 text carries at least, over 32 characters or more.
const RANDOM_BITS: f32 = 4.2;
/// The same of a shorter token beside a word that announces it.
const DENSE_BITS: f32 = 3.3;
/// Longer runs are data.
const LONGEST: usize = 256;

/// Longer values hold short words by chance.
const LONGEST_STAND_IN: usize = 64;
/// Letters in a row, and different ones among them, that a line of a key has at least.
const KEY_LINE: usize = 16;
const KEY_LETTERS: usize = 8;

/// How the text names a value.
#[derive(Clone, Copy)]
pub(super) struct Said {
    /// It is called a password, so it may be a plain word.
    pub(super) password: bool,
    /// By `=` or `:` rather than `is`.
    pub(super) assigned: bool,
    pub(super) quoted: bool,
}

/// Words that stand for a secret wherever they occur in one, unless it is long enough to hold one by chance.
const STAND_INS: &[&str] = &[
    "your",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "redacted",
    "replace",
    "insert",
    "enter_",
    "enter-",
    "dummy",
    "process.env",
    "os.environ",
    "os.getenv",
    "env.",
    "getenv",
    "secrets.",
    "vault:",
    "config.",
    "self.",
    "this.",
    "xxxx",
    "****",
    "....",
    "…",
    "____",
    "${",
    "$(",
    "{{",
    "%(",
    "#{",
    "<%",
    "my_secret",
    "my-secret",
    "my_api",
    "my-api",
    "my_token",
    "my-token",
    "mypassword",
    "my_password",
    "my-password",
    "some_",
    "some-",
];
/// Words that stand for a secret when they are all there is.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "string",
    "required",
    "optional",
    "none",
    "null",
    "undefined",
    "true",
    "false",
    "empty",
    "hidden",
    "example",
    "sample",
    "value",
    "text",
    "input",
    "username",
    "incorrect",
    "invalid",
    "wrong",
    "correct",
    "missing",
    "expired",
    "hashed",
    "encrypted",
    "plaintext",
    "default",
    "unknown",
    "number",
    "integer",
    "boolean",
    "object",
    "bytes",
    "field",
    "varchar",
];

/// A placeholder: it says where a secret goes.
pub(super) fn stands_for_another(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let framed = value.starts_with(['<', '$', '%', '{', '[', '@']) && !value.chars().any(|c| c.is_ascii_digit());
    framed
        || distinct(&lower) <= 3 && value.len() > 4
        || value.len() <= LONGEST_STAND_IN && STAND_INS.iter().any(|word| lower.contains(word))
        || WORDS.contains(&lower.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
}

/// Whether there is a key between the first and the last line of one, whatever its comments say.
pub(super) fn has_key(block: &str) -> bool {
    let body = block.split("-----").nth(2).unwrap_or(block).trim();
    let mut lines = body.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
    let placeholder = body.len() <= LONGEST_STAND_IN && stands_for_another(body);
    !placeholder && lines.any(|line| line.len() >= KEY_LINE && distinct(line) >= KEY_LETTERS)
}

/// How many different bytes there are.
fn distinct(text: &str) -> usize {
    counts(text).iter().filter(|&&count| count > 0).count()
}

/// A name or a call of program text: `tokenizer.encode(`, `settings.API_KEY`.
pub(super) fn is_code(text: &str, at: Range<usize>) -> bool {
    let value = &text[at.start..at.end];
    let called = text[at.end..].starts_with(['(', '[', '{']);
    let name = value.chars().all(|c| c.is_ascii_alphabetic() || "_.-:".contains(c));
    called || name
}

/// Whether the value after `password is` is one, rather than a word of the sentence.
pub(super) fn is_chosen(value: &str, said: Said) -> bool {
    if stands_for_another(value) || value.starts_with("http") {
        return false;
    }
    let has = |class: fn(&char) -> bool| value.chars().any(|c| class(&c));
    let digit = has(char::is_ascii_digit);
    let letter = has(char::is_ascii_alphabetic);
    let symbol = value.chars().skip(1).any(|c| "!@#$%^&*+=~|?".contains(c));
    let mixed = has(char::is_ascii_lowercase) && value.chars().skip(1).any(|c| c.is_ascii_uppercase());
    let marked = letter && (digit || symbol) || said.password && digit && value.len() >= 6;
    match (said.password, said.assigned) {
        (true, true) => marked || mixed || said.quoted,
        (true, false) => marked,
        (false, true) => value.len() >= 8 && (marked || mixed && entropy(value) >= 3.0),
        (false, false) => value.len() >= 8 && letter && digit && entropy(value) >= 2.8,
    }
}

/// Beside a cue: letters and digits, mixed well.
pub(super) fn is_dense(run: &str) -> bool {
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let letters = run.bytes().filter(u8::is_ascii_alphabetic).count();
    run.len() <= LONGEST
        && digits >= 3
        && letters >= 3
        && entropy(run) >= DENSE_BITS
        && !stands_for_another(run)
        && slashes(run) <= 2
}

/// Random base64 has all three kinds of characters and evenly many of each.
pub(super) fn is_random(run: &str) -> bool {
    let has = |class: fn(&u8) -> bool| run.bytes().any(|byte| class(&byte));
    run.len() <= LONGEST
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && run.bytes().filter(u8::is_ascii_digit).count() >= 3
        && entropy(run) >= RANDOM_BITS
        && slashes(run) <= 2
        && !is_wallet(run)
        && !stands_for_another(run)
}

/// The address of a wallet is public.
fn is_wallet(run: &str) -> bool {
    (26..=35).contains(&run.len())
        && run.starts_with(['1', '3'])
        && !run.contains(['0', 'O', 'I', 'l', '+', '/', '_', '-', '='])
}

fn slashes(run: &str) -> usize {
    run.bytes().filter(|byte| *byte == b'/').count()
}

/// Shannon entropy in bits a byte.
fn entropy(text: &str) -> f32 {
    let total = text.len() as f32;
    let share = counts(text).into_iter().filter(|&count| count > 0).map(|count| count as f32 / total);
    share.map(|p| -p * p.log2()).sum()
}

fn counts(text: &str) -> [u32; 256] {
    let mut counts = [0; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    counts
}
