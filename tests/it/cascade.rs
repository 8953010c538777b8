//! Asking the cheap backend first: what is kept, what is given up, and that the client sees one answer.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::cli::{Served, lines, mom};
use crate::client::{Client, Response, chat, get, post};
use crate::gateway::{Mom, NO_MINDS, SERVER, ask, ask_stream, backend, route};
use crate::upstream::{Step, Upstream, answer, chunk, head, last_chunk, sse_head};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
/// Told by the scripted backends: 1,000 tokens in and 100 out.
const USAGE: &str = r#"{"prompt_tokens":1000,"completion_tokens":100}"#;
const CHEAP: f64 = (1000.0 + 100.0 * 10.0) / 1e6;
const DEAR: f64 = (1000.0 * 10.0 + 100.0 * 100.0) / 1e6;

struct Pair {
    cheap: Upstream,
    dear: Upstream,
    mom: Mom,
    folder: tempfile::TempDir,
}

impl Pair {
    /// Of two scripted backends; `options` beside `first` and `then`.
    async fn new(cheap: Vec<Step>, dear: Vec<Step>, options: &str) -> Self {
        let cascade = format!("cascade = {{ first = \"cheap\", then = \"dear\"{options} }}");
        Self::with(cheap, dear, "", &cascade).await
    }

    /// `keys` of the cheap backend; `route` after its candidates, and sections after that.
    async fn with(cheap: Vec<Step>, dear: Vec<Step>, keys: &str, route: &str) -> Self {
        let (cheap, dear) = (Upstream::always(cheap).await, Upstream::always(dear).await);
        let folder = tempfile::tempdir().unwrap();
        let first = backend(
            "cheap",
            cheap.addr,
            &format!("price = {{ input = 1, output = 10 }}\nretry = {{ attempts = 0 }}\n{keys}"),
        );
        let second = backend("dear", dear.addr, "price = { input = 10, output = 100 }\nretry = { attempts = 0 }");
        let ledger = format!("[ledger]\npath = \"{}\"\n", folder.path().join("ledger.db").display());
        let all = format!("[[routes]]\nname = \"all\"\ncandidates = [\"cheap\", \"dear\"]\n{route}\n");
        let mom = Mom::start(&format!("{SERVER}{NO_MINDS}{first}{second}{ledger}{all}")).await;
        Self { cheap, dear, mom, folder }
    }

    async fn chat(&self) -> Response {
        chat(self.mom.public, ask("auto")).await
    }

    async fn stream(&self) -> Response {
        chat(self.mom.public, ask_stream("auto")).await
    }

    /// How often each was asked.
    fn asked(&self) -> (usize, usize) {
        (self.cheap.seen().len(), self.dear.seen().len())
    }

