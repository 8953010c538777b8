//! Deciding a request again under another configuration, from what the ledger kept of it. No mind reads it again:
//! what minds said is taken as it was, and only what the configuration makes of it is new.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{BackendName, Config, FORESEES, Mind, ROLES, When};
use crate::guard;
use crate::learn::replay::{Fate, Length, Weighed};
use crate::ledger::{By, Logged};
use crate::minds::quality::Quality;
use crate::minds::{Embedding, Folder, Given, Input, Judgement, LoadError, Manifest, Minds, Part, spelled};
use crate::route::{self, Availability, Decision, Offer, Snapshot, Target};

/// What is lost of a cosine or of a foreseen quality by keeping embeddings in 16 bits, and more. Within it, what was
/// found at the time counts.
const SAME: f64 = 1e-3;

/// Exemplars are read in peace.
const PATIENCE: Duration = Duration::from_secs(600);

/// A policy, and what it takes to apply it to what was kept.
#[derive(Debug)]
pub struct Replay {
    config: Config,
    points: Points,
    /// `None`: no rule asks.
    meanings: Option<Meanings>,
    quality: Option<Quality>,
}

/// Unit vectors of each exemplar's texts, by name.
type Meanings = Vec<(String, Vec<Arc<[f32]>>)>;

/// From where verdicts count.
#[derive(Clone, Copy, Debug, Default)]
struct Points {
    jailbreak: Option<f32>,
    harm: Option<f32>,
    pii: Option<f32>,
    similarity: Option<f32>,
}

