//! Routes that learn: the ledger is read now and then, what was heard becomes what each backend is worth, and the routes'
//! choices follow it once that is proven to pay. Until then they are as configured, but for the share that explores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Learn, Route};
use crate::learn::bandit::{Bandit, Context, Offer, explore};
use crate::learn::lessons::{Lesson, learn};
use crate::ledger::{self, LedgerError, Store};
use crate::minds::Judgement;
use crate::route::{self, Decision, Features, Snapshot};
use crate::telemetry::{Book, Note};

/// Most requests of a route that are learnt from; older ones are forgotten by then.
const REMEMBERED: usize = 20_000;

/// The question whether acting pays is asked again when so much is new, as a share of what spoke the last time: an interval that
/// is looked at after every word would sooner or later say yes.
const MORE: f64 = 0.2;

/// All routes that learn.
#[derive(Debug)]
pub struct Learning {
    path: PathBuf,
    routes: BTreeMap<String, Class>,
}

/// One of them.
#[derive(Debug)]
struct Class {
    learn: Learn,
    worth_usd: f64,
    known: RwLock<Arc<Known>>,
}

/// What is known of it.
#[derive(Clone, Debug, Default)]
struct Known {
    bandit: Bandit,
    standing: Standing,
    /// Newest feedback that was read.
    heard: i64,
}

/// Whether it acts on what it has learnt, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    pub acts: bool,
    /// The configuration that this was proven for.
    pub policy_version: String,
    /// What had been heard when it was last asked whether acting pays.
    pub heard: i64,
    /// Requests that were judged, and those of them with a score.
    pub n: usize,
    pub scored: usize,
    pub ess: f64,
    /// How much more the learned policy is worth than the configured one, in qualities, and its 95 % interval.
    pub difference: f64,
    pub ci95: (f64, f64),
}

/// As the ledger keeps it.
#[derive(Serialize, Deserialize)]
struct Kept {
    standing: Standing,
    bandit: String,
}

/// Name of a route's state in the ledger.
pub fn state_name(route: &str) -> String {
    format!("learn/{route}")
}

impl Standing {
    /// Of what the ledger keeps of a route.
    pub fn read(json: &str) -> Option<Self> {
        serde_json::from_str::<Kept>(json).ok().map(|kept| kept.standing)
    }
}

impl Learning {
    /// `None` where no route learns. What was learnt before is read from the ledger.
    pub fn open(config: &Config) -> Result<Option<Self>, LedgerError> {
        let Some(ledger) = &config.ledger else { return Ok(None) };
        let mut routes = BTreeMap::new();
        for route in &config.routes {
            if let (Some(learn), Some(worth_usd)) = (&route.learn, route.policy.worth_usd) {
                let known = RwLock::new(Arc::new(Known::restore(&ledger.path, config, route)?));
                routes.insert(route.name.clone(), Class { learn: learn.clone(), worth_usd, known });
            }
        }
        Ok((!routes.is_empty()).then(|| Self { path: ledger.path.clone(), routes }))
    }

    /// What a route has learnt, and the lot, change a decision; `draw` is a random number from 0 to below 1. A conversation
    /// that stays for what its backend has read is left alone.
    pub fn steer(
        &self,
        config: &Config,
        features: &Features<'_>,
        judgement: &Judgement,
        decision: &mut Decision,
        draw: f64,
    ) {
        let Some(class) = self.routes.get(&decision.route) else { return };
        let offers: Vec<route::Offer> = decision.offers(config).into_iter().filter(|offer| offer.eligible).collect();
        let Some(base) = offers.iter().position(|offer| offer.base) else { return };
        if offers.len() < 2 || decision.reasons.contains(&"conversation_kept") {
            return;
        }
        let known = class.known();
        let context = context(features, judgement);
        let arms: Vec<Offer> = offers.iter().map(|offer| arm(config, offer)).collect();
        let learned = known.bandit.best(&context, &arms, class.worth_usd).filter(|_| known.standing.acts);
        let draw = explore(learned.unwrap_or(base), offers.len(), class.learn.explore, draw);
        for (offer, arm) in offers.iter().zip(&arms).filter(|(_, arm)| known.bandit.scores(&arm.arm) > 0) {
            let quality = known.bandit.quality(&context, &arm.arm, arm.predicted);
            decision.learned(&offer.backend, quality);
        }
        let code = match (draw.explored, learned) {
            (true, _) => "explored",
            (false, Some(best)) if best != base => "learned",
            (false, _) => "",
        };
        decision.take(&offers[draw.taken].backend, draw.propensity, code);
    }

