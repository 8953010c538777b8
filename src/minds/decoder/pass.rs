//! One forward pass: the kept prompt, the questions of the batch behind it, the heads on what
//! the base made of them.
//!
//! Rows are padded on the right. A token looks only at those before it, so padding is never
//! read, and each row is read at its own last token.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::engine::{Array, Batch, EngineError, Feed, Forward, Program, Row, Values};
use crate::config::Provider;

/// What a token that may not be looked at adds to a score.
const HIDDEN: f32 = -10_000.0;

/// A base with its prompt read, and the heads of the minds that share both.
pub(super) struct Pass {
    base: Arc<Mutex<Program>>,
    provider: Provider,
    prompt: Kept,
    /// Tokens after the question.
    suffix: usize,
    heads: Vec<Head>,
}

/// A mind's head, and which of its outputs are wanted.
pub(super) struct Head {
    pub(super) program: Program,
    pub(super) outputs: Vec<String>,
}

/// Keys and values of tokens that stand before every question.
struct Kept {
    tokens: usize,
    /// By name of the base's input: one row, `[1, heads, tokens, width]`.
    past: Vec<(String, Array)>,
}

impl Pass {
    pub(super) fn new(
        base: Arc<Mutex<Program>>,
        prompt: &[i64],
        suffix: usize,
        heads: Vec<Head>,
    ) -> Result<Self, EngineError> {
        let (prompt, provider) = {
            let mut program = base.lock().unwrap_or_else(PoisonError::into_inner);
            (read(&mut program, prompt)?, program.provider)
        };
        Ok(Self { base, provider, prompt, suffix, heads })
    }

    /// `[rows, 2 x width]`: the last token's state, then the mean over the question's tokens.
    fn features(&self, batch: Batch<'_>) -> Result<Array, EngineError> {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        let hidden = run(&mut base, batch, &self.prompt, &["hidden"])?.swap_remove(0);
        drop(base);
        let (longest, width) = (hidden.shape[1], hidden.shape[2]);
        let mut features = Vec::with_capacity(batch.len() * 2 * width);
        for (row, ids) in hidden.values.chunks_exact(longest * width).zip(batch) {
            let last = ids.len().saturating_sub(1);
            features.extend_from_slice(&row[last * width..(last + 1) * width]);
            let asked = ids.len().saturating_sub(self.suffix).max(1);
            let mut mean = vec![0.0; width];
            for token in row.chunks_exact(width).take(asked) {
                mean.iter_mut().zip(token).for_each(|(mean, value)| *mean += value / asked as f32);
            }
            features.append(&mut mean);
        }
        Ok(Array { shape: vec![batch.len(), 2 * width], values: features })
    }
}

impl Forward for Pass {
    fn run(&mut self, batch: Batch<'_>, _: i64) -> Result<Vec<Row>, EngineError> {
        let features = self.features(batch)?;
        let mut rows: Vec<Row> = vec![Row::new(); batch.len()];
        for head in &mut self.heads {
            let feed =
                Feed { name: "features", shape: features.shape.clone(), values: Values::Floats(&features.values) };
            let outputs: Vec<&str> = head.outputs.iter().map(String::as_str).collect();
            for output in head.program.run(&[feed], &outputs)? {
                let width = output.values.len() / batch.len().max(1);
                for (row, values) in rows.iter_mut().zip(output.values.chunks(width.max(1))) {
                    row.push(values.to_vec());
                }
            }
        }
        Ok(rows)
    }

    fn provider(&self) -> Provider {
        self.provider
    }
}

/// Runs `prompt` alone and keeps what the questions behind it will look at.
fn read(base: &mut Program, prompt: &[i64]) -> Result<Kept, EngineError> {
    let lengths = |(name, shape): (String, Vec<i64>)| {
        let shape = shape.iter().map(|&length| usize::try_from(length).unwrap_or(0)).collect();
        name.starts_with("past_").then_some((name, shape))
    };
    let past: Vec<(String, Vec<usize>)> = base.inputs().into_iter().filter_map(lengths).collect();
    let empty = |(name, shape): &(String, Vec<usize>)| {
        let shape = vec![1, shape[1], 0, shape[3]];
        (name.clone(), Array { shape, values: Vec::new() })
    };
    let nothing = Kept { tokens: 0, past: past.iter().map(empty).collect() };
    let names: Vec<String> = past.iter().map(|(name, _)| name.replacen("past_", "present_", 1)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let present = run(base, &[prompt.to_vec()], &nothing, &names)?;
    let past = past.into_iter().map(|(name, _)| name).zip(present).collect();
    Ok(Kept { tokens: prompt.len(), past })
}

/// `outputs` of the base for `batch` behind `kept`.
fn run(base: &mut Program, batch: Batch<'_>, kept: &Kept, outputs: &[&str]) -> Result<Vec<Array>, EngineError> {
    let (rows, longest) = (batch.len(), batch.iter().map(Vec::len).max().unwrap_or(0));
    let mut ids = Vec::with_capacity(rows * longest);
    for sequence in batch {
        ids.extend_from_slice(sequence);
        ids.resize(ids.len() + longest - sequence.len(), 0);
    }
    let seen = kept.tokens + longest;
    let positions: Vec<i64> = (kept.tokens as i64..seen as i64).collect::<Vec<_>>().repeat(rows);
    let mut bias = vec![0.0; longest * seen];
    for (token, row) in bias.chunks_exact_mut(seen.max(1)).enumerate() {
        row[kept.tokens + token + 1..].fill(HIDDEN);
    }
    let bias = bias.repeat(rows);
    let past: Vec<Vec<f32>> = kept.past.iter().map(|(_, array)| array.values.repeat(rows)).collect();
    let mut feeds = vec![
        Feed { name: "input_ids", shape: vec![rows, longest], values: Values::Ints(&ids) },
        Feed { name: "positions", shape: vec![rows, longest], values: Values::Ints(&positions) },
        Feed { name: "bias", shape: vec![rows, 1, 1, longest, seen], values: Values::Floats(&bias) },
    ];
    feeds.extend(kept.past.iter().zip(&past).map(|((name, array), values)| {
        let mut shape = array.shape.clone();
        shape[0] = rows;
        Feed { name, shape, values: Values::Floats(values) }
    }));
    base.run(&feeds, outputs)
}
