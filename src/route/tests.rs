use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::minds::{Embedding, Given, Intent, Jailbreak, MindNames, Span, Timings, Unavailable};

mod cascade;
mod decoders;
mod outcomes;
mod snapshot;
mod stick;

const BACKENDS: &str = r#"
[backends.cheap]
base_url = "http://127.0.0.1:1/v1"
model = "small-1"
context_window = 1000
capabilities = ["json_schema"]
price = { input = 0.1, output = 0.4 }

[backends.premium]
base_url = "http://127.0.0.1:2/v1"
price = { input = 2.0, output = 8.0 }

[backends.spare]
base_url = "http://127.0.0.1:3/v1"
price = { input = 3.0, output = 9.0 }

[quality.cheap]
source = "test"
default = { simple = 0.9, medium = 0.6, hard = 0.2 }
math = { simple = 0.8, medium = 0.5, hard = 0.1 }

[quality.premium]
source = "test"
default = { simple = 0.95, medium = 0.9, hard = 0.8 }
"#;

const FLOOR: &str = r#"
[[routes]]
name = "main"
candidates = ["cheap", "premium"]
policy = { min_quality = 0.75 }
fallback = ["spare"]
"#;

fn config(routes: &str) -> Config {
    Config::parse(&format!("{BACKENDS}{routes}")).unwrap()
}

/// `scores`: P(math), P(other), and the three complexities.
fn intent(math: f32, complexity: [f32; 3]) -> Given<Intent> {
    let labels: Arc<[String]> = vec!["math".to_owned(), "other".to_owned()].into();
    Given::Verdict(Intent { labels, scores: vec![math, 1.0 - math], complexity: Some(complexity) })
}

fn judged(intent: Given<Intent>) -> Judgement {
    Judgement {
        intent,
        jailbreak: Given::Verdict(Jailbreak { score: 0.2, threshold: 0.5, source: None, span: None }),
        harm: Given::Off,
        pii: Given::Verdict(Vec::new()),
        embedding: Given::Off,
        opinions: Vec::new(),
        foresight: None,
        names: MindNames::default(),
        judged: Vec::new(),
        prompt_tokens: 50,
        windows: 1,
        timings: Timings::default(),
    }
}

fn easy() -> Judgement {
    judged(intent(0.1, [0.9, 0.08, 0.02]))
}

fn hard() -> Judgement {
    judged(intent(0.9, [0.02, 0.08, 0.9]))
}

fn blind() -> Judgement {
    judged(Given::Unavailable(Unavailable::Deadline))
}

fn features(headers: &HeaderMap) -> Features<'_> {
    Features {
        model: "auto",
        prompt_tokens: 50,
        max_output_tokens: None,
        tools: false,
        images: false,
        audio: false,
        json_schema: false,
        headers,
        held: None,
    }
}

fn ready(_: &str) -> Availability {
    Availability::Ready
}

fn auto(config: &Config, judgement: &Judgement) -> Decision {
    decide(config, Target::Virtual("auto"), &features(&HeaderMap::new()), judgement, &ready)
}

