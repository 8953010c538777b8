//! Refusals in words. English only, and only where the answer is little else: a refusal that goes on to
//! answer is an answer.

/// Longest text, in bytes, that is taken for a refusal.
pub(super) const LONGEST: usize = 600;

/// How refusals are softened, before what they say.
const SOFTENERS: [&str; 16] = [
    "i'm very sorry",
    "i am very sorry",
    "i'm so sorry",
    "i'm sorry",
    "i am sorry",
    "sorry",
    "i apologize for any inconvenience",
    "i apologize",
    "my apologies",
    "apologies",
    "unfortunately",
    "i'm afraid that",
    "i'm afraid",
    "i am afraid",
    "but",
    "however",
];

/// What makes one, whatever follows.
const OPENINGS: [&str; 22] = [
    "as an ai",
    "i don't know",
    "i do not know",
    "i'm not sure",
    "i am not sure",
    "i have no idea",
    "i have no information",
    "i don't have any information",
    "i don't have information",
    "i don't have enough information",
    "i do not have enough information",
    "i don't have access",
    "i do not have access",
    "i don't have the ability",
    "i'm unable to",
    "i am unable to",
    "i'm not able to",
    "i am not able to",
    "i must decline",
    "i have to decline",
    "i can't do that",
    "this request violates",
];

/// These make one together with one of [`DEEDS`].
const CANNOT: [&str; 8] =
    ["i can't ", "i cannot ", "i can not ", "i won't ", "i will not ", "i could not ", "i couldn't ", "we cannot "];

const DEEDS: [&str; 26] = [
    "help",
    "assist",
    "provide",
    "answer",
    "comply",
    "fulfill",
    "fulfil",
    "share",
    "give",
    "discuss",
    "support",
    "engage",
    "create",
    "generate",
    "write",
    "produce",
    "access",
    "browse",
    "determine",
    "find",
    "verify",
    "do",
    "complete",
    "continue",
    "offer",
    "be able",
];

/// Whether a text is a refusal and little else.
pub(super) fn declines(text: &str) -> bool {
    let text = text.trim();
    if text.len() > LONGEST {
        return false;
    }
    let text = text.to_lowercase().replace('\u{2019}', "'");
    let mut rest = text.trim_start_matches(aside);
    // Each softener is cut off once; twice is enough for "Sorry, but unfortunately".
    for _ in 0..4 {
        let Some(after) = SOFTENERS.iter().find_map(|softener| cut(rest, softener)) else { break };
        rest = after.trim_start_matches(aside);
    }
    let cannot = || CANNOT.iter().find_map(|cannot| rest.strip_prefix(cannot));
    OPENINGS.iter().any(|opening| cut(rest, opening).is_some())
        || cannot().is_some_and(|deed| DEEDS.iter().any(|known| cut(deed, known).is_some()))
}

/// What follows `words`, where they end there.
fn cut<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.strip_prefix(words).filter(|rest| !rest.starts_with(char::is_alphanumeric))
}

fn aside(c: char) -> bool {
    c.is_whitespace() || c.is_ascii_punctuation() || c == '\u{2014}'
}
