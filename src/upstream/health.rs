//! Passive health: a circuit breaker fed by real calls.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config;

/// Closed → open after `failures` in a row → one probe after `cooldown` → closed, or open again.
#[derive(Debug)]
pub(super) struct Breaker {
    config: config::Breaker,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    failures: u32,
    /// Set while open: when the next probe may go.
    probe_at: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(config: config::Breaker) -> Self {
        Self { config, state: Mutex::new(State::default()) }
    }

    /// Lets a call through, or says how long to stay away. Letting one through while open
    /// makes it the probe: others stay away until it reports or another cooldown passes.
    pub(super) fn admit(&self) -> Result<(), Duration> {
        let mut state = self.state();
        let Some(probe_at) = state.probe_at else { return Ok(()) };
        let now = Instant::now();
        if now < probe_at {
            return Err(probe_at - now);
        }
        state.probe_at = Some(now + self.config.cooldown);
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        self.state().probe_at.is_some_and(|at| Instant::now() < at)
    }

    pub(super) fn succeeded(&self) {
        *self.state() = State::default();
    }

    pub(super) fn failed(&self) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.config.failures {
            state.probe_at = Some(Instant::now() + self.config.cooldown);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_probes_and_closes() {
        let breaker = Breaker::new(config::Breaker { failures: 2, cooldown: Duration::from_secs(10) });
        breaker.failed();
        assert!(breaker.admit().is_ok());
        breaker.failed();
        assert_eq!(breaker.admit(), Err(Duration::from_secs(10)));
        assert!(breaker.is_open());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!breaker.is_open());
        assert!(breaker.admit().is_ok(), "one probe");
        assert!(breaker.admit().is_err(), "and only one");
        breaker.failed();
        assert!(breaker.admit().is_err());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(breaker.admit().is_ok());
        breaker.succeeded();
        breaker.failed();
        assert!(breaker.admit().is_ok(), "failures count in a row only");
    }
}