#[test]
fn a_simple_question_goes_to_the_cheap_backend_and_a_hard_one_to_the_good_one() {
    let config = config(FLOOR);
    let simple = auto(&config, &easy());
    assert_eq!(simple.order, ["cheap", "premium", "spare"]);
    assert_eq!(simple.reasons, ["cheapest_good_enough"]);
    let hard = auto(&config, &hard());
    assert_eq!(hard.order, ["premium", "cheap", "spare"]);
    assert_eq!(hard.reasons, ["cheapest_good_enough"]);
    insta::assert_snapshot!(hard.sentence, @r#"Read as math (0.90) and hard (0.90): route "main" took it because it is the only route; premium is the cheapest candidate that reaches the quality floor of 0.75 (quality 0.81, about $0.001453)."#);
}

#[test]
fn below_the_floor_the_best_one_is_taken_and_the_trace_says_so() {
    let config = config(&FLOOR.replace("0.75", "0.99"));
    let decision = auto(&config, &easy());
    assert_eq!(decision.order[0], "premium");
    assert_eq!(decision.reasons, ["floor_unmet", "best_quality"]);
}

#[test]
fn a_share_of_another_backends_quality_is_a_floor_too() {
    let routes = FLOOR.replace("min_quality = 0.75", "quality_of = { backend = \"premium\", share = 0.9 }");
    let config = config(&routes);
    assert_eq!(auto(&config, &easy()).order[0], "cheap");
    assert_eq!(auto(&config, &hard()).order[0], "premium");
}

#[test]
fn unknown_quality_does_not_reach_a_floor() {
    let config = config(&FLOOR.replace("[\"cheap\", \"premium\"]", "[\"spare\", \"premium\"]"));
    let decision = auto(&config, &hard());
    assert_eq!(decision.order, ["premium", "spare"]);
    assert_eq!(decision.candidates[0].predicted_quality, None);
    assert_eq!(decision.candidates[0].why, "quality unknown");
    for policy in ["min_quality = 0.99", "prefer = \"quality\""] {
        let routes = FLOOR.replace("min_quality = 0.75", policy).replace("[\"cheap\"", "[\"spare\"");
        assert_eq!(auto(&self::config(&routes), &hard()).order, ["premium", "spare"], "{policy}");
    }
}

#[test]
fn quality_is_preferred_within_the_cost_cap() {
    let capped = |cap| FLOOR.replace("min_quality = 0.75", &format!("prefer = \"quality\", max_cost = {cap}"));
    assert_eq!(auto(&config(&capped("0.01")), &easy()).order[0], "premium");
    let decision = auto(&config(&capped("0.0002")), &easy());
    assert_eq!(decision.order, ["cheap", "spare"]);
    assert!(!decision.candidates[1].eligible);
    assert_eq!(decision.candidates[1].why, "predicted to cost more than $0.0002");
    let no_fallback = capped("0.0000001").replace("fallback = [\"spare\"]", "");
    assert_eq!(auto(&config(&no_fallback), &easy()).unable, Some(Unable::MaxCost));
}

#[test]
fn without_a_floor_the_cheapest_wins() {
    let decision = auto(&config(&FLOOR.replace("policy = { min_quality = 0.75 }", "")), &hard());
    assert_eq!((&*decision.order[0], decision.reasons), ("cheap", vec!["cheapest"]));
}

#[test]
fn who_is_not_able_is_not_chosen() {
    let config = config(FLOOR);
    let headers = HeaderMap::new();
    let with = |change: fn(&mut Features<'_>)| {
        let mut features = features(&headers);
        change(&mut features);
        decide(&config, Target::Virtual("auto"), &features, &easy(), &ready)
    };
    let tools = with(|features| features.tools = true);
    assert_eq!((&*tools.order[0], &*tools.candidates[0].why), ("premium", "cannot do tools"));
    assert_eq!(with(|features| features.json_schema = true).order[0], "cheap");
    let long = with(|features| features.prompt_tokens = 980);
    assert_eq!(long.order[0], "premium");
    assert_eq!(long.candidates[0].why, "needs about 1047 tokens, has 1000");
    let short_answer =
        |features: &mut Features<'_>| (features.prompt_tokens, features.max_output_tokens) = (980, Some(20));
    assert_eq!(with(short_answer).order[0], "cheap");
}

#[test]
fn when_nobody_is_able_the_decision_says_why() {
    let config = config("[[routes]]\nname = \"main\"\ncandidates = [\"cheap\"]\n");
    let headers = HeaderMap::new();
    let run = |features: &Features<'_>, availability: &dyn Fn(&str) -> Availability| {
        let decision = decide(&config, Target::Virtual("auto"), features, &easy(), availability);
        assert!(decision.order.is_empty());
        assert!(decision.sentence.contains("no backend can take it"), "{}", decision.sentence);
        assert_eq!(decision.reasons, [decision.unable.unwrap().code()]);
        decision.unable.unwrap()
    };
    let fine = features(&headers);
    assert_eq!(run(&Features { prompt_tokens: 5000, ..fine }, &ready), Unable::ContextLength);
    assert_eq!(run(&Features { images: true, ..fine }, &ready), Unable::Capability);
    assert_eq!(run(&fine, &|_| Availability::Broken), Unable::Broken);
    assert_eq!(run(&fine, &|_| Availability::Full), Unable::Full);
}

#[test]
fn a_broken_candidate_is_passed_over_and_a_fallback_is_the_last_resort() {
    let config = config(FLOOR);
    let headers = HeaderMap::new();
    let but = |broken: &'static [&'static str]| {
        let availability = |name: &str| if broken.contains(&name) { Availability::Broken } else { Availability::Ready };
        decide(&config, Target::Virtual("auto"), &features(&headers), &easy(), &availability)
    };
    let decision = but(&["cheap"]);
    assert_eq!(decision.order, ["premium", "spare"]);
    assert_eq!(decision.reasons, ["candidate_unavailable", "only_able_candidate"]);
    let decision = but(&["cheap", "premium"]);
    assert_eq!((decision.order, decision.reasons), (vec!["spare".to_owned()], vec!["fallback"]));
    assert!(decision.sentence.ends_with("it falls back to spare."), "{}", decision.sentence);
    assert_eq!(but(&["cheap", "premium", "spare"]).unable, Some(Unable::Broken));
}

