//! A request as it was weighed, without its text: what the ledger keeps so that another policy can decide it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use half::f16;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{Features, Held};
use crate::config::{CATEGORIES, Config, When};
use crate::minds::{
    Embedding, Expert, Given, Harm, Intent, Jailbreak, Judgement, MindNames, Opined, Opinion, Span, Unavailable,
};

/// What [`decide`](super::decide) needs to know of a request, owned.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub model: String,
    pub prompt_tokens: u64,
    pub max_output_tokens: Option<u64>,
    pub tools: bool,
    pub images: bool,
    pub audio: bool,
    pub json_schema: bool,
    /// Those that rules of the configuration name; no others are kept.
    pub headers: HeaderMap,
    pub held: Option<(String, u64)>,
    /// Without what only explains: places of spans, timings, reasons.
    pub judgement: Judgement,
    /// What the text is made of, see [`counts`](crate::minds::quality::counts).
    pub counts: Vec<f32>,
}

/// Why what was kept cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not a request as it was weighed: {0}")]
pub struct SnapshotError(String);

impl Snapshot {
    pub fn of(config: &Config, features: &Features<'_>, judgement: &Judgement, counts: &[f32]) -> Self {
        let mut headers = HeaderMap::new();
        for name in ruled_headers(config).filter(|name| !is_credential(name)) {
            let name = HeaderName::try_from(name).ok();
            if let Some((name, value)) = name.and_then(|name| Some((name.clone(), features.headers.get(name)?))) {
                headers.insert(name, value.clone());
            }
        }
        Self {
            model: features.model.to_owned(),
            prompt_tokens: features.prompt_tokens,
            max_output_tokens: features.max_output_tokens,
            tools: features.tools,
            images: features.images,
            audio: features.audio,
            json_schema: features.json_schema,
            headers,
            held: features.held.map(|held| (held.backend.to_owned(), held.tokens)),
            judgement: judgement.clone(),
            counts: counts.to_vec(),
        }
    }

    pub fn features(&self) -> Features<'_> {
        Features {
            model: &self.model,
            prompt_tokens: self.prompt_tokens,
            max_output_tokens: self.max_output_tokens,
            tools: self.tools,
            images: self.images,
            audio: self.audio,
            json_schema: self.json_schema,
            headers: &self.headers,
            held: self.held.as_ref().map(|(backend, tokens)| Held { backend, tokens: *tokens }),
        }
    }

    /// As JSON, and the embedding in 16-bit floats, little endian.
    pub fn keep(&self) -> (String, Option<Vec<u8>>) {
        let judgement = &self.judgement;
        let names = &judgement.names;
        let wire = Wire {
            model: self.model.clone(),
            prompt_tokens: self.prompt_tokens,
            max_output_tokens: self.max_output_tokens,
            tools: self.tools,
            images: self.images,
            audio: self.audio,
            json_schema: self.json_schema,
            headers: pairs(&self.headers),
            held: self.held.clone(),
            minds: [&names.intent, &names.jailbreak, &names.pii, &names.embedding].map(ToString::to_string),
            intent: said(&judgement.intent, IntentWire::of),
            jailbreak: said(&judgement.jailbreak, |verdict| (verdict.score, verdict.threshold)),
            harm: said(&judgement.harm, |verdict| (verdict.score, verdict.threshold)),
            pii: said(&judgement.pii, |spans| spans.iter().map(|span| (span.label.to_string(), span.score)).collect()),
            similarity: said(&judgement.embedding, |embedding| (embedding.threshold, embedding.similar_to.clone())),
            opinions: judgement.opinions.iter().map(OpinionWire::of).collect(),
            counts: self.counts.clone(),
        };
        let embedding = judgement
            .embedding
            .verdict()
            .map(|embedding| embedding.vector.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect());
        // Plain values: nothing that could fail.
        (serde_json::to_string(&wire).unwrap_or_default(), embedding)
    }

    pub fn read(json: &str, embedding: Option<&[u8]>) -> Result<Self, SnapshotError> {
        let wire: Wire = serde_json::from_str(json).map_err(|error| SnapshotError(error.to_string()))?;
        let vector: Arc<[f32]> = (embedding.unwrap_or_default().as_chunks::<2>().0.iter())
            .map(|bytes| f16::from_le_bytes(*bytes).to_f32())
            .collect();
        let mut judgement = Judgement::unread(wire.prompt_tokens);
        let [intent, jailbreak, pii, embedding] = wire.minds.map(Arc::from);
        judgement.names = MindNames { intent, jailbreak, pii, embedding };
        judgement.intent = heard(wire.intent, IntentWire::into_intent)?;
        judgement.jailbreak =
            heard(wire.jailbreak, |(score, threshold)| Jailbreak { score, threshold, source: None, span: None })?;
        judgement.harm = heard(wire.harm, |(score, threshold)| Harm { score, threshold })?;
        judgement.pii = heard(wire.pii, |spans| spans.into_iter().map(span).collect())?;
        judgement.embedding =
            heard(wire.similarity, |(threshold, similar_to)| Embedding { vector, threshold, similar_to })?;
        judgement.opinions =
            wire.opinions.into_iter().map(OpinionWire::into_opinion).collect::<Result<_, SnapshotError>>()?;
        let headers = wire
            .headers
            .iter()
            .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?)));
        Ok(Self {
            model: wire.model,
            prompt_tokens: wire.prompt_tokens,
            max_output_tokens: wire.max_output_tokens,
            tools: wire.tools,
            images: wire.images,
            audio: wire.audio,
            json_schema: wire.json_schema,
            headers: headers.collect(),
            held: wire.held,
            judgement,
            counts: wire.counts,
        })
    }
}

