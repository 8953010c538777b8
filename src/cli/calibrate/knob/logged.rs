//! Prompts for the knob out of a ledger: what was asked, what it cost, and what clients said of the answers.

use std::path::Path;

use super::super::super::progress::{self, LOADING, Progress};
use super::super::super::{Failure, judging};
use super::Known;
use crate::config::Config;
use crate::gateway::replay::{Replay, kept};
use crate::learn::knob::{Offer, Prompt};
use crate::ledger::{Logged, Store, Window};

/// Requests that are in memory at once, beside what is kept of them.
const TOGETHER: usize = 1024;

/// The logged requests of a route. `alone`: a configuration with that route only.
pub(super) fn prompts(path: &Path, window: &Window, alone: Config, names: &[String]) -> Result<Known, Failure> {
    let store = Store::open_existing(path)?;
    let runtime = judging::runtime()?;
    let opened = progress::during(LOADING, || runtime.block_on(Replay::open(alone)));
    let replay = opened.map_err(|error| Failure::config(error.to_string()))?;
    let route = replay.config().routes.last().map(|route| route.name.clone()).unwrap_or_default();
    let mut known = Known { heard: Some(0), ..Known::default() };
    let mut progress = Progress::new("requests");
    store.logged(window, TOGETHER, |requests| {
        for logged in requests.iter().filter(|logged| logged.route == route) {
            progress.step();
            known.total += 1;
            if let Some(prompt) = prompt(&replay, logged, names) {
                known.prompts.push(prompt);
                let said = logged.score.is_some() && names.contains(&logged.backend);
                known.heard = known.heard.map(|heard| heard + usize::from(said));
            }
        }
    })?;
    progress.finish();
    match known.total {
        0 => Err(Failure::new(format!("{}: no request was logged on the route {route} in that time", path.display()))),
        _ => Ok(known),
    }
}

/// What each candidate is foreseen to do. What came of it is what clients said of the one that answered, and what is
/// foreseen of the others.
fn prompt(replay: &Replay, logged: &Logged, names: &[String]) -> Option<Prompt> {
    let (snapshot, before) = kept(logged).ok()?;
    let again = replay.decide(&snapshot, &before).ok()?;
    let (decision, usage) = (again.decision.ok()?, logged.usage?);
    let offer = |name: &String| {
        let candidate = decision.candidates.iter().find(|candidate| candidate.backend == *name)?;
        let quality = candidate.predicted_quality?;
        let price = replay.config().backends.get(name)?.price;
        Some(Offer {
            quality,
            cost: candidate.predicted_cost_usd,
            outcome: logged.score.filter(|_| logged.backend == *name).unwrap_or(quality),
            paid: price.cost(usage.prompt, usage.cached, usage.completion),
        })
    };
    let offers = names.iter().map(offer).collect::<Option<Vec<Offer>>>()?;
    // The first count is the logarithm of the characters.
    let length = snapshot.counts.first().map_or(0.0, |characters| f64::from(characters.exp_m1()));
    Some(Prompt { offers, length })
}