fn ruled(when: &str) -> Config {
    config(&format!("[[routes]]\nname = \"ruled\"\nwhen = {when}\ncandidates = [\"spare\"]\n{FLOOR}"))
}

fn takes(when: &str, judgement: &Judgement) -> bool {
    auto(&ruled(when), judgement).route == "ruled"
}

#[test]
fn keys_are_anded_and_lists_are_ored() {
    assert!(takes("{ category = \"math\" }", &hard()));
    assert!(takes("{ category = [\"law\", \"math\"], complexity = \"hard\" }", &hard()));
    assert!(!takes("{ category = [\"law\", \"math\"], complexity = \"simple\" }", &hard()));
    assert!(takes("{ confidence = { min = 0.8 } }", &hard()));
    assert!(!takes("{ confidence = { max = 0.8 } }", &hard()));
    assert!(takes("{ jailbreak = { min = 0.1, max = 0.3 } }", &hard()));
    assert!(takes("{ prompt_tokens = { min = 50, max = 50 }, tools = false, model = \"auto\" }", &hard()));
    assert!(!takes("{ images = true }", &hard()));
    let clause = auto(&ruled("{ category = \"math\", complexity = [\"hard\"], tools = false }"), &hard()).clause;
    assert_eq!(clause, "category is math (0.90) and complexity is hard (0.90) and it carries no tools");
}

#[test]
fn personal_data_and_similar_meanings_choose_routes() {
    let mut judgement = easy();
    judgement.pii = Given::Verdict(vec![Span { place: None, start: 0, end: 4, label: "PERSON".into(), score: 0.9 }]);
    assert!(takes("{ pii = \"any\" }", &judgement));
    assert!(takes("{ pii = [\"US_SSN\", \"PERSON\"] }", &judgement));
    assert!(!takes("{ pii = \"US_SSN\" }", &judgement));
    assert!(!takes("{ pii = \"any\" }", &easy()));

    let similar_to = vec![("refund".to_owned(), 0.7), ("greeting".to_owned(), 0.2)];
    judgement.embedding =
        Given::Verdict(Embedding { vector: Arc::from([1.0_f32].as_slice()), threshold: 0.6, similar_to });
    let exemplars = "[exemplars.refund]\ntexts = [\"give me my money back\"]\n[exemplars.greeting]\ntexts = [\"hi\"]\n";
    let route = |when: &str| {
        let routes =
            format!("[[routes]]\nname = \"ruled\"\nwhen = {when}\ncandidates = [\"spare\"]\n{FLOOR}{exemplars}");
        auto(&config(&routes), &judgement)
    };
    assert_eq!(route("{ similar_to = [\"greeting\", \"refund\"] }").clause, "it is similar to \"refund\" (0.70)");
    assert_eq!(route("{ similar_to = \"greeting\" }").route, "main");
}

#[test]
fn headers_match_by_exact_value_whatever_the_case_of_their_names() {
    let config = ruled("{ headers = { X-Tier = [\"gold\", \"silver\"] } }");
    let sent = |value: &'static str| {
        let headers = HeaderMap::from_iter([("x-tier".parse().unwrap(), http::HeaderValue::from_static(value))]);
        decide(&config, Target::Virtual("auto"), &features(&headers), &easy(), &ready).route
    };
    assert_eq!(sent("silver"), "ruled");
    assert_eq!(sent("Silver"), "main");
}

#[test]
fn a_missing_verdict_matches_nothing_and_takes_the_terminal_route() {
    let config = ruled("{ category = \"math\" }");
    let decision = auto(&config, &blind());
    assert_eq!((&*decision.route, &*decision.order[0]), ("main", "premium"));
    assert_eq!(decision.reasons, ["brain_unavailable", "floor_unmet", "best_quality"]);
    assert!(decision.candidates.iter().all(|candidate| candidate.predicted_quality.is_none()));
    assert!(decision.sentence.starts_with("Unread: route \"main\" took it because a verdict"), "{}", decision.sentence);
}

#[test]
fn a_missing_verdict_that_no_rule_needs_changes_nothing() {
    let decision = auto(&ruled("{ category = \"math\", tools = true }"), &hard());
    assert_eq!(decision.route, "main");
    let mut judgement = hard();
    judgement.embedding = Given::Unavailable(Unavailable::Overloaded);
    assert_eq!(auto(&ruled("{ category = \"math\" }"), &judgement), auto(&ruled("{ category = \"math\" }"), &hard()));
}

