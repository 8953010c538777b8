//! The texts of one request, each with who reads it.

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
    pub source: Source,
}

impl Part {
    /// A text given by itself: every mind reads it.
    pub fn alone(text: impl Into<String>) -> Self {
        Self { place: None, text: text.into(), guarded: true, ask: true, source: Source::User }
    }
}

/// Who brought a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// What the person typed, or a text given by itself.
    #[default]
    User,
    /// What a tool or a function answered.
    Tool,
    /// What the model is said to have answered before.
    Assistant,
    /// Documents and whatever else the request carries along.
    Document,
}

/// Where in `messages` a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub message: usize,
    pub part: usize,
}
