//! The minds: small routing models that read each request.
//!
//! [`Minds::judge`] is the one crossing from the request path into the inference threads.

mod verdict;

pub use verdict::{
    COMPLEXITIES, Embedding, Given, Intent, Jailbreak, JudgedPart, Judgement, MindNames, Place, Span, Timings,
    Unavailable,
};

/// What to judge: every text of one request.
#[derive(Clone, Debug, Default)]
pub struct Input {
    pub parts: Vec<Part>,
    /// The request also carries content that no mind can read (token ids, audio only, …).
    pub not_text: bool,
}

/// One text and who reads it.
#[derive(Clone, Debug)]
pub struct Part {
    /// `None` for a plain text outside `messages`.
    pub place: Option<Place>,
    pub text: String,
    /// Untrusted: the guards read it.
    pub guarded: bool,
    /// The person's own ask: brain and similarity read it.
    pub ask: bool,
}