#[test]
fn what_a_missing_verdict_means_is_the_minds_own_setting() {
    let routes = format!(
        "[[routes]]\nname = \"math\"\nwhen = {{ category = \"math\" }}\ncandidates = [\"spare\"]\n\
         [[routes]]\nname = \"no-tools\"\nwhen = {{ tools = false }}\ncandidates = [\"cheap\"]\n{FLOOR}"
    );
    let on_error = |value: &str| auto(&config(&format!("{routes}[minds.brain]\non_error = \"{value}\"\n")), &blind());
    assert_eq!(on_error("open").route, "no-tools");
    assert_eq!(on_error("default").route, "main");
    let closed = on_error("closed");
    assert_eq!((closed.unable, closed.order.len()), (Some(Unable::Mind), 0));
    assert_eq!(closed.reasons, ["brain_unavailable", "mind_unavailable"]);
}

#[test]
fn a_guard_that_could_not_check_may_send_to_the_terminal_route() {
    let routes =
        format!("[[routes]]\nname = \"no-tools\"\nwhen = {{ tools = false }}\ncandidates = [\"cheap\"]\n{FLOOR}");
    let config = config(&format!("{routes}[minds.pii]\non_error = \"default\"\n"));
    let mut judgement = easy();
    assert_eq!(auto(&config, &judgement).route, "no-tools");
    judgement.pii = Given::Unavailable(Unavailable::UnreadableLanguage);
    let decision = auto(&config, &judgement);
    assert_eq!((&*decision.route, decision.reasons[0]), ("main", "pii_unavailable"));
    judgement.pii = easy().pii;
    judgement.harm = Given::Unavailable(Unavailable::Deadline);
    assert_eq!(auto(&config, &judgement).route, "no-tools", "nobody asked for it");
    let harm = "[guard]\nharm = { action = \"flag\" }\n[minds.jailbreak]\non_error = \"default\"\n";
    let decision = auto(&self::config(&format!("{routes}{harm}")), &judgement);
    assert_eq!((&*decision.route, decision.reasons[0]), ("main", "jailbreak_unavailable"));
}

#[test]
fn a_virtual_model_takes_its_own_routes_and_the_terminal_one() {
    let routes = format!(
        "[[routes]]\nname = \"a\"\nwhen = {{ tools = false }}\ncandidates = [\"cheap\"]\n\
         [[routes]]\nname = \"b\"\nwhen = {{ tools = false }}\ncandidates = [\"spare\"]\n{FLOOR}\
         [virtual_models]\nsome = [\"b\"]\nnone = []\n"
    );
    let config = config(&routes);
    let route = |model: &'static str| {
        let target = resolve(&config, model).unwrap();
        decide(&config, target, &features(&HeaderMap::new()), &easy(), &ready).route
    };
    assert_eq!([route("auto"), route("some"), route("none")], ["a", "b", "main"]);
}

#[test]
fn a_named_backend_is_taken_at_its_word() {
    let config = config(FLOOR);
    assert_eq!(resolve(&config, "cheap"), Some(Target::Named("cheap")));
    assert_eq!(resolve(&config, "small-1"), None);
    let headers = HeaderMap::new();
    let features = Features { model: "cheap", tools: true, prompt_tokens: 9000, ..features(&headers) };
    let decision = decide(&config, Target::Named("cheap"), &features, &hard(), &ready);
    assert_eq!((&*decision.route, &decision.order[..]), (NAMED, ["cheap".to_owned()].as_slice()));
    assert_eq!(decision.reasons, ["named_backend"]);
    let decision = decide(&config, Target::Named("cheap"), &features, &hard(), &|_| Availability::Broken);
    assert_eq!((decision.unable, decision.order.len()), (Some(Unable::Broken), 0));
}

#[test]
fn predicted_cost_counts_prompt_and_expected_answer() {
    let config = config(FLOOR);
    let headers = HeaderMap::new();
    let judgement = judged(intent(0.0, [1.0, 0.0, 0.0]));
    let cost = |most| {
        let features = Features { prompt_tokens: 1000, max_output_tokens: most, ..features(&headers) };
        decide(&config, Target::Named("premium"), &features, &judgement, &ready).candidates[0].predicted_cost_usd
    };
    assert!((cost(None) - (1000.0 * 2.0 + 61.0 * 8.0) / 1e6).abs() < 1e-12);
    assert!((cost(Some(10)) - (1000.0 * 2.0 + 10.0 * 8.0) / 1e6).abs() < 1e-12);
}

