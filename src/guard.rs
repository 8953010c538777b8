//! What a jailbreak or PII verdict does to a request, before any routing.
//!
//! Pure: verdicts and rules in, an outcome and header marks out. Marks carry labels and
//! reasons, never matched text.

use std::collections::BTreeSet;

use crate::config::{Action, Config, OnError};
use crate::minds::{Given, Harm, Judgement};

/// What the guards decided about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcement {
    pub outcome: Outcome,
    /// One per guard that did something, for `x-mom-guard`: `jailbreak=block`,
    /// `pii=flag:EMAIL_ADDRESS,PERSON`, `harm=unavailable`.
    pub marks: Vec<String>,
}

/// What becomes of the request. A block wins over everything, then "could not check",
/// then a refusal, then a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    /// Goes on, marked.
    Flagged,
    /// A normal assistant answer with `finish_reason: "content_filter"`.
    Refused(Found),
    /// 503 `guard_unavailable`: a guard that must answer could not.
    Unavailable,
    /// 400 with the code of what was found.
    Blocked(Found),
}

/// What a guard found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Harm,
    Jailbreak,
    Pii,
}

impl Found {
    /// Stable error and reason code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Harm => "harm_detected",
            Self::Jailbreak => "jailbreak_detected",
            Self::Pii => "pii_detected",
        }
    }
}

impl Outcome {
    /// Reason code of an outcome that keeps the request from being routed.
    pub fn stops(self) -> Option<&'static str> {
        match self {
            Self::Pass | Self::Flagged => None,
            Self::Refused(found) | Self::Blocked(found) => Some(found.code()),
            Self::Unavailable => Some("guard_unavailable"),
        }
    }

    /// The trace's sentence for an outcome that stops the request; empty for the others.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Pass | Self::Flagged => "",
            Self::Refused(Found::Harm) => "Refused: the person seems to ask for something harmful.",
            Self::Blocked(Found::Harm) => "Blocked: the person seems to ask for something harmful.",
            Self::Refused(Found::Jailbreak) => "Refused: the request looks like a jailbreak or prompt injection.",
            Self::Blocked(Found::Jailbreak) => "Blocked: the request looks like a jailbreak or prompt injection.",
            Self::Refused(Found::Pii) => "Refused: the request holds personal data or secrets.",
            Self::Blocked(Found::Pii) => "Blocked: the request holds personal data or secrets.",
            Self::Unavailable => "Stopped: a guard that must see every request could not check this one.",
        }
    }

    fn gravity(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Flagged => 1,
            Self::Refused(_) => 2,
            Self::Unavailable => 3,
            Self::Blocked(_) => 4,
        }
    }
}

/// Applies `[guard]` to the verdicts. A guard that gave none does what its mind's
/// `on_error` says: closed stops the request, open and default go on, marked (`default`
/// then takes the terminal route, which is routing's business).
pub fn enforce(config: &Config, judgement: &Judgement) -> Enforcement {
    let mut enforcement = Enforcement { outcome: Outcome::Pass, marks: Vec::new() };
    let rule = &config.guard.jailbreak;
    match &judgement.jailbreak {
        _ if rule.action == Action::Off => {}
        Given::Verdict(verdict) if verdict.detected() => {
            enforcement.found(Found::Jailbreak, rule.action, format!("jailbreak={}", name(rule.action)));
        }
        Given::Unavailable(_) => enforcement.unavailable("jailbreak", "jailbreak", config),
        Given::Verdict(_) | Given::Off => {}
    }
    enforcement.harm(config, &judgement.harm);
    let rule = &config.guard.pii;
    match &judgement.pii {
        _ if rule.action == Action::Off => {}
        Given::Verdict(spans) => {
            let counts = |label: &str| rule.labels.as_ref().is_none_or(|labels| labels.iter().any(|l| l == label));
            let labels: BTreeSet<&str> = spans.iter().map(|span| &*span.label).filter(|label| counts(label)).collect();
            if !labels.is_empty() {
                let labels: Vec<&str> = labels.into_iter().collect();
                enforcement.found(Found::Pii, rule.action, format!("pii={}:{}", name(rule.action), labels.join(",")));
            }
        }
        Given::Unavailable(_) => enforcement.unavailable("pii", "pii", config),
        Given::Off => {}
    }
    enforcement
}

impl Enforcement {
    /// What the person asks for: a question of its own to the jailbreak mind, whatever the answer
    /// to the other one.
    fn harm(&mut self, config: &Config, given: &Given<Harm>) {
        let action = config.guard.harm.action;
        match given {
            _ if action == Action::Off => {}
            Given::Verdict(verdict) if verdict.detected() => {
                self.found(Found::Harm, action, format!("harm={}", name(action)));
            }
            Given::Unavailable(_) => self.unavailable("harm", "jailbreak", config),
            Given::Verdict(_) | Given::Off => {}
        }
    }

    fn found(&mut self, found: Found, action: Action, mark: String) {
        self.reach(match action {
            // A config that asks for redaction is refused at load; stopping is the safe reading of one that is not.
            Action::Block | Action::Redact => Outcome::Blocked(found),
            Action::Refuse => Outcome::Refused(found),
            Action::Flag => Outcome::Flagged,
            Action::Off => return,
        });
        self.marks.push(mark);
    }

    /// `role`: the mind that gave no verdict.
    fn unavailable(&mut self, guard: &str, role: &str, config: &Config) {
        if config.on_error(role) == OnError::Closed {
            self.reach(Outcome::Unavailable);
        }
        self.marks.push(format!("{guard}=unavailable"));
    }

    /// The graver outcome stands; of two equally grave ones, the first.
    fn reach(&mut self, outcome: Outcome) {
        if outcome.gravity() > self.outcome.gravity() {
            self.outcome = outcome;
        }
    }
}

fn name(action: Action) -> &'static str {
    match action {
        Action::Block => "block",
        Action::Refuse => "refuse",
        Action::Flag => "flag",
        Action::Redact => "redact",
        Action::Off => "off",
    }
}

#[cfg(test)]
mod tests;
