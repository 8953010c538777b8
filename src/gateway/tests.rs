use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn request(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request =
        format!("{head} HTTP/1.1\r\nhost: mom\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn minds_that_broke_down_are_not_ready_and_let_nothing_pass() {
    let config = "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
                  [backends.one]\nbase_url = \"http://127.0.0.1:1/v1\"\n\
                  [[routes]]\nname = \"all\"\ncandidates = [\"one\"]\n";
    let running = Gateway::start(Config::parse(config).unwrap()).await.unwrap();
    let ready = request(running.admin, "GET /readyz", "").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    running.gateway.minds.end();
    let ready = request(running.admin, "GET /readyz", "").await;
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains(r#""ready":false"#), "{ready}");
    let body = r#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#;
    let answer = request(running.public, "POST /v1/chat/completions", body).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("guard_unavailable"), "{answer}");
    assert!(answer.contains("mom-jailbreak-flash=inference_failed"), "{answer}");
    assert!(running.shutdown().await);
}
