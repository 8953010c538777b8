//! Cutting a long token sequence into overlapping windows. Pure.
//!
//! Nothing is truncated: the windows cover every token, and each token is read by at least
//! one window in which it stands away from an artificial edge.

use std::ops::Range;

/// Windows of `capacity` tokens over `count` tokens, neighbours sharing at least `overlap`;
/// the last one ends where the text ends, so that it is as long as the others. A shorter
/// text has one window; an empty text has one empty window: it is valid input.
///
/// `overlap` is held below half of `capacity`.
pub(super) fn split(count: usize, capacity: usize, overlap: usize) -> Vec<Range<usize>> {
    let capacity = capacity.max(1);
    let step = capacity - overlap.min((capacity - 1) / 2);
    let Some(last) = count.checked_sub(capacity) else { return std::iter::once(0..count).collect() };
    (0..last).step_by(step).chain([last]).map(|start| start..start + capacity).collect()
}

/// The tokens each window speaks for: neighbours meet in the middle of their overlap, so
/// each token is taken from the window in which it is furthest from an edge.
pub(super) fn owned(windows: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut start = windows.first().map_or(0, |first| first.start);
    windows
        .iter()
        .enumerate()
        .map(|(index, window)| {
            let end = windows.get(index + 1).map_or(window.end, |next| next.start + (window.end - next.start) / 2);
            let own = start..end;
            start = end;
            own
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_texts_have_one_window() {
        assert_eq!(split(0, 254, 64), std::slice::from_ref(&(0..0)));
        assert_eq!(split(1, 254, 64), std::slice::from_ref(&(0..1)));
        assert_eq!(split(254, 254, 64), std::slice::from_ref(&(0..254)));
    }

    #[test]
    fn long_texts_overlap() {
        assert_eq!(split(255, 254, 64), [0..254, 1..255]);
        assert_eq!(split(500, 254, 64), [0..254, 190..444, 246..500]);
        assert_eq!(owned(&split(500, 254, 64)), [0..222, 222..345, 345..500]);
    }

    proptest! {
        #[test]
        fn windows_cover_every_token(count in 0usize..5000, capacity in 1usize..600, overlap in 0usize..700) {
            let windows = split(count, capacity, overlap);
            prop_assert_eq!(windows[0].start, 0);
            prop_assert_eq!(windows[windows.len() - 1].end, count);
            for pair in windows.windows(2) {
                prop_assert!(pair[0].start < pair[1].start && pair[1].start <= pair[0].end);
            }
            prop_assert!(windows.iter().all(|window| window.len() <= capacity));
        }

        #[test]
        fn an_attack_no_longer_than_the_overlap_is_whole_in_some_window(start in 0usize..2000, length in 1usize..65) {
            let windows = split(2100, 254, 64);
            prop_assert!(windows.iter().any(|window| window.start <= start && start + length <= window.end));
        }

        #[test]
        fn each_token_is_owned_once_by_its_best_window(count in 1usize..500, capacity in 2usize..300, overlap in 0usize..150) {
            let windows = split(count, capacity, overlap);
            let owners = owned(&windows);
            let distance = |window: &Range<usize>, token: usize| {
                let left = if window.start == 0 { usize::MAX } else { token - window.start };
                let right = if window.end == count { usize::MAX } else { window.end - 1 - token };
                left.min(right)
            };
            let mut token = 0;
            for (window, own) in windows.iter().zip(&owners) {
                prop_assert_eq!(own.start, token);
                for t in own.clone() {
                    prop_assert!(window.contains(&t));
                    let best = windows.iter().filter(|w| w.contains(&t)).map(|w| distance(w, t)).max();
                    prop_assert!(best.is_some_and(|best| best.saturating_sub(distance(window, t)) <= 1));
                }
                token = own.end;
            }
            prop_assert_eq!(token, count);
        }
    }
}
