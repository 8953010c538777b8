use std::ops::Range;
use std::time::Duration;

use super::super::super::engine::Row;
use super::super::super::tokenizer::Token;
use super::super::super::{Part, Place, Source};
use super::super::{Limits, Stream};
use super::*;

/// Tokens of a full window here.
const CAPACITY: usize = 10;
/// Special tokens before a window's own.
const FRAME: usize = 1;

fn guard(threshold: f32) -> JailbreakHead {
    JailbreakHead {
        limits: Limits { deadline: Duration::from_secs(1), queue: 1 },
        head: Head { index: 0, temperature: 1.0 },
        evidence: Some(Head { index: 1, temperature: 1.0 }),
        benign: 0,
        width: 2,
        capacity: CAPACITY,
        threshold,
        harm: None,
    }
}

/// Three parts of one message.
fn input() -> Input {
    let part = |part| Part { place: Some(Place { message: 2, part }), ..Part::alone("") };
    Input { parts: (0..3).map(part).collect(), not_text: false }
}

/// A stream of so many tokens, each two letters and a blank of part 1.
fn stream(tokens: usize) -> Stream {
    let token = |at: u32| Token {
        id: at,
        part: 1,
        start: 3 * at,
        end: 3 * at + 2,
        continues: false,
        separates: false,
        joins: true,
    };
    let tokens: Vec<Token> = (0..tokens as u32).map(token).collect();
    let windows = (0..tokens.len().div_ceil(CAPACITY)).map(|at| at * CAPACITY..(at + 1) * CAPACITY).collect();
    Stream { tokens, windows, guarded: true, ask: true, hidden: false, source: Source::Tool }
}

/// The odds of an attack, as the graph says them, and each token's evidence.
fn row(odds: f32, evidence: &[f32]) -> Row {
    vec![vec![0.0, odds.ln()], [&[9.0; FRAME], evidence, &[9.0]].concat()]
}

/// The verdict where every window of a text says the same.
fn verdict(threshold: f32, stream: &Stream, row: &Row) -> Jailbreak {
    let windows: Vec<_> = stream.windows.iter().map(|window| Answered { stream, window, row }).collect();
    guard(threshold).verdict(&input(), &windows, all(&windows), FRAME)
}

