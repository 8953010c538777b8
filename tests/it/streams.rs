//! A stream that breaks must look broken: an error event, then the connection ends. Nothing
//! that would pass for a finished answer is made up.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Response, chat};
use crate::gateway::{Mom, ask, ask_stream};
use crate::upstream::{Step, Upstream, answer, chunk, head, last_chunk, sse_head};

const FIRST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"},\"finish_reason\":null}]}\n\n";

/// Quick timeouts, no retries: each test takes one of them.
const QUICK: &str = concat!(
    "timeouts = { connect = \"500ms\", first_token = \"400ms\", idle = \"400ms\", total = \"3s\" }\n",
    "retry = { attempts = 0 }"
);

async fn streamed(steps: Vec<Step>) -> Response {
    let upstream = Upstream::always(steps).await;
    let mom = Mom::over_with(&upstream, QUICK).await;
    chat(mom.public, ask_stream("main")).await
}

/// The answer so far, one error event, and no sign of a good end.
fn assert_broken(response: &Response, before: &str) {
    assert_eq!(response.status(), 200);
    let text = response.text();
    let event = text.strip_prefix(before).unwrap_or_else(|| panic!("{text:?} does not start with {before:?}"));
    let event = event.trim_start_matches('\n');
    let json = event.strip_prefix("data: ").unwrap_or_else(|| panic!("no event in {event:?}"));
    let json = json.strip_suffix("\n\n").expect("a whole event");
    let error: serde_json::Value = serde_json::from_str(json).unwrap();
    for key in ["message", "type", "code"] {
        assert!(error["error"][key].is_string(), "{key} of {error}");
    }
    assert!(!text.contains("[DONE]") && !text.contains("\"stop\""), "{text}");
    assert!(!response.complete, "the framing must not say that the answer is complete");
}

#[tokio::test]
async fn a_reset_in_the_middle() {
    let response = streamed(vec![sse_head(), chunk(FIRST), Step::Wait(Duration::from_millis(50)), Step::Reset]).await;
    assert_broken(&response, FIRST);
}

#[tokio::test]
async fn a_close_without_the_last_chunk() {
    let response = streamed(vec![sse_head(), chunk(FIRST), Step::Close]).await;
    assert_broken(&response, FIRST);
}

#[tokio::test]
async fn a_cut_inside_an_event() {
    // The error event must not be glued to half a line.
    let half = "data: {\"choices\":[{\"index\":0,\"delta\":{\"con";
    let response = streamed(vec![sse_head(), chunk(FIRST), chunk(half), Step::Close]).await;
    let text = response.text();
    assert!(text.starts_with(&format!("{FIRST}{half}")), "{text}");
    assert_broken(&response, &format!("{FIRST}{half}"));
}

#[tokio::test]
async fn a_polite_end_inside_an_event_is_a_cut_too() {
    let head = Step::Send(head("200 OK", &[("content-type", "text/event-stream"), ("connection", "close")]));
    let half = "data: {\"choi";
    let response = streamed(vec![head, Step::Send(format!("{FIRST}{half}").into_bytes()), Step::Close]).await;
    assert_broken(&response, &format!("{FIRST}{half}"));
}

#[tokio::test]
async fn silence_in_the_middle() {
    let start = Instant::now();
    let response = streamed(vec![sse_head(), chunk(FIRST), Step::Stall]).await;
    assert_broken(&response, FIRST);
    assert!(start.elapsed() < Duration::from_secs(2), "idle is 400 ms");
}

#[tokio::test]
async fn garbage_instead_of_a_chunk() {
    let garbage = Step::Send(b"this is no chunk size\r\n".to_vec());
    let response = streamed(vec![sse_head(), chunk(FIRST), garbage, Step::Close]).await;
    assert_broken(&response, FIRST);
}

#[tokio::test]
async fn too_long_in_all() {
    let mut steps = vec![sse_head()];
    for _ in 0..100 {
        steps.extend([chunk(FIRST), Step::Wait(Duration::from_millis(100))]);
    }
    let start = Instant::now();
    let response = streamed(steps).await;
    assert!(!response.complete && response.text().contains("\"error\""), "{}", response.text());
    assert!(start.elapsed() < Duration::from_secs(5), "total is 3 s");
}

#[tokio::test]
async fn no_head_in_time_is_a_504() {
    let response = streamed(vec![Step::Stall]).await;
    assert_eq!(response.status(), 504);
    assert!(!response.code().is_empty());
}

#[tokio::test]
async fn a_head_but_no_first_event_in_time() {
    let response = streamed(vec![sse_head(), Step::Stall]).await;
    // The head may have been forwarded already; then the error is an event.
    match response.status() {
        504 => assert!(!response.code().is_empty()),
        _ => assert_broken(&response, ""),
    }
}

#[tokio::test]
async fn no_answer_in_time_to_a_plain_request_is_a_504() {
    let upstream = Upstream::always(vec![Step::Stall]).await;
    let mom = Mom::over_with(&upstream, QUICK).await;
    let response = chat(mom.public, ask("main")).await;
    assert_eq!(response.status(), 504);
}

#[tokio::test]
async fn half_a_plain_answer_never_looks_whole() {
    let whole = answer("200 OK", &[("content-type", "application/json")], br#"{"id":"chatcmpl-1","choices":[]}"#);
    let half = whole[..whole.len() - 10].to_vec();
    let response = {
        let upstream = Upstream::always(vec![Step::Send(half), Step::Close]).await;
        let mom = Mom::over_with(&upstream, QUICK).await;
        chat(mom.public, ask("main")).await
    };
    assert!(response.status() == 502 || !response.complete, "{response:?}");
}

#[tokio::test]
async fn half_a_chunked_plain_answer_never_looks_whole() {
    let head = Step::Send(head("200 OK", &[("content-type", "application/json"), ("transfer-encoding", "chunked")]));
    let half = chunk(r#"{"id":"chatcmpl-1","choices":["#);
    let upstream = Upstream::always(vec![head, half, Step::Close]).await;
    let mom = Mom::over_with(&upstream, QUICK).await;
    let response = chat(mom.public, ask("main")).await;
    assert!(response.status() == 502 || !response.complete, "{response:?}");
}

#[tokio::test]
async fn a_stream_without_done_stays_without() {
    let response = streamed(vec![sse_head(), chunk(FIRST), last_chunk()]).await;
    assert_eq!((response.text(), response.complete), (FIRST, true));
}

#[tokio::test]
async fn a_stream_that_ends_with_the_connection_is_relayed() {
    // HTTP/1.0 style: no length, no chunks, the end is the close.
    let head = Step::Send(head("200 OK", &[("content-type", "text/event-stream"), ("connection", "close")]));
    let body = format!("{FIRST}data: [DONE]\n\n");
    let response = streamed(vec![head, Step::Send(body.clone().into_bytes()), Step::Close]).await;
    assert_eq!((response.text(), response.complete), (body.as_str(), true));
}

#[tokio::test]
async fn an_error_event_of_the_provider_is_passed_on_as_it_is() {
    let event = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n";
    let response = streamed(vec![sse_head(), chunk(FIRST), chunk(event), last_chunk()]).await;
    assert_eq!(response.text(), format!("{FIRST}{event}"));
}