#[test]
fn counted_cost_prices_cached_tokens_apart() {
    let price = crate::config::Price { input: 2.0, cached_input: Some(0.5), output: 8.0 };
    assert!((price.cost(1000, 400, 100) - (600.0 * 2.0 + 400.0 * 0.5 + 100.0 * 8.0) / 1e6).abs() < 1e-12);
    let plain = crate::config::Price { cached_input: None, ..price };
    assert!((plain.cost(1000, 400, 0) - 0.002).abs() < 1e-12);
    assert!(plain.cost(10, 50, 0) >= 0.0);
}

#[test]
fn the_trace_has_the_keys_others_read() {
    let config = config(FLOOR);
    let judgement = easy();
    let mut trace = Trace::new("req-1".to_owned(), &config, &judgement, serde_json::Map::new());
    trace.decided(&config, &auto(&config, &judgement));
    trace.time("decide", Duration::from_micros(7));
    let value = serde_json::to_value(&trace).unwrap();
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    for key in ["request_id", "config_hash", "policy_version", "judged", "verdicts", "route", "candidates", "choice"] {
        assert!(keys.iter().any(|have| *have == key), "{key} is missing");
    }
    assert_eq!(value["choice"], serde_json::json!({ "backend": "cheap", "model": "small-1", "propensity": 1.0 }));
    assert_eq!(value["route"], serde_json::json!({ "name": "main", "clause": "it is the only route" }));
    let candidate: Vec<&String> = value["candidates"][0].as_object().unwrap().keys().collect();
    assert_eq!(candidate, ["backend", "predicted_quality", "predicted_cost_usd", "eligible", "why"]);
    let (quality, usd) =
        (value["candidates"][0]["predicted_quality"].to_string(), &value["candidates"][0]["predicted_cost_usd"]);
    assert!(quality.len() <= "0.123456".len(), "{quality}");
    assert!((usd.as_f64().unwrap() * 1e9).fract().abs() < 1e-6, "{usd}");
    assert_eq!(value["timings_us"]["decide"], 7);

    let mut stopped = Trace::new("req-2".to_owned(), &config, &judgement, serde_json::Map::new());
    stopped.stopped("jailbreak_detected", "Blocked.");
    assert!(stopped.choice.is_none() && stopped.route.is_none());
    assert_eq!(stopped.reasons, ["jailbreak_detected"]);
}

#[test]
fn deciding_is_quick() {
    let config = config(FLOOR);
    let (headers, judgement) = (HeaderMap::new(), easy());
    let features = features(&headers);
    let best = (0..200).map(|_| {
        let start = Instant::now();
        std::hint::black_box(decide(&config, Target::Virtual("auto"), &features, &judgement, &ready));
        start.elapsed()
    });
    // The best of many, since the machine may be busy.
    assert!(best.min().unwrap() < Duration::from_micros(50));
}

fn probabilities() -> impl Strategy<Value = Judgement> {
    (0.0..1.0_f32, prop::array::uniform3(0.001..1.0_f32)).prop_map(|(math, weights)| {
        let sum: f32 = weights.iter().sum();
        judged(intent(math, weights.map(|weight| weight / sum)))
    })
}

proptest! {
    #[test]
    fn the_chosen_backend_is_able(
        judgement in probabilities(),
        prompt_tokens in 0..3000_u64,
        tools: bool,
        states in prop::collection::vec(0..3_u8, 3),
    ) {
        let config = config(FLOOR);
        let headers = HeaderMap::new();
        let features = Features { prompt_tokens, tools, ..features(&headers) };
        let availability = |name: &str| match states[["cheap", "premium", "spare"].iter().position(|n| *n == name).unwrap()] {
            0 => Availability::Ready,
            1 => Availability::Broken,
            _ => Availability::Full,
        };
        let decision = decide(&config, Target::Virtual("auto"), &features, &judgement, &availability);
        for name in &decision.order {
            prop_assert!(decision.candidates.iter().any(|candidate| &candidate.backend == name && candidate.eligible));
            prop_assert_eq!(availability(name), Availability::Ready);
        }
        prop_assert_eq!(decision.order.is_empty(), decision.unable.is_some());
        let again = decide(&config, Target::Virtual("auto"), &features, &judgement, &availability);
        prop_assert_eq!(decision, again);
    }

    #[test]
    fn a_lower_floor_never_costs_more(judgement in probabilities(), a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
        let (low, high) = (a.min(b), a.max(b));
        let at = |floor: f64| {
            let decision = auto(&config(&FLOOR.replace("0.75", &floor.to_string())), &judgement);
            let first = decision.candidates.iter().find(|candidate| candidate.backend == decision.order[0]);
            first.unwrap().predicted_cost_usd
        };
        prop_assert!(at(low) <= at(high));
    }
}
