//! `mom ledger --learning`: what routes have learnt from feedback, and whether they act on it.

use std::io::{self, Write};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::cli::Failure;
use crate::gateway::learning::{Standing, state_name};
use crate::ledger::Store;

pub(super) fn run(out: &mut impl Write, store: &Store, since: SystemTime, as_json: bool) -> Result<(), Failure> {
    let heard = store.feedback_by_source(since)?;
    let states = store.states(&state_name(""))?;
    let routes: Vec<(&str, Standing)> = (states.iter())
        .filter_map(|(name, json)| Some((name.strip_prefix(&state_name(""))?, Standing::read(json)?)))
        .collect();
    if as_json {
        let heard: Map<String, Value> =
            heard.iter().map(|(source, n, mean)| (source.clone(), json!({"n": n, "mean_score": mean}))).collect();
        let routes: Map<String, Value> = routes.iter().map(|(route, at)| ((*route).to_owned(), json!(at))).collect();
        return Ok(writeln!(out, "{}", json!({"feedback": heard, "routes": routes}))?);
    }
    if heard.is_empty() {
        writeln!(out, "no feedback was heard")?;
    }
    for (source, n, mean) in &heard {
        writeln!(out, "{source:<16} {n:>8} times, mean score {mean:.3}")?;
    }
    for (route, at) in &routes {
        tell(out, route, at)?;
    }
    if routes.is_empty() {
        writeln!(out, "no route has learnt anything: `learn` in a route opts in")?;
    }
    Ok(())
}

fn tell(out: &mut impl Write, route: &str, at: &Standing) -> io::Result<()> {
    let does = if at.acts { "acts on what it has learnt" } else { "does as it is configured" };
    writeln!(
        out,
        "\nroute {route} {does} (policy {}): of {} requests {} have a score, {:.0} in effect where the policies differ;\n\
         what it has learnt is worth {:+.4} a request more than what is configured (95 %: {:+.4} to {:+.4}), in qualities",
        at.policy_version, at.n, at.scored, at.ess, at.difference, at.ci95.0, at.ci95.1
    )
}
