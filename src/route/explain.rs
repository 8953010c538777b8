//! Reason codes and the plain English sentence of a decision. Never any message text.

use std::fmt::Write as _;

use crate::config::{BackendName, Prefer};
use crate::minds::{Given, Opined, Opinion};

use super::cascade::Course;
use super::rules::Facts;
use super::select::{Candidate, Floor};
use super::{Conversation, Decision, Unable};

/// What came of weighing a route's candidates.
pub(super) struct Outcome<'a> {
    /// The preferred able candidate; `None` when only fallbacks, or nothing, are able.
    pub(super) chosen: Option<&'a Candidate>,
    pub(super) order: &'a [BackendName],
    pub(super) unable: Option<Unable>,
    pub(super) prefer: Prefer,
    pub(super) floor: Floor,
    /// The conversation stays with its backend.
    pub(super) kept: Option<&'a Conversation>,
    /// Of the route's cascade.
    pub(super) course: Option<&'a Course>,
}

/// Code of a conversation whose backend another one would be chosen over.
pub(super) fn stuck(conversation: &Conversation) -> Option<&'static str> {
    let differs = conversation.backend != conversation.otherwise;
    differs.then_some(if conversation.kept { "conversation_kept" } else { "conversation_moved" })
}

/// Code of a verdict that was needed and missing.
pub(super) fn unavailable(role: &str) -> &'static str {
    match role {
        "brain" => "brain_unavailable",
        "similarity" => "similarity_unavailable",
        "jailbreak" => "jailbreak_unavailable",
        "pii" => "pii_unavailable",
        _ => "mind_unavailable",
    }
}

/// Codes of decoders that were asked: one that spoke, one that did not.
pub(super) fn consulted(facts: &Facts<'_>) -> Vec<&'static str> {
    let opinions = &facts.judgement.opinions;
    let spoke = opinions.iter().any(|opinion| opinion.said.verdict().is_some());
    let silent = opinions.iter().any(|opinion| opinion.said.unavailable().is_some());
    [spoke.then_some("decoder_asked"), silent.then_some("decoder_unavailable")].into_iter().flatten().collect()
}

/// A mind that had to answer did not.
pub(super) fn mind_unavailable(role: &str) -> Decision {
    Decision {
        route: String::new(),
        clause: String::new(),
        candidates: Vec::new(),
        order: Vec::new(),
        unable: Some(Unable::Mind),
        cascade: None,
        reasons: vec![unavailable(role), Unable::Mind.code()],
        sentence: format!("Not routed: the {role} verdict is missing and its configuration says to stop."),
        propensity: 1.0,
        conversation: None,
    }
}

/// Why another candidate is taken than the configured policy has.
pub(super) fn taken(backend: &str, code: &str) -> String {
    match code {
        "explored" => format!(" Sent to {backend} by lot, so that there is something to compare."),
        _ => format!(" Sent to {backend}: feedback says that it is worth more."),
    }
}

pub(super) fn named(candidate: &Candidate) -> String {
    let name = &candidate.backend;
    match candidate.unable {
        None => format!("Sent to {name}, which the client named."),
        Some(_) => format!("The client named {name}, which cannot be called now: {}.", candidate.why),
    }
}

impl Outcome<'_> {
    pub(super) fn reasons(&self, candidates: &[Candidate]) -> Vec<&'static str> {
        let Some(chosen) = self.chosen else {
            return vec![self.unable.map_or("fallback", Unable::code)];
        };
        let mut reasons = Vec::new();
        if candidates.iter().any(|candidate| matches!(candidate.unable, Some(Unable::Broken | Unable::Full))) {
            reasons.push("candidate_unavailable");
        }
        reasons.extend(self.course.map(Course::code));
        if self.led().is_some() {
            return reasons;
        }
        if self.floor != Floor::None && !chosen.reaches_floor {
            reasons.push("floor_unmet");
        }
        reasons.extend((!chosen.affordable).then_some("budget_unmet"));
        reasons.push(self.manner(chosen, candidates).code());
        reasons
    }

    /// How the cascade chose, where it did and not the policy.
    fn led(&self) -> Option<(&'static str, String)> {
        self.course.and_then(Course::words)
    }

    fn manner(&self, chosen: &Candidate, candidates: &[Candidate]) -> Manner {
        match (self.prefer, self.floor) {
            _ if candidates.len() == 1 => Manner::OnlyCandidate,
            _ if candidates.iter().filter(|candidate| candidate.eligible).count() == 1 => Manner::OnlyAble,
            _ if !chosen.affordable => Manner::Cheapest,
            (Prefer::Cost, Floor::At(_)) if chosen.reaches_floor => Manner::CheapestGoodEnough,
            (Prefer::Cost, Floor::None) => Manner::Cheapest,
            _ => Manner::BestQuality,
        }
    }

    pub(super) fn sentence(&self, facts: &Facts<'_>, route: &str, clause: &str, candidates: &[Candidate]) -> String {
        let mut sentence = read_as(facts);
        // Writing to a String cannot fail.
        let _ = write!(sentence, "route \"{route}\" took it because {clause}");
        let Some(chosen) = self.chosen else {
            let _ = match self.order.first() {
                Some(name) => write!(sentence, "; no candidate is able, so it falls back to {name}."),
                None => write!(sentence, "; no backend can take it: {}.", whys(candidates)),
            };
            return sentence;
        };
        let _ = write!(sentence, "; {} ", chosen.backend);
        let led = self.led();
        let moved = self.kept.filter(|kept| kept.backend != kept.otherwise);
        let _ = match (self.manner(chosen, candidates), self.floor) {
            _ if let Some((words, _)) = &led => write!(sentence, "{words}"),
            _ if let Some(kept) = moved => {
                let gain = kept.gain_usd.unwrap_or_default();
                write!(sentence, "keeps the conversation: what it has read saves ${:.6}, ", kept.saving_usd)
                    .and_then(|()| write!(sentence, "a change to {} would win ${gain:.6}", kept.otherwise))
            }
            (Manner::OnlyCandidate, _) => write!(sentence, "is its only candidate"),
            (Manner::OnlyAble, _) => write!(sentence, "is the only candidate that can take it now"),
            (Manner::CheapestGoodEnough, Floor::At(floor)) => {
                write!(sentence, "is the cheapest candidate that reaches the quality floor of {floor:.2}")
            }
            (Manner::Cheapest | Manner::CheapestGoodEnough, _) => write!(sentence, "is the cheapest candidate"),
            (Manner::BestQuality, _) => write!(sentence, "has the best predicted quality"),
        };
        if led.is_none() && !chosen.affordable {
            sentence.push_str(", and beyond the budget");
        }
        if led.is_none() && self.floor != Floor::None && !chosen.reaches_floor {
            let _ = write!(sentence, ", though it is not known to reach the quality floor");
        }
        let _ = match chosen.predicted_quality {
            Some(quality) => write!(sentence, " (quality {quality:.2}"),
            None => write!(sentence, " (quality unknown"),
        };
        // Without a price there is no cost to speak of.
        if chosen.predicted_cost_usd > 0.0 {
            let _ = write!(sentence, ", about ${:.6}", chosen.predicted_cost_usd);
        }
        sentence.push(')');
        sentence.push_str(led.as_ref().map_or("", |(_, rest)| rest));
        sentence.push('.');
        sentence
    }
}