    /// The ledger's rows, once the gateway has stopped.
    async fn booked(self) -> Vec<Value> {
        self.mom.shutdown().await;
        let (path, export) = (self.folder.path().join("ledger.db"), self.folder.path().join("all.jsonl"));
        let done = mom(&["ledger", "--path", path.to_str().unwrap(), "--export", export.to_str().unwrap()], "");
        assert!(done.status.success(), "{done:?}");
        let rows = std::fs::read_to_string(export).unwrap();
        rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn body(message: &Value, finish: &str) -> String {
    let choice = json!({"index": 0, "message": message, "finish_reason": finish});
    // Spelt as no printer would.
    format!("{{ \"choices\":[ {choice}],\n \"usage\":{USAGE}, \"odd\": 1.0e+0 }}\n")
}

fn said(text: &str) -> String {
    body(&json!({"role": "assistant", "content": text}), "stop")
}

fn whole(body: &str) -> Vec<Step> {
    vec![Step::Send(answer("200 OK", JSON, body.as_bytes()))]
}

fn error(status: &str) -> Vec<Step> {
    vec![Step::Send(answer(status, JSON, br#"{"error":{"message":"no","type":"server_error"}}"#))]
}

fn event(delta: &Value, finish: Option<&str>) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
}

/// The events of a stream that says these words.
fn events(words: &[&str]) -> Vec<String> {
    let mut events = vec![event(&json!({"role": "assistant", "content": ""}), None)];
    events.extend(words.iter().map(|word| event(&json!({"content": word}), None)));
    events.push(event(&json!({}), Some("stop")));
    events.push(format!("data: {{\"choices\":[],\"usage\":{USAGE}}}\n\n"));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn streamed(events: &[String]) -> Vec<Step> {
    let mut steps = vec![sse_head()];
    steps.extend(events.iter().map(chunk));
    steps.push(last_chunk());
    steps
}

/// Who answered, and the codes that say why.
fn told(response: &Response) -> (&str, &str) {
    assert_eq!(response.status(), 200, "{}", response.text());
    let reason = response.header("x-mom-reason").unwrap();
    (response.header("x-mom-backend").unwrap(), reason.trim_start_matches("cascade,"))
}

fn close(booked: &Value, usd: f64) {
    assert!((booked.as_f64().unwrap() - usd).abs() < 1e-12, "{booked} is not {usd}");
}

#[tokio::test]
async fn without_one_whatever_is_said_is_the_answer() {
    let pair = Pair::with(whole(&said("")), whole(&said("42")), "", "").await;
    let response = pair.chat().await;
    assert_eq!((told(&response), response.text()), (("cheap", "cheapest"), said("").as_str()));
    assert_eq!(pair.asked(), (1, 0));
}

#[tokio::test]
async fn a_good_answer_is_relayed_as_it_came() {
    let pair = Pair::new(whole(&said("42")), whole(&said("43")), "").await;
    let response = pair.chat().await;
    assert_eq!((told(&response), response.text()), (("cheap", "cascade_kept"), said("42").as_str()));
    assert_eq!(pair.asked(), (1, 0));
    let words = events(&["for", "ty\r", "-two"]);
    let pair = Pair::new(streamed(&words), whole(&said("43")), "").await;
    let response = pair.stream().await;
    assert_eq!((told(&response), response.text()), (("cheap", "cascade_kept"), words.concat().as_str()));
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(pair.asked(), (1, 0));
    close(&pair.booked().await[0]["cost_usd"], CHEAP);
}

#[tokio::test]
async fn calling_a_tool_is_an_answer() {
    let calls = json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let message = body(&json!({"role": "assistant", "content": null, "tool_calls": calls}), "tool_calls");
    let pair = Pair::new(whole(&message), whole(&said("43")), "").await;
    assert_eq!(told(&pair.chat().await), ("cheap", "cascade_kept"));
    let called = [event(&json!({"content": null, "tool_calls": calls}), None), "data: [DONE]\n\n".to_owned()];
    let pair = Pair::new(streamed(&called), whole(&said("43")), "").await;
    assert_eq!(told(&pair.stream().await), ("cheap", "cascade_kept"));
}

#[tokio::test]
async fn what_is_not_good_enough_is_given_up() {
    let logprobs = json!({"content": [{"token": "4", "logprob": -2.0}, {"token": "2", "logprob": -1.5}]});
    let unlikely = json!({"choices": [{"message": {"content": "42"}, "logprobs": logprobs}]}).to_string();
    let filtered = body(&json!({"content": "Half a"}), "content_filter");
    let mut cut = answer("200 OK", JSON, said("42").as_bytes());
    cut.truncate(cut.len() - 5);
    let poor = [
        (whole(&said(" \n")), "empty"),
        (whole(&body(&json!({"content": null}), "length")), "empty"),
        (whole(&filtered), "filtered"),
        (whole(&said("I'm sorry, but I can't help with that.")), "refusal"),
        (whole(&unlikely), "low_logprob"),
        (error("500 Internal Server Error"), "error"),
        (error("429 Too Many Requests"), "error"),
        (vec![Step::Close], "error"),
        (vec![Step::Send(cut), Step::Close], "error"),
        (whole("<html>Welcome</html>"), "error"),
        (vec![Step::Stall], "late"),
        (vec![Step::Send(head("200 OK", &[("content-length", "99")])), Step::Send(b"{".to_vec()), Step::Stall], "late"),
    ];
    for (cheap, why) in poor {
        let pair = Pair::new(cheap, whole(&said("43")), ", min_logprob = -1.7, max_wait = \"400ms\"").await;
        let response = pair.chat().await;
        let reason = format!("cascade_escalated,first_{why}");
        assert_eq!((told(&response), response.text()), (("dear", reason.as_str()), said("43").as_str()));
        assert_eq!(pair.asked(), (1, 1), "{why}");
    }
}

#[tokio::test]
async fn a_stream_that_is_not_good_enough_leaves_no_trace() {
    let cut = events(&["forty"])[..2].to_vec();
    let mut broken = streamed(&cut);
    broken.pop();
    let mut stalled = broken.clone();
    broken.push(Step::Reset);
    stalled.push(Step::Stall);
    let failed = [cut[0].clone(), "data: {\"error\":{\"message\":\"overloaded\"}}\n\n".to_owned()];
    let half = [cut[0].clone(), "data: {\"choices\":[{\"delta\":{\"content\":\"f".to_owned()];
    let poor = [
        (streamed(&events(&[])), "empty"),
        (streamed(&events(&["As an ", "AI, I can", "not say."])), "refusal"),
        (streamed(&failed), "error"),
        (streamed(&half), "error"),
        (broken, "error"),
        (stalled, "late"),
    ];
    let good = events(&["forty", "-three"]);
    for (cheap, why) in poor {
        let pair = Pair::new(cheap, streamed(&good), ", max_wait = \"400ms\"").await;
        let response = pair.stream().await;
        let reason = format!("cascade_escalated,first_{why}");
        assert_eq!((told(&response), response.text()), (("dear", reason.as_str()), good.concat().as_str()));
        assert_eq!(pair.asked(), (1, 1), "{why}");
    }
}

#[tokio::test]
async fn the_first_is_held_back_and_the_second_is_not() {
    let (judged, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let poor = events(&["I don't know."]);
    let mut cheap = vec![sse_head(), chunk(poor.concat()), Step::Gate(Arc::clone(&judged))];
    cheap.push(last_chunk());
    let good = events(&["forty", "-three"]);
    let dear = vec![sse_head(), chunk(&good[0]), chunk(&good[1]), Step::Gate(Arc::clone(&ended)), last_chunk()];
    let pair = Pair::new(cheap, dear, "").await;
    let mut client = Client::connect(pair.mom.public).await;
    client.send("POST", "/v1/chat/completions", JSON, ask_stream("auto").as_bytes()).await;
    pair.cheap.arrived(1).await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(pair.asked(), (1, 0), "more may come of the first");
    judged.notify_one();
    let mut reply = client.reply().await;
    let begun = good[..2].concat();
    assert_eq!(reply.until(good[1].as_bytes()).await, begun.as_bytes(), "while the second goes on");
    ended.notify_one();
    assert!(reply.rest().await.0.complete);
}

#[tokio::test]
async fn refusals_may_be_good_enough() {
    let pair = Pair::new(whole(&said("I don't know.")), whole(&said("43")), ", refusals = false").await;
    assert_eq!(told(&pair.chat().await), ("cheap", "cascade_kept"));
}

#[tokio::test]
async fn both_calls_are_paid_for() {
    let pair = Pair::new(whole(&said("")), whole(&said("43")), "").await;
    assert_eq!(told(&pair.chat().await).0, "dear");
    let metrics = get(pair.mom.admin, "/metrics").await;
    for line in [
        "mom_cascades_total{route=\"all\",outcome=\"escalated\",why=\"empty\"} 1",
        "mom_tokens_total{backend=\"cheap\",kind=\"prompt\"} 1000",
        "mom_tokens_total{backend=\"dear\",kind=\"prompt\"} 1000",
        "mom_cost_usd_total{backend=\"cheap\"} 0.002",
        "mom_cost_usd_total{backend=\"dear\"} 0.02",
    ] {
        assert!(metrics.text().contains(line), "{line} is not in\n{}", metrics.text());
    }
    let rows = pair.booked().await;
    close(&rows[0]["cost_usd"], CHEAP + DEAR);
    assert_eq!((&rows[0]["backend"], &rows[0]["prompt_tokens"]), (&"dear".into(), &1000.into()));
    assert_eq!((rows.len(), &rows[0]["estimated"]), (1, &0.into()));
}

#[tokio::test]
async fn the_log_says_what_was_given_up_and_none_of_its_words() {
    let words = "I don't know the words of this song.";
    let (cheap, dear) = (Upstream::always(whole(&said(words))).await, Upstream::always(whole(&said("43"))).await);
    let first = backend("cheap", cheap.addr, "price = { input = 1, output = 10 }");
    let second = backend("dear", dear.addr, "price = { input = 10, output = 100 }");
    let all = route("all", "\"cheap\", \"dear\"");
    let cascade = "cascade = { first = \"cheap\", then = \"dear\" }\n";
    let served = Served::with(&format!("{SERVER}{NO_MINDS}{first}{second}{all}{cascade}")).await;
    assert_eq!(told(&chat(served.public, ask("auto")).await).0, "dear");
    let mut written = Vec::new();
    for _ in 0..50 {
        written = lines(&served.log).into_iter().filter(|line| line["message"] == "request").collect();
        if !written.is_empty() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    close(&written[0]["discarded_usd"], CHEAP);
    close(&written[0]["cost_usd"], CHEAP + DEAR);
    assert_eq!(written[0]["reason"], "cascade,cascade_escalated,first_refusal");
    assert!(written[0]["trace"].as_str().unwrap().contains(r#""cascade":{"first":"cheap","then":"dear"}"#));
    assert!(!std::fs::read_to_string(served.log.path()).unwrap().contains("this song"));
}

#[tokio::test]
async fn a_first_call_that_nobody_counted_is_estimated() {
    let untold = [event(&json!({"content": "I don't know"}), None), "data: [DONE]\n\n".to_owned()];
    let pair = Pair::new(streamed(&untold), streamed(&events(&["43"])), "").await;
    assert_eq!(told(&pair.stream().await).0, "dear");
    let row = &pair.booked().await[0];
    // `hi` is one token, what was said three.
    close(&row["cost_usd"], (1.0 + 3.0 * 10.0) / 1e6 + DEAR);
    assert_eq!(row["estimated"], 1);
}

#[tokio::test]
async fn an_answer_that_is_late_is_paid_for_and_hung_up_on() {
    let mut stalled = vec![sse_head(), chunk(event(&json!({"content": "I don't know"}), None))];
    stalled.push(Step::Stall);
    let pair = Pair::new(stalled, streamed(&events(&["43"])), ", max_wait = \"200ms\"").await;
    let since = Instant::now();
    assert_eq!(told(&pair.stream().await), ("dear", "cascade_escalated,first_late"));
    assert!(pair.cheap.left_after(since).await < Duration::from_millis(500));
    close(&pair.booked().await[0]["cost_usd"], (1.0 + 3.0 * 10.0) / 1e6 + DEAR);
}

#[tokio::test]
async fn the_cap_ends_it_before_and_between_the_calls() {
    // Predicted: 1 token in, 115 out; 0.00115 and 0.0115 USD. The first then costs 0.002.
    let pair = Pair::new(whole(&said("")), whole(&said("43")), ", max_cost = 0.0127").await;
    let response = pair.chat().await;
    assert_eq!((told(&response), response.text()), (("cheap", "cascade_capped,first_empty"), said("").as_str()));
    assert_eq!(pair.asked(), (1, 0));
    close(&pair.booked().await[0]["cost_usd"], CHEAP);
    let pair = Pair::new(whole(&said("")), whole(&said("43")), ", max_cost = 0.01").await;
    assert_eq!(told(&pair.chat().await), ("cheap", "cascade_capped"));
    assert_eq!(pair.asked(), (1, 0));
    let pair = Pair::new(whole(&said("")), whole(&said("43")), ", max_cost = 0.0136").await;
    assert_eq!(told(&pair.chat().await).0, "dear");
    // Late, and the prompt alone has cost too much by the backend's own word.
    let usage = format!("data: {{\"choices\":[],\"usage\":{USAGE}}}\n\n");
    let slow = vec![
        sse_head(),
        chunk(&usage),
        Step::Wait(Duration::from_millis(600)),
        chunk("data: [DONE]\n\n"),
        last_chunk(),
    ];
    let pair = Pair::new(slow, whole(&said("43")), ", max_cost = 0.0127, max_wait = \"200ms\"").await;
    let response = pair.stream().await;
    assert_eq!(told(&response), ("cheap", "cascade_capped,first_late"));
    assert_eq!(response.text(), format!("{usage}data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_poor_answer_is_better_than_none() {
    for dear in [error("500 Internal Server Error"), error("400 Bad Request"), vec![Step::Close]] {
        let pair = Pair::new(whole(&said("I don't know.")), dear, "").await;
        let response = pair.chat().await;
        let reason = "cascade_escalated,first_refusal,cascade_failed";
        assert_eq!((told(&response), response.text()), (("cheap", reason), said("I don't know.").as_str()));
        assert_eq!(pair.asked(), (1, 1));
        let row = &pair.booked().await[0];
        close(&row["cost_usd"], CHEAP);
        assert_eq!(row["backend"], "cheap");
    }
    let pair = Pair::new(error("503 Service Unavailable"), vec![Step::Close], "").await;
    let response = pair.chat().await;
    assert_eq!((response.status(), response.header("x-mom-backend")), (503, Some("cheap")), "the only word there is");
    let pair = Pair::new(error("400 Bad Request"), whole(&said("43")), "").await;
    assert_eq!(pair.chat().await.status(), 400, "the client's own mistake");
    assert_eq!(pair.asked(), (1, 0));
}

#[tokio::test]
async fn a_client_that_leaves_ends_it() {
    let said = chunk(event(&json!({"content": "I don't know"}), None));
    let stalls = [vec![Step::Stall], vec![sse_head(), said, Step::Stall]];
    for (cheap, usd) in stalls.into_iter().zip([None, Some((1.0 + 3.0 * 10.0) / 1e6)]) {
        let pair = Pair::new(cheap, whole(&self::said("43")), "").await;
        let mut client = Client::connect(pair.mom.public).await;
        client.send("POST", "/v1/chat/completions", JSON, ask_stream("auto").as_bytes()).await;
        pair.cheap.arrived(1).await;
        sleep(Duration::from_millis(100)).await;
        let since = Instant::now();
        drop(client);
        assert!(pair.cheap.left_after(since).await <= Duration::from_millis(300));
        sleep(Duration::from_millis(200)).await;
        assert_eq!(pair.asked(), (1, 0), "nobody waits for another answer");
        let row = &pair.booked().await[0];
        assert_eq!((&row["end"], &row["backend"]), (&"client_left".into(), &"cheap".into()));
        match usd {
            Some(usd) => close(&row["cost_usd"], usd),
            None => assert_eq!(row["cost_usd"], Value::Null),
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_the_second_has_paid_for_the_first() {
    let pair = Pair::new(whole(&said("")), vec![Step::Stall], "").await;
    let mut client = Client::connect(pair.mom.public).await;
    client.send("POST", "/v1/chat/completions", JSON, ask("auto").as_bytes()).await;
    pair.dear.arrived(1).await;
    let since = Instant::now();
    drop(client);
    assert!(pair.dear.left_after(since).await <= Duration::from_millis(300));
    let row = &pair.booked().await[0];
    close(&row["cost_usd"], CHEAP);
    assert_eq!(row["backend"], "dear");
}

#[tokio::test]
async fn an_answer_too_long_to_hold_is_kept() {
    let ended = Arc::new(Notify::new());
    let long = event(&json!({"content": "word ".repeat(100_000)}), None);
    let mut cheap = vec![sse_head()];
    cheap.extend((0..9).map(|_| chunk(&long)));
    cheap.extend([Step::Gate(Arc::clone(&ended)), chunk("data: [DONE]\n\n"), last_chunk()]);
    let pair = Pair::new(cheap, whole(&said("43")), "").await;
    let mut client = Client::connect(pair.mom.public).await;
    client.send("POST", "/v1/chat/completions", JSON, ask_stream("auto").as_bytes()).await;
    let reply = client.reply().await;
    assert_eq!(reply.head.header("x-mom-reason"), Some("cascade,cascade_kept,first_long"));
    ended.notify_one();
    let (response, _) = reply.rest().await;
    assert!(response.complete && response.text() == format!("{}data: [DONE]\n\n", long.repeat(9)));
    assert_eq!(pair.asked(), (1, 0));
}

#[tokio::test]
async fn log_probabilities_are_asked_for_where_the_route_says_so() {
    let pair = Pair::new(whole(&said("")), whole(&said("43")), ", min_logprob = -1").await;
    pair.chat().await;
    assert_eq!(pair.cheap.only().body, ask("cheap").into_bytes());
    let pair = Pair::new(whole(&said("")), whole(&said("43")), ", min_logprob = -1, request_logprobs = true").await;
    pair.chat().await;
    let asked = ask("cheap").replace("]}", "],\"logprobs\":true}");
    assert_eq!(String::from_utf8(pair.cheap.only().body).unwrap(), asked);
    assert_eq!(pair.dear.only().body, ask("dear").into_bytes(), "the second answer is not judged");
}

#[tokio::test]
async fn other_endpoints_and_packed_answers_are_judged_too() {
    let text = |text: &str| format!("{{\"choices\":[{{\"text\":\"{text}\",\"index\":0}}]}}");
    for (words, who) in [("\\n\\n", "dear"), ("\\n42", "cheap")] {
        let pair = Pair::new(whole(&text(words)), whole(&text("43")), "").await;
        let response = post(pair.mom.public, "/v1/completions", "{\"model\":\"auto\",\"prompt\":\"6 x 7\"}").await;
        assert_eq!(told(&response).0, who, "{words}");
    }
    for (words, who) in [("I don't know.", "dear"), ("42", "cheap")] {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(said(words).as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let headers = [JSON[0], ("content-encoding", "gzip")];
        let cheap = vec![Step::Send(answer("200 OK", &headers, &packed))];
        let pair = Pair::new(cheap, whole(&said("43")), "").await;
        let response = pair.chat().await;
        assert_eq!(told(&response).0, who);
        assert!(who == "dear" || response.body == packed);
    }
    let headers = [JSON[0], ("content-encoding", "br")];
    let cheap = vec![Step::Send(answer("200 OK", &headers, b"\x0b\x02\x80"))];
    let pair = Pair::new(cheap, whole(&said("43")), "").await;
    assert_eq!(told(&pair.chat().await), ("cheap", "cascade_kept,first_unread"));
}

#[tokio::test]
async fn a_trace_says_what_would_be_done() {
    let quality = "[quality.cheap]\nsource = \"test\"\ndefault = 0.4\n";
    let route = |options: &str| format!("cascade = {{ first = \"cheap\", then = \"dear\"{options} }}\n{quality}");
    let traced = async |keys: &str, options: &str| {
        let pair = Pair::with(whole(&said("42")), whole(&said("43")), keys, &route(options)).await;
        let tools = ask("auto").replace("]}", r#"],"tools":[{"type":"function"}]}"#);
        let trace = post(pair.mom.public, "/v1/route", tools).await.json();
        assert_eq!(pair.asked(), (0, 0));
        trace
    };
    let trace = traced("", ", skip_below = 0.4").await;
    assert_eq!((&trace["choice"]["backend"], &trace["reasons"]), (&json!("cheap"), &json!(["cascade"])));
    assert_eq!(trace["cascade"], json!({"first": "cheap", "then": "dear"}));
    let sentence = trace["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("cheap is asked first (quality 0.40,")
            && sentence.contains("and dear where its answer is not"),
        "{sentence}"
    );
    let trace = traced("", ", skip_below = 0.41").await;
    assert_eq!((&trace["choice"]["backend"], &trace["reasons"]), (&json!("dear"), &json!(["cascade_skipped"])));
    assert_eq!(trace["cascade"], Value::Null);
    let trace = traced("capabilities = []", "").await;
    let reasons = json!(["cascade_unable", "only_able_candidate"]);
    assert_eq!((&trace["choice"]["backend"], &trace["reasons"]), (&json!("dear"), &reasons));
}
