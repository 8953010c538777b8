//! Threads, sessions and the library are real; the graph is one that can be made to fail.

use std::time::Duration;

use super::super::cache::Seed;
use super::super::engine::{Options, Runtime, Session};
use super::*;

mod graph;

use graph::{BEYOND, NOT_A_NUMBER};

impl Engine {
    /// As if a thread had broken down.
    pub(in crate::minds) fn end(&self) {
        drop(CloseOnDrop(Arc::clone(&self.shared)));
    }
}

/// An engine over the graph of these tests, and the folder that the graph is in.
fn engine(threads: usize, wide: bool) -> (Engine, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, graph::bytes()).unwrap();
    let runtime = Runtime::load().unwrap();
    let open = || -> Box<dyn Forward> {
        let options = Options::one_core(vec![graph::OUTPUT.to_owned()]);
        Box::new(Session::open(&runtime, &path, &options).unwrap())
    };
    let each = (0..threads).map(|_| open()).collect();
    let sessions = Sessions { each, wide: wide.then(open) };
    let limit = PassLimit { windows: 8, tokens: 1024 };
    let engine = Engine::start(sessions, 0, limit, Arc::new(Cache::new(64 * 1024)), Arc::default()).unwrap();
    (engine, folder)
}

fn windows(ids: &[&[i64]]) -> Vec<Window> {
    ids.iter().map(|ids| Window { key: Seed::new([]).window(ids), ids: ids.to_vec() }).collect()
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// What the graph says about each window, asked for together.
async fn ask(engine: &Engine, ids: &[&[i64]]) -> Vec<Option<Arc<Row>>> {
    let mut pushed = engine.push(windows(ids), later(), 10);
    let mut rows = vec![None; ids.len()];
    while let Some(done) = pushed.answers.recv().await {
        rows[done.window] = done.row;
    }
    rows
}

#[tokio::test]
async fn an_answer_that_is_no_number_is_a_failed_pass() {
    let (engine, _folder) = engine(1, false);
    // The second time the first window is known; what is broken was not remembered.
    for _ in 0..2 {
        let rows = ask(&engine, &[&[1, 2], &[1, NOT_A_NUMBER]]).await;
        assert_eq!(rows, [Some(Arc::new(vec![vec![1.0, 2.0]])), None]);
    }
    assert!(engine.alive());
}

#[tokio::test]
async fn a_window_that_cannot_run_fails_alone() {
    let (engine, _folder) = engine(1, false);
    let rows = ask(&engine, &[&[1, 2], &[BEYOND, 1], &[2, 2]]).await;
    assert_eq!(rows.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(ask(&engine, &[&[BEYOND, 2]]).await, [None]);
    assert!(engine.alive() && engine.waiting() == 0);
}

#[tokio::test]
async fn a_full_queue_still_answers_what_is_known() {
    let (engine, _folder) = engine(1, false);
    ask(&engine, &[&[1, 2]]).await;
    let mut pushed = engine.push(windows(&[&[2, 1], &[1, 2]]), later(), 0);
    assert_eq!(pushed.refused, Some(Refused::Full));
    let known = pushed.answers.recv().await.unwrap();
    assert_eq!((known.window, known.row), (1, Some(Arc::new(vec![vec![1.0, 2.0]]))));
    assert!(pushed.answers.recv().await.is_none());
    assert_eq!(engine.push(windows(&[&[1, 2]]), later(), 0).refused, None);
}

#[tokio::test]
async fn when_a_thread_has_ended_nobody_waits_for_it() {
    let (engine, _folder) = engine(2, false);
    let (reply, mut waits) = mpsc::channel(1);
    let asked = windows(&[&[1]])
        .into_iter()
        .map(|window| (window, Asker { window: 0, deadline: later(), reply: reply.clone() }));
    engine.shared.lock().push(asked.collect::<Vec<_>>());
    drop(reply);
    let theirs = Arc::clone(&engine.shared);
    let thread = std::thread::spawn(move || {
        let _closing = CloseOnDrop(theirs);
        panic!("what a thread of the engine must not do");
    });
    assert!(thread.join().is_err() && !engine.alive());
    assert!(waits.recv().await.is_none_or(|done| done.row.is_some()));
    let mut pushed = engine.push(windows(&[&[2]]), later(), 10);
    assert_eq!((pushed.refused, pushed.answers.recv().await.is_none()), (Some(Refused::Dead), true));
}

#[tokio::test]
async fn only_lone_windows_in_quick_succession_share_sleeping_cores() {
    let (engine, _folder) = engine(1, true);
    let wide = || engine.shared.wide.as_ref().unwrap().lock().unwrap();
    let now = Instant::now();
    assert!(wide().pays(WIDE_FROM, now) && !wide().pays(WIDE_FROM - 1, now));
    // Three in one pass were not alone.
    ask(&engine, &[&[1, 2], &[2, 1], &[2, 2]]).await;
    assert_eq!(wide().last, None);
    assert_eq!(ask(&engine, &[&[1, 1]]).await, [Some(Arc::new(vec![vec![1.0, 1.0]]))]);
    let last = wide().last.unwrap();
    assert!(wide().pays(2, last + AWAKE / 2) && !wide().pays(2, last + AWAKE));
    // Known windows run nowhere.
    ask(&engine, &[&[1, 1]]).await;
    assert_eq!(wide().last, Some(last));
}
