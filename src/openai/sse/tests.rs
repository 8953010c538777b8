use proptest::prelude::*;

use super::*;

fn events<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, bool) {
    let mut reader = Reader::default();
    let mut seen = Vec::new();
    for chunk in chunks {
        reader.feed(chunk, |data| seen.push(String::from_utf8_lossy(data).into_owned()));
    }
    (seen, reader.at_boundary())
}

#[test]
fn follows_the_event_stream_rules() {
    let text = ": hello\r\n\r\ndata: a\ndata:b\n\nevent: x\ndata\n\ndata:  c\r\rid: 1\n\ndata: cut";
    let (seen, boundary) = events([text.as_bytes()]);
    assert_eq!(seen, ["a\nb", "", " c"]);
    assert!(!boundary);
}

#[test]
fn a_finished_event_is_a_boundary() {
    assert!(events([&b"data: a\r\n\r\n"[..]]).1);
    assert!(events([&b"data: a\r\n\r"[..], &b"\n"[..]]).1);
    assert!(!events([&b"data: a\n"[..]]).1);
    assert!(events([]).1);
}

#[test]
fn knows_when_an_event_is_missing_its_end() {
    let inside = |text: &str| {
        let mut reader = Reader::default();
        reader.feed(text.as_bytes(), |_| {});
        reader.inside_event()
    };
    for whole in
        ["", "data: a\n\n", "data: a\n\ndata: [DONE]", "data: a\n\ndata: [DONE]\n", ": ping\n", "data: a\n\n: pi"]
    {
        assert!(!inside(whole), "{whole:?}");
    }
    for cut in ["data: a", "data: {\"choi", "data: a\n", "data: a\n\nda", "data: [DON"] {
        assert!(inside(cut), "{cut:?}");
    }
}

#[test]
fn an_endless_line_is_passed_over() {
    let long = vec![b'x'; MAX_DATA + 10];
    let (seen, _) = events([&b"data: "[..], &long, &b"\n\ndata: next\n\n"[..]]);
    assert_eq!(seen, ["next"]);
}

proptest! {
    /// The events do not depend on how the bytes were cut.
    #[test]
    fn cutting_changes_nothing(text in "(data: [a-zé☃]{0,4}|event: y|:|)?(\r\n|\n|\r)(\n|\r|\r\n|data:x\n){0,3}", repeat in 1..4usize, cuts in proptest::collection::vec(0..64usize, 0..6)) {
        let bytes = text.repeat(repeat).into_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(events(pieces), events([&bytes[..]]));
    }
}
