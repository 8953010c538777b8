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

/// Texts that `/v1/classify` is asked again and again: the questions, each in several versions.
pub(super) const REPEATED: usize = 16 * QUESTIONS.len();

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A chat completion in one piece.
    Whole,
    /// A chat completion as a stream.
    Streamed,
    /// Verdicts, from `/v1/classify`.
    Classify,
}

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

pub(super) async fn slice(pool: &mut [Connection], call: Call, time: Duration) -> io::Result<Slice> {
    let started = Instant::now();
    let runs = join_all(pool.iter_mut().map(|connection| connection.ask_until(call, started + time))).await;
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

    /// Whether the last answer holds these bytes.
    pub(super) fn said(&self, bytes: &[u8]) -> bool {
        memmem::find(&self.buffer, bytes).is_some()
    }

    async fn ask_until(&mut self, call: Call, end: Instant) -> io::Result<Vec<(Duration, Duration)>> {
        let mut times = Vec::new();
        // At least once, so that a slice is never empty.
        while times.is_empty() || Instant::now() < end {
            times.push(self.ask(call).await?);
        }
        Ok(times)
    }

    /// One request; the time to the first body byte and to the end of the answer.
    pub(super) async fn ask(&mut self, call: Call) -> io::Result<(Duration, Duration)> {
        let request = request(self.asked, call);
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

/// `asked`: how many requests went before it.
fn request(asked: usize, call: Call) -> String {
    let question = QUESTIONS[asked % QUESTIONS.len()];
    let chat = |stream: bool| {
        format!(r#"{{"model":"upstream","stream":{stream},"messages":[{{"role":"user","content":"{question}"}}]}}"#)
    };
    let (path, body) = match call {
        Call::Whole => ("chat/completions", chat(false)),
        Call::Streamed => ("chat/completions", chat(true)),
        Call::Classify => {
            let version = asked % REPEATED / QUESTIONS.len();
            ("classify", format!(r#"{{"id":{asked},"text":"{version}. {question}"}}"#))
        }
    };
    format!(
        "POST /v1/{path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn as_many_texts_are_repeated_as_it_says() {
        let text = |asked| {
            let request = request(asked, Call::Classify);
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /v1/classify ") && head.ends_with(&body.len().to_string()), "{head}");
            let line: serde_json::Value = serde_json::from_str(body).unwrap();
            line["text"].as_str().unwrap().to_owned()
        };
        let texts: Vec<String> = (0..2 * REPEATED).map(text).collect();
        assert_eq!(texts[..REPEATED], texts[REPEATED..]);
        assert_eq!(texts.iter().collect::<HashSet<_>>().len(), REPEATED);
    }
}
