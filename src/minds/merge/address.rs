//! The pieces of one address, made one span. Pure.
//!
//! Street, town, state and postal code that stand side by side are one address, whoever found
//! them; a town or a postal code without a street stays what it is.

use super::{Marked, covered};

/// Most code points of unmarked words between two pieces: `\n Kingdom of `.
const BRIDGE: usize = 28;

/// `spans`: sorted, without overlaps.
pub(super) fn join(text: &[char], spans: Vec<Marked>) -> Vec<Marked> {
    let mut joined: Vec<Marked> = Vec::new();
    for span in spans {
        if let Some(last) = joined.last_mut()
            && last.part == span.part
            && belongs(text, last, &span)
        {
            last.end = span.end;
            last.score = last.score.max(span.score);
            continue;
        }
        joined.push(span);
    }
    // A number by itself, once nothing was joined to it, is no address.
    joined.retain(|span| {
        &*span.label != "STREET_ADDRESS"
            || covered(text, span.start, span.end).chars().filter(|c| c.is_alphabetic()).count() >= 2
    });
    joined
}

fn belongs(text: &[char], left: &Marked, right: &Marked) -> bool {
    let street = &*left.label == "STREET_ADDRESS";
    let piece = matches!(&*right.label, "STREET_ADDRESS" | "GPE" | "ZIP_CODE");
    let Some(gap) = text.get(left.end as usize..right.start as usize) else { return false };
    let open = !gap.iter().any(|c| c.is_alphanumeric() || *c == '|' || *c == '>') && gap.len() <= 8 && lines(gap) <= 2;
    street && piece && (open && !ends_sentence(gap) || bridges(gap, right))
}

fn lines(gap: &[char]) -> usize {
    gap.iter().filter(|c| **c == '\n').count()
}

/// A full stop and a blank end a sentence, unless the word before was an abbreviation's.
fn ends_sentence(gap: &[char]) -> bool {
    gap.windows(2).any(|pair| pair[0] == '.' && pair[1] == ' ') || gap.iter().any(|c| ";:!?\"()".contains(*c))
}

/// A few capitalised words between the street and its postal code are the town's.
fn bridges(gap: &[char], right: &Marked) -> bool {
    let words: String = gap.iter().collect();
    let tail = matches!(&*right.label, "STREET_ADDRESS" | "ZIP_CODE") || gap.iter().any(|c| ",\n".contains(*c));
    let capital = |word: &str| {
        word.starts_with(char::is_uppercase) || matches!(word, "of" | "the" | "de" | "do" | "da" | "del" | "la")
    };
    let plain = gap.iter().all(|c| c.is_alphabetic() || " ,.\n-'".contains(*c));
    let starts = gap.first().is_some_and(|c| " ,\n".contains(*c));
    tail && plain
        && starts
        && gap.len() <= BRIDGE
        && lines(gap) <= 2
        && !words.contains("\n\n")
        && !words.contains(". ")
        && words.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).all(capital)
        && words.chars().any(char::is_alphabetic)
}
