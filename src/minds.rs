//! The minds: small routing models that read each request.
//!
//! [`Minds::judge`] is the one crossing from the request path into the inference threads.

mod verdict;

pub use crate::openai::judged::{Input, Part, Place};
pub use verdict::{
    COMPLEXITIES, Embedding, Given, Intent, Jailbreak, JudgedPart, Judgement, MindNames, Span, Timings, Unavailable,
};

/// Stands in until the inference threads are merged: every mind is off.
pub struct Minds;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct LoadError;
pub struct MindStatus {
    pub role: String,
    pub name: std::sync::Arc<str>,
    pub provider: String,
    pub ready: bool,
    pub warm_up: std::time::Duration,
}
impl Minds {
    pub fn load(_: &crate::config::Config) -> Result<Self, LoadError> {
        Ok(Self)
    }
    pub async fn judge(&self, _: Input) -> Judgement {
        Judgement {
            intent: Given::Off,
            jailbreak: Given::Off,
            pii: Given::Off,
            embedding: Given::Off,
            names: MindNames::default(),
            judged: vec![],
            prompt_tokens: 0,
            windows: 0,
            timings: Timings::default(),
        }
    }
    pub fn status(&self) -> Vec<MindStatus> {
        vec![]
    }
}
pub fn verdicts_json(_: &Judgement) -> serde_json::Map<String, serde_json::Value> {
    Default::default()
}
