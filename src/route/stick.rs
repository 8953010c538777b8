//! Whether a conversation stays with the backend that has read its beginning: it does while that one's prompt cache
//! saves more than the backend that would be chosen otherwise wins.

use serde::Serialize;

use super::Held;
use super::select::{Candidate, to_a_billionth};
use crate::config::{BackendName, Config, Policy};

/// The sum that was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conversation {
    /// Whom it is with.
    pub backend: BackendName,
    /// Tokens that this one has read before.
    pub cached_tokens: u64,
    /// What that saves on this request.
    #[serde(serialize_with = "to_a_billionth")]
    pub saving_usd: f64,
    /// Who would be chosen if nothing were kept.
    pub otherwise: BackendName,
    /// What that one wins: its lower cost, and its better answer where `worth_usd` says what this is worth. `null` where
    /// quality alone decides.
    pub gain_usd: Option<f64>,
    pub kept: bool,
}

/// What the backend saves on this request by what it has kept of the conversation.
pub(super) fn saving(config: &Config, held: Option<Held<'_>>, backend: &str, policy: &Policy) -> f64 {
    let Some(held) = held.filter(|held| policy.sticky && held.backend == backend) else { return 0.0 };
    let Some(backend) = config.backends.get(backend) else { return 0.0 };
    let kept = held.tokens >= backend.prompt_cache.min_tokens;
    let price = backend.price;
    let less = price.cached_input.filter(|_| kept).map_or(0.0, |cached| price.input - cached);
    held.tokens as f64 * less.max(0.0) / 1e6
}

/// What `otherwise` wins over `holder`, as if nothing were kept; `None` where that is no matter of money.
fn gain(policy: &Policy, holder: &Candidate, otherwise: &Candidate, by_cost: bool) -> Option<f64> {
    let cheaper = holder.plain_cost() - otherwise.plain_cost();
    let better = || Some(otherwise.predicted_quality? - holder.predicted_quality?);
    let alike = holder.reaches_floor == otherwise.reaches_floor && holder.affordable == otherwise.affordable;
    match policy.worth_usd {
        _ if !alike => None,
        Some(worth) => better().map(|better| cheaper + worth * better),
        None => by_cost.then_some(cheaper),
    }
}

/// Moves the backend that holds the conversation to the front of `ranked` where that pays. `ranked` is in the order of
/// preference with what is kept counted, `otherwise` comes first without it; `by_cost`: they were ranked by cost.
pub(super) fn stick<'a>(
    policy: &Policy,
    held: Option<Held<'_>>,
    ranked: &mut Vec<&'a Candidate>,
    otherwise: &'a Candidate,
    by_cost: bool,
) -> Option<Conversation> {
    let held = held.filter(|_| policy.sticky)?;
    let at = ranked.iter().position(|candidate| candidate.backend == held.backend)?;
    let holder = ranked[at];
    let (saving, gain) = (holder.cache_saving, gain(policy, holder, otherwise, by_cost));
    if holder.backend != otherwise.backend && gain.is_some_and(|gain| saving > 0.0 && saving >= gain) {
        let holder = ranked.remove(at);
        ranked.insert(0, holder);
    }
    Some(Conversation {
        backend: holder.backend.clone(),
        cached_tokens: held.tokens,
        saving_usd: saving,
        otherwise: otherwise.backend.clone(),
        gain_usd: gain,
        kept: ranked.first().is_some_and(|first| first.backend == holder.backend),
    })
}
