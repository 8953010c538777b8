use super::*;
use crate::minds::{Harm, Jailbreak, MindNames, Span, Timings, Unavailable};

fn config(guard: &str) -> Config {
    let backend = "[backends.one]\nbase_url = \"http://127.0.0.1:1/v1\"\n";
    Config::parse(&format!("{backend}\n[[routes]]\nname = \"all\"\ncandidates = [\"one\"]\n{guard}")).unwrap()
}

fn judgement(jailbreak: Given<Jailbreak>, pii: Given<Vec<Span>>) -> Judgement {
    Judgement {
        intent: Given::Off,
        jailbreak,
        harm: Given::Off,
        pii,
        embedding: Given::Off,
        opinions: Vec::new(),
        foresight: None,
        names: MindNames::default(),
        judged: Vec::new(),
        prompt_tokens: 0,
        windows: 1,
        timings: Timings::default(),
    }
}

fn attack(score: f32) -> Given<Jailbreak> {
    Given::Verdict(Jailbreak { score, threshold: 0.5, source: None, span: None })
}

fn spans(labels: &[&str]) -> Given<Vec<Span>> {
    let span = |label: &&str| Span { place: None, start: 0, end: 3, label: (*label).into(), score: 0.9 };
    Given::Verdict(labels.iter().map(span).collect())
}

fn enforced(guard: &str, jailbreak: Given<Jailbreak>, pii: Given<Vec<Span>>) -> (Outcome, String) {
    let enforcement = enforce(&config(guard), &judgement(jailbreak, pii));
    (enforcement.outcome, enforcement.marks.join(" "))
}

#[test]
fn by_default_an_attack_is_blocked_and_personal_data_is_marked() {
    assert_eq!(enforced("", attack(0.1), spans(&[])), (Outcome::Pass, String::new()));
    assert_eq!(enforced("", attack(0.5), spans(&[])), (Outcome::Blocked(Found::Jailbreak), "jailbreak=block".into()));
    let labels = spans(&["PERSON", "EMAIL_ADDRESS", "PERSON"]);
    assert_eq!(enforced("", attack(0.1), labels), (Outcome::Flagged, "pii=flag:EMAIL_ADDRESS,PERSON".into()));
}

#[test]
fn a_block_wins_over_a_refusal_and_a_refusal_over_a_mark() {
    let refuse = "[guard]\njailbreak = { action = \"refuse\" }\npii = { action = \"block\" }\n";
    let (outcome, marks) = enforced(refuse, attack(0.9), spans(&["US_SSN"]));
    assert_eq!(outcome, Outcome::Blocked(Found::Pii));
    assert_eq!(marks, "jailbreak=refuse pii=block:US_SSN");
    let mark = "[guard]\njailbreak = { action = \"refuse\" }\npii = { action = \"flag\" }\n";
    assert_eq!(enforced(mark, attack(0.9), spans(&["US_SSN"])).0, Outcome::Refused(Found::Jailbreak));
}

#[test]
fn only_configured_labels_count() {
    let guard = "[guard]\npii = { action = \"block\", labels = [\"US_SSN\"] }\n";
    assert_eq!(enforced(guard, attack(0.0), spans(&["PERSON"])).0, Outcome::Pass);
    let both = spans(&["PERSON", "US_SSN"]);
    assert_eq!(enforced(guard, attack(0.0), both), (Outcome::Blocked(Found::Pii), "pii=block:US_SSN".into()));
}

#[test]
fn a_guard_that_cannot_check_stops_the_request_unless_told_otherwise() {
    let late = || Given::Unavailable(Unavailable::Deadline);
    let (outcome, marks) = enforced("", late(), spans(&[]));
    assert_eq!((outcome.stops(), &*marks), (Some("guard_unavailable"), "jailbreak=unavailable"));
    for on_error in ["open", "default"] {
        let open = format!("[minds.jailbreak]\non_error = \"{on_error}\"\n");
        assert_eq!(enforced(&open, late(), spans(&[])), (Outcome::Pass, "jailbreak=unavailable".into()));
    }
    let pii_blocks = "[guard]\npii = { action = \"block\" }\n";
    assert_eq!(enforced(pii_blocks, late(), spans(&["PERSON"])).0, Outcome::Blocked(Found::Pii));
}

#[test]
fn a_guard_that_is_off_does_nothing() {
    let off = "[guard]\njailbreak = { action = \"off\" }\npii = { action = \"off\" }\n";
    let unavailable = Given::Unavailable(Unavailable::Overloaded);
    assert_eq!(enforced(off, attack(1.0), unavailable), (Outcome::Pass, String::new()));
}

#[test]
fn only_outcomes_that_stop_have_a_sentence() {
    for outcome in [Outcome::Pass, Outcome::Flagged] {
        assert!(outcome.stops().is_none() && outcome.sentence().is_empty());
    }
    for outcome in [Outcome::Blocked(Found::Pii), Outcome::Refused(Found::Jailbreak), Outcome::Unavailable] {
        assert!(outcome.stops().is_some() && outcome.sentence().ends_with('.'));
    }
}

/// As `enforced`, without personal data and with a verdict on harm.
fn enforced_with(guard: &str, jailbreak: Given<Jailbreak>, harm: Given<Harm>) -> (Outcome, String) {
    let judgement = Judgement { harm, ..judgement(jailbreak, spans(&[])) };
    let enforcement = enforce(&config(guard), &judgement);
    (enforcement.outcome, enforcement.marks.join(" "))
}

fn harmful(score: f32) -> Given<Harm> {
    Given::Verdict(Harm { score, threshold: 0.5 })
}

#[test]
fn harm_is_off_until_it_is_asked_for() {
    assert_eq!(enforced_with("", attack(0.1), harmful(0.9)), (Outcome::Pass, String::new()));
    for (action, outcome) in [
        ("flag", Outcome::Flagged),
        ("refuse", Outcome::Refused(Found::Harm)),
        ("block", Outcome::Blocked(Found::Harm)),
    ] {
        let guard = format!("[guard]\nharm = {{ action = \"{action}\" }}\n");
        assert_eq!(enforced_with(&guard, attack(0.1), harmful(0.9)), (outcome, format!("harm={action}")));
        assert_eq!(enforced_with(&guard, attack(0.1), harmful(0.4)), (Outcome::Pass, String::new()));
    }
    assert_eq!(Found::Harm.code(), "harm_detected");
}

#[test]
fn harm_that_cannot_be_judged_stops_the_request_by_itself() {
    let missing = || Given::Unavailable(Unavailable::UnreadableLanguage);
    for jailbreak in ["off", "flag"] {
        let guard = format!("[guard]\nharm = {{ action = \"block\" }}\njailbreak = {{ action = \"{jailbreak}\" }}\n");
        let (outcome, marks) = enforced_with(&guard, attack(0.9), missing());
        assert_eq!(outcome, Outcome::Unavailable, "an attack was found, but what is asked for is not known");
        assert!(marks.ends_with("harm=unavailable"), "{marks}");
        let open = format!("{guard}[minds.jailbreak]\non_error = \"open\"\n");
        assert!(matches!(enforced_with(&open, attack(0.9), missing()).0, Outcome::Pass | Outcome::Flagged));
    }
    let both = "[guard]\nharm = { action = \"block\" }\n";
    let expected = (Outcome::Unavailable, "jailbreak=unavailable harm=unavailable".into());
    assert_eq!(enforced_with(both, Given::Unavailable(Unavailable::Deadline), missing()), expected);
    assert_eq!(enforced_with("", attack(0.1), missing()), (Outcome::Pass, String::new()));
}