/// Names of the headers that conditions read.
fn ruled_headers(config: &Config) -> impl Iterator<Item = &String> {
    let routes = config.routes.iter().filter_map(|route| route.when.as_ref());
    let minds = config.minds.values().filter_map(|mind| mind.when.as_ref());
    routes.chain(minds).filter_map(|when: &When| when.headers.as_ref()).flat_map(BTreeMap::keys)
}

/// What such a header holds is nobody's business, whatever rules read of it.
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "cookie", "key", "token", "secret", "password"].iter().any(|part| name.contains(part))
}

fn pairs(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    headers.iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}

fn span((label, score): (String, f32)) -> Span {
    Span { place: None, start: 0, end: 0, label: label.into(), score }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    model: String,
    prompt_tokens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "is_false")]
    tools: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    images: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    audio: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    json_schema: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<(String, u64)>,
    /// Who read it: brain, jailbreak, PII and similarity. Empty where that was not kept.
    #[serde(default)]
    minds: [String; 4],
    intent: Said<IntentWire>,
    /// Score and threshold.
    jailbreak: Said<(f32, f32)>,
    harm: Said<(f32, f32)>,
    /// Labels and scores.
    pii: Said<Vec<(String, f32)>>,
    /// Threshold, and the exemplars' names and cosines.
    similarity: Said<(f32, Vec<(String, f32)>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    opinions: Vec<OpinionWire>,
    counts: Vec<f32>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// `null` where a mind is off.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Said<T> {
    Unavailable { unavailable: String },
    Verdict(T),
    Off,
}

fn said<T, W>(given: &Given<T>, wire: impl Fn(&T) -> W) -> Said<W> {
    match given {
        Given::Off => Said::Off,
        Given::Verdict(verdict) => Said::Verdict(wire(verdict)),
        Given::Unavailable(why) => Said::Unavailable { unavailable: why.to_string() },
    }
}

fn heard<W, T>(said: Said<W>, verdict: impl FnOnce(W) -> T) -> Result<Given<T>, SnapshotError> {
    Ok(match said {
        Said::Off => Given::Off,
        Said::Verdict(wire) => Given::Verdict(verdict(wire)),
        Said::Unavailable { unavailable } => {
            let known = Unavailable::named(&unavailable);
            Given::Unavailable(known.ok_or_else(|| SnapshotError(format!("unavailable for {unavailable}")))?)
        }
    })
}

#[derive(Serialize, Deserialize)]
struct IntentWire {
    /// Left out where they are those of the design.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    scores: Vec<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    complexity: Option<[f32; 3]>,
}

impl IntentWire {
    fn of(intent: &Intent) -> Self {
        let usual = intent.labels.iter().map(String::as_str).eq(CATEGORIES);
        let labels = if usual { Vec::new() } else { intent.labels.to_vec() };
        Self { labels, scores: intent.scores.clone(), complexity: intent.complexity }
    }

    fn into_intent(self) -> Intent {
        let labels = if self.labels.is_empty() { CATEGORIES.map(str::to_owned).to_vec() } else { self.labels };
        Intent { labels: labels.into(), scores: self.scores, complexity: self.complexity }
    }
}

#[derive(Serialize, Deserialize)]
struct OpinionWire {
    role: String,
    mind: String,
    said: Said<OpinedWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OpinedWire {
    Intent(IntentWire),
    Expert { labels: Vec<String>, scores: Vec<f32>, difficulty: f32, p_solve: Option<(Vec<String>, Vec<f32>)> },
}

impl OpinionWire {
    fn of(opinion: &Opinion) -> Self {
        let said = said(&opinion.said, |opined| match opined {
            Opined::Intent(intent) => OpinedWire::Intent(IntentWire::of(intent)),
            Opined::Expert(expert) => OpinedWire::Expert {
                labels: expert.labels.to_vec(),
                scores: expert.scores.clone(),
                difficulty: expert.difficulty,
                p_solve: expert.p_solve.as_ref().map(|(names, chances)| (names.to_vec(), chances.clone())),
            },
        });
        Self { role: opinion.role.to_string(), mind: opinion.mind.to_string(), said }
    }

    fn into_opinion(self) -> Result<Opinion, SnapshotError> {
        let opined = |wire| match wire {
            OpinedWire::Intent(intent) => Opined::Intent(intent.into_intent()),
            OpinedWire::Expert { labels, scores, difficulty, p_solve } => Opined::Expert(Expert {
                labels: labels.into(),
                scores,
                difficulty,
                p_solve: p_solve.map(|(names, chances)| (names.into(), chances)),
            }),
        };
        Ok(Opinion {
            role: self.role.into(),
            mind: self.mind.into(),
            said: heard(self.said, opined)?,
            ignored: Vec::new(),
            reason: Given::Off,
        })
    }
}
