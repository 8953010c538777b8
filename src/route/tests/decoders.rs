//! What becomes of a decision when decoders are asked.

use super::*;
use crate::minds::{Expert, Opined, Opinion};

/// As if a decoder had been asked.
fn with(judgement: Judgement, mind: &str, said: Given<Opined>) -> Judgement {
    let opinion = Opinion { role: "role".into(), mind: mind.into(), said, ignored: Vec::new(), reason: Given::Off };
    Judgement { opinions: vec![opinion], ..judgement }
}

fn expert(difficulty: f32, p_solve: &[(&str, f32)]) -> Given<Opined> {
    let labels: Arc<[String]> = vec!["algebra".to_owned(), "calculus".to_owned()].into();
    let (names, chances): (Vec<String>, Vec<f32>) = p_solve.iter().map(|(name, p)| ((*name).to_owned(), *p)).unzip();
    let p_solve = Some((names.into(), chances));
    Given::Verdict(Opined::Expert(Expert { labels, scores: vec![0.3, 0.7], difficulty, p_solve }))
}

#[test]
fn a_decoder_that_spoke_is_believed_and_one_that_did_not_changes_nothing() {
    let config = config(FLOOR);
    let Given::Verdict(reading) = intent(0.9, [0.02, 0.08, 0.9]) else { unreachable!() };
    let corrected = auto(&config, &with(easy(), "mom-brain-pro", Given::Verdict(Opined::Intent(reading))));
    assert_eq!(corrected.order, auto(&config, &hard()).order);
    assert_eq!(corrected.reasons, ["decoder_asked", "cheapest_good_enough"]);
    assert!(corrected.sentence.starts_with("Read as math (0.90) and hard (0.90) by mom-brain-pro: "));

    let late = auto(&config, &with(easy(), "mom-brain-pro", Given::Unavailable(Unavailable::Deadline)));
    assert_eq!(late.order, auto(&config, &easy()).order);
    assert_eq!(late.reasons, ["decoder_unavailable", "cheapest_good_enough"]);
    let sentence = "Read as other (0.90) and simple (0.90); mom-brain-pro had no word on it (deadline), so what was \
                    known stands: ";
    assert!(late.sentence.starts_with(sentence), "{}", late.sentence);
}

#[test]
fn who_an_expert_knows_is_judged_by_the_question() {
    let config = config(FLOOR);
    let decide = |known: &[(&str, f32)]| auto(&config, &with(hard(), "mom-expert-math-flash", expert(0.4, known)));
    let solved = decide(&[("small-1", 0.8), ("premium", 0.95)]);
    assert_eq!((&*solved.order[0], solved.candidates[0].predicted_quality), ("cheap", Some(f64::from(0.8_f32))));
    assert!(solved.reasons.contains(&"expert_quality"));
    let unsolved = decide(&[("small-1", 0.3), ("premium", 0.95)]);
    assert_eq!(unsolved.order[0], "premium");
    // Its numbers are not compared with those of the table.
    let half = decide(&[("small-1", 0.8)]);
    assert_eq!((half.order.clone(), half.reasons.contains(&"expert_quality")), (auto(&config, &hard()).order, false));
}

#[test]
fn rules_read_an_expert_only_where_one_spoke() {
    let routes = "[minds.expert-math]\n[[routes]]\nname = \"deep\"\ncandidates = [\"premium\"]\n\
                  when = { domain = \"calculus\", difficulty = { min = 0.5 } }\n\
                  [[routes]]\nname = \"rest\"\ncandidates = [\"cheap\"]\n";
    let config = config(routes);
    let route = |said| auto(&config, &with(hard(), "mom-expert-math-flash", said));
    let deep = route(expert(0.6, &[]));
    assert_eq!((&*deep.route, &*deep.clause), ("deep", "it is about calculus (0.70) and its difficulty is 0.60"));
    assert_eq!(route(expert(0.4, &[])).route, "rest");
    assert_eq!(route(Given::Unavailable(Unavailable::Overloaded)).route, "rest");
    assert_eq!(auto(&config, &hard()).route, "rest");
}

#[test]
fn decoders_are_asked_where_their_section_says() {
    let asked_where = |section: &str, judgement: &Judgement| {
        let config = config(&format!("[minds.brain-pro]\n{section}\n{FLOOR}"));
        let (headers, decision) = (HeaderMap::new(), auto(&config, judgement));
        !asked(&config, ["brain-pro"].into_iter(), &features(&headers), judgement, &decision).is_empty()
    };
    assert!(asked_where("", &easy()));
    let unsure = "when = { confidence = { max = 0.6 } }";
    assert!(!asked_where(unsure, &easy()));
    assert!(asked_where(unsure, &judged(intent(0.55, [0.9, 0.08, 0.02]))));
    // Nobody is as unsure as who could not read it.
    assert!(asked_where(unsure, &blind()));
    assert!(asked_where("when = { category = \"math\" }", &hard()));
    assert!(!asked_where("when = { category = \"math\" }", &easy()));
    let route = auto(&config(FLOOR), &easy()).route;
    assert!(asked_where(&format!("routes = [\"{route}\"]"), &easy()));
}
