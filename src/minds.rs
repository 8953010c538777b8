//! The minds: small routing models that read each request.
//!
//! [`Minds::judge`] is the one crossing from the request path into the inference threads.

mod verdict;

pub use crate::openai::judged::{Input, Part, Place};
pub use verdict::{
    COMPLEXITIES, Embedding, Given, Intent, Jailbreak, JudgedPart, Judgement, MindNames, Span, Timings, Unavailable,
};
