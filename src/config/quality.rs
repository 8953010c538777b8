//! `[quality]`: how good a backend's answers are expected to be.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// `[quality.BACKEND]`: expected answer quality, 0..1, by category; `default` for the rest.
#[derive(Clone, Debug)]
pub struct QualityTable {
    /// Where the numbers come from.
    pub source: String,
    pub default: Quality,
    pub categories: BTreeMap<String, Quality>,
}

/// One number, or one per complexity.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "expected a number from 0 to 1, or { simple, medium, hard }")]
pub enum Quality {
    Flat(f64),
    ByComplexity { simple: f64, medium: f64, hard: f64 },
}

// By hand, because a flattened map loses the key at which an error happened.
impl<'de> Deserialize<'de> for QualityTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = QualityTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<QualityTable, A::Error> {
                let (mut source, mut default, mut categories) = (None, None, BTreeMap::new());
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "source" => source = Some(map.next_value()?),
                        "default" => default = Some(map.next_value()?),
                        _ => drop(categories.insert(key, map.next_value()?)),
                    }
                }
                Ok(QualityTable {
                    source: source.ok_or_else(|| A::Error::missing_field("source"))?,
                    default: default.ok_or_else(|| A::Error::missing_field("default"))?,
                    categories,
                })
            }
        }
        deserializer.deserialize_map(Table)
    }
}
