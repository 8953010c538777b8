//! What a request costs: predicted before it is sent, and counted afterwards.

use crate::config::Price;
use crate::minds::Intent;

/// Expected answer length in tokens for simple, medium and hard questions.
///
/// Means of four chat models (Llama-3.1-8B and 70B Instruct, Gemini 1.5 Flash and Pro) over
/// 31,405 answers to MMLU-Pro questions, `output_chars / 4`, in bands of `difficulty`
/// (the share of 29 models that fail): below 0.34, below 0.67, and the rest.
const OUTPUT_TOKENS: [f64; 3] = [61.0, 107.0, 177.0];

/// How many tokens the answer will have: as foreseen for this backend, else as complexity has it. No backend
/// writes more than the client allows.
pub fn output_tokens(foreseen: Option<f64>, intent: Option<&Intent>, max_output_tokens: Option<u64>) -> f64 {
    let expected = match (foreseen, intent.and_then(|intent| intent.complexity)) {
        (Some(tokens), _) => tokens,
        (None, Some(complexity)) => {
            complexity.iter().zip(OUTPUT_TOKENS).map(|(&p, tokens)| f64::from(p) * tokens).sum()
        }
        (None, None) => OUTPUT_TOKENS.iter().sum::<f64>() / 3.0,
    };
    max_output_tokens.map_or(expected, |most| expected.min(most as f64))
}

impl Price {
    /// USD for counted tokens. As providers report them, `cached` is part of `prompt`, and
    /// reasoning tokens are part of `completion`.
    pub fn cost(&self, prompt: u64, cached: u64, completion: u64) -> f64 {
        let cached = cached.min(prompt);
        let cached_price = self.cached_input.unwrap_or(self.input);
        let micros =
            (prompt - cached) as f64 * self.input + cached as f64 * cached_price + completion as f64 * self.output;
        micros / 1e6
    }

    /// USD for a request still to be sent, as if nothing of it were cached.
    pub(super) fn predict(&self, prompt: u64, output: f64) -> f64 {
        (prompt as f64 * self.input + output * self.output) / 1e6
    }
}
