//! Conversations and the backends that have read them.

use super::super::{Conversation, Held};
use super::*;

/// Two that are good enough: `local` costs a little less, `hosted` reads what it knows at a tenth.
const CONVERSING: &str = r#"
[backends.local]
base_url = "http://127.0.0.1:1/v1"
price = { input = 2.0, output = 8.0 }

[backends.hosted]
base_url = "http://127.0.0.1:1/v1"
price = { input = 3.0, cached_input = 0.3, output = 8.0 }

[backends.dear]
base_url = "http://127.0.0.1:1/v1"
price = { input = 6.0, cached_input = 0.6, output = 20.0 }

[quality.local]
source = "made up"
default = 0.8
[quality.hosted]
source = "made up"
default = { simple = 0.9, medium = 0.8, hard = 0.3 }
[quality.dear]
source = "made up"
default = 0.95

[[routes]]
name = "main"
candidates = ["local", "hosted", "dear"]
policy = POLICY
"#;

fn decided(policy: &str, held: (&str, u64), judgement: &Judgement) -> Decision {
    let config = Config::parse(&CONVERSING.replace("POLICY", policy)).unwrap();
    let headers = HeaderMap::new();
    let held = Some(Held { backend: held.0, tokens: held.1 });
    let features = Features { prompt_tokens: 4000, max_output_tokens: Some(10), held, ..features(&headers) };
    decide(&config, Target::Virtual("auto"), &features, judgement, &ready)
}

fn sum(decision: &Decision) -> &Conversation {
    decision.conversation.as_ref().unwrap()
}

#[test]
fn it_stays_while_the_cache_saves_more_than_the_other_would_win() {
    let floor = "{ min_quality = 0.7 }";
    let stays = decided(floor, ("hosted", 3000), &easy());
    assert_eq!(stays.order[0], "hosted");
    let said = sum(&stays);
    assert_eq!((&*said.backend, &*said.otherwise, said.cached_tokens, said.kept), ("hosted", "local", 3000, true));
    assert!((said.saving_usd - 3000.0 * 2.7 / 1e6).abs() < 1e-12, "{said:?}");
    assert!((said.gain_usd.unwrap() - 4000.0 * 1.0 / 1e6).abs() < 1e-12, "{said:?}");
    assert_eq!(stays.reasons.last(), Some(&"conversation_kept"));
    assert!(stays.sentence.contains("saves $0.008100, a change to local would win $0.004000"), "{}", stays.sentence);
    // 1,400 tokens save less than the change wins.
    let leaves = decided(floor, ("hosted", 1400), &easy());
    assert_eq!((&*leaves.order[0], sum(&leaves).kept), ("local", false));
    assert_eq!(leaves.reasons.last(), Some(&"conversation_moved"));
    // What is too short is not kept by anybody, and who gives no rebate saves nothing.
    assert_eq!(decided(floor, ("hosted", 1000), &easy()).order[0], "local");
    assert_eq!(sum(&decided(floor, ("local", 3000), &easy())).saving_usd, 0.0);
    assert_eq!(decided("{ min_quality = 0.7, sticky = false }", ("hosted", 3000), &easy()).conversation, None);
}

#[test]
fn a_floor_is_not_sold() {
    let moved = decided("{ min_quality = 0.7 }", ("hosted", 4000), &hard());
    assert_eq!((&*moved.order[0], sum(&moved).gain_usd), ("local", None));
    let moved = decided("{ prefer = \"quality\" }", ("hosted", 4000), &easy());
    assert_eq!((&*moved.order[0], sum(&moved).gain_usd), ("dear", None));
}

#[test]
fn better_answers_have_a_price_where_one_is_given() {
    // The better answer is worth 0.05 x worth; it costs 0.012 more, and 0.0108 are saved.
    let at =
        |worth: &str| decided(&format!("{{ prefer = \"quality\", worth_usd = {worth} }}"), ("hosted", 4000), &easy());
    assert_eq!(at("0.1").order[0], "hosted");
    assert_eq!(at("1.0").order[0], "dear");
    assert!(sum(&at("1.0")).gain_usd.unwrap() > sum(&at("1.0")).saving_usd);
}

#[test]
fn who_cannot_take_it_holds_nothing() {
    let config = Config::parse(&CONVERSING.replace("POLICY", "{ min_quality = 0.7 }")).unwrap();
    let headers = HeaderMap::new();
    let held = Some(Held { backend: "hosted", tokens: 4000 });
    let features = Features { held, prompt_tokens: 4000, ..features(&headers) };
    let down = |name: &str| if name == "hosted" { Availability::Broken } else { Availability::Ready };
    let decision = decide(&config, Target::Virtual("auto"), &features, &easy(), &down);
    assert_eq!((&*decision.order[0], decision.conversation), ("local", None));
}
