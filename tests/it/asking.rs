//! `mom outcomes run` as a user runs it: the binary against scripted backends, killed, capped, lied to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{mom, stderr};
use crate::gateway::{backend, route};
use crate::upstream::{Seen, Step, Upstream, answer, head};

mod grading;

const CHEAP: &str = "model = \"vendor/small\"\nprice = { input = 1.0, output = 10.0 }\nretry = { attempts = 0 }";
const PREMIUM: &str = "model = \"large\"\nprice = { input = 10.0, output = 100.0 }\nretry = { attempts = 0 }";

/// A chat answer of 10 tokens in and 20 out.
fn says(text: &str) -> Vec<Step> {
    let body = json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20},
    });
    sends("200 OK", &[], &body)
}

fn sends(status: &str, headers: &[(&str, &str)], body: &Value) -> Vec<Step> {
    let headers = [&[("content-type", "application/json")], headers].concat();
    vec![Step::Send(answer(status, &headers, body.to_string().as_bytes()))]
}

/// The last message of a request.
fn question(seen: &Seen) -> String {
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned()
}

/// `What is 7 plus 7?` is 14. The cheap backend cannot do sums above 20.
fn sum(question: &str, right: bool) -> String {
    let n: u32 = question.split(' ').nth(2).unwrap().parse().unwrap();
    format!("Let me see: {n} plus {n} is {}.", 2 * n + u32::from(!right))
}

async fn cheap() -> Upstream {
    Upstream::start(|_, seen| says(&sum(&question(seen), !question(seen).contains("1")))).await
}

async fn premium() -> Upstream {
    Upstream::start(|_, seen| says(&sum(&question(seen), true))).await
}

