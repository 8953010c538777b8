//! What is kept of a request decides as the request did.

use super::super::{Held, Snapshot};
use super::*;
use crate::minds::{Expert, Harm, Opined, Opinion, Stretch};

/// Rules on a header, on personal data, on an expert's word and on a meaning, before the floor.
fn ruled() -> Config {
    config(&format!(
        "[[routes]]\nname = \"gold\"\nwhen = {{ headers = {{ X-Tier = \"gold\" }} }}\ncandidates = [\"premium\"]\n\
         [[routes]]\nname = \"private\"\nwhen = {{ pii = \"US_SSN\" }}\ncandidates = [\"spare\"]\n\
         [[routes]]\nname = \"proofs\"\nwhen = {{ difficulty = {{ min = 0.7 }} }}\ncandidates = [\"premium\"]\n\
         [[routes]]\nname = \"refunds\"\nwhen = {{ similar_to = \"refund\" }}\ncandidates = [\"cheap\"]\n{FLOOR}\
         [exemplars.refund]\ntexts = [\"money back\"]\n[minds.expert-math]\n"
    ))
}

fn again(config: &Config, features: &Features<'_>, judgement: &Judgement) -> (Decision, Decision) {
    let (json, embedding) = Snapshot::of(config, features, judgement, &[1.0, 2.5]).keep();
    let snapshot = Snapshot::read(&json, embedding.as_deref()).unwrap();
    assert_eq!(snapshot.counts, [1.0, 2.5]);
    let target = Target::Virtual("auto");
    (
        decide(config, target, features, judgement, &ready),
        decide(config, target, &snapshot.features(), &snapshot.judgement, &ready),
    )
}

#[test]
fn every_kind_of_word_survives() {
    let config = ruled();
    let headers = HeaderMap::from_iter([
        ("x-tier".parse().unwrap(), http::HeaderValue::from_static("gold")),
        ("cookie".parse().unwrap(), http::HeaderValue::from_static("secret")),
    ]);
    let none = HeaderMap::new();
    let (gold, plain) = (features(&headers), features(&none));
    let mut judgement = hard();
    let mut routes = Vec::new();
    let mut check = |features: &Features<'_>, judgement: &Judgement| {
        let (first, second) = again(&config, features, judgement);
        assert_eq!(first, second);
        routes.push(first.route);
    };
    check(&gold, &judgement);
    check(&Features { tools: true, max_output_tokens: Some(7), ..plain }, &judgement);
    judgement.embedding = Given::Verdict(Embedding {
        vector: Arc::from([0.6_f32, 0.8].as_slice()),
        threshold: 0.6,
        similar_to: vec![("refund".to_owned(), 0.71)],
    });
    check(&plain, &judgement);
    let labels: Arc<[String]> = vec!["algebra".to_owned(), "proof".to_owned()].into();
    let p_solve = Some((vec!["small-1".to_owned()].into(), vec![0.25]));
    judgement.opinions.push(Opinion {
        role: "expert-math".into(),
        mind: "mom-expert-math-flash".into(),
        said: Given::Verdict(Opined::Expert(Expert { labels, scores: vec![0.25, 0.75], difficulty: 0.8, p_solve })),
        ignored: vec![Stretch { place: None, start: 1, end: 2 }],
        reason: Given::Off,
    });
    check(&plain, &judgement);
    judgement.pii = Given::Verdict(vec![Span { place: None, start: 3, end: 9, label: "US_SSN".into(), score: 0.75 }]);
    judgement.harm = Given::Verdict(Harm { score: 0.125, threshold: 0.5 });
    check(&plain, &judgement);
    check(&plain, &blind());
    assert_eq!(routes, ["gold", "main", "refunds", "proofs", "private", "main"]);
}

#[test]
fn credentials_are_not_kept_whatever_rules_read() {
    let config = config(&format!(
        "[[routes]]\nname = \"one\"\nwhen = {{ headers = {{ X-Api-Key = \"mine\" }} }}\ncandidates = [\"spare\"]\n{FLOOR}"
    ));
    let headers = HeaderMap::from_iter([("x-api-key".parse().unwrap(), http::HeaderValue::from_static("mine"))]);
    let (json, _) = Snapshot::of(&config, &features(&headers), &easy(), &[]).keep();
    assert!(!json.contains("mine"), "{json}");
}

#[test]
fn no_more_is_kept_than_rules_read() {
    let config = ruled();
    let headers = HeaderMap::from_iter([("cookie".parse().unwrap(), http::HeaderValue::from_static("secret"))]);
    let held = Some(Held { backend: "cheap", tokens: 40 });
    let (json, embedding) = Snapshot::of(&config, &Features { held, ..features(&headers) }, &easy(), &[]).keep();
    assert!(!json.contains("secret") && embedding.is_none(), "{json}");
    let snapshot = Snapshot::read(&json, None).unwrap();
    assert_eq!(snapshot.features().held, held);
    let error = Snapshot::read("{\"model\":1}", None).unwrap_err();
    assert!(error.to_string().starts_with("not a request as it was weighed: "), "{error}");
}