    /// Learns until `stop` comes.
    pub async fn study(self: Arc<Self>, config: Config, book: Book, stop: CancellationToken) {
        let every = self.routes.values().map(|class| class.learn.every).min().unwrap_or(Duration::from_secs(30));
        let config = Arc::new(config);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            let (learning, config, book) = (Arc::clone(&self), Arc::clone(&config), book.clone());
            let read = tokio::task::spawn_blocking(move || learning.read(&config, &book));
            match read.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the ledger cannot be learnt from now; it is tried again"),
                Err(error) => tracing::error!(%error, "learning stopped in the middle; it is tried again"),
            }
        }
    }

    /// Reads the ledger where it has something new to say.
    fn read(&self, config: &Config, book: &Book) -> Result<(), LedgerError> {
        let store = Store::open_existing(&self.path)?;
        let heard = store.heard()?;
        for (route, class) in &self.routes {
            let known = class.known();
            if heard == known.heard {
                continue;
            }
            let lessons = store.lessons(route, REMEMBERED)?;
            let lessons: Vec<Lesson> = lessons.iter().filter_map(|lesson| read(config, lesson)).collect();
            let learned = learn(&lessons, class.worth_usd);
            let standing = known.standing.after(&config.policy_version, heard, &learned.verdict);
            if standing.acts != known.standing.acts {
                let (acts, difference, ci95) = (standing.acts, standing.difference, standing.ci95);
                tracing::info!(
                    route,
                    acts,
                    difference,
                    ?ci95,
                    "whether a route acts on what it has learnt has changed"
                );
            }
            let kept = Kept { standing: standing.clone(), bandit: learned.bandit.to_json() };
            let json = serde_json::to_string(&kept).unwrap_or_default();
            book.enter(Note::State { name: state_name(route), json });
            *class.known.write().unwrap_or_else(PoisonError::into_inner) =
                Arc::new(Known { bandit: learned.bandit, standing, heard });
        }
        Ok(())
    }
}

impl Class {
    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn restore(path: &Path, config: &Config, route: &Route) -> Result<Self, LedgerError> {
        let Some(json) = Store::open(path)?.state(&state_name(&route.name))? else { return Ok(Self::default()) };
        let Ok(kept) = serde_json::from_str::<Kept>(&json) else { return Ok(Self::default()) };
        let arms: Vec<String> = route.candidates.iter().map(|name| arm_name(config, name)).collect();
        let arms: Vec<&str> = arms.iter().map(String::as_str).collect();
        // What was proven for another configuration is not for this one.
        let proven = kept.standing.policy_version == config.policy_version;
        let standing = if proven { kept.standing } else { Standing::default() };
        Ok(Self { bandit: Bandit::restore(&kept.bandit, &arms), standing, heard: 0 })
    }
}

impl Standing {
    /// With the verdict on what is known now.
    fn after(&self, policy_version: &str, heard: i64, verdict: &crate::learn::ope::Verdict) -> Self {
        let new = heard - self.heard;
        let asked = self.policy_version == policy_version && new >= 0 && (new as f64) < self.scored as f64 * MORE;
        // An alarm is never too early.
        if asked && !(self.acts && verdict.worse) {
            return self.clone();
        }
        Self {
            acts: if self.acts { !verdict.worse } else { verdict.better },
            policy_version: policy_version.to_owned(),
            heard,
            n: verdict.n,
            scored: verdict.scored,
            ess: verdict.ess,
            difference: verdict.difference,
            ci95: verdict.ci95,
        }
    }
}

fn context(features: &Features<'_>, judgement: &Judgement) -> Context {
    let reading = judgement.reading();
    let intent = reading.verdict();
    let categories = intent.into_iter().flat_map(|intent| intent.labels.iter().zip(&intent.scores));
    let categories = categories.map(|(label, p)| (label.as_str(), *p));
    Context::new(features.prompt_tokens, intent.and_then(|intent| intent.complexity), categories, features.tools)
}

/// Another model under the same backend's name is another arm.
fn arm_name(config: &Config, backend: &str) -> String {
    format!("{backend}={}", config.upstream_model(backend))
}

fn arm(config: &Config, offer: &route::Offer) -> Offer {
    Offer { arm: arm_name(config, &offer.backend), predicted: offer.quality, cost_usd: offer.cost_usd }
}

/// `None` where it teaches nothing: there was no choice, or what was kept is of no use any more.
fn read(config: &Config, lesson: &ledger::Lesson) -> Option<Lesson> {
    if lesson.reasons.contains("conversation_kept") {
        return None;
    }
    let snapshot = Snapshot::read(&lesson.snapshot, None).ok()?;
    let offers: Vec<route::Offer> = serde_json::from_str(&lesson.offers).ok()?;
    let offers: Vec<route::Offer> = offers.into_iter().filter(|offer| offer.eligible).collect();
    let answered = lesson.backend == lesson.chosen;
    Some(Lesson {
        request_id: lesson.request_id.clone(),
        context: context(&snapshot.features(), &snapshot.judgement),
        base: offers.iter().position(|offer| offer.base)?,
        chosen: offers.iter().position(|offer| offer.backend == lesson.chosen)?,
        offers: offers.iter().map(|offer| arm(config, offer)).collect(),
        propensity: lesson.propensity,
        current: lesson.policy_version == config.policy_version,
        // Of a fallback's answer it says nothing about who was chosen, but that this one failed.
        said: lesson.said.filter(|_| answered),
        sign: lesson.sign,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::ope::Verdict;

    #[test]
    fn it_acts_once_that_is_proven_and_stops_when_it_is_disproven() {
        let verdict =
            |scored: usize, better: bool, worse: bool| Verdict { scored, better, worse, ..Verdict::default() };
        let unproven = Standing::default().after("1", 100, &verdict(100, false, false));
        assert!(!unproven.acts);
        // A little more is no reason to look again.
        assert!(!unproven.after("1", 110, &verdict(110, true, false)).acts);
        let acting = unproven.after("1", 120, &verdict(120, true, false));
        assert!(acting.acts);
        assert!(acting.after("1", 500, &verdict(500, false, false)).acts, "neither better nor worse");
        assert!(!acting.after("1", 121, &verdict(121, false, true)).acts, "an alarm does not wait");
        assert!(!Standing::default().after("2", 121, &verdict(121, false, false)).acts);
        // Where as many are forgotten as come, it is asked all the same.
        assert!(unproven.after("1", 120, &verdict(100, true, false)).acts);
    }
}
