//! What clients say of answers, and what is taken for a sign.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Response, chat, post, request};
use crate::gateway::{Mom, NO_MINDS, SERVER, ask, backend};
use crate::upstream::{Step, Upstream, answer, hello};

fn config(upstream: &Upstream, folder: &Path, more: &str) -> String {
    let good = backend("good", upstream.addr, "price = { input = 1.0, output = 1.0 }\nretry = { attempts = 0 }");
    let spare = backend("spare", upstream.addr, "price = { input = 2.0, output = 2.0 }\nretry = { attempts = 0 }");
    format!(
        "{SERVER}{NO_MINDS}{good}{spare}[ledger]\npath = \"{}\"\n{more}[[routes]]\nname = \"all\"\n\
         candidates = [\"good\", \"spare\"]\npolicy = {{ worth_usd = 0.01 }}\nlearn = {{ explore = 0.0, signals = [\"errors\", \"regenerated\"] }}\n",
        folder.join("ledger.db").display()
    )
}

/// Source, score and comment by request, in the order in which they came.
fn heard(folder: &Path) -> Vec<(String, String, f64, Option<String>)> {
    let ledger = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    let mut query = ledger.prepare("SELECT request_id, source, score, comment FROM feedback ORDER BY rowid").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

async fn feedback(gateway: &Mom, body: Value) -> Response {
    post(gateway.public, "/v1/feedback", body.to_string()).await
}

fn id(response: &Response) -> String {
    response.header("x-mom-request-id").unwrap().to_owned()
}

#[tokio::test]
async fn feedback_is_kept_beside_its_request() {
    let upstream = Upstream::always(vec![hello()]).await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = Mom::start(&config(&upstream, folder.path(), "")).await;
    let first = id(&chat(gateway.public, ask("auto")).await);
    let taken = feedback(&gateway, json!({"request_id": first, "score": 0.25, "comment": "dull", "more": 1})).await;
    assert_eq!(taken.status(), 200, "{}", taken.text());
    assert_eq!(taken.json(), json!({"object": "feedback", "request_id": first, "comment_kept": false}));
    gateway.shutdown().await;
    assert_eq!(heard(folder.path()), [(first.clone(), "client".to_owned(), 0.25, None)]);
    // After a restart only the ledger knows the request; now comments are wanted.
    let gateway = Mom::start(&config(&upstream, folder.path(), "text = true\n")).await;
    let taken = feedback(&gateway, json!({"request_id": first, "score": 1, "comment": "bright"})).await;
    assert_eq!(taken.json()["comment_kept"], true, "{}", taken.text());
    gateway.shutdown().await;
    assert_eq!(heard(folder.path())[1], (first, "client".to_owned(), 1.0, Some("bright".to_owned())));
}

#[tokio::test]
async fn what_is_no_feedback_is_refused_with_one_clear_error() {
    let upstream = Upstream::always(vec![hello()]).await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = Mom::start(&config(&upstream, folder.path(), "")).await;
    let known = id(&chat(gateway.public, ask("auto")).await);
    let long = "x".repeat(4097);
    for (body, status, param, says) in [
        (json!({"request_id": known, "score": 1.5}), 400, "score", "0 (bad) to 1 (good)"),
        (json!({"request_id": known, "score": -0.1}), 400, "score", "0 (bad) to 1 (good)"),
        (json!({"request_id": "", "score": 1}), 400, "request_id", "x-mom-request-id"),
        (json!({"request_id": known, "score": 1, "comment": long}), 400, "comment", "4,096"),
        (json!({"request_id": "mom-0", "score": 1}), 404, "request_id", "no request of yours"),
    ] {
        let refused = feedback(&gateway, body).await;
        assert_eq!((refused.status(), &refused.json()["error"]["param"]), (status, &json!(param)));
        assert!(refused.text().contains(says), "{}", refused.text());
    }
    for body in ["", "[]", "{\"score\":1}", "{\"request_id\":7,\"score\":1}"] {
        let refused = post(gateway.public, "/v1/feedback", body).await;
        assert_eq!((refused.status(), refused.code()), (400, "invalid_request".to_owned()), "{body}");
    }
    gateway.shutdown().await;
    assert_eq!(heard(folder.path()), []);
    let gateway = Mom::over(&upstream).await;
    let refused = feedback(&gateway, json!({"request_id": known, "score": 1})).await;
    assert_eq!((refused.status(), refused.code()), (501, "no_ledger".to_owned()));
}

#[tokio::test]
async fn nobody_speaks_of_the_requests_of_others() {
    let upstream = Upstream::always(vec![hello()]).await;
    let folder = tempfile::tempdir().unwrap();
    let digest = |key: &str| mom::config::KeyDigest::of(key).to_string();
    let keys = format!("[keys.a]\nsha256 = \"{}\"\n[keys.b]\nsha256 = \"{}\"\n", digest("ka"), digest("kb"));
    let gateway = Mom::start(&config(&upstream, folder.path(), &keys)).await;
    let call = async |key: &str, path: &str, body: String| {
        let bearer = format!("Bearer {key}");
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        request(gateway.public, "POST", path, &headers, body.as_bytes()).await
    };
    let asked = id(&call("ka", "/v1/chat/completions", ask("auto")).await);
    let say = json!({"request_id": asked, "score": 0}).to_string();
    assert_eq!(call("kb", "/v1/feedback", say.clone()).await.status(), 404);
    assert_eq!(call("ka", "/v1/feedback", say).await.status(), 200);
}

#[tokio::test]
async fn failures_and_the_same_again_are_signs_where_a_route_learns() {
    let fails = answer("503 Service Unavailable", &[("content-type", "application/json")], b"{\"error\":{}}");
    let answers = vec![vec![hello()], vec![hello()], vec![Step::Send(fails)], vec![hello()]];
    let upstream = Upstream::sequence(answers).await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = Mom::start(&config(&upstream, folder.path(), "")).await;
    let first = id(&chat(gateway.public, ask("auto")).await);
    assert_eq!(chat(gateway.public, ask("auto")).await.status(), 200);
    let other = ask("auto").replace("hi", "another");
    let third = chat(gateway.public, other).await;
    assert_eq!((third.status(), third.header("x-mom-backend")), (200, Some("spare")));
    let third = id(&third);
    gateway.shutdown().await;
    let signs = heard(folder.path());
    let expected = [(first, "regenerated".to_owned(), 0.0, None), (third.clone(), "error".to_owned(), 0.0, None)];
    assert_eq!(signs, expected);
    let ledger = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    let of = |column: &str| {
        let sql = format!("SELECT {column} FROM requests WHERE request_id = '{third}'");
        ledger.query_row(&sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!((of("chosen"), of("backend")), ("good".to_owned(), "spare".to_owned()));
}

#[tokio::test]
async fn a_request_that_nobody_was_asked_says_nothing_of_a_backend() {
    let upstream = Upstream::always(vec![hello()]).await;
    let folder = tempfile::tempdir().unwrap();
    let digest = mom::config::KeyDigest::of("ka");
    let spent = "budget = { usd = 0.000_001, per = \"month\" }";
    let keys = format!("[keys.a]\nsha256 = \"{digest}\"\n{spent}\n");
    let gateway = Mom::start(&config(&upstream, folder.path(), &keys)).await;
    let headers = [("content-type", "application/json"), ("authorization", "Bearer ka")];
    let refused = request(gateway.public, "POST", "/v1/chat/completions", &headers, ask("auto").as_bytes()).await;
    assert_eq!((refused.status(), refused.code()), (429, "budget_exceeded".to_owned()));
    gateway.shutdown().await;
    assert_eq!(heard(folder.path()), []);
}
