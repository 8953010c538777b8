//! What requests cost, from the answer to `mom ledger`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::mom;
use crate::client::{Client, chat};
use crate::gateway::{Mom, NO_MINDS, SERVER, ask, ask_stream, backend, route};
use crate::upstream::{Step, Upstream, answer, chunk, last_chunk, sse_head};

fn lines(path: &Path, by: &str) -> Vec<Value> {
    let output = mom(&["ledger", "--path", path.to_str().unwrap(), "--by", by, "--json"], "");
    assert!(output.status.success(), "{output:?}");
    let mut said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["lost"], 0);
    serde_json::from_value(said["lines"].take()).unwrap()
}

fn config(upstream: &Upstream, folder: &Path) -> String {
    let cheap = backend("cheap", upstream.addr, "price = { input = 1.0, cached_input = 0.5, output = 10.0 }");
    let dear = backend("dear", upstream.addr, "price = { input = 10.0, output = 100.0 }");
    let ledger = format!("[ledger]\npath = \"{}\"\n", folder.join("ledger.db").display());
    format!("{SERVER}{NO_MINDS}{cheap}{dear}{}{ledger}", route("all", "\"cheap\""))
}

#[tokio::test]
async fn every_request_is_paid_for_once_and_told_against_the_dearest() {
    let told = json!({"choices": [{"message": {"content": "hi"}}], "usage": {
        "prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 60}}});
    let told = answer("200 OK", &[("content-type", "application/json")], told.to_string().as_bytes());
    let untold = vec![
        sse_head(),
        chunk("data: {\"choices\":[{\"delta\":{\"content\":\"sixteen letters!\"}}]}\n\n"),
        chunk("data: [DONE]\n\n"),
        last_chunk(),
    ];
    let refused =
        answer("400 Bad Request", &[("content-type", "application/json")], b"{\"error\":{\"message\":\"no\"}}");
    let answers = vec![vec![Step::Send(told)], untold, vec![Step::Send(refused)]];
    let upstream = Upstream::sequence(answers).await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = Mom::start(&config(&upstream, folder.path())).await;
    assert_eq!(chat(gateway.public, ask("auto")).await.status(), 200);
    assert_eq!(chat(gateway.public, ask_stream("auto")).await.status(), 200);
    assert_eq!(chat(gateway.public, ask("auto")).await.status(), 400);
    assert_eq!(chat(gateway.public, ask("nobody")).await.status(), 404);
    // What is left is written before the end.
    gateway.shutdown().await;
    let path = folder.path().join("ledger.db");
    let backends = lines(&path, "backend");
    let cheap = backends.iter().find(|line| line["name"] == "cheap").unwrap();
    // 600 fresh, 400 cached and 100 written tokens; then 1 in (`hi`) and 4 out, counted here.
    let cost = (600.0 + 400.0 * 0.5 + 100.0 * 10.0) / 1e6 + (1.0 + 4.0 * 10.0) / 1e6;
    let premium = (1000.0 * 10.0 + 100.0 * 100.0) / 1e6 + (10.0 + 400.0) / 1e6;
    assert!((cheap["cost_usd"].as_f64().unwrap() - cost).abs() < 1e-12, "{cheap} is not {cost}");
    assert!((cheap["premium_usd"].as_f64().unwrap() - premium).abs() < 1e-12, "{cheap} is not {premium}");
    assert_eq!((&cheap["requests"], &cheap["estimated"], &cheap["unpriced"]), (&3.into(), &1.into(), &0.into()));
    let nobody = backends.iter().find(|line| line["name"] == "").unwrap();
    assert_eq!((&nobody["requests"], &nobody["cost_usd"]), (&1.into(), &0.0.into()));
    let export = folder.path().join("all.jsonl");
    let done = mom(&["ledger", "--path", path.to_str().unwrap(), "--export", export.to_str().unwrap()], "");
    assert!(done.status.success(), "{done:?}");
    let rows = std::fs::read_to_string(export).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Those of one millisecond stand in no order.
    let one = |key: &str, value: Value| rows.iter().find(|row| row[key] == value).unwrap();
    let told = one("cached_tokens", 400.into());
    assert_eq!((rows.len(), &told["reasoning_tokens"], &told["propensity"]), (4, &60.into(), &1.0.into()));
    assert_eq!(
        (&one("estimated", 1.into())["status"], &one("status", 400.into())["backend"]),
        (&200.into(), &"cheap".into())
    );
    assert_eq!(one("status", 404.into())["code"], "model_not_found");
    assert!(!rows.iter().any(|row| row.to_string().contains("sixteen")), "no text is kept");
}

#[tokio::test]
async fn a_process_that_is_killed_loses_less_than_a_second() {
    let upstream = Upstream::always(vec![crate::upstream::hello()]).await;
    let folder = tempfile::tempdir().unwrap();
    // A port of the system's choosing, free again by the time it is taken.
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (public, admin) = (free(), free());
    let toml = config(&upstream, folder.path()).replacen("127.0.0.1:0", &public.to_string(), 1).replacen(
        "127.0.0.1:0",
        &admin.to_string(),
        1,
    );
    let file = folder.path().join("config.toml");
    std::fs::write(&file, toml).unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_mom"));
    serve.args(["serve", "--config", file.to_str().unwrap()]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut serving = serve.spawn().unwrap();
    while tokio::net::TcpStream::connect(public).await.is_err() {
        assert!(serving.try_wait().unwrap().is_none(), "it stopped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..20 {
        assert_eq!(chat(public, ask("auto")).await.status(), 200);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    serving.kill().unwrap();
    serving.wait().unwrap();
    let day = lines(&folder.path().join("ledger.db"), "day");
    assert_eq!(day.iter().map(|line| line["requests"].as_u64().unwrap()).sum::<u64>(), 20);
}

/// A process that may not make any file longer, as when a disk is full. `None`: it may again.
fn allow_writing(process: &std::process::Child, most: Option<u64>) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    prlimit(Some(Pid::from_child(process)), Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
}

#[tokio::test]
async fn a_full_disk_stops_no_request_and_the_log_says_so() {
    let upstream = Upstream::always(vec![crate::upstream::hello()]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let public = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let toml = config(&upstream, folder.path()).replacen("127.0.0.1:0", &public.to_string(), 1);
    std::fs::write(&file, toml).unwrap();
    let mut serve = Command::new("sh");
    // Such a write is then an error and not the end of the process.
    serve.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_mom"), "serve", "--config"]).arg(&file);
    let mut serving = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = serving.stderr.take().unwrap();
    let (said, mut heard) = tokio::sync::mpsc::channel(1000);
    let reading = std::thread::spawn(move || {
        std::io::BufRead::lines(std::io::BufReader::new(log)).map_while(Result::ok).for_each(|line| {
            let _ = said.blocking_send(line);
        });
    });
    let mut until = async |words: &str| {
        let line = async { while !heard.recv().await.expect("it stopped").contains(words) {} };
        tokio::time::timeout(Duration::from_secs(20), line).await.unwrap_or_else(|_| panic!("it never said {words}"));
    };
    while tokio::net::TcpStream::connect(public).await.is_err() {
        assert!(serving.try_wait().unwrap().is_none(), "it stopped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It listens before the ledger is open, and answers after.
    assert_eq!(chat(public, ask("auto")).await.status(), 200);
    allow_writing(&serving, Some(0));
    for _ in 0..5 {
        assert_eq!(chat(public, ask("auto")).await.status(), 200);
    }
    until("the ledger cannot be written; it is tried again").await;
    for _ in 0..5 {
        assert_eq!(chat(public, ask("auto")).await.status(), 200);
    }
    allow_writing(&serving, None);
    until("the ledger can be written again").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    serving.kill().unwrap();
    serving.wait().unwrap();
    reading.join().unwrap();
    let all = lines(&folder.path().join("ledger.db"), "backend");
    assert_eq!(all[0]["requests"], 11, "nothing that waited is lost: {all:?}");
}

#[tokio::test]
async fn a_client_that_leaves_pays_for_what_was_said() {
    let said = chunk(format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "word ".repeat(40)));
    let upstream = Upstream::always(vec![sse_head(), said, Step::Stall]).await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = Mom::start(&config(&upstream, folder.path())).await;
    let mut client = Client::connect(gateway.public).await;
    let body = ask_stream("auto");
    client.send("POST", "/v1/chat/completions", &[("content-type", "application/json")], body.as_bytes()).await;
    let mut reply = client.reply().await;
    reply.until(b"\n\n").await;
    drop(reply);
    gateway.shutdown().await;
    let line = lines(&folder.path().join("ledger.db"), "backend").remove(0);
    assert_eq!((&line["estimated"], &line["completion_tokens"]), (&1.into(), &50.into()), "{line}");
}

#[test]
fn nothing_to_read_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.db");
    let output = mom(&["ledger", "--path", none.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(crate::cli::stderr(&output).ends_with("none.db: there is no ledger\n"));
    let config = crate::cli::config(
        "[backends.a]\nbase_url = \"http://127.0.0.1:1/v1\"\n[[routes]]\nname = \"r\"\ncandidates = [\"a\"]\n",
    );
    let output = mom(&["ledger", "--config", config.path().to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(78));
    assert!(crate::cli::stderr(&output).contains("has no [ledger]: nothing is kept"));
}

#[test]
fn a_ledger_that_cannot_be_kept_is_found_before_it_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("letter.db");
    std::fs::write(&letter, "no ledger, but a letter that goes on for a while and says nothing").unwrap();
    for (path, says) in [
        (folder.path().join("none/ledger.db"), "there is no folder"),
        (letter, "file is not a database"),
        (folder.path().to_owned(), "there is no ledger"),
    ] {
        let toml =
            "[backends.a]\nbase_url = \"http://127.0.0.1:1/v1\"\n[[routes]]\nname = \"r\"\ncandidates = [\"a\"]\n";
        let config = crate::cli::config(&format!("{toml}[ledger]\npath = {:?}\n", path.display().to_string()));
        let output = mom(&["check", "--config", config.path().to_str().unwrap()], "");
        let told = crate::cli::stderr(&output);
        assert_eq!(output.status.code(), Some(78), "{told}");
        assert!(told.contains("ledger.path") && told.contains(says), "{told}");
    }
}