/// A folder with a configuration of these backends and forty sums.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(backends: &[(&str, &Upstream, &str)]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let mut config = String::new();
        for (name, upstream, keys) in backends {
            config += &backend(name, upstream.addr, keys);
        }
        config +=
            "[quality.cheap]\nsource = \"test\"\ndefault = 0.5\n[quality.premium]\nsource = \"test\"\ndefault = 0.9\n";
        std::fs::write(place.path("config.toml"), config + &route("all", "\"cheap\", \"premium\"")).unwrap();
        let sums = (0..40).map(|n| json!({"id": n, "prompt": format!("What is {n} plus {n}?"), "answer": 2 * n}));
        place.write("sums.jsonl", &sums.collect::<Vec<_>>());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, rows: &[Value]) {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The arguments of a run on `prompts`.
    fn arguments(&self, prompts: &str, more: &[&str]) -> Vec<String> {
        let paths = ["config.toml", prompts, "out.jsonl"].map(|name| self.path(name).to_str().unwrap().to_owned());
        let [config, prompts, out] = paths.each_ref().map(String::as_str);
        let given = ["outcomes", "run", "--config", config, "--prompts", prompts, "--out", out, "--json"];
        let given = [&given[..], &["--max-tokens", "20"], more].concat();
        given.into_iter().map(str::to_owned).collect()
    }

    async fn run(&self, prompts: &str, more: &[&str]) -> Output {
        let arguments = self.arguments(prompts, more);
        let run = move || mom(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "");
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// A run that prints its object: exit code and object.
    async fn told(&self, prompts: &str, more: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(prompts, more).await;
        let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        (output.status.code(), told)
    }

    fn start(&self, prompts: &str, more: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mom"));
        command.args(self.arguments(prompts, more)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn outcomes(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("out.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

const BOTH: [&str; 4] = ["--backends", "cheap,premium", "--max-usd", "5"];

#[tokio::test]
async fn your_own_prompts_become_outcomes_that_the_knob_takes() {
    let (small, large) = (cheap().await, premium().await);
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM)]);
    let (_, dry) = place.told("sums.jsonl", &["--backends", "cheap,premium", "--dry-run"]).await;
    assert_eq!((&dry["answers"], &dry["prompts"]), (&json!(80), &json!(40)));
    assert!(small.seen().is_empty() && !place.path("out.jsonl").exists(), "a dry run asks and leaves nothing");

    let (code, told) = place.told("sums.jsonl", &BOTH).await;
    assert_eq!((code, &told["run"]["graded"]), (Some(0), &json!(80)), "{told}");
    let row = |index: usize| &told["backends"][index];
    // 27 of the numbers below 40 have no 1 in them.
    assert_eq!(
        (&row(0)["model"], &row(0)["n"], row(0)["quality"].as_f64()),
        (&json!("vendor/small"), &json!(40), Some(0.675))
    );
    assert_eq!((row(1)["quality"].as_f64(), row(1)["output_tokens"].as_f64()), (Some(1.0), Some(20.0)));
    assert!((row(0)["usd_per_1k"].as_f64().unwrap() - 0.21).abs() < 1e-9, "10 x 1 and 20 x 10 micro-USD: {told}");
    let pair = &told["comparisons"][0];
    assert_eq!(
        (&pair["n"], &pair["verdict"], &pair["more_prompts"]),
        (&json!(40), &json!("differ"), &json!(0)),
        "{pair}"
    );
    let spent = 40.0 * (0.00021 + 0.0021);
    assert!((told["spent_usd"].as_f64().unwrap() - spent).abs() < 1e-9, "{told}");
    assert!(dry["worst_usd"].as_f64().unwrap() >= spent, "{dry}");
    let request: Value = serde_json::from_slice(&small.seen()[0].body).unwrap();
    assert_eq!(request["max_tokens"], 20);
    assert!(request.get("temperature").is_none() && request.get("stream").is_none(), "{request}");

    let (code, again) = place.told("sums.jsonl", &BOTH).await;
    assert_eq!((code, &again["run"]["graded"], &again["backends"]), (Some(0), &json!(0), &told["backends"]));
    assert_eq!((small.seen().len(), large.seen().len()), (40, 40), "nothing is asked twice");

    let paths = ["config.toml", "out.jsonl"].map(|name| place.path(name).to_str().unwrap().to_owned());
    let report = mom(
        &["outcomes", "run", "--report", "--backends", "cheap,premium", "--config", &paths[0], "--out", &paths[1]],
        "",
    );
    let said = String::from_utf8(report.stdout).unwrap();
    assert!(said.contains("settled: premium is better") && said.contains("--quality-of premium=0.95"), "{said}");
    let pair = ["eval", "routing", "--weak", "vendor/small", "--strong", "large", "--data", &paths[1]];
    let pair = mom(&pair, "");
    let measured: Value = serde_json::from_slice(&pair.stdout).unwrap_or_else(|_| panic!("{}", stderr(&pair)));
    assert_eq!((&measured["n"], &measured["dropped"]), (&json!(40), &json!(0)), "lines of a prompt are joined");
    let knob =
        ["calibrate", "knob", "--config", &paths[0], "--data", &paths[1], "--quality-of", "premium=0.6", "--json"];
    let knob = mom(&knob, "");
    let advice: Value = serde_json::from_slice(&knob.stdout).unwrap_or_else(|_| panic!("{}", stderr(&knob)));
    assert_eq!(
        (&advice["prompts"], advice["always"]["cheap"]["quality"].as_f64()),
        (&json!(40), Some(0.675)),
        "{advice}"
    );
    assert!((advice["always"]["premium"]["usd_per_1k_requests"].as_f64().unwrap() - 2.1).abs() < 1e-9, "{advice}");
}

#[tokio::test]
async fn a_killed_run_goes_on_and_asks_nothing_twice() {
    let stuck = Arc::new(AtomicBool::new(true));
    let stall = Arc::clone(&stuck);
    let small = Upstream::start(move |n, seen| {
        if n >= 12 && stall.load(Ordering::SeqCst) { vec![Step::Stall] } else { says(&sum(&question(seen), true)) }
    })
    .await;
    let large = premium().await;
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM)]);
    let mut child = place.start("sums.jsonl", &BOTH);
    small.arrived(13).await;
    for _ in 0..100 {
        if place.outcomes().len() >= 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = place.outcomes();
    assert!((20..80).contains(&before.len()), "{} lines", before.len());
    // As if it had died in the middle of a line.
    let torn = format!("{}{{\"id\":39,\"prompt\":\"What", std::fs::read_to_string(place.path("out.jsonl")).unwrap());
    std::fs::write(place.path("out.jsonl"), torn).unwrap();

    stuck.store(false, Ordering::SeqCst);
    let asked = [small.seen().len(), large.seen().len()];
    let output = place.run("sums.jsonl", &BOTH).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("written half"), "{}", stderr(&output));
    for (upstream, asked, model) in [(&small, asked[0], "vendor/small"), (&large, asked[1], "large")] {
        let known: BTreeSet<&str> = before
            .iter()
            .filter(|line| line["outcomes"].get(model).is_some())
            .map(|line| line["prompt"].as_str().unwrap())
            .collect();
        // What was under way when it died is asked again, and may be read late.
        let again: BTreeSet<String> = upstream.seen()[asked..].iter().map(question).collect();
        assert!(again.iter().all(|question| !known.contains(&**question)), "{model}: {again:?}");
        assert_eq!(known.len() + again.len(), 40, "{model}: {known:?} and {again:?}");
    }
    let pairs: BTreeSet<String> = place
        .outcomes()
        .iter()
        .map(|line| format!("{} {}", line["id"], line["outcomes"].as_object().unwrap().keys().next().unwrap()))
        .collect();
    assert_eq!((pairs.len(), place.outcomes().len()), (80, 80), "no answer is there twice");
}

