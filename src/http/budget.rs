//! A key's budget, before a request is sent: the money is set aside, or the request is not sent at all.

use super::ApiError;
use super::headers::Added;
use crate::config::{Backend, Budget};
use crate::gateway::Gateway;
use crate::ledger::{Now, Over, Reservation};
use crate::route::Decision;
use crate::telemetry::{BudgetLabels, Record, Settlement};

/// What of a request its price hangs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) prompt_tokens: u64,
    /// Of each answer, where the client bounds it.
    pub(super) max_output_tokens: Option<u64>,
    pub(super) answers: u64,
}

/// Settled by the record, when it is known what all of it cost. Does nothing where the caller's key has no budget.
pub(super) fn reserve(
    gateway: &Gateway,
    decision: &Decision,
    asked: Asked,
    record: &mut Record,
    added: &mut Added,
) -> Result<(), ApiError> {
    let assume = |budget: &Budget| {
        let backends = decision.order.iter().filter_map(|name| gateway.config.backends.get(name));
        let mut each = backends.map(|backend| assumed(backend, asked, budget));
        // In a cascade the first one's answer is paid for, whoever else is asked.
        let first = decision.cascade.as_ref().and_then(|_| each.next()).unwrap_or_default();
        first + each.fold(0.0, f64::max)
    };
    let made = gateway.budgets.reserve(record.key.as_deref(), assume, Now::read());
    let (limit, code) = match &made {
        Err(_) => ("hard", "budget_exceeded"),
        Ok(Some(Reservation { over_soft: Some(share), .. })) => {
            added.set("x-mom-budget", &format!("soft; spent={share:.2}"));
            ("soft", "over_soft_budget")
        }
        Ok(_) => ("", ""),
    };
    if !limit.is_empty() {
        mark(gateway, record, limit, code);
        added.set("x-mom-reason", &record.reasons);
    }
    let made = made.map_err(|Over { per, wait }| ApiError::budget(per, wait))?;
    record.settle_with(made.map(|reservation| Settlement::new(|cost| reservation.settle(cost))));
    Ok(())
}

fn mark(gateway: &Gateway, record: &mut Record, limit: &'static str, code: &str) {
    let labels = BudgetLabels { key: record.key.clone().unwrap_or_default(), limit };
    gateway.metrics.budget_over.get_or_create(&labels).inc();
    if !record.reasons.is_empty() {
        record.reasons.push(',');
    }
    record.reasons.push_str(code);
}

/// The most that this backend could take, as far as is known beforehand.
fn assumed(backend: &Backend, asked: Asked, budget: &Budget) -> f64 {
    // No model writes more than its window holds.
    let window = backend.context_window.unwrap_or(u64::MAX);
    let each = asked.max_output_tokens.unwrap_or(budget.assume_output_tokens).min(window);
    let price = backend.price;
    let input = price.input.max(price.cached_input.unwrap_or_default());
    (asked.prompt_tokens as f64 * input + asked.answers as f64 * each as f64 * price.output) / 1e6
}
