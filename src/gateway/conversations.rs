//! Which backend has read the beginning of a conversation, and which request asked the same before. In memory and
//! bounded: hashes of texts under a seed of this process, never a text.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::lately::Lately;
use crate::minds::Input;
use crate::openai::View;

/// Most turns that are remembered; the oldest half goes when there are more.
const TURNS: usize = 65_536;

/// A request that comes again within this time is taken for one whose answer did not please.
const AGAIN: Duration = Duration::from_secs(600);

/// What was answered lately.
#[derive(Debug)]
pub struct Conversations {
    seed: RandomState,
    turns: Lately<u64, Turn>,
}

impl Default for Conversations {
    fn default() -> Self {
        Self { seed: RandomState::new(), turns: Lately::new(TURNS) }
    }
}

#[derive(Clone, Debug)]
struct Turn {
    backend: String,
    request_id: String,
    at: Instant,
}

/// A conversation as one request brings it: a hash of everything up to each of its messages, and the bytes so far.
#[derive(Clone, Debug, Default)]
pub struct Thread {
    links: Vec<(u64, usize)>,
}

/// What is known of a thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recalled {
    pub held: Option<Reader>,
    /// The request that asked exactly this, lately.
    pub asked_before: Option<String>,
}

/// A backend that has read the beginning of this conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Reader {
    pub backend: String,
    /// How much of the text that is, 0..1.
    pub share: f64,
    /// When it did.
    pub age: Duration,
}

impl Conversations {
    /// `key`: who calls; conversations of others are none of theirs. Empty where more than text makes it.
    pub fn thread(&self, key: Option<&str>, view: &View<'_>) -> Thread {
        if view.images || view.audio { Thread::default() } else { self.of_text(key, &view.input) }
    }

    fn of_text(&self, key: Option<&str>, input: &Input) -> Thread {
        let mut hasher = self.seed.build_hasher();
        key.hash(&mut hasher);
        let (mut links, mut bytes) = (Vec::new(), 0);
        let message = |part: &crate::minds::Part| part.place.map(|place| place.message);
        for parts in input.parts.chunk_by(|a, b| message(a) == message(b)) {
            for part in parts {
                (part.source, part.guarded, &part.text).hash(&mut hasher);
                bytes += part.text.len();
            }
            links.push((hasher.finish(), bytes));
        }
        Thread { links }
    }

    pub fn recall(&self, thread: &Thread, now: Instant) -> Recalled {
        let turns = &self.turns;
        let Some(((last, all), before)) = thread.links.split_last() else { return Recalled::default() };
        let age = |turn: &Turn| now.saturating_duration_since(turn.at);
        let again = turns.find(last).filter(|turn| age(turn) < AGAIN);
        // The longest beginning comes first.
        let read = before.iter().rev().find_map(|(hash, bytes)| Some((turns.find(hash)?, *bytes)));
        let whole = again.clone().map(|turn| (turn, *all));
        let held = whole.or(read).map(|(turn, bytes)| Reader {
            age: age(&turn),
            backend: turn.backend,
            share: bytes as f64 / (*all).max(1) as f64,
        });
        Recalled { held, asked_before: again.map(|turn| turn.request_id) }
    }

    /// This backend has read all of it.
    pub fn remember(&self, thread: &Thread, backend: &str, request_id: &str, now: Instant) {
        let Some((last, _)) = thread.links.last() else { return };
        let turn = Turn { backend: backend.to_owned(), request_id: request_id.to_owned(), at: now };
        self.turns.put(*last, turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::minds::{Part, Place, Source};

    fn said(texts: &[&str]) -> Input {
        let part = |(message, text): (usize, &&str)| Part {
            place: Some(Place { message, part: 0 }),
            source: if message % 2 == 0 { Source::User } else { Source::Assistant },
            ..Part::alone(*text)
        };
        Input { parts: texts.iter().enumerate().map(part).collect(), not_text: false }
    }

    #[test]
    fn a_conversation_is_known_by_its_beginning() {
        let known = Conversations::default();
        let now = Instant::now();
        let first = known.of_text(Some("team"), &said(&["12345"]));
        assert_eq!(known.recall(&first, now), Recalled::default());
        known.remember(&first, "dear", "r1", now);
        let second = known.of_text(Some("team"), &said(&["12345", "abc", "xy"]));
        let later = now + Duration::from_secs(60);
        let held = known.recall(&second, later).held.unwrap();
        assert_eq!((&*held.backend, held.share, held.age), ("dear", 0.5, Duration::from_secs(60)));
        for other in [
            known.of_text(Some("other"), &said(&["12345", "abc", "xy"])),
            known.of_text(Some("team"), &said(&["1234", "5abc", "xy"])),
            known.of_text(None, &said(&["12345", "abc", "xy"])),
            known.of_text(Some("team"), &Input::default()),
        ] {
            assert_eq!(known.recall(&other, later), Recalled::default());
        }
        // The longest beginning speaks.
        known.remember(&second, "cheap", "r2", later);
        let third = known.of_text(Some("team"), &said(&["12345", "abc", "xy", "de", "fghij"]));
        assert_eq!(known.recall(&third, later).held.unwrap().backend, "cheap");
    }

    #[test]
    fn the_same_request_again_is_noticed_for_ten_minutes() {
        let known = Conversations::default();
        let now = Instant::now();
        let asked = known.of_text(None, &said(&["a", "b", "c"]));
        known.remember(&asked, "cheap", "r1", now);
        let again = known.recall(&asked, now + Duration::from_secs(599));
        assert_eq!(again.asked_before.as_deref(), Some("r1"));
        assert_eq!(again.held.unwrap().share, 1.0);
        assert_eq!(known.recall(&asked, now + AGAIN).asked_before, None);
    }
}