#[tokio::test]
async fn ctrl_c_lets_answers_come_in() {
    let small = Upstream::start(|_, seen| {
        [vec![Step::Wait(Duration::from_millis(300))], says(&sum(&question(seen), true))].concat()
    })
    .await;
    let large = premium().await;
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM)]);
    let child = place.start("sums.jsonl", &[&BOTH[..], &["--concurrency", "2"]].concat());
    small.arrived(2).await;
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &told["run"]["stopped"]),
        (Some(1), &json!("interrupted; the same command goes on from here")),
        "{told}"
    );
    let asked = small.seen().len() + large.seen().len();
    assert_eq!(place.outcomes().len(), asked, "all that was asked is kept");
    assert_eq!(told["run"]["left"], 80 - asked);
}

#[tokio::test]
async fn the_cap_holds_and_stays_for_all_runs() {
    let (small, large) = (cheap().await, premium().await);
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM)]);
    // An answer of premium may cost 0.0034 at worst and costs 0.0021; one of cheap a tenth.
    let capped = ["--backends", "cheap,premium", "--max-usd", "0.02", "--concurrency", "16"];
    let mut spent = Vec::new();
    for _ in 0..2 {
        let (code, told) = place.told("sums.jsonl", &capped).await;
        assert_eq!(code, Some(1), "{told}");
        assert!(told["run"]["stopped"].as_str().unwrap().contains("--max-usd 0.02"), "{told}");
        spent.push(told["spent_usd"].as_f64().unwrap());
    }
    let billed = small.seen().len() as f64 * 0.00021 + large.seen().len() as f64 * 0.0021;
    assert!(billed <= 0.02 && billed > 0.01, "{billed}");
    assert!((spent[0] - billed).abs() < 1e-9 && (spent[0] - spent[1]).abs() < 1e-9, "{spent:?}");
    // A sample that has nothing to do with the order of the file.
    let ids: Vec<i64> = place.outcomes().iter().map(|line| line["id"].as_i64().unwrap()).collect();
    assert!(ids.iter().any(|id| *id > 20), "{ids:?}");
}

