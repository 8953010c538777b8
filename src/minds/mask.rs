//! A request's texts with stretches of them replaced.

use std::borrow::Cow;
use std::ops::Range;

use super::{Input, Part, Place, Span, Stretch};

/// Code points of one part, and what shall stand there.
#[derive(Clone)]
pub(super) struct Masked<'a> {
    pub(super) place: Option<Place>,
    pub(super) at: Range<usize>,
    pub(super) by: Cow<'a, str>,
}

impl Masked<'_> {
    /// Personal data is replaced by what it is, as in `[PERSON]`.
    pub(super) fn personal(span: &Span) -> Self {
        Self { place: span.place, at: span.start..span.end, by: format!("[{}]", span.label).into() }
    }

    pub(super) fn nothing(stretch: &Stretch) -> Self {
        Self { place: stretch.place, at: stretch.start..stretch.end, by: "".into() }
    }
}

/// Where stretches overlap, the one that begins first counts, and of the others what goes beyond it.
pub(super) fn mask<'a>(input: &'a Input, stretches: &[Masked<'_>]) -> Cow<'a, Input> {
    if stretches.is_empty() {
        return Cow::Borrowed(input);
    }
    let part = |part: &Part| {
        let mut inside: Vec<&Masked<'_>> = stretches.iter().filter(|masked| masked.place == part.place).collect();
        inside.sort_by_key(|masked| (masked.at.start, std::cmp::Reverse(masked.at.end)));
        Part { text: replaced(&part.text, &inside), ..part.clone() }
    };
    Cow::Owned(Input { parts: input.parts.iter().map(part).collect(), not_text: input.not_text })
}

fn replaced(text: &str, stretches: &[&Masked<'_>]) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut before) = (text.chars(), 0);
    for Masked { at, by, .. } in stretches {
        if at.end <= before {
            continue;
        }
        let start = at.start.max(before);
        out.extend(rest.by_ref().take(start - before));
        out.push_str(by);
        rest.by_ref().take(at.end - start).for_each(drop);
        before = at.end;
    }
    out.push_str(rest.as_str());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(at: Range<usize>, by: &str) -> Masked<'_> {
        Masked { place: None, at, by: by.into() }
    }

    #[test]
    fn stretches_count_code_points() {
        let input = Input { parts: vec![Part::alone("Zoë, 12 é rue")], not_text: false };
        let whole = |stretches: &[Masked<'_>]| mask(&input, stretches).parts[0].text.clone();
        assert_eq!(whole(&[]), "Zoë, 12 é rue");
        assert_eq!(whole(&[masked(0..3, "[PERSON]"), masked(5..13, "")]), "[PERSON], ");
        assert_eq!(whole(&[masked(3..4, ""), masked(4..5, "-")]), "Zoë-12 é rue");
        assert_eq!(whole(&[masked(5..13, ""), masked(12..13, "?"), masked(5..6, "?")]), "Zoë, ");
        // Personal data that begins in a sentence which is left out does not end in clear text.
        assert_eq!(whole(&[masked(0..8, ""), masked(5..13, "[STREET_ADDRESS]")]), "[STREET_ADDRESS]");
        assert_eq!(whole(&[masked(8..9, "e"), masked(40..50, "?")]), "Zoë, 12 e rue?");
    }

    #[test]
    fn other_parts_stay_as_they_are() {
        let place = |part| Some(Place { message: 0, part });
        let part = |index| Part { place: place(index), ..Part::alone("same") };
        let input = Input { parts: vec![part(0), part(1)], not_text: false };
        let stretches = [Masked { place: place(1), at: 0..2, by: "l".into() }];
        let texts: Vec<String> = mask(&input, &stretches).parts.iter().map(|part| part.text.clone()).collect();
        assert_eq!(texts, ["same", "lme"]);
    }
}
