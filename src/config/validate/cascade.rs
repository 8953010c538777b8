//! A route's cascade.

use crate::config::fault::Key;
use crate::config::{Cascade, Route};

use super::Checks;

impl Checks<'_> {
    pub(super) fn cascade(&mut self, key: &Key, route: &Route) {
        let Some(cascade) = &route.cascade else { return };
        let Cascade { first, then, min_logprob, request_logprobs, max_cost, max_wait, skip_below, refusals: _ } =
            cascade;
        for (place, backend) in [("first", first), ("then", then)] {
            if self.names.backends.contains(backend) && !route.candidates.contains(backend) {
                let message = format!("\"{backend}\" is not among the route's candidates");
                self.fail_and_say(key.and(place), message, "add it to candidates");
            } else {
                self.backend_name(key.and(place), backend);
            }
        }
        if first == then {
            self.fail_and_say(key.and("then"), "is the backend that was asked first", "name another candidate");
        }
        if min_logprob.is_some_and(|least| !least.is_finite() || least > 0.0) {
            self.fail(key.and("min_logprob"), "must be a mean of log-probabilities, 0 or less, such as -0.5");
        }
        if *request_logprobs && min_logprob.is_none() {
            let message = "asks for log-probabilities that nothing judges";
            self.fail_and_say(key.and("request_logprobs"), message, "set min_logprob, or remove it");
        }
        if max_cost.is_some_and(|usd| !usd.is_finite() || usd <= 0.0) {
            self.fail(key.and("max_cost"), "must be USD for both calls, more than 0");
        }
        self.positive(key, &[("max_wait", max_wait.is_zero())]);
        if let Some(quality) = skip_below {
            self.within(key.and("skip_below"), *quality, 0.0, 1.0);
            // A misspelt table is reported as such.
            let misspelt = !self.names.quality.is_subset(&self.names.backends);
            let known = misspelt || self.config.foresees() || self.names.quality.contains(first);
            if !known && self.names.backends.contains(first) {
                let add = format!("add [quality.{first}] or [minds.quality], or remove skip_below");
                let message = format!("\"{first}\" has no [quality] table to be judged by");
                self.fail_and_say(key.and("skip_below"), message, add);
            }
        }
    }
}
