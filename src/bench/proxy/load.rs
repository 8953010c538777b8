//! The load: keep-alive connections that ask, wait for the whole answer, and ask again.
//!
//! Reads just enough HTTP to know when an answer has ended; anything but a 200 is an error.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// About 32 tokens each; different, so that nothing gets to answer the same text twice in a row.
const QUESTIONS: [&str; 4] = [
    "Could you explain in simple words why the sky looks blue during the day but turns red and orange in the evening \
     when the sun goes down?",
    "I have a train to catch at half past nine and a meeting before it, so how early should I leave the office to be \
     safe on time?",
    "What is the difference between a list and a tuple in Python, and when would an experienced programmer pick one \
     over the other?",
    "My grandmother wants to grow tomatoes on a small balcony that gets four hours of sun, so which kinds should she \
     try this year?",
];

/// What one turn of one target gave.
#[derive(Debug)]
pub(super) struct Slice {
    /// Until the first body byte, and until the last.
    pub(super) first: Vec<Duration>,
    pub(super) whole: Vec<Duration>,
    pub(super) elapsed: Duration,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    asked: usize,
}

pub(super) async fn slice(pool: &mut [Connection], stream: bool, time: Duration) -> io::Result<Slice> {
    let started = Instant::now();
    let runs = join_all(pool.iter_mut().map(|connection| connection.ask_until(stream, started + time))).await;
    let mut slice = Slice { first: Vec::new(), whole: Vec::new(), elapsed: started.elapsed() };
    for run in runs {
        let (first, whole): (Vec<_>, Vec<_>) = run?.into_iter().unzip();
        slice.first.extend(first);
        slice.whole.extend(whole);
    }
    Ok(slice)
}

impl Connection {
    pub(super) async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024), asked: 0 })
    }

    async fn ask_until(&mut self, stream: bool, end: Instant) -> io::Result<Vec<(Duration, Duration)>> {
        let mut times = Vec::new();
        // At least once, so that a slice is never empty.
        while times.is_empty() || Instant::now() < end {
            times.push(self.ask(stream).await?);
        }
        Ok(times)
    }

    /// One request; the time to the first body byte and to the end of the answer.
    pub(super) async fn ask(&mut self, stream: bool) -> io::Result<(Duration, Duration)> {
        let request = request(QUESTIONS[self.asked % QUESTIONS.len()], stream);
        self.asked += 1;
        let started = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let mut first = None;
        let mut end = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::other("the connection ended in the middle of an answer"));
            }
            let body = match end {
                Some((body, _)) => body,
                None => match head(&self.buffer)? {
                    Some((body, length)) => {
                        end = Some((body, length));
                        body
                    }
                    None => continue,
                },
            };
            if self.buffer.len() > body {
                first.get_or_insert_with(|| started.elapsed());
            }
            let whole = match end {
                Some((_, Some(length))) => self.buffer.len() >= body + length,
                // No event of ours ends like a last chunk.
                _ => self.buffer.ends_with(b"\r\n0\r\n\r\n"),
            };
            if whole {
                let elapsed = started.elapsed();
                return Ok((first.unwrap_or(elapsed), elapsed));
            }
        }
    }
}

/// Where the body starts and how long it is; no length means chunked. `None`: not there yet.
fn head(buffer: &[u8]) -> io::Result<Option<(usize, Option<usize>)>> {
    let Some(end) = memmem::find(buffer, b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    if !text.starts_with("http/1.1 200") {
        let line = text.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("answered {line}")));
    }
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|text| text.trim().parse().ok());
    Ok(Some((end + 4, length)))
}

fn request(question: &str, stream: bool) -> String {
    let body =
        format!(r#"{{"model":"upstream","stream":{stream},"messages":[{{"role":"user","content":"{question}"}}]}}"#);
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
