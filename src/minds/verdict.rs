//! What minds say: typed verdicts, and the honest absence of one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::sync::watch;

use super::manifest::Task;
use super::quality::Foresight;
/// In score order.
pub use crate::config::COMPLEXITIES;
use crate::openai::judged::{Place, Source};

/// A verdict, or why there is none. Never a confident default in place of either.
#[derive(Clone, Debug, PartialEq)]
pub enum Given<T> {
    /// The mind is not configured to run.
    Off,
    Verdict(T),
    Unavailable(Unavailable),
}

impl<T> Given<T> {
    pub fn verdict(&self) -> Option<&T> {
        match self {
            Self::Verdict(verdict) => Some(verdict),
            Self::Off | Self::Unavailable(_) => None,
        }
    }

    pub fn unavailable(&self) -> Option<&Unavailable> {
        match self {
            Self::Unavailable(why) => Some(why),
            Self::Off | Self::Verdict(_) => None,
        }
    }

    /// The verdict, or the name of the reason why there is none.
    pub fn known(&self) -> Result<&T, String> {
        match self {
            Self::Verdict(verdict) => Ok(verdict),
            Self::Off => Err("off".to_owned()),
            Self::Unavailable(why) => Err(why.to_string()),
        }
    }
}

/// Why a mind gave no verdict. The names are stable: they appear in traces, headers and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unavailable {
    #[error("deadline")]
    Deadline,
    #[error("overloaded")]
    Overloaded,
    /// Too many unknown tokens, or a script the mind was not trained on.
    #[error("unreadable_language")]
    UnreadableLanguage,
    #[error("inference_failed")]
    InferenceFailed,
    /// The request carries content no mind can read (token ids, audio only, …).
    #[error("not_text")]
    NotText,
}

impl Unavailable {
    const ALL: [Self; 5] =
        [Self::Deadline, Self::Overloaded, Self::UnreadableLanguage, Self::InferenceFailed, Self::NotText];

    /// By its stable name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.to_string() == name)
    }
}

/// Intent: one probability per category and, where the mind has that head, per complexity.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    pub labels: Arc<[String]>,
    /// Probabilities in `labels` order; they sum to 1.
    pub scores: Vec<f32>,
    /// P(simple), P(medium), P(hard).
    pub complexity: Option<[f32; 3]>,
}

impl Intent {
    /// The most probable category and its probability.
    pub fn category(&self) -> (&str, f32) {
        let best = argmax(&self.scores);
        (self.labels.get(best).map_or("", String::as_str), self.scores.get(best).copied().unwrap_or(0.0))
    }

    /// The most probable complexity and its probability.
    pub fn complexity(&self) -> Option<(&'static str, f32)> {
        let scores = self.complexity?;
        let best = argmax(&scores);
        Some((COMPLEXITIES[best], scores[best]))
    }
}

/// One field of knowledge: which part of it a question is about, how difficult it is, and who
/// is likely to solve it. From the question alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Expert {
    /// Parts of the field.
    pub labels: Arc<[String]>,
    /// Probabilities in `labels` order; they sum to 1.
    pub scores: Vec<f32>,
    /// Share of models that fail, 0..1.
    pub difficulty: f32,
    /// Names of models, and each one's probability of answering right.
    pub p_solve: Option<(Arc<[String]>, Vec<f32>)>,
}

impl Expert {
    /// The most probable part of the field and its probability.
    pub fn domain(&self) -> (&str, f32) {
        let best = argmax(&self.scores);
        (self.labels.get(best).map_or("", String::as_str), self.scores.get(best).copied().unwrap_or(0.0))
    }
}

impl Expert {
    /// P(this model answers right); `None` for a model that the expert does not know.
    pub fn p_solve(&self, model: &str) -> Option<f32> {
        let (names, chances) = self.p_solve.as_ref()?;
        let model = spelled(model);
        names.iter().zip(chances).find(|(name, _)| **name == model).map(|(_, chance)| *chance)
    }
}

/// A model's name as experts have it: `Meta-Llama-3-8B` and `meta-llama/Llama-3-8B` are `llama-3-8b`.
pub fn spelled(model: &str) -> String {
    let lower = model.to_lowercase();
    let own = lower.rsplit('/').next().unwrap_or_default();
    own.strip_prefix("meta-").unwrap_or(own).to_owned()
}

/// Family and size of a model that is [`spelled`] so, and whether it was taught to chat; which time it was is left out.
pub fn family(spelled: &str) -> (&str, bool) {
    let (mut name, mut chats) = (spelled, false);
    loop {
        let version = name.rsplit_once("-v0.").filter(|(_, last)| last.len() == 1).map(|(name, _)| name);
        let tuned = ["-chat", "-instruct", "-it"].iter().find_map(|end| name.strip_suffix(end));
        match version.or_else(|| name.strip_suffix("-hf")).or(tuned) {
            Some(shorter) if !shorter.is_empty() => {
                chats |= version.is_none() && tuned.is_some();
                name = shorter;
            }
            _ => return (name, chats),
        }
    }
}

