//! Budgets of keys. What a request may cost is reserved before it is sent, what it did cost is settled afterwards:
//! however many are in flight, a budget is passed by no more than what they cost beyond what was assumed of them.
//!
//! A window opens where the calendar says, and then lasts as long as was left of it by a clock that nobody sets. So a
//! clock that jumps gives nobody a second budget, and locks nobody out beyond one more window.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::store::{LedgerError, Store};
use crate::config::{self, Config, Per};
use crate::telemetry::millis;

mod window;

use window::Window;

/// What keys have spent, and what is reserved for requests in flight.
#[derive(Debug, Default)]
pub struct Budgets {
    accounts: BTreeMap<String, Arc<Account>>,
}

#[derive(Debug)]
struct Account {
    key: String,
    limit: config::Budget,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window: Window,
    /// When the next one opens.
    ends: Instant,
    spent: f64,
    reserved: f64,
    /// How many requests that is.
    in_flight: usize,
    /// The log has a line on it for this window.
    told_soft: bool,
    told_hard: bool,
}

/// The time by a clock that people set, and by one that nobody does.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub wall: SystemTime,
    pub steady: Instant,
}

impl Now {
    pub fn read() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }
}

/// A request that might go beyond the budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Over {
    pub per: Per,
    /// Until there is a new budget. `None`: what requests in flight leave of this one may be enough.
    pub wait: Option<Duration>,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing<'a> {
    pub key: &'a str,
    pub limit_usd: f64,
    pub spent_usd: f64,
    pub reserved_usd: f64,
}

/// Money set aside for a request. Dropped without a word it is given back whole.
#[derive(Debug)]
pub struct Reservation {
    account: Arc<Account>,
    usd: f64,
    cost: f64,
    /// What of the budget was spent when it was made, where that is beyond the soft limit.
    pub over_soft: Option<f64>,
}

impl Budgets {
    /// Sums up what the ledger has on the windows that are open now.
    pub fn open(config: &Config, now: Now) -> Result<Self, LedgerError> {
        let limits: Vec<(&String, config::Budget)> =
            config.keys.iter().filter_map(|(name, key)| Some((name, key.budget?))).collect();
        // Validation refuses budgets without a ledger.
        let (Some(ledger), false) = (&config.ledger, limits.is_empty()) else { return Ok(Self::default()) };
        let store = Store::open_existing(&ledger.path)?;
        let used = [Per::Day, Per::Week, Per::Month].into_iter().filter(|per| limits.iter().any(|of| of.1.per == *per));
        let spent = used.map(|per| Ok((per, store.spent(Window::at(per, now.wall))?)));
        let spent: BTreeMap<Per, HashMap<String, f64>> = spent.collect::<Result<_, LedgerError>>()?;
        let account = |(name, limit): (&String, config::Budget)| {
            let spent = spent.get(&limit.per).and_then(|keys| keys.get(name)).copied().unwrap_or_default();
            (name.clone(), Arc::new(Account::new(name.clone(), limit, spent, now)))
        };
        Ok(Self { accounts: limits.into_iter().map(account).collect() })
    }

    /// Sets aside what a request may cost, for whose key has a budget. What costs nothing is never refused.
    pub fn reserve(
        &self,
        key: Option<&str>,
        assume: impl FnOnce(&config::Budget) -> f64,
        now: Now,
    ) -> Result<Option<Reservation>, Over> {
        let Some(account) = key.and_then(|key| self.accounts.get(key)) else { return Ok(None) };
        let usd = assume(&account.limit);
        let over_soft = account.reserve(usd, now)?;
        Ok(Some(Reservation { account: Arc::clone(account), usd, cost: 0.0, over_soft }))
    }

    pub fn standings(&self, now: Now) -> impl Iterator<Item = Standing<'_>> {
        self.accounts.values().map(move |account| {
            let state = account.now(now);
            let (spent_usd, reserved_usd) = (state.spent, state.reserved);
            Standing { key: &account.key, limit_usd: account.limit.usd, spent_usd, reserved_usd }
        })
    }
}

impl Account {
    fn new(key: String, limit: config::Budget, spent: f64, now: Now) -> Self {
        let window = Window::at(limit.per, now.wall);
        let state = State {
            window,
            ends: now.steady + window.left(now.wall),
            spent,
            reserved: 0.0,
            in_flight: 0,
            told_soft: limit.soft_usd.is_some_and(|soft| spent >= soft),
            told_hard: false,
        };
        Self { key, limit, state: Mutex::new(state) }
    }

    /// The state, in the window that is open now.
    fn now(&self, now: Now) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.steady >= state.ends {
            let next = Window::at(self.limit.per, now.wall);
            // The same one again: its clock was set back meanwhile, or the two clocks run apart a little.
            if next != state.window {
                (state.window, state.spent, state.told_soft, state.told_hard) = (next, 0.0, false, false);
            }
            state.ends = now.steady + next.left(now.wall);
        }
        state
    }

    /// The share that is spent, where that is beyond the soft limit.
    fn reserve(&self, usd: f64, now: Now) -> Result<Option<f64>, Over> {
        let limit = &self.limit;
        let mut state = self.now(now);
        if usd > 0.0 && state.spent + state.reserved + usd > limit.usd {
            let never = state.spent + usd > limit.usd;
            if never && !state.told_hard {
                state.told_hard = true;
                let (key, spent, per) = (&self.key, state.spent, limit.per.as_str());
                tracing::warn!(%key, spent, limit = limit.usd, per, "a budget is used up; requests are refused");
            }
            let wait = never.then(|| state.ends.saturating_duration_since(now.steady));
            return Err(Over { per: limit.per, wait });
        }
        state.reserved += usd;
        state.in_flight += 1;
        Ok(limit.soft_usd.filter(|soft| state.spent >= *soft).map(|_| state.spent / limit.usd))
    }

    fn settle(&self, reserved: f64, cost: f64, now: Now) {
        let mut state = self.now(now);
        state.in_flight = state.in_flight.saturating_sub(1);
        // Sums of fractions keep a rest; nothing in flight is nothing reserved.
        state.reserved = if state.in_flight == 0 { 0.0 } else { (state.reserved - reserved).max(0.0) };
        state.spent += cost;
        if !state.told_soft && self.limit.soft_usd.is_some_and(|soft| state.spent >= soft) {
            state.told_soft = true;
            let (key, spent, limit, per) = (&self.key, state.spent, self.limit.usd, self.limit.per.as_str());
            tracing::warn!(%key, spent, limit, per, "a budget's soft limit is passed; answers are marked");
        }
    }
}

impl Reservation {
    /// The request is over, and this is what it cost.
    pub fn settle(mut self, cost: f64) {
        self.cost = cost;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.settle(self.usd, self.cost, Now::read());
    }
}

impl Store {
    /// What each key spent in a window. What was written under a clock that was ahead counts too, up to the end of the
    /// next window: setting the clock back gives nobody a second budget. Beyond that the clock was wrong.
    fn spent(&self, window: Window) -> Result<HashMap<String, f64>, LedgerError> {
        let mut query = self.connection.prepare(
            "SELECT key, sum(cost_usd) FROM requests
             WHERE at >= ?1 AND at < ?2 AND key IS NOT NULL AND cost_usd IS NOT NULL GROUP BY key",
        )?;
        let bounds = [millis(window.start()), millis(window.next().end())];
        let rows = query.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests;