#[tokio::test]
async fn calls_that_fail_are_no_outcomes_and_are_asked_again() {
    let broken = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&broken);
    let small = Upstream::start(move |n, seen| match n {
        0 => sends("429 Too Many Requests", &[("retry-after", "0")], &json!({"error": {"message": "slow down"}})),
        1 => sends(
            "400 Bad Request",
            &[],
            &json!({"error": {"message": "use max_completion_tokens", "param": "max_tokens"}}),
        ),
        _ if fails.load(Ordering::SeqCst) && question(seen).contains(" 7 ") => {
            sends("400 Bad Request", &[], &json!({"error": {"message": "no sevens here"}}))
        }
        _ => says(&sum(&question(seen), true)),
    })
    .await;
    let large = premium().await;
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM)]);
    let (code, told) = place.told("sums.jsonl", &[&BOTH[..], &["--concurrency", "1"]].concat()).await;
    assert_eq!((code, &told["run"]["failed"]), (Some(1), &json!({"cheap": 1})), "{told}");
    assert_eq!((&told["run"]["graded"], &told["backends"][0]["n"]), (&json!(79), &json!(39)));
    let last: Value = serde_json::from_slice(&small.seen().last().unwrap().body).unwrap();
    assert_eq!((&last["max_completion_tokens"], last.get("max_tokens")), (&json!(20), None), "its newer name is found");
    broken.store(false, Ordering::SeqCst);
    let (code, told) = place.told("sums.jsonl", &BOTH).await;
    assert_eq!((code, &told["run"]["graded"], &told["backends"][0]["n"]), (Some(0), &json!(1), &json!(40)), "{told}");
}

#[tokio::test]
async fn a_backend_that_only_fails_is_left_alone() {
    let small =
        Upstream::start(|_, _| sends("401 Unauthorized", &[], &json!({"error": {"message": "wrong key"}}))).await;
    let large = premium().await;
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM)]);
    let output = place.run("sums.jsonl", &BOTH).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stopped = told["run"]["stopped"].as_str().unwrap();
    assert!(stopped.contains("cheap failed 5 times in a row: 401 wrong key"), "{stopped}");
    assert!(small.seen().len() < 12 && output.status.code() == Some(1), "{} calls", small.seen().len());
}

#[tokio::test]
async fn what_backends_leave_out_is_told_and_booked() {
    // One call at a time, and not a word about tokens.
    let small = Upstream::start(|_, seen| {
        let message = json!({"content": sum(&question(seen), true)});
        sends("200 OK", &[], &json!({"choices": [{"message": message, "finish_reason": "length"}]}))
    })
    .await;
    let large = Upstream::start(|n, seen| match n {
        0 => vec![
            Step::Send(head("200 OK", &[("content-length", "1000")])),
            Step::Send(b"{\"choices".to_vec()),
            Step::Close,
        ],
        _ => says(&sum(&question(seen), true)),
    })
    .await;
    let single = format!("{CHEAP}\nconcurrency = 1");
    let place = Place::new(&[("cheap", &small, &single), ("premium", &large, PREMIUM)]);
    let (code, told) = place.told("sums.jsonl", &[&BOTH[..], &["--concurrency", "16"]].concat()).await;
    let run = &told["run"];
    assert_eq!((code, &run["failed"], &run["graded"]), (Some(1), &json!({"premium": 1}), &json!(79)), "{told}");
    assert_eq!((&run["cut"], &run["estimated"]), (&json!(40), &json!(40)), "{told}");
    let tokens = told["backends"][0]["output_tokens"].as_f64().unwrap();
    assert!((7.0..10.0).contains(&tokens), "`Let me see: 7 plus 7 is 14.` in fours: {told}");
    // The answer that broke off may have been billed: 20 tokens at least, and each byte of the prompt.
    let booked = run["spent_usd"].as_f64().unwrap() - told["spent_usd"].as_f64().unwrap();
    assert!((0.002..0.005).contains(&booked), "{booked}");
}