/// What a decoder mind says.
#[derive(Clone, Debug, PartialEq)]
pub enum Opined {
    Intent(Intent),
    Expert(Expert),
}

/// One decoder mind's word on a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Opinion {
    /// Its section in the configuration: `brain-pro`, `expert-math`, ….
    pub role: Arc<str>,
    /// As in `mom-brain-pro`.
    pub mind: Arc<str>,
    pub said: Given<Opined>,
    /// Sentences of the request that try to steer and were not judged.
    pub ignored: Vec<Stretch>,
    /// Off where none was asked for, or where it comes later.
    pub reason: Given<Reason>,
}

/// Why a decoder decided as it did, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// Words of the question that show it, copied.
    pub cause: String,
    /// What the question asks for and what that needs.
    pub text: String,
    /// False where it was cut at its longest, or when time was up.
    pub whole: bool,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.whole { Ok(()) } else { f.write_str("…") }
    }
}

/// A reason that is written after the answer.
#[derive(Debug)]
pub struct Later {
    /// As in `mom-brain-pro`.
    pub mind: Arc<str>,
    pub(super) told: watch::Receiver<Result<Option<Reason>, Unavailable>>,
}

impl Later {
    /// Waits for it.
    pub async fn reason(mut self) -> Given<Reason> {
        while self.told.changed().await.is_ok() {}
        told(&self.told)
    }
}

/// What there is of a reason.
pub(super) fn told(told: &watch::Receiver<Result<Option<Reason>, Unavailable>>) -> Given<Reason> {
    match &*told.borrow() {
        Ok(Some(reason)) if !reason.text.is_empty() => Given::Verdict(reason.clone()),
        Ok(_) => Given::Unavailable(Unavailable::Deadline),
        Err(why) => Given::Unavailable(*why),
    }
}

fn argmax(scores: &[f32]) -> usize {
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0)
}

/// P(jailbreak or prompt injection) of the whole request: the worst window of all guarded parts
/// decides, and the more of them there are, the surer it has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jailbreak {
    pub score: f32,
    /// The operating point: the config's threshold, else the manifest's.
    pub threshold: f32,
    /// Who brought the highest-scoring window; `None` where nothing was read.
    pub source: Option<Source>,
    /// Where the attack stands, if it was detected and some words of it give it away.
    pub span: Option<Stretch>,
}

/// Where something stands in the text as given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Index of the message and of the content part the offsets count in; `None` for plain text.
    pub place: Option<Place>,
    /// Unicode code points of the text as given, end exclusive.
    pub start: usize,
    pub end: usize,
}

/// P(the person asks for something harmful): the maximum over all windows of what the person
/// typed. Another question than whether someone tries to take over the model, and a verdict of
/// its own: who found an attack in half of a text has not read what the other half asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harm {
    pub score: f32,
    pub threshold: f32,
}

impl Harm {
    pub fn detected(&self) -> bool {
        self.score >= self.threshold
    }
}

impl Jailbreak {
    pub fn detected(&self) -> bool {
        self.score >= self.threshold
    }
}

/// One span of personal data or a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Index of the message and of the content part the offsets count in; `None` for plain text.
    pub place: Option<Place>,
    /// Unicode code points of the text as given, end exclusive.
    pub start: usize,
    pub end: usize,
    pub label: Arc<str>,
    pub score: f32,
}

/// Unit-length embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    pub vector: Arc<[f32]>,
    /// Cosine from which an exemplar matches, unless the exemplar says otherwise.
    pub threshold: f32,
    /// `[exemplars.NAME]` by name: the highest cosine to one of its texts.
    pub similar_to: Vec<(String, f32)>,
}

/// One judged text and how much of it there was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct JudgedPart {
    pub message: usize,
    pub part: usize,
    pub tokens: usize,
    pub windows: usize,
    pub source: Source,
    /// What was undone before it was read: see `docs/reading.md`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub normalised: Vec<&'static str>,
}

/// Everything the minds said about one request.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub intent: Given<Intent>,
    pub jailbreak: Given<Jailbreak>,
    /// From the jailbreak mind, where it has that output.
    pub harm: Given<Harm>,
    pub pii: Given<Vec<Span>>,
    pub embedding: Given<Embedding>,
    /// What decoders said that were asked, in the order in which they were.
    pub opinions: Vec<Opinion>,
    /// How well each model would answer, where such a mind runs and had what it reads.
    pub foresight: Option<Foresight>,
    /// As in `mom-brain-flash`.
    pub names: MindNames,
    pub judged: Vec<JudgedPart>,
    /// Tokens of all parts, unguarded ones (system prompts) included.
    pub prompt_tokens: u64,
    /// Most windows any mind used.
    pub windows: usize,
    /// Waiting for the engine, then the forward pass(es), then everything.
    pub timings: Timings,
}

