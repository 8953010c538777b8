//! A model span's borders, put right. Pure.

use std::sync::Arc;

use super::plausible::{Family, family, plausible};
use super::{Marked, covered, is_country};
use crate::minds::patterns::is_honorific;
use crate::minds::spans::Found;

/// Abbreviations that keep their full stop at the end of a name.
const SHORTENED: &[&str] = &[
    "jr", "sr", "inc", "ltd", "corp", "co", "bros", "st", "ave", "blvd", "rd", "dr", "ln", "ct", "esq", "mr", "mrs",
    "ms", "prof", "rev", "s.a", "b.v", "n.v", "s.l.u", "s.l", "s.r.l", "s.p.a",
];

/// Points of the compass, which are no part of a country's name.
const SIDES: &[&str] = &["northern", "southern", "eastern", "western", "central"];

/// The spans that `span` should have been: none, itself with better borders, or a form of
/// address and a name.
pub(super) fn clean(text: &[char], span: Marked) -> Vec<Marked> {
    let no_age = &*span.label == "AGE" && (is_sum_part(text, &span) || !speaks_of_age(text, &span));
    if no_age || is_code_part(text, &span) {
        return Vec::new();
    }
    let kind = family(&span.label);
    let mut span = match kind {
        Family::Name => on_one_line(text, whole_words(text, span)),
        Family::Address => in_one_paragraph(text, whole_words(text, span)),
        Family::Time => whole_numbers(text, span),
        Family::Number => span,
    };
    trim(text, &mut span);
    if kind == Family::Name {
        without_small_words(text, &mut span);
    }
    if &*span.label == "GPE" {
        span = without_side(text, span);
    }
    let mut pieces = if &*span.label == "PERSON" { addressed(text, span) } else { vec![span] };
    pieces.retain(|piece| piece.start < piece.end && plausible(&piece.label, &covered(text, piece.start, piece.end)));
    pieces
}

/// What stands beside a span and belongs to it, once the borders of all are known: a form of
/// address before a person, a postal code behind a place.
pub(super) fn follow_up(text: &[char], spans: Vec<Marked>) -> Vec<Marked> {
    let mut more = Vec::new();
    for span in &spans {
        more.extend(match &*span.label {
            "PERSON" => title_before(text, span),
            "GPE" => zip_behind(text, span),
            _ => None,
        });
    }
    crate::minds::spans::overlay(more, spans)
}

/// The digits of `EMP-36327` or `POL-9366416` by themselves are a piece of a code, and so are
/// two of an address of a network card.
fn is_code_part(text: &[char], span: &Marked) -> bool {
    let (start, end) = (span.start as usize, span.end as usize);
    let Some(inside) = text.get(start..end) else { return true };
    if !inside.iter().all(|c| c.is_numeric() || *c == '-') {
        return false;
    }
    let before = |steps: usize| start.checked_sub(steps).and_then(|at| text.get(at)).copied();
    let tied = |c: Option<char>| c.is_some_and(|c| "-_#:".contains(c));
    let number = family(&span.label) == Family::Number;
    let behind = || matches!((text.get(end), text.get(end + 1)), (Some('-' | '_'), Some(c)) if c.is_alphanumeric());
    if number
        && (matches!(before(1), Some('-' | '_' | '+' | '*' | '/' | '='))
            && before(2).is_some_and(char::is_alphanumeric)
            || behind())
    {
        return true;
    }
    tied(before(1)) && before(2).is_some_and(char::is_alphabetic)
        || before(1).is_some_and(char::is_alphabetic)
        || text.get(end).is_some_and(|c| c.is_alphabetic())
}

/// A bare number of a formula or a measurement is no age.
fn is_sum_part(text: &[char], span: &Marked) -> bool {
    let before = span.start.checked_sub(1).and_then(|at| text.get(at as usize));
    let after = text.get(span.end as usize);
    before.is_some_and(|c| "$€£^\\*/=+-(.:<>[".contains(*c)) || after.is_some_and(|c| "%^*/=+:\\°<>".contains(*c))
}

/// A number is an age where the words around it say so.
fn speaks_of_age(text: &[char], span: &Marked) -> bool {
    const CUES: &[&str] = &[
        "age",
        "old",
        "year",
        "yr",
        "born",
        "birth",
        "turn",
        "young",
        "when he",
        "when she",
        "when i",
        "when they",
        "teen",
        "month",
        "aged",
        "shows",
        "senior",
        "patient",
        "male",
    ];
    let around = covered(text, span.start.saturating_sub(48), (span.end + 24).min(text.len() as u32)).to_lowercase();
    CUES.iter().any(|cue| around.contains(cue))
}

fn joins_words(text: &[char], at: usize) -> bool {
    let letter = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|c| c.is_alphanumeric());
    text.get(at).is_some_and(|c| "-'’\u{2010}\u{2011}".contains(*c))
        && letter(at.checked_sub(1))
        && letter(Some(at + 1))
}

/// Code points by which a span may grow to the borders of its word or number. Longer words exist
/// only to keep a guard busy.
const LONGEST_WORD: usize = 64;

