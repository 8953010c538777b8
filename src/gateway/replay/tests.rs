//! What was said is heard as the new configuration would hear it.

use http::HeaderMap;

use super::*;
use crate::config::CATEGORIES;
use crate::minds::{Expert, Intent, Jailbreak, MindNames, Opined, Opinion, Span};
use crate::openai::Usage;
use crate::telemetry::Seen;

const ROUTES: &str = "
[backends.cheap]
base_url = \"http://127.0.0.1:1/v1\"
price = { input = 1, output = 2 }
[backends.dear]
base_url = \"http://127.0.0.1:1/v1\"
price = { input = 10, output = 20 }
[[routes]]
name = \"proofs\"
when = { difficulty = { min = 0.7 } }
candidates = [\"dear\"]
[[routes]]
name = \"rest\"
candidates = [\"cheap\", \"dear\"]
";

async fn replay(rest: &str) -> Replay {
    Replay::open(Config::parse(&format!("{ROUTES}{rest}")).unwrap()).await.unwrap()
}

fn expert(difficulty: f32) -> Opinion {
    let labels: Arc<[String]> = vec!["algebra".to_owned()].into();
    Opinion {
        role: "expert-math".into(),
        mind: "mom-expert-math-flash".into(),
        said: Given::Verdict(Opined::Expert(Expert { labels, scores: vec![1.0], difficulty, p_solve: None })),
        ignored: Vec::new(),
        reason: Given::Off,
    }
}

/// About mathematics, most likely.
fn snapshot() -> Snapshot {
    let mut judgement = Judgement::unread(100);
    let scores = CATEGORIES.iter().map(|name| if *name == "math" { 0.9 } else { 0.1 / 17.0 }).collect();
    let labels = CATEGORIES.map(str::to_owned).to_vec().into();
    judgement.intent = Given::Verdict(Intent { labels, scores, complexity: Some([0.1, 0.2, 0.7]) });
    judgement.jailbreak = Given::Verdict(Jailbreak { score: 0.2, threshold: 0.9, source: None, span: None });
    let span = |label: &str, score| Span { place: None, start: 0, end: 0, label: label.into(), score };
    judgement.pii = Given::Verdict(vec![span("PERSON", 0.75)]);
    let (vector, similar_to) = (Arc::from([1.0_f32, 0.0].as_slice()), Vec::new());
    judgement.embedding = Given::Verdict(Embedding { vector, threshold: 0.5, similar_to });
    judgement.names = MindNames {
        intent: "mom-brain-flash".into(),
        jailbreak: "mom-jailbreak-flash".into(),
        pii: "mom-pii-flash".into(),
        embedding: "mom-similarity-flash".into(),
    };
    Snapshot {
        model: "auto".to_owned(),
        prompt_tokens: 100,
        max_output_tokens: None,
        tools: false,
        images: false,
        audio: false,
        json_schema: false,
        headers: HeaderMap::new(),
        held: None,
        judgement,
        counts: vec![0.0; crate::minds::quality::COUNTS],
    }
}

fn goes(replay: &Replay, snapshot: &Snapshot) -> (String, bool) {
    let again = replay.decide(snapshot, &[]).unwrap();
    (again.fate().label(), again.unheard)
}

#[tokio::test]
async fn a_decoder_is_heard_where_it_would_be_asked() {
    let mut read = snapshot();
    let with = |difficulty| Judgement { opinions: vec![expert(difficulty)], ..snapshot().judgement };
    let asked = replay("[minds.expert-math]\nwhen = { category = \"math\" }\n").await;
    assert_eq!(goes(&asked, &read), ("cheap".to_owned(), true), "it would be asked, and had not been");
    read.judgement = with(0.8);
    assert_eq!(goes(&asked, &read), ("dear".to_owned(), false));
    read.judgement = with(0.2);
    assert_eq!(goes(&asked, &read), ("cheap".to_owned(), false));
    read.judgement = with(0.8);
    let elsewhere = replay("[minds.expert-math]\nwhen = { category = \"law\" }\n").await;
    assert_eq!(goes(&elsewhere, &read), ("cheap".to_owned(), false), "it would not be asked");
    let of_proofs = replay("[minds.expert-math]\nroutes = \"rest\"\n").await;
    assert_eq!(goes(&of_proofs, &read), ("dear".to_owned(), false), "asked about what it then moves");
}

#[tokio::test]
async fn thresholds_are_those_of_the_configuration_else_as_shipped() {
    let plain = "[minds.expert-math]\n";
    let read = snapshot();
    let heard = |replay: &Replay| replay.judgement(&read, &[]).unwrap();
    let shipped = heard(&replay(plain).await);
    let jailbreak = shipped.jailbreak.verdict().unwrap();
    assert!(jailbreak.threshold != 0.9 && !jailbreak.detected(), "not that of the time: {jailbreak:?}");
    assert_eq!(shipped.pii.verdict().unwrap().len(), 1);
    let own = format!(
        "{plain}[minds.jailbreak]\nthreshold = 0.2\n[minds.pii]\nthreshold = 0.8\n[minds.similarity]\nthreshold = 0.25\n"
    );
    let strict = replay(&own).await;
    let judgement = heard(&strict);
    assert!(judgement.jailbreak.verdict().unwrap().detected() && judgement.pii.verdict().unwrap().is_empty());
    assert_eq!(judgement.embedding.verdict().unwrap().threshold, 0.25);
    assert_eq!(goes(&strict, &read).0, "(jailbreak_detected)");
}

#[tokio::test]
async fn a_cosine_is_what_it_was_unless_the_exemplar_is_another() {
    let mut embedding = snapshot().judgement.embedding.verdict().unwrap().clone();
    embedding.similar_to = vec![("same".to_owned(), 0.6004), ("changed".to_owned(), 0.1), ("gone".to_owned(), 0.9)];
    let text = |x: f32| vec![Arc::from([x, (1.0 - x * x).sqrt()].as_slice())];
    let meanings =
        vec![("same".to_owned(), text(0.6)), ("changed".to_owned(), text(0.8)), ("new".to_owned(), text(0.0))];
    compare(&mut embedding, &meanings);
    let known = [("same", 0.6004), ("changed", 0.8), ("new", 0.0)].map(|(name, cosine)| (name.to_owned(), cosine));
    assert_eq!(embedding.similar_to, known);
}

#[tokio::test]
async fn costs_are_those_of_the_tokens_that_were_paid_for() {
    let replay = replay("[minds.expert-math]\n").await;
    let (json, embedding) = snapshot().keep();
    let seen = Some(Seen { snapshot: json, embedding, offers: "[]".to_owned() });
    let usage = Some(Usage { prompt: 1000, cached: 0, completion: 100, reasoning: 0 });
    let logged = Logged {
        backend: "cheap".to_owned(),
        chosen: "cheap".to_owned(),
        reasons: "cheapest".to_owned(),
        usage,
        cost_usd: Some(0.5),
        discarded_usd: Some(0.25),
        seen,
        ..Logged::default()
    };
    let weighed = |logged: &Logged| {
        let weighed = replay.weigh(logged, None)?;
        Ok::<_, Unfit>((weighed.then.label(), weighed.now.label(), weighed.cost, weighed.length))
    };
    let cheap = 1200.0 / 1e6;
    let of = |then: &str, cost, now, length| Ok((then.to_owned(), "cheap".to_owned(), [cost, now], length));
    assert_eq!(weighed(&logged), of("cheap", 0.5, cheap + 0.25, Length::Logged), "what was thrown away is again");
    let fell_back = Logged { backend: "dear".to_owned(), ..logged.clone() };
    assert_eq!(
        weighed(&fell_back),
        of("cheap", 0.5, 12_000.0 / 1e6 + 0.25, Length::Logged),
        "the other would step in again"
    );
    let moved = Logged { chosen: "dear".to_owned(), backend: "dear".to_owned(), ..logged.clone() };
    assert_eq!(weighed(&moved), of("dear", 0.5, cheap, Length::Logged));
    let failed = Logged { usage: None, cost_usd: None, ..moved.clone() };
    assert_eq!(weighed(&failed), of("dear", 0.0, 0.0, Length::Unknown));
    let nobody =
        Logged { chosen: String::new(), backend: String::new(), usage: None, cost_usd: None, ..logged.clone() };
    let stopped = Logged { reasons: "pii_detected".to_owned(), ..nobody.clone() };
    let (then, _, [was, is], length) = weighed(&stopped).unwrap();
    assert!(then == "(pii_detected)" && was == 0.0 && is > 0.0 && length == Length::Predicted);
    let outage = Logged { reasons: "no_backend_available".to_owned(), ..nobody.clone() };
    assert_eq!(weighed(&outage), Err(Unfit::Outage));
    assert_eq!(weighed(&Logged { seen: None, ..nobody }), Err(Unfit::Unweighed));
    assert_eq!(weighed(&Logged { seen: None, ..logged.clone() }), Err(Unfit::NoFeatures));
    let odd = Some(Seen { snapshot: "{}".to_owned(), embedding: None, offers: "[]".to_owned() });
    assert_eq!(weighed(&Logged { seen: odd, ..logged }), Err(Unfit::Unreadable));
}
