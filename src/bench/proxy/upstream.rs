//! The backend behind everything that is measured: as fast as a socket allows, and equally
//! fast for everyone.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const EVENTS: usize = 8;
/// Between two events: enough for each to travel alone, as tokens do.
const GAP: Duration = Duration::from_millis(1);

const ANSWER: &str = r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"upstream","choices":[{"index":0,"message":{"role":"assistant","content":"An answer of about the usual length, so that there is something to relay to the client."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":32,"completion_tokens":18,"total_tokens":50}}"#;
const EVENT: &str = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"upstream\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";

pub(super) struct Upstream {
    pub(super) addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Upstream {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, _tasks: tasks })
    }
}

/// Ends with the peer; how a peer leaves does not matter here.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let plain = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{EVENT}\r\n", EVENT.len());
    let first = format!("{head}{chunk}");
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        buffer.clear();
        let wants_stream = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            if let Some(wants_stream) = request(&buffer) {
                break wants_stream;
            }
        };
        if !wants_stream {
            stream.write_all(plain.as_bytes()).await?;
            continue;
        }
        stream.write_all(first.as_bytes()).await?;
        for _ in 1..EVENTS {
            tokio::time::sleep(GAP).await;
            stream.write_all(chunk.as_bytes()).await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
    }
}

/// Whether a whole request is there, and whether it asks for a stream.
fn request(buffer: &[u8]) -> Option<bool> {
    let end = memmem::find(buffer, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    let body = buffer.get(end..end + length)?;
    Some(memmem::find(body, b"\"stream\":true").is_some())
}
