//! Money: what a run may spend, what it has spent, and what calls under way may still cost at worst.
//!
//! A call starts only where its worst case fits beside everything that is spent or spoken for. So the cap holds as
//! long as backends write no more than `max_tokens` and no prompt has more tokens than bytes.

use std::cell::Cell;

/// Sums of many small amounts are not exact.
const DUST: f64 = 1e-12;

#[derive(Debug)]
pub(super) struct Purse {
    /// `None`: nothing that is asked costs anything.
    limit: Option<f64>,
    spent: Cell<f64>,
    reserved: Cell<f64>,
}

/// What one job may still spend. Dropping it gives back what is left.
#[derive(Debug)]
pub(super) struct Money<'a> {
    purse: &'a Purse,
    left: Cell<f64>,
}

impl Purse {
    pub(super) fn new(limit: Option<f64>, spent: f64) -> Self {
        Self { limit, spent: Cell::new(spent), reserved: Cell::new(0.0) }
    }

    pub(super) fn spent(&self) -> f64 {
        self.spent.get()
    }

    pub(super) fn reserve(&self, usd: f64) -> Option<Money<'_>> {
        if self.limit.is_some_and(|limit| self.spent.get() + self.reserved.get() + usd > limit + DUST) {
            return None;
        }
        self.reserved.set(self.reserved.get() + usd);
        Some(Money { purse: self, left: Cell::new(usd) })
    }
}

impl Money<'_> {
    /// Whether a call that may cost this much can start; speaks for more where that is needed and to be had.
    pub(super) fn covers(&self, usd: f64) -> bool {
        let more = usd - self.left.get();
        if more > 0.0 {
            let Some(money) = self.purse.reserve(more) else { return false };
            self.left.set(usd);
            // What it has reserved is this job's now.
            money.left.set(0.0);
        }
        true
    }

    pub(super) fn pay(&self, usd: f64) {
        let from = usd.min(self.left.get());
        self.left.set(self.left.get() - from);
        self.purse.reserved.set(self.purse.reserved.get() - from);
        self.purse.spent.set(self.purse.spent.get() + usd);
    }
}

impl Drop for Money<'_> {
    fn drop(&mut self) {
        self.purse.reserved.set(self.purse.reserved.get() - self.left.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_starts_that_could_pass_the_cap() {
        let purse = Purse::new(Some(1.0), 0.2);
        let first = purse.reserve(0.5).unwrap();
        assert!(purse.reserve(0.4).is_none(), "0.2 spent and 0.5 spoken for");
        first.pay(0.1);
        assert!(purse.reserve(0.4).is_none(), "the rest of the first is still spoken for");
        drop(first);
        let second = purse.reserve(0.4).unwrap();
        assert!(second.covers(0.7) && !second.covers(0.8));
        second.pay(0.7);
        drop(second);
        assert!((purse.spent() - 1.0).abs() < 1e-9 && purse.reserved.get().abs() < 1e-9);
        assert!(purse.reserve(0.0).is_some() && purse.reserve(0.001).is_none());
        // A backend that broke its word is booked in full.
        let free = Purse::new(None, 0.0);
        free.reserve(1.0).unwrap().pay(5.0);
        assert_eq!((free.spent(), free.reserved.get()), (5.0, 0.0));
    }
}
