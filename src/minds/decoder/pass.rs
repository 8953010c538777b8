//! One forward pass: the kept prompt, the questions of the batch behind it, the heads on what
//! the base made of them.
//!
//! Rows are padded on the right. A token looks only at those before it, so padding is never
//! read, and each row is read at its own last token.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::engine::{Array, Batch, EngineError, Feed, Forward, Program, Row, Values};
use super::kept::{Kept, Next};
use crate::config::Provider;

/// A base with its prompt read, and the heads of the minds that share both.
pub(super) struct Pass {
    base: Arc<Mutex<Program>>,
    provider: Provider,
    prompt: Kept,
    /// Tokens after the question.
    suffix: usize,
    heads: Vec<Head>,
    /// Finds what steers, token by token; its output stands behind those of the heads.
    steering: Option<Program>,
}

/// A mind's head, and which of its outputs are wanted.
pub(super) struct Head {
    pub(super) program: Program,
    pub(super) outputs: Vec<String>,
}

impl Pass {
    pub(super) fn new(
        base: Arc<Mutex<Program>>,
        prompt: &[i64],
        suffix: usize,
        heads: Vec<Head>,
        steering: Option<Program>,
    ) -> Result<Self, EngineError> {
        let (prompt, provider) = {
            let mut program = base.lock().unwrap_or_else(PoisonError::into_inner);
            let mut kept = Kept::nothing(&program);
            kept.read(&mut program, Next::Tokens(&[prompt.to_vec()]), "hidden")?;
            (kept, program.provider)
        };
        Ok(Self { base, provider, prompt, suffix, heads, steering })
    }

    /// `[rows, 2 x width]`: the last token's state, then the mean over the question's tokens.
    fn features(&self, hidden: &Array, batch: Batch<'_>) -> Array {
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
        Array { shape: vec![batch.len(), 2 * width], values: features }
    }

    /// Appends to each row three logits for each token of its question.
    fn steers(&mut self, hidden: &Array, batch: Batch<'_>, rows: &mut [Row]) -> Result<(), EngineError> {
        let Some(steering) = &mut self.steering else { return Ok(()) };
        let (longest, width) = (hidden.shape[1], hidden.shape[2]);
        let shape = vec![batch.len() * longest, width];
        let feed = Feed { name: "states", shape, values: Values::Floats(&hidden.values) };
        let logits = steering.run(&[feed], &["steers"])?.swap_remove(0).values;
        for ((row, ids), logits) in rows.iter_mut().zip(batch).zip(logits.chunks(3 * longest.max(1))) {
            row.push(logits[..3 * ids.len().saturating_sub(self.suffix)].to_vec());
        }
        Ok(())
    }
}

impl Forward for Pass {
    fn run(&mut self, batch: Batch<'_>, _: i64) -> Result<Vec<Row>, EngineError> {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        let hidden = self.prompt.run(&mut base, Next::Tokens(batch), "hidden")?;
        drop(base);
        let features = self.features(&hidden, batch);
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
        self.steers(&hidden, batch, &mut rows)?;
        Ok(rows)
    }

    fn provider(&self) -> Provider {
        self.provider
    }
}
