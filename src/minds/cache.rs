//! What was judged before, found again by content: bounded in bytes, least used out first.
//!
//! Keys are sha256 digests. No text is kept, and nobody can craft an attack that shares the
//! key, and so the verdict, of a harmless text. Only whole answers go in: a verdict that could
//! not be had is asked for again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::engine::Row;
use super::{Input, Judgement, Part, Span};

/// Digest of a text, or of a window of it, and of what read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// Begins every key with what an answer depends on beside the text: graph, tokenizer, ….
#[derive(Clone)]
pub(super) struct Seed(Sha256);

impl Seed {
    pub(super) fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Sha256::new();
        parts.into_iter().for_each(|part| sized(&mut digest, part));
        Self(digest)
    }

    /// Key of one framed window.
    pub(super) fn window(&self, ids: &[i64]) -> Key {
        let mut digest = self.0.clone();
        let mut bytes = [0; 8 * 64];
        for ids in ids.chunks(64) {
            bytes.chunks_exact_mut(8).zip(ids).for_each(|(bytes, id)| bytes.copy_from_slice(&id.to_le_bytes()));
            digest.update(&bytes[..8 * ids.len()]);
        }
        Key(digest.finalize().into())
    }

    /// Key of a whole request: every text, where it stands and who reads it.
    pub(super) fn input(&self, input: &Input) -> Key {
        // Taken apart by name: what is added to a request must be added here.
        let Input { parts, not_text } = input;
        let mut digest = self.0.clone();
        digest.update([u8::from(*not_text)]);
        for Part { place, text, guarded, ask, source } in parts {
            let place = place.map_or([u64::MAX; 2], |place| [place.message as u64, place.part as u64]);
            place.iter().for_each(|number| digest.update(number.to_le_bytes()));
            digest.update([u8::from(*guarded), u8::from(*ask), *source as u8]);
            sized(&mut digest, text);
        }
        Key(digest.finalize().into())
    }
}

/// With its length, so that neighbours cannot trade letters.
fn sized(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text);
}

/// What an entry costs beside its value: key, pointer and a mark in a table that is 7/16 full
/// after it has grown, and the two counts of an `Arc`.
const ENTRY_BYTES: usize = (32 + 8 + 1) * 16 / 7 + ARC_BYTES;
const ARC_BYTES: usize = 16;

/// Bytes a value holds.
pub(super) trait Weigh {
    fn bytes(&self) -> usize;
}

impl Weigh for Row {
    fn bytes(&self) -> usize {
        let outputs = self.iter().map(|output| size_of::<Vec<f32>>() + size_of_val(output.as_slice()));
        size_of::<Self>() + outputs.sum::<usize>()
    }
}

impl Weigh for Judgement {
    fn bytes(&self) -> usize {
        let scores = self.intent.verdict().map_or(0, |intent| size_of_val(intent.scores.as_slice()));
        // A label found by a pattern is a text of its own.
        let labels = |spans: &Vec<Span>| spans.iter().map(|span| span.label.len() + ARC_BYTES).sum::<usize>();
        let spans = self.pii.verdict().map_or(0, |spans| size_of_val(spans.as_slice()) + labels(spans));
        let embedding = self.embedding.verdict().map_or(0, |embedding| {
            let names = embedding.similar_to.iter().map(|(name, _)| name.len()).sum::<usize>();
            size_of_val(&*embedding.vector) + size_of_val(embedding.similar_to.as_slice()) + names
        });
        let steps: usize = self.judged.iter().map(|part| size_of_val(part.normalised.as_slice())).sum();
        size_of::<Self>() + scores + spans + embedding + size_of_val(self.judged.as_slice()) + steps
    }
}

/// Two generations: entries that are asked for move to the young one; when that is full it
/// becomes the old one, and the old one is forgotten. Close to least recently used, with
/// nothing to keep in order.
#[derive(Debug)]
pub(super) struct Cache<V> {
    /// Of one generation; 0: off.
    limit: usize,
    generations: Mutex<[Generation<V>; 2]>,
}

#[derive(Debug)]
struct Generation<V> {
    entries: HashMap<Key, Arc<V>>,
    bytes: usize,
}

impl<V> Default for Generation<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), bytes: 0 }
    }
}

impl<V: Weigh> Cache<V> {
    /// Holds `bytes` at most; with 0 nothing is kept.
    pub(super) fn new(bytes: usize) -> Self {
        Self { limit: bytes / 2, generations: Mutex::default() }
    }

    pub(super) fn is_off(&self) -> bool {
        self.limit == 0
    }

    pub(super) fn bytes(&self) -> usize {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.iter().map(|generation| generation.bytes).sum()
    }

    pub(super) fn find(&self, key: &Key) -> Option<Arc<V>> {
        if self.is_off() {
            return None;
        }
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        if let Some(value) = young.entries.get(key) {
            return Some(Arc::clone(value));
        }
        let value = old.entries.remove(key)?;
        old.bytes -= ENTRY_BYTES + value.bytes();
        let forgotten = insert(&mut generations, self.limit, *key, Arc::clone(&value));
        // Freeing may take a while: not under the lock.
        drop(generations);
        drop(forgotten);
        Some(value)
    }