impl Judgement {
    /// No mind has spoken.
    pub fn unread(prompt_tokens: u64) -> Self {
        Self {
            intent: Given::Off,
            jailbreak: Given::Off,
            harm: Given::Off,
            pii: Given::Off,
            embedding: Given::Off,
            opinions: Vec::new(),
            foresight: None,
            names: MindNames::default(),
            judged: Vec::new(),
            prompt_tokens,
            windows: 0,
            timings: Timings::default(),
        }
    }

    /// Which minds did not say all they were asked, and why.
    pub fn unavailable(&self) -> impl Iterator<Item = (&str, Unavailable)> {
        let names = &self.names;
        let all = [
            (&names.intent, self.intent.unavailable()),
            (&names.jailbreak, self.jailbreak.unavailable().or_else(|| self.harm.unavailable())),
            (&names.pii, self.pii.unavailable()),
            (&names.embedding, self.embedding.unavailable()),
        ];
        let opinions = self.opinions.iter().map(|opinion| (&opinion.mind, opinion.said.unavailable()));
        all.into_iter().chain(opinions).filter_map(|(name, why)| Some((&**name, *why?)))
    }

    /// What the request is about: the word of the last decoder that gave one, else the flash mind's.
    pub fn reading(&self) -> Given<&Intent> {
        let opined = self.opinions.iter().rev().find_map(|opinion| match opinion.said.verdict() {
            Some(Opined::Intent(intent)) => Some(intent),
            _ => None,
        });
        match (opined, &self.intent) {
            (Some(intent), _) | (None, Given::Verdict(intent)) => Given::Verdict(intent),
            (None, Given::Off) => Given::Off,
            (None, Given::Unavailable(why)) => Given::Unavailable(*why),
        }
    }

    /// The word of the last expert that gave one.
    pub fn expert(&self) -> Option<&Expert> {
        self.opinions.iter().rev().find_map(|opinion| match opinion.said.verdict() {
            Some(Opined::Expert(expert)) => Some(expert),
            _ => None,
        })
    }

    /// Why the mind with this task gave no verdict.
    pub fn silent(&self, task: Task) -> Option<String> {
        match task {
            Task::Intent => self.intent.known().err(),
            Task::Jailbreak => self.jailbreak.known().err(),
            Task::Pii => self.pii.known().err(),
            Task::Similarity => self.embedding.known().err(),
            Task::Expert | Task::Quality => None,
        }
    }

    /// Mind and label of each verdict, for counting: a category, `jailbreak` or `benign`,
    /// `found` or `none`, a part of an expert's field.
    pub fn verdict_labels(&self) -> impl Iterator<Item = (&str, String)> {
        let names = &self.names;
        let intent = self.intent.verdict().map(|intent| intent.category().0.to_owned());
        let jailbreak = self.jailbreak.verdict().map(|verdict| if verdict.detected() { "jailbreak" } else { "benign" });
        let pii = self.pii.verdict().map(|spans| if spans.is_empty() { "none" } else { "found" });
        let all = [
            (&names.intent, intent),
            (&names.jailbreak, jailbreak.map(str::to_owned)),
            (&names.pii, pii.map(str::to_owned)),
        ];
        let opined = |opinion: &Opinion| match opinion.said.verdict()? {
            Opined::Intent(intent) => Some(intent.category().0.to_owned()),
            Opined::Expert(expert) => Some(expert.domain().0.to_owned()),
        };
        let opinions = self.opinions.iter().map(move |opinion| (&opinion.mind, opined(opinion)));
        all.into_iter().chain(opinions).filter_map(|(name, label)| Some((&**name, label?)))
    }
}

#[derive(Clone, Debug, Default)]
pub struct MindNames {
    pub intent: Arc<str>,
    pub jailbreak: Arc<str>,
    pub pii: Arc<str>,
    pub embedding: Arc<str>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    pub tokenize: Duration,
    pub queue: Duration,
    pub infer: Duration,
    pub total: Duration,
    /// Foreseeing qualities, from what was said.
    pub foresee: Duration,
    /// Asking decoders, after everything else.
    pub consult: Duration,
}

impl Serialize for Unavailable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("unavailable", &self.to_string())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_has_one_spelling() {
        for model in ["Meta-Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"] {
            assert_eq!(spelled(model), "llama-3.1-8b-instruct");
        }
        assert_eq!(spelled("Mixtral-8x7B-meta-"), "mixtral-8x7b-meta-");
        for model in ["mixtral-8x7b-instruct-v0.1", "mixtral-8x7b-chat", "mixtral-8x7b-v0.2-chat-hf"] {
            assert_eq!(family(model), ("mixtral-8x7b", true));
        }
        assert_eq!(family("mixtral-8x7b-v0.1"), ("mixtral-8x7b", false));
        assert_eq!((family("gpt-4-1106-preview"), family("-chat")), (("gpt-4-1106-preview", false), ("-chat", false)));
    }
}
