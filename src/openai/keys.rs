//! Keys that two readers could understand differently.
//!
//! JSON leaves duplicates open, and some servers match keys whatever their case: what the
//! guards read must be what the backend reads, so both are refused where it matters.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer as _, Error, IgnoredAny, MapAccess, Visitor};

/// Refuses keys of the outermost object that differ from one in `read` only in case.
pub(super) fn refuse_look_alikes(
    json: &str,
    read: &[&str],
) -> Result<(), serde_path_to_error::Error<serde_json::Error>> {
    struct Keys<'r>(&'r [&'r str]);
    impl<'de> Visitor<'de> for Keys<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                refuse_look_alike(&key, self.0)?;
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    tracked.deserialize_map(Keys(read)).map_err(|error| serde_path_to_error::Error::new(track.path(), error))
}

/// The keys of one object so far.
#[derive(Debug, Default)]
pub(super) struct Seen(HashSet<String>);

impl Seen {
    /// Refuses a key that came before, and one that differs from a key in `read` only in case.
    pub(super) fn check<E: Error>(&mut self, key: &str, read: &[&str]) -> Result<(), E> {
        if !self.0.insert(key.to_owned()) {
            return Err(E::custom(format_args!("duplicate field `{}`", shown(key))));
        }
        refuse_look_alike(key, read)
    }
}

fn refuse_look_alike<E: Error>(key: &str, read: &[&str]) -> Result<(), E> {
    match look_alike(key, read) {
        Some(meant) => Err(E::custom(format_args!("field `{}` looks like `{meant}` but is not", shown(key)))),
        None => Ok(()),
    }
}

fn look_alike<'r>(key: &str, read: &[&'r str]) -> Option<&'r str> {
    if read.contains(&key) {
        return None;
    }
    // The long s and the Kelvin sign fold to ASCII letters too.
    let folded = key.replace('\u{17f}', "s").replace('\u{212a}', "k").to_ascii_lowercase();
    read.iter().copied().find(|known| *known == folded)
}

fn shown(key: &str) -> String {
    key.chars().take(60).collect()
}
