//! Deciding where a request goes. Everything here is pure: configuration, verdicts and
//! health in, a decision out. No I/O, no clock, no randomness.

use http::HeaderMap;

/// What `decide` knows about a request besides the verdicts.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// The `model` the client asked for.
    pub model: &'a str,
    pub prompt_tokens: u64,
    /// `max_completion_tokens` or `max_tokens`, where given.
    pub max_output_tokens: Option<u64>,
    pub tools: bool,
    pub images: bool,
    pub audio: bool,
    /// `response_format` asks for a JSON schema.
    pub json_schema: bool,
    pub headers: &'a HeaderMap,
}

/// Whether a backend may be called right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    Ready,
    /// Its circuit breaker is open.
    Broken,
    /// All its permits are taken.
    Full,
}
