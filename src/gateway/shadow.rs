//! A second policy decides what the first one has decided, for the ledger alone. Whatever it does, the request does
//! not notice.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::config::Config;
use crate::minds::Judgement;
use crate::route::{self, Availability, Features};
use crate::telemetry::Shadow;

/// It broke down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// What `[shadow]` would have done; `None` where there is none. Backends that are not called by the live policy
/// count as ready.
pub(super) fn decide(
    config: &Config,
    features: &Features<'_>,
    judgement: &Judgement,
    availability: &(dyn Fn(&str) -> Availability + Sync),
) -> Option<Result<Shadow, Failed>> {
    let policy = config.shadow.as_ref()?.policy.as_ref()?;
    let available = |name: &str| match config.backends.contains_key(name) {
        true => availability(name),
        false => Availability::Ready,
    };
    Some(aside(|| weigh(policy, features, judgement, &available)))
}

/// Does this where a panic ends nothing else.
fn aside<T>(work: impl FnOnce() -> T) -> Result<T, Failed> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Failed)
}

fn weigh(
    policy: &Config,
    features: &Features<'_>,
    judgement: &Judgement,
    availability: &dyn Fn(&str) -> Availability,
) -> Shadow {
    let policy_version = policy.policy_version.clone();
    let Some(target) = route::resolve(policy, features.model) else {
        return Shadow { policy_version, reasons: "unknown_model".to_owned(), ..Shadow::default() };
    };
    let decision = route::decide(policy, target, features, judgement, availability);
    let backend = decision.order.first().cloned().unwrap_or_default();
    let candidate = decision.candidates.iter().find(|candidate| candidate.backend == backend);
    Shadow {
        policy_version,
        predicted_quality: candidate.and_then(|candidate| candidate.predicted_quality),
        predicted_cost_usd: candidate.map(|candidate| candidate.predicted_cost_usd),
        route: decision.route,
        reasons: decision.reasons.join(","),
        backend,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderMap;

    use super::*;
    use crate::config;

    const LIVE: &str = "[backends.a]\nbase_url = \"http://127.0.0.1:1/v1\"\nprice = { input = 1, output = 1 }\n\
        [backends.b]\nbase_url = \"http://127.0.0.1:1/v1\"\nprice = { input = 2, output = 2 }\n\
        [[routes]]\nname = \"all\"\ncandidates = [\"a\", \"b\"]\n";

    #[test]
    fn what_panics_is_a_failure_and_no_more() {
        assert_eq!(aside(|| [1, 2].iter().sum::<i32>()), Ok(3));
        assert_eq!(aside(|| -> i32 { panic!("as a policy never should") }), Err(Failed));
    }

    #[test]
    fn backends_that_only_the_shadow_knows_are_ready() {
        let mut config = Config::parse(LIVE).unwrap();
        let candidate = LIVE.replace("backends.a", "backends.new").replace("\"a\"", "\"new\"");
        let policy = Config::parse(&candidate).unwrap();
        let headers = HeaderMap::new();
        let features = |model| Features {
            model,
            prompt_tokens: 10,
            max_output_tokens: None,
            tools: false,
            images: false,
            audio: false,
            json_schema: false,
            headers: &headers,
            held: None,
        };
        let judgement = Judgement::unread(10);
        // As an upstream says of what it does not know.
        let broken = |_: &str| Availability::Broken;
        assert_eq!(decide(&config, &features("auto"), &judgement, &broken), None);
        config.shadow = Some(config::Shadow { config: "candidate.toml".into(), policy: Some(Arc::new(policy)) });
        let said = |model| decide(&config, &features(model), &judgement, &broken).unwrap().unwrap();
        let auto = said("auto");
        assert_eq!((auto.backend.as_str(), auto.route.as_str()), ("new", "all"));
        assert!(auto.predicted_cost_usd.is_some_and(|usd| usd > 0.0) && auto.policy_version != config.policy_version);
        assert_eq!((said("a").backend.as_str(), said("a").reasons.as_str()), ("", "unknown_model"));
        assert_eq!(said("b").reasons, "named_backend,no_backend_available", "as the live one finds it");
    }
}