/// How the choice was made.
#[derive(Clone, Copy)]
enum Manner {
    OnlyCandidate,
    OnlyAble,
    CheapestGoodEnough,
    Cheapest,
    BestQuality,
}

impl Manner {
    fn code(self) -> &'static str {
        match self {
            Self::OnlyCandidate => "only_candidate",
            Self::OnlyAble => "only_able_candidate",
            Self::CheapestGoodEnough => "cheapest_good_enough",
            Self::Cheapest => "cheapest",
            Self::BestQuality => "best_quality",
        }
    }
}

fn read_as(facts: &Facts<'_>) -> String {
    let mut words = match facts.judgement.reading().verdict().copied() {
        None => "Unread".to_owned(),
        Some(intent) => {
            let (category, p) = intent.category();
            match intent.complexity() {
                Some((complexity, q)) => format!("Read as {category} ({p:.2}) and {complexity} ({q:.2})"),
                None => format!("Read as {category} ({p:.2})"),
            }
        }
    };
    // Writing to a String cannot fail.
    for Opinion { mind, said, .. } in &facts.judgement.opinions {
        let _ = match said {
            Given::Verdict(Opined::Intent(_)) => write!(words, " by {mind}"),
            Given::Verdict(Opined::Expert(expert)) => {
                let (domain, p) = expert.domain();
                write!(words, ", by {mind} as {domain} ({p:.2}) of difficulty {:.2}", expert.difficulty)
            }
            Given::Unavailable(why) => write!(words, "; {mind} had no word on it ({why}), so what was known stands"),
            Given::Off => Ok(()),
        };
    }
    words.push_str(": ");
    words
}

fn whys(candidates: &[Candidate]) -> String {
    let whys: Vec<String> = candidates.iter().map(|one| format!("{} ({})", one.backend, one.why)).collect();
    whys.join(", ")
}