/// Small words taken off a name; more are no part of one either.
const MOST_SMALL: usize = 16;

/// A name is made of whole words, hyphens and apostrophes included; the `'s` of a possessive
/// is not.
fn whole_words(text: &[char], mut span: Marked) -> Marked {
    let inside = |at: usize| text.get(at).is_some_and(|c| c.is_alphanumeric()) || joins_words(text, at);
    let (mut start, mut end) = (span.start as usize, span.end as usize);
    let (first, last) = bounds(text, &span);
    while start > first && inside(start - 1) && inside(start) {
        start -= 1;
    }
    while end > 0 && end < last && inside(end) && inside(end - 1) && !possessive(text, end) {
        end += 1;
    }
    if end >= 2 && possessive(text, end - 2) && end - 2 > start {
        end -= 2;
    }
    (span.start, span.end) = (start as u32, end as u32);
    span
}

/// How far a span may grow.
fn bounds(text: &[char], span: &Marked) -> (usize, usize) {
    let (start, end) = (span.start as usize, span.end as usize);
    (start.saturating_sub(LONGEST_WORD), text.len().min(end + LONGEST_WORD))
}

/// An apostrophe and a last `s`.
fn possessive(text: &[char], at: usize) -> bool {
    matches!(text.get(at), Some('\'' | '’'))
        && matches!(text.get(at + 1), Some('s' | 'S'))
        && !text.get(at + 2).is_some_and(|c| c.is_alphanumeric())
}

/// A date does not end inside a number.
fn whole_numbers(text: &[char], mut span: Marked) -> Marked {
    let digit = |at: usize| text.get(at).is_some_and(|c| c.is_numeric());
    let joint =
        |at: usize| text.get(at).is_some_and(|c| "-/.:".contains(*c)) && at > 0 && digit(at - 1) && digit(at + 1);
    let (mut start, mut end) = (span.start as usize, span.end as usize);
    let (first, last) = bounds(text, &span);
    while start > first && (digit(start - 1) || joint(start - 1)) && digit(start) {
        start -= 1;
        if joint(start) {
            start -= 1;
        }
    }
    while end > 0 && end < last && (digit(end) && digit(end - 1) || joint(end)) {
        end += 1;
    }
    (span.start, span.end) = (start as u32, end as u32);
    span
}

/// A name does not go over a line's end: the longest piece stays.
fn on_one_line(text: &[char], span: Marked) -> Marked {
    longest(text, span, |text, at| matches!(text.get(at), Some('\n' | '\r' | '|' | '\t')))
}

/// An address may have several lines, but no empty one.
fn in_one_paragraph(text: &[char], span: Marked) -> Marked {
    longest(text, span, |text, at| {
        text.get(at) == Some(&'\n')
            && matches!(
                (text.get(at + 1), at.checked_sub(1).and_then(|at| text.get(at))),
                (Some('\n'), _) | (_, Some('\n'))
            )
    })
}

fn longest(text: &[char], mut span: Marked, breaks: fn(&[char], usize) -> bool) -> Marked {
    let (first, last) = (span.start as usize, span.end as usize);
    let (mut best, mut start) = (first..first, first);
    for at in first..=last {
        if at == last || breaks(text, at) {
            if at - start > best.len() {
                best = start..at;
            }
            start = at + 1;
        }
    }
    (span.start, span.end) = (best.start as u32, best.end as u32);
    span
}

/// Takes quotes, brackets and punctuation off both ends.
pub(super) fn trim(text: &[char], span: &mut Marked) {
    let kind = family(&span.label);
    let at = |place: u32| text.get(place as usize).copied().unwrap_or(' ');
    let outside = |c: char| match kind {
        Family::Name | Family::Address | Family::Time => !c.is_alphanumeric(),
        Family::Number => c.is_whitespace() || "\"'`‘’“”,;:!?<>{}|*=~".contains(c) || c == '[' || c == ']',
    };
    let opens = |c: char| kind == Family::Name && c == '#';
    while span.start < span.end && outside(at(span.start)) && !opens(at(span.start)) {
        span.start += 1;
    }
    let inside = |end: u32| text.get(span.start as usize..end as usize).unwrap_or_default();
    let mut open = inside(span.end).iter().map(opening).sum::<i64>();
    while span.start < span.end && outside(at(span.end - 1)) {
        let last = at(span.end - 1);
        let closes = last == ')' && open >= 0;
        let shortens = last == '.' && shortened(inside(span.end - 1));
        if closes || shortens || last == '/' && &*span.label == "DOMAIN_NAME" {
            break;
        }
        open -= opening(&last);
        span.end -= 1;
    }
    drop_stray_letter(text, span);
    // The full stop of `Inc.` and `Jr.` belongs to the name where the model left it out.
    let inside = text.get(span.start as usize..span.end as usize).unwrap_or_default();
    if matches!(&*span.label, "PERSON" | "ORGANIZATION") && at(span.end) == '.' && suffixed(inside) {
        span.end += 1;
    }
}

fn opening(c: &char) -> i64 {
    i64::from(*c == '(') - i64::from(*c == ')')
}

