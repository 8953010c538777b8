//! What asking decoder minds costs: one question, two at once, memory of a second mind on the
//! same base, and what all that does to the flash minds beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::load::{Sample, Stack, several, text};
use super::report::{Measure, Unit};
use super::texts::Texts;
use super::{Plan, SHORT, timed_alone};
use crate::bench::host::Memory;
use crate::config::Mind;
use crate::minds::{Folder, Input, LoadError, Minds, Part};

/// Questions before anything counts.
const WARM_UP: usize = 3;

/// Longest that one question to a small and to a large base may take, in milliseconds.
const TARGETS: [f64; 2] = [50.0, 100.0];

/// Beside a decoder the flash minds keep their own targets.
const FLASH: [f64; 2] = [3.0, 8.0];

/// Decoder minds on one base, by role.
struct Family {
    base: String,
    minds: BTreeMap<String, Mind>,
}

/// Measures every base that the plan's decoders stand on; `flash` answers beside them.
pub(super) async fn rows(
    plan: &Plan,
    flash: &Stack,
    texts: &Arc<Mutex<Texts>>,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Measure>, LoadError> {
    let mut measures = Vec::new();
    for (family, target) in families(plan)?.into_iter().zip(TARGETS.into_iter().chain([TARGETS[1]]).cycle()) {
        progress(&format!("decoders on {}", family.base));
        measures.extend(family.rows(plan, flash, texts, target).await?);
    }
    Ok(measures)
}

/// By base, small ones first.
fn families(plan: &Plan) -> Result<Vec<Family>, LoadError> {
    let mut families: Vec<(usize, Family)> = Vec::new();
    for (role, mind) in &plan.decoders {
        let manifest = Folder::open(&plan.folders.models_dir, &mind.model)?.manifest;
        let Some(stand) = manifest.decoder else { continue };
        let bytes = std::fs::metadata(plan.folders.bases_dir.join(&stand.base).join("decide.onnx.data"));
        let one = (role.clone(), mind.clone());
        match families.iter_mut().find(|(_, family)| family.base == stand.base) {
            Some((_, family)) => drop(family.minds.insert(one.0, one.1)),
            None => {
                let size = bytes.map_or(0, |file| file.len() as usize);
                families.push((size, Family { base: stand.base, minds: BTreeMap::from([one]) }));
            }
        }
    }
    families.sort_by_key(|(bytes, _)| *bytes);
    Ok(families.into_iter().map(|(_, family)| family).collect())
}

impl Family {
    async fn rows(
        &self,
        plan: &Plan,
        flash: &Stack,
        texts: &Arc<Mutex<Texts>>,
        target: f64,
    ) -> Result<Vec<Measure>, LoadError> {
        let base = &self.base;
        let before = Memory::of("self");
        let first = self.minds.iter().take(1).map(|(role, mind)| (role.clone(), mind.clone())).collect();
        drop(open(plan, &first)?);
        // What the library keeps for later is there now; from here on it counts once.
        let minds = open(plan, &first)?;
        let with_one = Memory::of("self");
        drop(minds);
        let minds = open(plan, &self.minds)?;
        let with_all = Memory::of("self");
        let roles: Arc<[String]> = self.minds.keys().cloned().collect();
        let asker = Asker { minds, roles };
        asker.in_turn(texts, Duration::ZERO, WARM_UP).await;
        let alone = asker.in_turn(texts, plan.row / 2, WARM_UP).await;
        let pairs = asker.pairs(texts, plan.row / 2).await;
        let (beside, _) = tokio::join!(
            flash.in_turn(texts, SHORT, Instant::now() + plan.row / 2, 1),
            asker.in_turn(texts, plan.row / 2, 1),
        );
        let key = |what: &str| format!("{base}_{what}");
        let megabytes = |a: Option<Memory>, b: Option<Memory>| {
            a.zip(b).map_or(f64::NAN, |(a, b)| (b.resident as f64 - a.resident as f64) / 1e6)
        };
        let row = |what: &str, title: &str, share: f64, sample: &Sample| {
            timed_alone(key(what), &format!("{base}: {title}"), share, sample)
        };
        Ok(vec![
            row("short_p50_ms", "32 tokens, one question, p50", 0.5, &alone).target(target),
            row("short_p99_ms", "32 tokens, one question, p99", 0.99, &alone),
            row("pair_p50_ms", "two questions at once, both answered, p50", 0.5, &pairs),
            Measure::new(
                key("mb"),
                format!("{base}: memory of the first mind"),
                Unit::Megabytes,
                megabytes(before, with_one),
            ),
            Measure::new(
                key("more_mb"),
                format!("{base}: memory of {} more on it", self.minds.len() - 1),
                Unit::Megabytes,
                megabytes(with_one, with_all),
            ),
            row("flash_p50_ms", "flash minds beside it, 32 tokens, p50", 0.5, &beside).target(FLASH[0]),
            row("flash_p99_ms", "flash minds beside it, 32 tokens, p99", 0.99, &beside).target(FLASH[1]),
        ])
    }
}

/// These decoders and the mind whose word they weigh; nothing is remembered.
fn open(plan: &Plan, decoders: &BTreeMap<String, Mind>) -> Result<Minds, LoadError> {
    let brain = plan.minds.iter().filter(|(role, _)| *role == "brain");
    let minds = brain.chain(decoders).map(|(role, mind)| (role.clone(), mind.clone())).collect();
    Minds::open_with_cache(&plan.folders, &minds, &BTreeMap::new(), 0)
}

/// Asks the decoders, and only them: the flash minds' part is not timed.
#[derive(Clone)]
struct Asker {
    minds: Minds,
    roles: Arc<[String]>,
}

impl Asker {
    async fn ask(&self, text: &str) -> (Duration, bool) {
        let input = Arc::new(Input { parts: vec![Part::alone(text)], not_text: false });
        let judgement = self.minds.judge(Arc::clone(&input)).await;
        let roles: Vec<&str> = self.roles.iter().map(String::as_str).collect();
        let started = Instant::now();
        let said = self.minds.consult(&roles, &input, &judgement).await;
        (started.elapsed(), said.len() == roles.len() && said.iter().all(|opinion| opinion.said.verdict().is_some()))
    }

    async fn in_turn(&self, texts: &Mutex<Texts>, time: Duration, least: usize) -> Sample {
        let (mut sample, started) = (Sample::default(), Instant::now());
        while sample.times.len() < least || started.elapsed() < time {
            let (took, complete) = self.ask(&text(texts, SHORT)).await;
            sample.times.push(took);
            sample.incomplete += usize::from(!complete);
        }
        sample.elapsed = started.elapsed();
        sample
    }

    /// Two different questions at once, again and again: the time until both are answered.
    async fn pairs(&self, texts: &Mutex<Texts>, time: Duration) -> Sample {
        let (mut sample, started) = (Sample::default(), Instant::now());
        while sample.times.is_empty() || started.elapsed() < time {
            let mut running = JoinSet::new();
            let pair = several(texts, SHORT, 2);
            for index in 0..pair.len() {
                let (asker, pair) = (self.clone(), Arc::clone(&pair));
                running.spawn(async move { asker.ask(&pair[index]).await });
            }
            let (mut longest, mut complete) = (Duration::ZERO, true);
            while let Some(done) = running.join_next().await {
                let (took, whole) = done.unwrap_or_default();
                longest = longest.max(took);
                complete &= whole;
            }
            sample.times.push(longest);
            sample.incomplete += usize::from(!complete);
        }
        sample.elapsed = started.elapsed();
        sample
    }
}
