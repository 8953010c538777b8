//! Whether a route's cascade is run.

use super::*;

fn route(options: &str) -> Config {
    let cascade = format!("cascade = {{ first = \"cheap\", then = \"premium\"{options} }}\n");
    config(&format!("{FLOOR}{cascade}"))
}

#[test]
fn a_cascade_takes_the_policys_place() {
    for judgement in [easy(), hard()] {
        let decision = auto(&route(""), &judgement);
        assert_eq!(decision.order, ["cheap", "premium", "spare"], "whatever the floor");
        assert_eq!(decision.reasons, ["cascade"]);
        let cascade = decision.cascade.unwrap();
        assert_eq!((&*cascade.options.first, &*cascade.options.then), ("cheap", "premium"));
        assert_eq!(cascade.then_usd, decision.candidates[1].predicted_cost_usd);
    }
    insta::assert_snapshot!(auto(&route(""), &hard()).sentence, @r#"Read as math (0.90) and hard (0.90): route "main" took it because it is the only route; cheap is asked first (quality 0.16, about $0.000073), and premium where its answer is not good enough."#);
}

#[test]
fn a_third_candidate_is_for_when_both_fail() {
    let three = FLOOR.replace("[\"cheap\", \"premium\"]", "[\"spare\", \"cheap\", \"premium\"]");
    let config = config(&format!("{three}cascade = {{ first = \"premium\", then = \"spare\" }}\n"));
    assert_eq!(auto(&config, &easy()).order, ["premium", "spare", "cheap"]);
}

#[test]
fn who_is_not_expected_to_do_is_not_asked() {
    let config = route(", skip_below = 0.5");
    assert_eq!(auto(&config, &easy()).reasons, ["cascade"]);
    let decision = auto(&config, &hard());
    assert_eq!((&*decision.order[0], decision.cascade), ("premium", None));
    assert_eq!(decision.reasons, ["cascade_skipped"]);
    assert_eq!(decision.order, ["premium", "cheap", "spare"]);
    let unread = judged(Given::Off);
    assert_eq!(auto(&route(", skip_below = 0.99"), &unread).reasons, ["cascade_skipped"], "by the table's default");
}

#[test]
fn two_calls_that_cost_too_much_are_one() {
    let both: f64 = auto(&route(""), &easy()).candidates[..2].iter().map(|one| one.predicted_cost_usd).sum();
    let decision = auto(&route(&format!(", max_cost = {:.9}", both * 0.99)), &easy());
    assert_eq!((&*decision.order[0], &decision.cascade), ("cheap", &None));
    assert_eq!(decision.reasons, ["cascade_capped"]);
    assert!(auto(&route(&format!(", max_cost = {:.9}", both * 1.01)), &easy()).cascade.is_some());
}

#[test]
fn without_both_the_policy_chooses() {
    let headers = HeaderMap::new();
    for (one, why, other) in [("cheap", Availability::Broken, "premium"), ("premium", Availability::Full, "cheap")] {
        let available = |name: &str| if name == one { why } else { Availability::Ready };
        let decision = decide(&route(""), Target::Virtual("auto"), &features(&headers), &easy(), &available);
        assert_eq!((&*decision.order[0], decision.cascade), (other, None));
        assert_eq!(decision.reasons, ["candidate_unavailable", "cascade_unable", "only_able_candidate"]);
    }
    let nobody = |_: &str| Availability::Broken;
    let decision = decide(&route(""), Target::Virtual("auto"), &features(&headers), &easy(), &nobody);
    assert_eq!((decision.unable, decision.reasons), (Some(Unable::Broken), vec!["no_backend_available"]));
    let named = decide(&route(""), Target::Named("cheap"), &features(&headers), &easy(), &ready);
    assert_eq!(named.cascade, None, "past routing");
}
