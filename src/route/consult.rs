//! Which decoder minds are asked about a request, once the flash minds have spoken.

use crate::config::{Config, Mind, OneOrMany};

use super::rules::{Answer, Facts, matches};
use super::{Decision, Features};
use crate::minds::Judgement;

/// Of `roles`, those whose `when` and `routes` this request meets. What the flash minds could
/// not say is as unsure as can be, so it counts as met.
pub fn asked<'a>(
    config: &Config,
    roles: impl Iterator<Item = &'a str>,
    features: &Features<'_>,
    judgement: &Judgement,
    decision: &Decision,
) -> Vec<&'a str> {
    let facts = Facts { config, features, judgement };
    let meets = |Mind { when, routes, .. }: &Mind| {
        let when = when.as_ref().is_none_or(|when| matches(when, &facts) != Answer::No);
        when && routes.as_ref().is_none_or(|routes| has(routes, &decision.route))
    };
    roles.filter(|role| config.minds.get(*role).is_some_and(meets)).collect()
}

fn has(routes: &OneOrMany<String>, name: &str) -> bool {
    routes.as_slice().iter().any(|route| route == name)
}
