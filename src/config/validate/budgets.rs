//! Budgets of keys: amounts, and what they need beside them.

use std::time::Duration;

use crate::config::Budget;
use crate::config::fault::Key;

use super::Checks;

impl Checks<'_> {
    pub(super) fn budgets(&mut self) {
        let config = self.config;
        for (name, key) in &config.keys {
            if let Some(budget) = &key.budget {
                self.budget(&Key::of(&["keys", name, "budget"]), budget);
            }
        }
    }

    fn budget(&mut self, key: &Key, budget: &Budget) {
        let Budget { usd, per, soft_usd, assume_output_tokens } = *budget;
        if !(usd.is_finite() && usd > 0.0) {
            self.fail(key.and("usd"), "must be USD, more than 0");
        }
        if let Some(soft) = soft_usd
            && !(soft > 0.0 && soft < usd)
        {
            self.fail(key.and("soft_usd"), "must be USD, more than 0 and less than `usd`");
        }
        self.positive(key, &[("assume_output_tokens", assume_output_tokens == 0)]);
        let window = Duration::from_secs(per.days() * 24 * 60 * 60);
        match &self.config.ledger {
            None => {
                let says = "add [ledger] with path = \"ledger.db\"";
                self.fail_and_say(key.clone(), "what was spent has to outlive a restart, and nothing is kept", says);
            }
            Some(ledger) if ledger.keep < window => {
                let says = format!("keep at least \"{}d\"", per.days());
                let message =
                    format!("a budget per {} needs requests that ledger.keep has removed by then", per.as_str());
                self.fail_and_say(key.and("per"), message, says);
            }
            Some(_) => {}
        }
        if self.config.backends.values().all(|backend| backend.price.is_free()) {
            let says = "give backends a price = { input, output }";
            self.fail_and_say(key.clone(), "no backend costs anything, so nothing would ever be spent", says);
        }
    }
}
