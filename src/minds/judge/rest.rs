//! A request without some of its sentences, and where in it the others stood.

use std::sync::Arc;

use super::super::mask::{Masked, mask};
use super::super::reading::asks;
use super::super::{Input, Part, Place, Stretch};

/// The parts that ask, and no others, without what was left out and the white space it has left behind.
pub(super) struct Rest {
    pub(super) input: Arc<Input>,
    /// Code points at the beginning of a part that were white space.
    trimmed: Vec<(Option<Place>, usize)>,
    left_out: Vec<Stretch>,
}

impl Rest {
    /// `left_out` in rising order.
    pub(super) fn of(input: &Input, left_out: &[Stretch]) -> Self {
        let masked = mask(input, &left_out.iter().map(Masked::nothing).collect::<Vec<_>>());
        let asking = masked.parts.iter().zip(asks(&masked.parts)).filter(|(_, ask)| *ask);
        let (parts, trimmed) = asking
            .map(|(part, _)| {
                let blank = part.text.chars().take_while(|c| c.is_whitespace()).count();
                (Part { text: part.text.trim().to_owned(), ..part.clone() }, (part.place, blank))
            })
            .unzip();
        let input = Arc::new(Input { parts, not_text: input.not_text });
        Self { input, trimmed, left_out: left_out.to_vec() }
    }

    /// Where a stretch of the rest stands in the whole; what was left out inside it belongs to it.
    pub(super) fn original(&self, stretch: Stretch) -> Stretch {
        let blank = self.trimmed.iter().find(|(place, _)| *place == stretch.place).map_or(0, |(_, blank)| *blank);
        let before = |at: usize| {
            let here = self.left_out.iter().filter(|out| out.place == stretch.place);
            here.fold(at + blank, |at, out| if out.start <= at { at + (out.end - out.start) } else { at })
        };
        let end = before(stretch.end.saturating_sub(1)) + 1;
        Stretch { place: stretch.place, start: before(stretch.start), end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_the_rest_is_found_again() {
        let input = Input { parts: vec![Part::alone("Steer. One. Steer. Two. Three.")], not_text: false };
        let stretch = |start, end| Stretch { place: None, start, end };
        let rest = Rest::of(&input, &[stretch(0, 7), stretch(12, 19)]);
        assert_eq!(rest.input.parts[0].text, "One. Two. Three.");
        assert_eq!(rest.original(stretch(0, 5)), stretch(7, 12));
        assert_eq!(rest.original(stretch(5, 10)), stretch(19, 24));
        assert_eq!(rest.original(stretch(3, 16)), stretch(10, 30));
        let rest = Rest::of(&input, &[stretch(0, 6)]);
        assert_eq!(rest.input.parts[0].text, "One. Steer. Two. Three.");
        assert_eq!(rest.original(stretch(5, 12)), stretch(12, 19));
    }
}
