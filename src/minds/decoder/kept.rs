//! Keys and values of tokens that were read: what stands before every question is read once,
//! and what is being written is read one token at a time.

use std::borrow::Cow;

use super::super::engine::{Array, Batch, EngineError, Feed, Program, Values};

/// What a token that may not be looked at adds to a score.
const HIDDEN: f32 = -10_000.0;

/// Keys and values of one row.
#[derive(Clone)]
pub(super) struct Kept {
    tokens: usize,
    /// By name of the graph's input: `[1, heads, tokens, width]`.
    past: Vec<(String, Array)>,
}

/// What a graph reads next.
#[derive(Clone, Copy)]
pub(super) enum Next<'a> {
    /// Token ids, padded on the right to the longest row.
    Tokens(Batch<'a>),
    /// What the graph below made of one row, `[1, tokens, width]`; its last token is asked for.
    States(&'a Array),
}

impl Kept {
    /// Nothing read yet by this graph.
    pub(super) fn nothing(graph: &Program) -> Self {
        let empty = |(name, shape): (String, Vec<i64>)| {
            let length = |at: usize| shape.get(at).map_or(0, |&length| usize::try_from(length).unwrap_or(0));
            let shape = vec![1, length(1), 0, length(3)];
            name.starts_with("past_").then_some((name, Array { shape, values: Vec::new() }))
        };
        Self { tokens: 0, past: graph.inputs().into_iter().filter_map(empty).collect() }
    }

    /// `output` of the graph for what stands behind the kept tokens, in as many rows as there are.
    pub(super) fn run(&self, graph: &mut Program, next: Next<'_>, output: &str) -> Result<Array, EngineError> {
        let mut outputs = self.outputs(graph, next, &[output])?;
        Ok(outputs.swap_remove(0))
    }

    /// As [`Kept::run`] for one row, which is kept as well.
    pub(super) fn read(&mut self, graph: &mut Program, next: Next<'_>, output: &str) -> Result<Array, EngineError> {
        let present: Vec<String> = self.past.iter().map(|(name, _)| name.replacen("past_", "present_", 1)).collect();
        let names: Vec<&str> = std::iter::once(output).chain(present.iter().map(String::as_str)).collect();
        let mut outputs = self.outputs(graph, next, &names)?.into_iter();
        let asked = outputs.next().unwrap_or(Array { shape: Vec::new(), values: Vec::new() });
        for ((_, past), present) in self.past.iter_mut().zip(outputs) {
            *past = present;
        }
        self.tokens += next.shape().1;
        Ok(asked)
    }

    fn outputs(&self, graph: &mut Program, next: Next<'_>, outputs: &[&str]) -> Result<Vec<Array>, EngineError> {
        let (rows, longest) = next.shape();
        let seen = self.tokens + longest;
        let positions: Vec<i64> = (self.tokens as i64..seen as i64).collect::<Vec<_>>().repeat(rows);
        let mut bias = vec![0.0; longest * seen];
        for (token, row) in bias.chunks_exact_mut(seen.max(1)).enumerate() {
            row[self.tokens + token + 1..].fill(HIDDEN);
        }
        let bias = bias.repeat(rows);
        let past: Vec<Cow<'_, [f32]>> = self.past.iter().map(|(_, array)| repeated(&array.values, rows)).collect();
        let (ids, at) = (next.ids(longest), [longest as i64 - 1]);
        let mut feeds = vec![
            Feed { name: "positions", shape: vec![rows, longest], values: Values::Ints(&positions) },
            Feed { name: "bias", shape: vec![rows, 1, 1, longest, seen], values: Values::Floats(&bias) },
        ];
        match next {
            Next::Tokens(_) => {
                feeds.push(Feed { name: "input_ids", shape: vec![rows, longest], values: Values::Ints(&ids) });
            }
            Next::States(states) => {
                let (shape, values) = (states.shape.clone(), Values::Floats(&states.values));
                feeds.push(Feed { name: "hidden_in", shape, values });
                feeds.push(Feed { name: "at", shape: vec![1], values: Values::Ints(&at) });
            }
        }
        feeds.extend(self.past.iter().zip(&past).map(|((name, array), values)| {
            let mut shape = array.shape.clone();
            shape[0] = rows;
            Feed { name, shape, values: Values::Floats(values) }
        }));
        graph.run(&feeds, outputs)
    }
}

impl Next<'_> {
    /// Rows, and tokens of the longest.
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Tokens(batch) => (batch.len(), batch.iter().map(Vec::len).max().unwrap_or(0)),
            Self::States(states) => (1, states.shape.get(1).copied().unwrap_or(0)),
        }
    }

    fn ids(&self, longest: usize) -> Vec<i64> {
        let Self::Tokens(batch) = self else { return Vec::new() };
        let mut ids = Vec::with_capacity(batch.len() * longest);
        for sequence in *batch {
            ids.extend_from_slice(sequence);
            ids.resize(ids.len() + longest - sequence.len(), 0);
        }
        ids
    }
}

fn repeated(values: &[f32], rows: usize) -> Cow<'_, [f32]> {
    if rows == 1 { Cow::Borrowed(values) } else { Cow::Owned(values.repeat(rows)) }
}