    pub(super) fn put(&self, key: Key, value: Arc<V>) {
        if ENTRY_BYTES + value.bytes() > self.limit {
            return;
        }
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = insert(&mut generations, self.limit, key, value);
        drop(generations);
        drop(forgotten);
    }
}

/// Returns the generation that had to go.
fn insert<V: Weigh>(
    generations: &mut [Generation<V>; 2],
    limit: usize,
    key: Key,
    value: Arc<V>,
) -> Option<Generation<V>> {
    let bytes = ENTRY_BYTES + value.bytes();
    let [young, old] = generations;
    let forgotten = (young.bytes + bytes > limit).then(|| std::mem::replace(old, std::mem::take(young)));
    young.bytes += bytes;
    if let Some(same) = young.entries.insert(key, value) {
        young.bytes -= ENTRY_BYTES + same.bytes();
    }
    forgotten
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::minds::{Given, JudgedPart, MindNames, Place, Source, Timings};

    fn key(number: i64) -> Key {
        Seed::new(["graph"]).window(&[number])
    }

    fn row(floats: usize) -> Arc<Row> {
        Arc::new(vec![vec![0.0; floats]])
    }

    #[test]
    fn what_is_asked_for_stays() {
        let cache = Cache::new(64 * 1024);
        cache.put(key(0), row(100));
        for number in 1..1000 {
            cache.put(key(number), row(100));
            assert!(cache.find(&key(0)).is_some() && cache.find(&key(number)).is_some(), "{number}");
        }
        assert!(cache.find(&key(1)).is_none());
    }

    #[test]
    fn off_keeps_nothing_and_too_large_is_not_kept() {
        let (off, small) = (Cache::new(0), Cache::new(1000));
        off.put(key(0), row(1));
        small.put(key(0), row(1000));
        assert!(off.find(&key(0)).is_none() && small.find(&key(0)).is_none());
        assert_eq!((off.bytes(), small.bytes()), (0, 0));
    }

    #[test]
    fn labels_and_steps_weigh_too() {
        let span = |label: &str| Span { place: None, start: 0, end: 1, label: label.into(), score: 1.0 };
        let judgement = |spans: Vec<Span>, normalised: Vec<&'static str>| Judgement {
            intent: Given::Off,
            jailbreak: Given::Off,
            harm: Given::Off,
            pii: Given::Verdict(spans),
            embedding: Given::Off,
            opinions: Vec::new(),
            foresight: None,
            names: MindNames::default(),
            judged: vec![JudgedPart { message: 0, part: 0, tokens: 1, windows: 1, source: Source::User, normalised }],
            prompt_tokens: 1,
            windows: 1,
            timings: Timings::default(),
        };
        let bare = judgement(vec![], vec![]).bytes();
        let label = judgement(vec![span("PERSON"), span("PERSON")], vec![]).bytes();
        assert!(label >= bare + 2 * (size_of::<Span>() + "PERSON".len()), "{bare} {label}");
        assert_eq!(judgement(vec![], vec!["invisible"]).bytes(), bare + size_of::<&str>());
    }

    #[test]
    fn keys_differ_in_all_that_matters() {
        let part = |text: &str| Part::alone(text);
        let input = |parts: Vec<Part>| Input { parts, not_text: false };
        let place = Some(Place { message: 0, part: 0 });
        let inputs = [
            input(vec![]),
            Input { parts: vec![], not_text: true },
            input(vec![part("")]),
            input(vec![part("ab")]),
            input(vec![part("a"), part("b")]),
            input(vec![part("ab"), part("")]),
            input(vec![Part { place, ..part("ab") }]),
            input(vec![Part { guarded: false, ..part("ab") }]),
            input(vec![Part { ask: false, ..part("ab") }]),
            input(vec![Part { source: Source::Tool, ..part("ab") }]),
        ];
        let seeds = [Seed::new(["a", "b"]), Seed::new(["ab"]), Seed::new([])];
        let keys = seeds.iter().flat_map(|seed| inputs.iter().map(|input| seed.input(input)));
        let keys: std::collections::HashSet<Key> = keys.collect();
        assert_eq!(keys.len(), seeds.len() * inputs.len());
        assert_ne!(seeds[0].window(&[1, 2]), seeds[0].window(&[2, 1]));
    }

    proptest! {
        #[test]
        fn windows_have_keys_of_their_own(a in prop::collection::vec(0_i64..3, 0..140), b in prop::collection::vec(0_i64..3, 0..140)) {
            let seed = Seed::new(["graph"]);
            prop_assert_eq!(a == b, seed.window(&a) == seed.window(&b));
        }

        #[test]
        fn the_bound_holds_and_the_count_is_true(puts in prop::collection::vec((0_i64..40, 0_usize..300), 0..200)) {
            let cache = Cache::new(8 * 1024);
            for (number, floats) in puts {
                cache.put(key(number), row(floats));
                cache.find(&key(number / 2));
                prop_assert!(cache.bytes() <= 8 * 1024);
            }
            let generations = cache.generations.lock().unwrap();
            for generation in generations.iter() {
                let counted: usize = generation.entries.values().map(|row| ENTRY_BYTES + row.bytes()).sum();
                prop_assert_eq!(counted, generation.bytes);
            }
        }
    }
}