/// A name neither ends in `of` or `and` nor starts with one; a place not with `the` either.
fn without_small_words(text: &[char], span: &mut Marked) {
    const SMALL: &[&str] = &["and", "at", "by", "for", "from", "in", "of", "on", "or", "to", "with"];
    for _ in 0..MOST_SMALL {
        let inside = covered(text, span.start, span.end);
        let Some((first, rest)) = inside.split_once(' ') else { return };
        if SMALL.contains(&first) || &*span.label == "GPE" && first == "the" {
            span.start += (inside.chars().count() - rest.chars().count()) as u32;
        } else if let Some((rest, last)) = inside.rsplit_once(' ')
            && SMALL.contains(&last)
        {
            span.end -= (inside.chars().count() - rest.chars().count()) as u32;
        } else {
            return;
        }
        trim(text, span);
    }
}

/// A lone letter of another alphabet at the end is what a broken dash left behind.
fn drop_stray_letter(text: &[char], span: &mut Marked) {
    if let [.., ' ', last] = text.get(span.start as usize..span.end as usize).unwrap_or_default()
        && !last.is_uppercase()
        && !last.is_ascii_alphanumeric()
        && family(&span.label) == Family::Name
    {
        span.end -= 2;
    }
}

/// In small letters, without the stops around it. No longer than a word may grow.
fn last_word(inside: &[char]) -> String {
    let near = &inside[inside.len().saturating_sub(LONGEST_WORD)..];
    let word = near.rsplit(|c| matches!(c, ' ' | '\n')).next().unwrap_or_default();
    word.iter().collect::<String>().trim_matches(['.', ',']).to_lowercase()
}

fn shortened(inside: &[char]) -> bool {
    let last = last_word(inside);
    SHORTENED.contains(&last.as_str()) || last.chars().count() == 1 && last.chars().all(char::is_alphabetic)
}

/// Ends in a suffix of two words or more: `Miller Ltd`.
fn suffixed(inside: &[char]) -> bool {
    inside.contains(&' ') && matches!(last_word(inside).as_str(), "jr" | "sr" | "inc" | "ltd" | "corp" | "bros" | "co")
}

fn without_side(text: &[char], mut span: Marked) -> Marked {
    let inside = covered(text, span.start, span.end);
    if let Some((side, rest)) = inside.split_once(' ')
        && SIDES.contains(&side.to_lowercase().as_str())
        && is_country(rest)
        && !is_country(&inside)
    {
        span.start += side.chars().count() as u32 + 1;
    }
    span
}

/// `Dr. Ann Lee`, marked as a person, is a title and a person.
fn addressed(text: &[char], mut span: Marked) -> Vec<Marked> {
    let inside = covered(text, span.start, span.end);
    let Some(first) = inside.split_whitespace().next() else { return Vec::new() };
    if !is_honorific(first) || inside.trim() == first {
        return vec![span];
    }
    let end = span.start + first.chars().count() as u32;
    let title = Found { end, label: Arc::from("TITLE"), ..span.clone() };
    span.start = end;
    trim(text, &mut span);
    vec![title, span]
}

fn title_before(text: &[char], person: &Marked) -> Option<Marked> {
    let start = person.start as usize;
    let mut end = start;
    while end > 0 && text.get(end - 1) == Some(&' ') {
        end -= 1;
    }
    let mut first = end;
    while first > 0 && text.get(first - 1).is_some_and(|c| c.is_alphabetic() || *c == '.') {
        first -= 1;
    }
    let word = covered(text, first as u32, end as u32);
    let given = start - end <= 2 && end < start && is_honorific(&word);
    given.then(|| Found { start: first as u32, end: end as u32, label: Arc::from("TITLE"), ..person.clone() })
}

/// `Costamezzana 43015`: a number of a postal code's size right behind a place, but no year.
fn zip_behind(text: &[char], place: &Marked) -> Option<Marked> {
    let end = place.end as usize;
    let gap = usize::from(text.get(end) == Some(&',')) + 1;
    if text.get(end + gap - 1) != Some(&' ') {
        return None;
    }
    let start = end + gap;
    let value: String = text
        .get(start..)
        .unwrap_or_default()
        .iter()
        .take_while(|c| c.is_ascii_digit() || **c == '-' || **c == ' ')
        .take(10)
        .collect();
    let value = value.trim_end_matches([' ', '-']);
    let groups: Vec<usize> = value.split([' ', '-']).map(str::len).collect();
    let short = groups == [4] && gap == 2;
    let sized = !short && matches!(groups.as_slice(), [4..=6] | [3, 2] | [2, 3] | [4, 3] | [5, 4]);
    let year = groups == [4] && (value.starts_with("19") || value.starts_with("20"));
    let next = text.get(start + value.len());
    let ends = !next.is_some_and(|c| c.is_alphanumeric() || "/:%".contains(*c));
    let (start, end) = (start as u32, (start + value.len()) as u32);
    (sized && !year && ends).then(|| Found { start, end, label: Arc::from("ZIP_CODE"), score: 0.8, ..place.clone() })
}