/// Why a request cannot be decided again; ends a sentence that begins with their number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("were refused before they were weighed")]
    Unweighed,
    #[error("have no features in the ledger")]
    NoFeatures,
    #[error("have features that cannot be read")]
    Unreadable,
    #[error("met no backend that could be called")]
    Outage,
    #[error("ask for `{0}`, which is no model any more")]
    Model(String),
    #[error("were read by another mind for the role {0}")]
    OtherMind(&'static str),
    #[error("were not read by a mind for the role {0}")]
    Unread(&'static str),
}

/// What the policy makes of a request.
#[derive(Debug)]
pub struct Again {
    /// What it was weighed by.
    pub judgement: Judgement,
    /// The code of the guard that stops it, or where it goes.
    pub decision: Result<Decision, &'static str>,
    /// Decoders would be asked that were not.
    pub unheard: bool,
}

impl Replay {
    /// Loads what foresees, and where a rule asks for similar texts the mind that reads exemplars.
    pub async fn open(config: Config) -> Result<Self, LoadError> {
        let points = Points::of(&config)?;
        let quality = Quality::open(&config)?;
        let conditions = config.routes.iter().filter_map(|route| route.when.as_ref());
        let asked = config.minds.values().filter(|mind| mind.enabled).filter_map(|mind| mind.when.as_ref());
        let meanings = match conditions.chain(asked).any(|when: &When| when.similar_to.is_some()) {
            true => Some(meanings(&config).await?),
            false => None,
        };
        Ok(Self { config, points, meanings, quality })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The name of the mind that foresees.
    pub fn foresees(&self) -> Option<&str> {
        let mind = self.config.minds.get(FORESEES).filter(|mind| mind.enabled)?;
        Some(&mind.model)
    }

    /// A logged request under this policy, beside what became of it.
    pub fn weigh(&self, logged: &Logged, by: Option<By>) -> Result<Weighed, Unfit> {
        let (snapshot, offers) = kept(logged)?;
        let then = fate(logged)?;
        let again = self.decide(&snapshot, &offers)?;
        let now = again.fate();
        let quality = match (&then, &now) {
            (Fate::Backend(then), Fate::Backend(now)) => {
                self.qualities(&snapshot, &again.judgement, &[then.clone(), now.clone()])
            }
            _ => None,
        };
        let (cost, length) = self.cost(logged, &snapshot, &again, &then, &now);
        let group = match by {
            Some(By::Route) => &logged.route,
            Some(By::Backend) => logged.choice(),
            Some(By::Category) => &logged.category,
            Some(By::Key | By::Day) | None => "",
        };
        Ok(Weighed {
            request_id: logged.request_id.clone(),
            group: if by.is_some() && group.is_empty() { "-".to_owned() } else { group.to_owned() },
            category: logged.category.clone(),
            then,
            now,
            cost: [logged.cost_usd.unwrap_or(0.0), cost],
            quality,
            length,
            score: logged.score,
            unheard: again.unheard,
            drawn: logged.propensity.is_some_and(|propensity| propensity < 1.0),
            outage: logged.reasons.split(',').any(|code| code == "candidate_unavailable"),
        })
    }

    /// Every backend can be called. `offers`: what was foreseen at the time.
    pub fn decide(&self, snapshot: &Snapshot, offers: &[Offer]) -> Result<Again, Unfit> {
        let target = route::resolve(&self.config, &snapshot.model);
        let target = target.ok_or_else(|| Unfit::Model(snapshot.model.clone()))?;
        let mut judgement = self.judgement(snapshot, offers)?;
        let features = snapshot.features();
        if let Some(code) = guard::enforce(&self.config, &judgement).outcome.stops() {
            return Ok(Again { judgement, decision: Err(code), unheard: false });
        }
        let opinions = std::mem::take(&mut judgement.opinions);
        let decide =
            |judgement: &Judgement| route::decide(&self.config, target, &features, judgement, &|_| Availability::Ready);
        let mut decision = decide(&judgement);
        let mut unheard = false;
        if matches!(target, Target::Virtual(_)) {
            let asks = |role: &str, judgement: &Judgement, decision: &Decision| {
                let enabled = self.config.minds.get(role).is_some_and(|mind| mind.enabled);
                let roles = std::iter::once(role).filter(|_| enabled);
                !route::asked(&self.config, roles, &features, judgement, decision).is_empty()
            };
            // Those on one base were asked together, before any of them had spoken.
            let mut stages = vec![(judgement.clone(), decision.clone())];
            let heard: Vec<Arc<str>> = opinions.iter().map(|opinion| Arc::clone(&opinion.role)).collect();
            for opinion in opinions {
                if stages.iter().any(|(judgement, decision)| asks(&opinion.role, judgement, decision)) {
                    judgement.opinions.push(opinion);
                    decision = decide(&judgement);
                    stages.push((judgement.clone(), decision.clone()));
                }
            }
            let silent = self.decoders().filter(|role| !heard.iter().any(|heard| **heard == **role));
            unheard = silent.into_iter().any(|role| asks(role, &judgement, &decision));
        }
        Ok(Again { judgement, decision: Ok(decision), unheard })
    }

    fn decoders(&self) -> impl Iterator<Item = &str> {
        let minds = self.config.minds.iter().filter(|(_, mind)| mind.enabled).map(|(role, _)| role.as_str());
        minds.filter(|role| !ROLES.contains(role) && *role != FORESEES)
    }

    /// What was said, as this configuration hears it.
    fn judgement(&self, snapshot: &Snapshot, offers: &[Offer]) -> Result<Judgement, Unfit> {
        let mut judgement = snapshot.judgement.clone();
        let names = judgement.names.clone();
        self.hear("brain", &names.intent, &mut judgement.intent)?;
        self.hear("jailbreak", &names.jailbreak, &mut judgement.jailbreak)?;
        self.hear("pii", &names.pii, &mut judgement.pii)?;
        self.hear("similarity", &names.embedding, &mut judgement.embedding)?;
        if matches!(judgement.jailbreak, Given::Off) {
            judgement.harm = Given::Off;
        }
        let points = &self.points;
        if let (Given::Verdict(verdict), Some(threshold)) = (&mut judgement.jailbreak, points.jailbreak) {
            verdict.threshold = threshold;
        }
        if let (Given::Verdict(verdict), Some(threshold)) = (&mut judgement.harm, points.harm) {
            verdict.threshold = threshold;
        }
        if let (Given::Verdict(spans), Some(threshold)) = (&mut judgement.pii, points.pii) {
            spans.retain(|span| span.score >= threshold);
        }
        if let Given::Verdict(embedding) = &mut judgement.embedding {
            embedding.threshold = points.similarity.unwrap_or(embedding.threshold);
            if let Some(meanings) = &self.meanings {
                compare(embedding, meanings);
            }
        }
        self.foresee(&mut judgement, &snapshot.counts, offers)?;
        Ok(judgement)
    }

    /// A mind that is off says nothing; another one might have said something else.
    fn hear<T>(&self, role: &'static str, read_by: &str, given: &mut Given<T>) -> Result<(), Unfit> {
        match self.config.minds.get(role).filter(|mind| mind.enabled) {
            None => *given = Given::Off,
            Some(_) if matches!(given, Given::Off) => return Err(Unfit::Unread(role)),
            Some(mind) if !read_by.is_empty() && read_by != mind.model => return Err(Unfit::OtherMind(role)),
            Some(_) => {}
        }
        Ok(())
    }

    fn foresee(&self, judgement: &mut Judgement, counts: &[f32], offers: &[Offer]) -> Result<(), Unfit> {
        let Some(quality) = &self.quality else { return Ok(()) };
        let counts = counts.try_into().map_err(|_| Unfit::Unreadable)?;
        judgement.foresight = quality.foresee_again(counts, judgement);
        let models = judgement.foresight.iter_mut().flat_map(|foresight| &mut foresight.models);
        for seen in models {
            let is_its = |offer: &&Offer| spelled(self.config.measured_as(&offer.backend)) == *seen.model;
            if let Some(before) = offers.iter().find(is_its).and_then(|offer| offer.quality)
                && (f64::from(seen.quality) - before).abs() < SAME
            {
                seen.quality = before as f32;
            }
        }
        Ok(())
    }

    /// What is foreseen of both, where both are known: by one predictor, so that they compare.
    fn qualities(&self, snapshot: &Snapshot, judgement: &Judgement, names: &[BackendName; 2]) -> Option<[f64; 2]> {
        let known = route::qualities(&self.config, &snapshot.features(), judgement, names);
        Some([*known.first()?, *known.get(1)?]).and_then(|[then, now]| Some([then?, now?]))
    }

    /// What it would cost, and what that rests on.
    fn cost(&self, logged: &Logged, snapshot: &Snapshot, again: &Again, then: &Fate, now: &Fate) -> (f64, Length) {
        let Fate::Backend(name) = now else { return (0.0, Length::Logged) };
        let stays = then == now;
        // The same one would fail it, or answer in its place.
        let answering =
            Some(&logged.backend).filter(|answering| stays && self.config.backends.contains_key(*answering));
        let Some(backend) = self.config.backends.get(answering.unwrap_or(name)) else { return (0.0, Length::Unknown) };
        match (logged.usage, then) {
            (Some(usage), _) if stays => {
                let cost = backend.price.cost(usage.prompt, usage.cached, usage.completion);
                (cost + logged.discarded_usd.unwrap_or(0.0), Length::Logged)
            }
            (Some(usage), _) => {
                let foreseen = self.length(again, name).map(|tokens| {
                    let most = snapshot.max_output_tokens.unwrap_or(u64::MAX);
                    (tokens.round() as u64).min(most)
                });
                let length = if foreseen.is_some() { Length::Foreseen } else { Length::Logged };
                (backend.price.cost(usage.prompt, usage.cached, foreseen.unwrap_or(usage.completion)), length)
            }
            (None, Fate::Backend(_)) => (if stays { logged.cost_usd.unwrap_or(0.0) } else { 0.0 }, Length::Unknown),
            (None, Fate::Stopped(_) | Fate::Unable(_)) => {
                let candidates = again.decision.iter().flat_map(|decision| &decision.candidates);
                let chosen = candidates.into_iter().find(|candidate| candidate.backend == *name);
                (chosen.map_or(0.0, |candidate| candidate.predicted_cost_usd), Length::Predicted)
            }
        }
    }

    /// Tokens of this backend's answer, where a mind foresees them.
    fn length(&self, again: &Again, backend: &str) -> Option<f32> {
        again.judgement.foresight.as_ref()?.of(self.config.measured_as(backend))?.output_tokens
    }
}

impl Again {
    fn fate(&self) -> Fate {
        match &self.decision {
            Err(code) => Fate::Stopped((*code).to_owned()),
            Ok(decision) => match (decision.order.first(), decision.unable) {
                (Some(backend), None) => Fate::Backend(backend.clone()),
                (_, unable) => Fate::Unable(unable.map_or_else(String::new, |unable| unable.code().to_owned())),
            },
        }
    }
}

impl Points {
    /// The configuration's, else as the minds ship.
    fn of(config: &Config) -> Result<Self, LoadError> {
        let plays = |role: &str| config.minds.get(role).filter(|mind| mind.enabled);
        let shipped = |mind: &Mind| -> Result<Manifest, LoadError> {
            Ok(Folder::open(&config.models_dir, &mind.model)?.manifest)
        };
        let mut points = Self::default();
        if let Some(mind) = plays("jailbreak") {
            let manifest = shipped(mind)?;
            points.jailbreak = mind.threshold.or_else(|| Some(manifest.threshold()));
            points.harm = mind.harm_threshold.or_else(|| manifest.thresholds.get("harm").copied()).or(Some(0.5));
        }
        // What was below the point at the time was not kept.
        points.pii = plays("pii").and_then(|mind| mind.threshold);
        if let Some(mind) = plays("similarity") {
            points.similarity = mind.threshold.or(Some(shipped(mind)?.threshold()));
        }
        Ok(points)
    }
}

/// What was kept, or why there is nothing to go by.
pub fn kept(logged: &Logged) -> Result<(Snapshot, Vec<Offer>), Unfit> {
    let Some(seen) = &logged.seen else {
        return Err(if logged.choice().is_empty() { Unfit::Unweighed } else { Unfit::NoFeatures });
    };
    let snapshot = Snapshot::read(&seen.snapshot, seen.embedding.as_deref()).map_err(|_| Unfit::Unreadable)?;
    let offers = serde_json::from_str(&seen.offers).map_err(|_| Unfit::Unreadable)?;
    Ok((snapshot, offers))
}

/// What became of it.
fn fate(logged: &Logged) -> Result<Fate, Unfit> {
    if !logged.choice().is_empty() {
        return Ok(Fate::Backend(logged.choice().to_owned()));
    }
    let code = logged.reasons.rsplit(',').next().unwrap_or_default();
    match code {
        "no_backend_available" | "overloaded" => Err(Unfit::Outage),
        "harm_detected" | "jailbreak_detected" | "pii_detected" | "guard_unavailable" => {
            Ok(Fate::Stopped(code.to_owned()))
        }
        code => Ok(Fate::Unable(code.to_owned())),
    }
}

/// How alike the request is to each exemplar; an exemplar that was there before is as alike as it was.
fn compare(embedding: &mut Embedding, meanings: &[(String, Vec<Arc<[f32]>>)]) {
    let before = std::mem::take(&mut embedding.similar_to);
    let cosine = |text: &Arc<[f32]>| text.iter().zip(&*embedding.vector).map(|(a, b)| a * b).sum::<f32>();
    let alike = meanings.iter().map(|(name, texts)| {
        let now = texts.iter().map(cosine).fold(-1.0, f32::max);
        let before = before.iter().find(|(known, _)| known == name).map(|(_, cosine)| *cosine);
        (name.clone(), before.filter(|before| f64::from((before - now).abs()) < SAME).unwrap_or(now))
    });
    embedding.similar_to = alike.collect();
}

/// Has the similarity mind read the exemplars.
async fn meanings(config: &Config) -> Result<Meanings, LoadError> {
    let mind = config.minds.get("similarity").cloned().unwrap_or_default();
    let alone = BTreeMap::from([("similarity".to_owned(), Mind { deadline: PATIENCE, ..mind })]);
    let folders = config.folders();
    let minds = Minds::open_with_cache(&folders, &alone, &BTreeMap::new(), 0)?;
    let mut meanings = Meanings::new();
    for (name, exemplar) in &config.exemplars {
        let mut texts = Vec::new();
        for text in &exemplar.texts {
            let input = Input { parts: vec![Part::alone(text.as_str())], not_text: false };
            let given = minds.judge(input).await.embedding;
            let fault = |message: String| LoadError::Exemplar { name: name.clone(), message };
            texts.push(given.known().map_err(fault)?.vector.clone());
        }
        meanings.push((name.clone(), texts));
    }
    Ok(meanings)
}

#[cfg(test)]
mod tests;
