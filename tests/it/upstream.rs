//! A scripted upstream: raw TCP, so that every byte and every way to fail is the test's own.
//!
//! It speaks just enough HTTP/1.1 to find where a request ends. What it answers is a list
//! of [`Step`]s; it never repairs, completes or closes anything it was not told to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// One thing the upstream does with a connection.
#[derive(Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Goes on when the test says so.
    Gate(Arc<Notify>),
    /// Says nothing until the peer leaves.
    Stall,
    /// Closes in good order (FIN).
    Close,
    /// Closes with RST.
    Reset,
}

/// What is done for the n-th request (0-based, over all connections).
type Script = dyn Fn(usize, &Seen) -> Vec<Step> + Send + Sync;

/// A request exactly as it arrived.
#[derive(Clone)]
pub(crate) struct Seen {
    /// Request line and headers, without the blank line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on.
    pub(crate) connection: usize,
    pub(crate) at: Instant,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .skip(1)
            .find(|line| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name)))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    pub(crate) fn request_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    /// When the peer last closed a connection on which an answer was still owed.
    left: watch::Sender<Option<Instant>>,
    arrived: watch::Sender<usize>,
    played: AtomicUsize,
}

impl Upstream {
    pub(crate) async fn start<F>(script: F) -> Self
    where
        F: Fn(usize, &Seen) -> Vec<Step> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Box::new(script),
            seen: Mutex::default(),
            left: watch::Sender::new(None),
            arrived: watch::Sender::new(0),
            played: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, state.clone()));
        Self { addr, state, _tasks: tasks }
    }

    /// Gives every request the same answer.
    pub(crate) async fn always(steps: Vec<Step>) -> Self {
        Self::start(move |_, _| steps.clone()).await
    }

    /// Gives the n-th request the n-th answer, and the last one from then on.
    pub(crate) async fn sequence(answers: Vec<Vec<Step>>) -> Self {
        Self::start(move |n, _| answers[n.min(answers.len() - 1)].clone()).await
    }

    /// An address on which nothing listens.
    pub(crate) async fn nowhere() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The only request seen.
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "requests seen by the upstream");
        seen.remove(0)
    }

    /// Steps completed so far, over all connections.
    pub(crate) fn steps_played(&self) -> usize {
        self.state.played.load(Ordering::Relaxed)
    }

    /// Waits until `n` requests have arrived whole.
    pub(crate) async fn arrived(&self, n: usize) {
        let mut arrived = self.state.arrived.subscribe();
        let wait = timeout(Duration::from_secs(5), arrived.wait_for(|&seen| seen >= n));
        wait.await.unwrap_or_else(|_| panic!("request {n} never reached the upstream")).unwrap();
    }

    /// How long after `since` the gateway closed a connection on which an answer was owed.
    pub(crate) async fn left_after(&self, since: Instant) -> Duration {
        let mut left = self.state.left.subscribe();
        let wait = timeout(Duration::from_secs(5), left.wait_for(|at| at.is_some_and(|at| at >= since)));
        let at = wait.await.expect("the gateway kept the upstream call open").unwrap().unwrap();
        at - since
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        stream.set_nodelay(true).unwrap();
        connections.spawn(converse(stream, connection, state.clone()));
    }
}

async fn converse(mut stream: TcpStream, connection: usize, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer, connection).await {
        let n = {
            let mut all = state.seen.lock().unwrap();
            all.push(seen.clone());
            all.len() - 1
        };
        state.arrived.send_replace(n + 1);
        for step in (state.script)(n, &seen) {
            match play(step, &mut stream).await {
                Played::Done => drop(state.played.fetch_add(1, Ordering::Relaxed)),
                Played::Closed => return,
                Played::PeerLeft => {
                    state.left.send_replace(Some(Instant::now()));
                    return;
                }
            }
        }
    }
}

enum Played {
    Done,
    Closed,
    PeerLeft,
}

async fn play(step: Step, stream: &mut TcpStream) -> Played {
    match step {
        Step::Send(bytes) => match stream.write_all(&bytes).await {
            Ok(()) => Played::Done,
            Err(_) => Played::PeerLeft,
        },
        Step::Wait(time) => unless_left(stream, sleep(time)).await,
        Step::Gate(gate) => unless_left(stream, gate.notified()).await,
        Step::Stall => unless_left(stream, std::future::pending()).await,
        Step::Close => Played::Closed,
        Step::Reset => {
            stream.set_zero_linger().unwrap();
            Played::Closed
        }
    }
}

/// Waits for `event`, but notices at once when the peer closes. Nothing is pipelined, so
/// any end of the read side before the answer is complete is the peer leaving.
async fn unless_left(stream: &mut TcpStream, event: impl Future<Output = ()>) -> Played {
    let mut byte = [0];
    tokio::select! {
        () = event => Played::Done,
        read = stream.read(&mut byte) => match read {
            Ok(0) | Err(_) => Played::PeerLeft,
            Ok(_) => panic!("the gateway sent bytes beyond its request"),
        },
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end;
        }
        fill(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer[..end].to_vec()).expect("a request head in UTF-8");
    buffer.drain(..end + 4);
    let mut seen = Seen { head, body: Vec::new(), connection, at: Instant::now() };
    if let Some(length) = seen.header("content-length") {
        let length: usize = length.parse().unwrap();
        while buffer.len() < length {
            fill(stream, buffer).await?;
        }
        seen.body = buffer.drain(..length).collect();
    } else if seen.header("transfer-encoding").is_some() {
        panic!("the gateway knows the length of what it sends and should say so");
    }
    seen.at = Instant::now();
    Some(seen)
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A whole answer with `Content-Length`.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = head(status, headers);
    bytes.truncate(bytes.len() - 2);
    bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend(body);
    bytes
}

/// Status line and headers, up to and including the blank line.
pub(crate) fn head(status: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The head of a chunked event stream.
pub(crate) fn sse_head() -> Step {
    Step::Send(head("200 OK", &[("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]))
}

/// One chunk of chunked encoding.
pub(crate) fn chunk(data: impl AsRef<[u8]>) -> Step {
    let data = data.as_ref();
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend(data);
    bytes.extend(b"\r\n");
    Step::Send(bytes)
}

/// The end of a chunked body.
pub(crate) fn last_chunk() -> Step {
    Step::Send(b"0\r\n\r\n".to_vec())
}

/// A small complete chat answer.
pub(crate) fn hello() -> Step {
    Step::Send(answer("200 OK", &[("content-type", "application/json")], HELLO.as_bytes()))
}

pub(crate) const HELLO: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
