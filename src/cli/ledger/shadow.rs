//! `mom ledger --shadow`: where the second policy would have sent requests.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::Failure;
use crate::ledger::{Elsewhere, Shadows, Store};

pub(super) fn run(store: &Store, since: SystemTime, as_json: bool) -> Result<ExitCode, Failure> {
    let shadows = store.shadows(since)?;
    if shadows.pairs.is_empty() {
        return Err(Failure::new("no shadow has decided in that time; [shadow] in the configuration names one"));
    }
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json(&shadows))?;
    } else {
        write(&mut out, &shadows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn sums(shadows: &Shadows) -> (Elsewhere, Elsewhere) {
    let (mut all, mut elsewhere) = (Elsewhere::default(), Elsewhere::default());
    for ((live, shadow), pair) in &shadows.pairs {
        all.add(pair);
        if live != shadow {
            elsewhere.add(pair);
        }
    }
    (all, elsewhere)
}

fn write(out: &mut impl Write, shadows: &Shadows) -> io::Result<()> {
    let (all, elsewhere) = sums(shadows);
    let share = 100.0 * elsewhere.requests as f64 / all.requests as f64;
    writeln!(
        out,
        "{} requests decided twice; the shadow would have sent {} elsewhere ({share:.1} %)\n",
        all.requests, elsewhere.requests
    )?;
    writeln!(
        out,
        "{:<20} {:<20} {:>8} {:>12} {:>12} {:>9} {:>9}",
        "LIVE", "SHADOW", "REQUESTS", "USD LIVE", "USD SHADOW", "Q LIVE", "Q SHADOW"
    )?;
    let named = |name: &str| if name.is_empty() { "(none)".to_owned() } else { name.to_owned() };
    let mut row = |live: &str, shadow: &str, pair: &Elsewhere| {
        let [before, after] = pair.cost_usd;
        let quality =
            |at: usize| pair.mean_quality().map_or_else(|| "-".to_owned(), |means| format!("{:.4}", means[at]));
        writeln!(
            out,
            "{live:<20} {shadow:<20} {:>8} {before:>12.6} {after:>12.6} {:>9} {:>9}",
            pair.requests,
            quality(0),
            quality(1)
        )
    };
    for ((live, shadow), pair) in &shadows.pairs {
        row(&named(live), &named(shadow), pair)?;
    }
    row("all", "", &all)?;
    writeln!(out, "\nCosts and qualities are predictions, each by its own configuration.")?;
    let unknown = [(all.requests - all.priced, "cost"), (all.requests - all.foreseen, "quality")];
    for (count, what) in unknown.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "{count} have no predicted {what} on one side, and count for nothing there.")?;
    }
    if shadows.versions.len() > 1 {
        writeln!(out, "{} versions of the shadow's policy are added up here.", shadows.versions.len())?;
    }
    Ok(())
}

fn json(shadows: &Shadows) -> Value {
    let (all, elsewhere) = sums(shadows);
    let told = |pair: &Elsewhere| {
        let means = pair.mean_quality();
        json!({
            "requests": pair.requests, "priced": pair.priced, "foreseen": pair.foreseen,
            "cost_usd": {"live": pair.cost_usd[0], "shadow": pair.cost_usd[1]},
            "quality": {"live": means.map(|means| means[0]), "shadow": means.map(|means| means[1])},
        })
    };
    let pairs = shadows.pairs.iter().map(|((live, shadow), pair)| {
        let mut told = told(pair);
        told["live"] = live.as_str().into();
        told["shadow"] = shadow.as_str().into();
        told
    });
    json!({
        "all": told(&all), "elsewhere": told(&elsewhere), "pairs": pairs.collect::<Vec<_>>(),
        "policy_versions": shadows.versions,
    })
}
