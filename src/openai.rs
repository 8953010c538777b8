//! The OpenAI wire format, seen as bytes: a borrowed view of requests, in-place rewrites,
//! server-sent events and usage. No I/O, and nothing is ever re-serialised: what the view
//! does not understand stays as it came.

pub mod answer;
pub mod content;
pub mod judged;
mod keys;
pub mod refusal;
pub mod rewrite;
pub mod sse;
pub mod usage;
pub mod view;

pub use usage::Usage;
pub use view::{Endpoint, ParseError, View};