#[tokio::test]
async fn a_disk_that_is_full_ends_the_run() {
    let (small, large) = (cheap().await, premium().await);
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM)]);
    let arguments = place.arguments("sums.jsonl", &BOTH);
    // No file may grow beyond two blocks, which answers a write as a full disk does.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_mom")]).args(arguments);
    let output = tokio::task::spawn_blocking(move || limited.output().unwrap()).await.unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let stopped = told["run"]["stopped"].as_str().unwrap();
    assert!(output.status.code() == Some(1) && stopped.contains("could not be written"), "{told}");
    assert!(told["run"]["spent_usd"].as_f64().unwrap() > 0.0);
    let kept = place.outcomes().len();
    assert!((1..12).contains(&kept), "whole lines only: {kept}");
    let (code, told) = place.told("sums.jsonl", &BOTH).await;
    assert_eq!((code, &told["run"]["graded"]), (Some(0), &json!(80 - kept)));
}

#[tokio::test]
async fn mistakes_cost_nothing_and_are_told_in_one_line() {
    let (small, large) = (cheap().await, premium().await);
    let client = "api_key = \"client\"";
    let place = Place::new(&[
        ("cheap", &small, CHEAP),
        ("premium", &large, PREMIUM),
        ("twin", &small, CHEAP),
        ("free", &small, "model = \"own\""),
        ("theirs", &small, client),
    ]);
    place.write(
        "twice.jsonl",
        &[json!({"id": 1, "prompt": "a", "answer": 1}), json!({"id": 1, "prompt": "b", "answer": 1})],
    );
    place.write("empty.jsonl", &[]);
    place.write("open.jsonl", &[json!({"id": 1, "prompt": "Tell me a joke."})]);
    place.write("words.jsonl", &[json!({"id": 1, "prompt": "Which?", "answer": "blue"})]);
    let usd = ["--max-usd", "5"];
    let folder = place.path("nowhere/out.jsonl");
    for (prompts, more, said) in [
        (
            "sums.jsonl",
            vec!["--backends", "cheap,premum"],
            "no backend premum in the configuration; did you mean \"premium\"?",
        ),
        ("sums.jsonl", vec!["--backends", "cheap,cheap"], "cheap is named twice"),
        ("sums.jsonl", vec!["--backends", "cheap,twin"], "twin has the same model name as another"),
        ("sums.jsonl", vec!["--backends", "cheap,theirs"], "theirs takes its clients' keys"),
        ("sums.jsonl", vec!["--backends", "cheap,free"], "free has no price"),
        ("sums.jsonl", vec!["--backends", "cheap", "--grade", "judge=strng"], "no backend strng"),
        ("sums.jsonl", vec!["--backends", "cheap", "--grade", "choice"], "is no letter"),
        ("words.jsonl", vec!["--backends", "cheap", "--grade", "number"], "has no number"),
        ("open.jsonl", vec!["--backends", "cheap"], "--grade judge=BACKEND"),
        ("open.jsonl", vec!["--backends", "cheap", "--grade", "exact"], "no `answer`"),
        ("open.jsonl", vec!["--backends", "cheap", "--grade", "judge=premium"], "two --backends to compare"),
        ("twice.jsonl", vec!["--backends", "cheap"], "the id 1 is there already"),
        ("empty.jsonl", vec!["--backends", "cheap"], "no prompts there"),
        ("none.jsonl", vec!["--backends", "cheap"], "none.jsonl"),
        ("sums.jsonl", vec!["--backends", "cheap", "--out", folder.to_str().unwrap()], "nowhere/out.jsonl"),
        ("sums.jsonl", vec!["--backends", "cheap", "--out", "/dev/full"], "/dev/full"),
    ] {
        let mut arguments = place.arguments(prompts, &[&more[..], &usd].concat());
        if more.contains(&"--out") {
            let given = arguments.iter().position(|argument| argument == "--out").unwrap();
            arguments.drain(given..given + 2);
        }
        let output = mom(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "");
        let text = stderr(&output);
        assert!(output.status.code() == Some(1) && text.contains(said), "{said}: {text}");
    }
    let without = place.run("sums.jsonl", &["--backends", "cheap"]).await;
    assert!(stderr(&without).contains("say with --max-usd"), "{}", stderr(&without));
    assert!(small.seen().is_empty() && large.seen().is_empty(), "something was asked");

    let (code, told) = place.told("sums.jsonl", &["--backends", "free", "--unpriced"]).await;
    assert_eq!(
        (code, &told["spent_usd"], &told["backends"][0]["usd_per_1k"]),
        (Some(0), &json!(0.0), &Value::Null),
        "{told}"
    );
    let asked = small.seen().len();
    for (more, said) in [
        (&["--grade", "exact"][..], "was graded by number there, and would be by exact now; take another --out"),
        (&["--temperature", "0"], "was asked with max_tokens=20 there"),
    ] {
        let output = place.run("sums.jsonl", &[&["--backends", "free", "--unpriced"], more].concat()).await;
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    place.write("others.jsonl", &[json!({"id": 1, "prompt": "What is 8 plus 8?", "answer": 16})]);
    let output = place.run("others.jsonl", &["--backends", "free", "--unpriced"]).await;
    assert!(stderr(&output).contains("the id 1 is another prompt there"), "{}", stderr(&output));
    assert_eq!(small.seen().len(), asked);
    assert!(Path::new(&place.path("out.jsonl")).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_chats_asked_is_replayed_from_a_ledger_that_keeps_text() {
    let (cheap, premium) = (Upstream::always(says("4")).await, Upstream::always(says("4")).await);
    let place = Place::new(&[("cheap", &cheap, CHEAP), ("premium", &premium, PREMIUM)]);
    let ledger = place.path("ledger.db");
    let toml = std::fs::read_to_string(place.path("config.toml")).unwrap();
    let keeping = |text: bool| {
        let ledger = format!("[ledger]\npath = \"{}\"\ntext = {text}\n", ledger.display());
        format!("{}{}{ledger}{toml}", crate::gateway::SERVER, crate::gateway::NO_MINDS)
    };
    let ask = |content: Value| json!({"model": "auto", "messages": [{"role": "user", "content": content}]}).to_string();
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]);
    let sums = [2, 3, 3].map(|n| ask(format!("What is {n} plus {n}?").into()));
    for text in [false, true] {
        let gateway = crate::gateway::Mom::start(&keeping(text)).await;
        for body in sums.iter().chain([&ask(image.clone())]) {
            assert_eq!(crate::client::chat(gateway.public, body).await.status(), 200);
        }
        gateway.shutdown().await;
        let (out, config) = (place.path("out.jsonl"), place.path("config.toml"));
        let paths = [&config, &ledger, &out].map(|path| path.to_str().unwrap());
        let run =
            ["outcomes", "run", "--config", paths[0], "--ledger", paths[1], "--out", paths[2], "--json", "--max-usd"];
        let more = ["1", "--backends", "cheap,premium", "--grade", "command=true", "--max-tokens", "20"];
        let output = mom(&[&run[..], &more].concat(), "");
        if !text {
            assert_eq!(output.status.code(), Some(1));
            assert!(stderr(&output).contains("the ledger keeps no text of that time"), "{}", stderr(&output));
            continue;
        }
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("1 chats carry more than text"), "{}", stderr(&output));
        let rows = std::fs::read_to_string(&out).unwrap();
        let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
        let asked: BTreeSet<&str> = rows.iter().filter_map(|row| row["prompt"].as_str()).collect();
        assert_eq!(asked, BTreeSet::from(["What is 2 plus 2?", "What is 3 plus 3?"]));
        assert!(rows.iter().all(|row| row["prompt"].is_null() || row["group"] == "all"), "{rows:?}");
    }
}