/// Tokens of these windows.
fn all(windows: &[Answered<'_>]) -> usize {
    windows.iter().map(|window| window.window.len()).sum()
}

fn odds(score: f32) -> f32 {
    score / (1.0 - score)
}

/// Where the stretch stands that these tokens' evidence gives away, in tokens.
fn stretch(stream: &Stream, evidence: &[f32]) -> Option<Range<usize>> {
    let span = verdict(0.5, stream, &row(100.0, evidence)).span?;
    assert_eq!(span.place, Some(Place { message: 2, part: 1 }));
    assert_eq!((span.start % 3, span.end % 3), (0, 2), "whole tokens");
    Some(span.start / 3..span.end / 3 + 1)
}

#[test]
fn a_lone_window_says_what_the_graph_says() {
    for tokens in [0, 1, CAPACITY] {
        let stream = Stream { windows: std::iter::once(0..tokens).collect(), ..stream(tokens) };
        let verdict = verdict(0.5, &stream, &row(3.0, &[]));
        assert!((verdict.score - 0.75).abs() < 1e-6, "{verdict:?}");
        assert_eq!((verdict.detected(), verdict.source), (true, Some(Source::Tool)));
    }
    let nothing = guard(0.5).verdict(&input(), &[], 0, FRAME);
    assert_eq!((nothing.score, nothing.source, nothing.detected()), (0.0, None, false));
}

#[test]
fn the_more_is_read_the_surer_an_attack_has_to_be() {
    let after = |windows: usize| odds(verdict(0.5, &stream(windows * CAPACITY), &row(90.0, &[])).score);
    for windows in [1, 2, 3, 16] {
        let expected = 90.0 / windows as f32;
        assert!((after(windows) - expected).abs() < 0.01, "{windows}: {}", after(windows));
    }
    // An attack must not drown in padding.
    assert!((after(16) - after(17)).abs() < 1e-4 && (after(16) - after(200)).abs() < 1e-4);
    // It is the amount that counts: half a window more is half a window more.
    let (more, row) = (Stream { windows: vec![0..10, 5..10], ..stream(10) }, row(90.0, &[]));
    assert!((odds(verdict(0.5, &more, &row).score) - 60.0).abs() < 0.01);
}

#[test]
fn what_has_not_been_answered_counts_as_read() {
    let (stream, row) = (stream(40), row(90.0, &[]));
    let first = [Answered { stream: &stream, window: &stream.windows[0], row: &row }];
    let verdict = guard(0.5).verdict(&input(), &first, 40, FRAME);
    assert!((odds(verdict.score) - 22.5).abs() < 0.01, "{verdict:?}");
}

#[test]
fn the_worst_window_decides() {
    let (calm, hostile, both) = (row(0.01, &[]), row(50.0, &[]), stream(20));
    let tool = Stream { source: Source::User, ..stream(10) };
    let windows = [
        Answered { stream: &both, window: &both.windows[0], row: &calm },
        Answered { stream: &tool, window: &tool.windows[0], row: &hostile },
        Answered { stream: &both, window: &both.windows[1], row: &calm },
    ];
    let verdict = guard(0.5).verdict(&input(), &windows, all(&windows), FRAME);
    assert_eq!(verdict.source, Some(Source::User));
    assert!((odds(verdict.score) - 50.0 / 3.0).abs() < 0.01, "{verdict:?}");
}

#[test]
fn the_stretch_stands_around_the_strongest_token() {
    let stream = stream(10);
    let (no, yes, peak) = (1.0, 4.0, 5.0);
    assert_eq!(stretch(&stream, &[no, yes, yes, peak, yes, no, no, no, no, yes]), Some(1..5));
    // Up to three tokens with too little evidence do not end it; four do.
    assert_eq!(stretch(&stream, &[yes, no, no, no, peak, no, no, no, yes, no]), Some(0..9));
    assert_eq!(stretch(&stream, &[yes, no, no, no, no, peak, no, no, no, no]), Some(5..6));
    assert_eq!(stretch(&stream, &[peak, no, no, no, no, yes, yes, yes, yes, yes]), Some(0..1));
    assert_eq!(stretch(&stream, &[yes; 10]), Some(0..10));
}

#[test]
fn a_stretch_stays_in_its_part() {
    let mut stream = stream(10);
    stream.tokens[..4].iter_mut().for_each(|token| token.part = 0);
    stream.tokens[7..].iter_mut().for_each(|token| token.part = 2);
    let evidence = [4.0, 4.0, 4.0, 4.0, 4.0, 5.0, 4.0, 4.0, 4.0, 4.0];
    assert_eq!(stretch(&stream, &evidence), Some(4..7));
}

#[test]
fn no_stretch_without_words_that_give_it_away() {
    let (tokens, evidence) = (stream(10), [5.0; 10]);
    let some = |stream: &Stream, row: &Row| verdict(0.5, stream, row).span.is_some();
    assert!(some(&tokens, &row(100.0, &evidence)));
    assert!(!some(&tokens, &row(100.0, &[-1.0; 10])), "the window as a whole speaks for it");
    assert!(!some(&tokens, &row(0.5, &evidence)), "nothing was found");
    assert!(!some(&Stream { hidden: true, ..stream(10) }, &row(100.0, &evidence)), "it has no place in the text");
    assert!(!some(&tokens, &row(100.0, &[5.0; 3])), "the graph says too little");
    let blind = JailbreakHead { evidence: None, ..guard(0.5) };
    let windows = [Answered { stream: &tokens, window: &tokens.windows[0], row: &row(100.0, &evidence) }];
    assert_eq!(blind.verdict(&input(), &windows, 10, FRAME).span, None);
}
