//! A raw HTTP/1.1 client, so that what the gateway wrote is seen as it was written.
//!
//! It refuses response headers off an allowlist: a header that leaks from an upstream, or
//! that the gateway adds without saying so in its contract, fails whichever test sees it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::upstream::find;

/// No single read in these tests is worth more.
const PATIENCE: Duration = Duration::from_secs(10);

const ALLOWED: &[&str] = &[
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "retry-after-ms",
    "transfer-encoding",
    "www-authenticate",
    "x-request-id",
    "x-should-retry",
];
const ALLOWED_FAMILIES: &[&str] = &["x-mom-", "x-ratelimit-", "openai-"];

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Status and headers, names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

/// A response read to its end.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// The framing ended as it should: the whole length, or the last chunk.
    pub(crate) complete: bool,
}

/// What came next on a response body.
pub(crate) enum Piece {
    Data(Vec<u8>),
    End,
    /// The connection ended before the body did.
    Cut,
}

/// A response whose body is still arriving.
pub(crate) struct Reply {
    client: Client,
    pub(crate) head: Head,
    framing: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    /// Bytes left in the current chunk; 0 between chunks.
    Chunked(usize),
    UntilClose,
    Ended,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// `error.code` of an OpenAI-shaped error.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Like `write`, for when the gateway may answer and close before everything is sent.
    pub(crate) async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: gateway.test\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend(body);
        self.write(bytes).await;
    }

    /// Reads the head of the next response; the body comes from the reply.
    pub(crate) async fn reply(mut self) -> Reply {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            assert!(self.fill().await, "the gateway closed the connection without an answer");
        };
        let head = parse_head(&self.buffer[..end]);
        self.buffer.drain(..end + 4);
        let framing = if head.header("transfer-encoding") == Some("chunked") {
            Framing::Chunked(0)
        } else if let Some(length) = head.header("content-length") {
            Framing::Length(length.parse().unwrap())
        } else if head.status == 204 {
            Framing::Length(0)
        } else {
            Framing::UntilClose
        };
        Reply { client: self, head, framing }
    }

    /// Reads a whole response and gives the connection back for the next request.
    pub(crate) async fn response(self) -> (Response, Self) {
        self.reply().await.rest().await
    }

    /// Everything until the connection ends, as it came.
    pub(crate) async fn ending(mut self) -> Vec<u8> {
        while self.fill().await {}
        self.buffer
    }

    /// True when bytes arrived, false when the connection ended.
    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        matches!(read.expect("the gateway is silent"), Ok(n) if n > 0)
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
                self.buffer.drain(..end + 2);
                return Some(line);
            }
            if !self.fill().await {
                return None;
            }
        }
    }
}

impl Reply {
    /// The next bytes of the body, as soon as there are any.
    pub(crate) async fn next(&mut self) -> Piece {
        match self.framing {
            Framing::Ended | Framing::Length(0) => Piece::End,
            Framing::Length(left) => match self.take(left).await {
                Some(data) => {
                    self.framing = Framing::Length(left - data.len());
                    Piece::Data(data)
                }
                None => Piece::Cut,
            },
            Framing::UntilClose => match self.take(usize::MAX).await {
                Some(data) => Piece::Data(data),
                None => Piece::End,
            },
            Framing::Chunked(0) => self.next_chunk().await,
            Framing::Chunked(left) => match self.take(left).await {
                Some(data) => {
                    self.framing = Framing::Chunked(left - data.len());
                    if left == data.len() && self.client.line().await.as_deref() != Some("") {
                        return Piece::Cut;
                    }
                    Piece::Data(data)
                }
                None => Piece::Cut,
            },
        }
    }

    async fn next_chunk(&mut self) -> Piece {
        let Some(line) = self.client.line().await else { return Piece::Cut };
        let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("chunk size {line:?}"));
        if size == 0 {
            self.framing = Framing::Ended;
            return if self.client.line().await.as_deref() == Some("") { Piece::End } else { Piece::Cut };
        }
        self.framing = Framing::Chunked(size);
        Box::pin(self.next()).await
    }

    /// Reads until the body so far ends with `end`; returns that much.
    pub(crate) async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        while !body.ends_with(end) {
            match self.next().await {
                Piece::Data(data) => body.extend(data),
                Piece::End | Piece::Cut => {
                    panic!("the body ended early, after {:?}", String::from_utf8_lossy(&body))
                }
            }
        }
        body
    }

    pub(crate) async fn rest(mut self) -> (Response, Client) {
        let mut body = Vec::new();
        let complete = loop {
            match self.next().await {
                Piece::Data(data) => body.extend(data),
                Piece::End => break true,
                Piece::Cut => break false,
            }
        };
        (Response { head: self.head, body, complete }, self.client)
    }

    async fn take(&mut self, most: usize) -> Option<Vec<u8>> {
        if self.client.buffer.is_empty() && !self.client.fill().await {
            return None;
        }
        let n = self.client.buffer.len().min(most);
        Some(self.client.buffer.drain(..n).collect())
    }
}

fn parse_head(bytes: &[u8]) -> Head {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap_or_else(|| panic!("header line {line:?}")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    for (name, value) in &headers {
        let known = ALLOWED.contains(&name.as_str()) || ALLOWED_FAMILIES.iter().any(|family| name.starts_with(family));
        assert!(known, "response header off the allowlist: {name}: {value}");
    }
    Head { status, headers }
}

/// One request on a connection of its own, answered to the end.
pub(crate) async fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Response {
    let mut client = Client::connect(addr).await;
    client.send(method, path, headers, body.as_ref()).await;
    client.response().await.0
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Response {
    request(addr, "GET", path, &[], "").await
}

pub(crate) async fn post(addr: SocketAddr, path: &str, body: impl AsRef<[u8]>) -> Response {
    request(addr, "POST", path, &[("content-type", "application/json")], body).await
}

pub(crate) async fn chat(addr: SocketAddr, body: impl AsRef<[u8]>) -> Response {
    post(addr, "/v1/chat/completions", body).await
}
