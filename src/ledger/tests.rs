use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::openai::Usage;
use crate::telemetry::{Entry, Feedback, Seen, Shadow, millis};

fn entry(id: &str, at: SystemTime) -> Entry {
    Entry {
        at: millis(at),
        request_id: id.to_owned(),
        endpoint: "chat_completions",
        key: Some("team".to_owned()),
        route: "main".to_owned(),
        backend: "cheap".to_owned(),
        model: "small".to_owned(),
        category: "math".to_owned(),
        reasons: "cheapest".to_owned(),
        policy_version: "1".to_owned(),
        propensity: Some(1.0),
        status: 200,
        end: "complete",
        usage: Some(Usage { prompt: 10, cached: 4, completion: 5, reasoning: 2 }),
        estimated: false,
        cost_usd: Some(0.25),
        premium_usd: Some(1.0),
        ..Entry::default()
    }
}

fn note(entry: Entry) -> Note {
    Note::Request(Box::new(entry))
}

fn open(path: &Path) -> Ledger {
    Ledger::open(&config::Ledger {
        path: path.to_owned(),
        premium: None,
        keep: Duration::from_secs(3600),
        features: true,
        text: false,
    })
    .unwrap()
}

fn all(path: &Path) -> Summary {
    Store::open_existing(path).unwrap().summary(None, SystemTime::UNIX_EPOCH).unwrap()
}

fn until(what: impl Fn() -> bool) {
    let started = tokio::time::Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(10), "it took too long");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_entered_adds_up_and_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    let now = SystemTime::now();
    ledger.book().enter(note(entry("a", now)));
    ledger.book().enter(note(Entry {
        backend: "dear".to_owned(),
        cost_usd: Some(1.0),
        estimated: true,
        ..entry("b", now)
    }));
    ledger.book().enter(note(Entry {
        backend: String::new(),
        usage: None,
        cost_usd: None,
        premium_usd: None,
        status: 400,
        ..entry("c", now)
    }));
    // Nobody asked for the end: it is written within a second all the same.
    until(|| all(&path).lines.first().is_some_and(|line| line.requests == 3));
    let line = &all(&path).lines[0];
    assert_eq!(
        (line.cost_usd, line.premium_usd, line.saved_usd(), line.estimated, line.unpriced),
        (1.25, 2.0, 0.75, 1, 0)
    );
    assert_eq!((line.prompt_tokens, line.cached_tokens, line.completion_tokens), (20, 8, 10));
    ledger.book().enter(note(entry("d", now)));
    ledger.close();
    let by = Store::open_existing(&path).unwrap().summary(Some(By::Backend), SystemTime::UNIX_EPOCH).unwrap();
    let names: Vec<(&str, u64)> = by.lines.iter().map(|line| (line.name.as_str(), line.requests)).collect();
    assert_eq!(names, [("dear", 1), ("cheap", 2), ("", 1)]);
}

#[test]
fn a_locked_file_is_written_when_it_is_free_again_and_the_gap_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    ledger.book().enter(note(entry("a", SystemTime::now())));
    // As if there had been no room for this many.
    ledger.book().backlog.lost.fetch_add(7, Ordering::Relaxed);
    thread::sleep(Duration::from_millis(2600));
    assert_eq!(all(&path).lines, []);
    other.execute_batch("ROLLBACK").unwrap();
    until(|| all(&path) != Summary::default());
    assert_eq!((all(&path).lines[0].requests, all(&path).lost), (1, 7));
    ledger.close();
}

#[test]
fn a_full_disk_takes_all_of_a_batch_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut store = Store::open(&path).unwrap();
    let now = SystemTime::now();
    let batch = |from: usize| (from..from + 300).map(|n| note(entry(&n.to_string(), now))).collect::<Vec<_>>();
    store.write(&batch(0), 0).unwrap();
    let pages: i64 = store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    // SQLite then answers as it does when the disk is full.
    let most = |store: &Store, pages: i64| {
        store.connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0)).unwrap();
    };
    most(&store, pages + 1);
    let told = store.write(&batch(300), 3).unwrap_err().to_string();
    assert_eq!(told, "database or disk is full");
    assert_eq!((all(&path).lines[0].requests, all(&path).lost), (300, 0));
    most(&store, pages + 1000);
    store.write(&batch(300), 3).unwrap();
    assert_eq!((all(&path).lines[0].requests, all(&path).lost), (600, 3));
}

#[test]
fn old_requests_go_and_a_clock_that_jumps_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    let hours = |count: u64| Duration::from_secs(count * 3600);
    let now = SystemTime::now();
    ledger.book().enter(note(entry("old", now - hours(2))));
    ledger.book().enter(note(entry("before 1970", SystemTime::UNIX_EPOCH - hours(1))));
    ledger.book().enter(note(entry("tomorrow", now + hours(24))));
    ledger.book().enter(note(entry("now", now)));
    // The same request twice counts once.
    ledger.book().enter(note(entry("now", now)));
    ledger.close();
    let mut left = Vec::new();
    let store = Store::open_existing(&path).unwrap();
    let each = |_: &[&str], values: Vec<serde_json::Value>| {
        left.push(values[0].clone());
        Ok(())
    };
    store.each(SystemTime::UNIX_EPOCH, each).unwrap().unwrap();
    assert_eq!(left, ["now", "tomorrow"]);
    let days = store.summary(Some(By::Day), SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(days.lines.len(), 2);
}

#[test]
fn what_was_seen_and_heard_of_a_request_is_kept_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    let now = SystemTime::now();
    let seen = Seen { snapshot: "{}".to_owned(), embedding: Some(vec![0, 60]), offers: "[]".to_owned() };
    let shadow = Shadow { policy_version: "2".to_owned(), backend: "dear".to_owned(), ..Shadow::default() };
    let kept = Entry { seen: Some(seen), text: Some("hello".to_owned()), shadow: Some(shadow), ..entry("a", now) };
    ledger.book().enter(note(kept));
    let said = Feedback { at: millis(now), request_id: "a".to_owned(), source: "client", score: 0.25, comment: None };
    ledger.book().enter(Note::Feedback(said));
    for json in ["1", "2"] {
        ledger.book().enter(Note::State { name: "bandit".to_owned(), json: json.to_owned() });
    }
    ledger.close();
    let mut store = Store::open_existing(&path).unwrap();
    assert_eq!(store.state("bandit").unwrap().as_deref(), Some("2"));
    assert_eq!(store.state("other").unwrap(), None);
    let count = |store: &Store, table: &str| {
        let sql = format!("SELECT count(*) FROM {table} WHERE request_id = 'a'");
        store.connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let tables = ["requests", "features", "texts", "shadows", "feedback"];
    assert_eq!(tables.map(|table| count(&store, table)), [1; 5]);
    thread::sleep(Duration::from_millis(5));
    store.remove_before(SystemTime::now()).unwrap();
    assert_eq!(tables.map(|table| count(&store, table)), [0; 5]);
    assert_eq!(store.state("bandit").unwrap().as_deref(), Some("2"), "it does not grow old");
}

#[test]
fn lessons_are_requests_with_what_was_heard_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    let now = SystemTime::now();
    let seen = Some(Seen { snapshot: "{}".to_owned(), embedding: None, offers: "[]".to_owned() });
    let lesson = |id: &str, seconds: u64| Entry {
        chosen: "cheap".to_owned(),
        seen: seen.clone(),
        ..entry(id, now + Duration::from_secs(seconds))
    };
    ["a", "b", "c"].iter().zip(0..).for_each(|(id, at)| ledger.book().enter(note(lesson(id, at))));
    ledger.book().enter(note(Entry { route: "other".to_owned(), ..lesson("d", 3) }));
    ledger.book().enter(note(Entry { seen: None, ..lesson("e", 4) }));
    ledger.book().enter(note(Entry { backend: String::new(), ..lesson("refused", 5) }));
    for (id, source, score) in [("a", "client", 0.5), ("b", "error", 0.0), ("a", "client", 0.75), ("d", "client", 1.0)]
    {
        let (at, request_id) = (millis(now), id.to_owned());
        ledger.book().enter(Note::Feedback(Feedback { at, request_id, source, score, comment: None }));
    }
    ledger.close();
    let store = Store::open_existing(&path).unwrap();
    let heard = |most: usize| -> Vec<(String, Option<f64>, bool)> {
        let lessons = store.lessons("main", most).unwrap().into_iter();
        lessons.map(|lesson| (lesson.request_id, lesson.said, lesson.sign)).collect()
    };
    let known = |id: &str, said, sign| (id.to_owned(), said, sign);
    assert_eq!(heard(9), [known("a", Some(0.75), false), known("b", None, true), known("c", None, false)]);
    assert_eq!(heard(2), [known("b", None, true), known("c", None, false)]);
    assert_eq!(store.heard().unwrap(), 4);
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(store::REQUESTS).unwrap();
    old.execute_batch(
        "INSERT INTO requests VALUES ('a', 1, 'chat.completions', NULL, 'main', 'cheap', 'small', 'law', 'cheapest', '1',
         1.0, 200, 'complete', 10, 0, 5, 0, 0, 0.5, 1.0); PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    assert_eq!(all(&path).lines[0].cost_usd, 0.5);
    let ledger = open(&path);
    ledger.book().enter(note(entry("b", SystemTime::now())));
    ledger.close();
    assert_eq!(Store::open_existing(&path).unwrap().state("none").unwrap(), None);
}

#[test]
fn processes_that_open_a_file_at_once_all_get_it() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = folder.path().join(format!("{round}.db"));
        if round % 2 == 0 {
            let old = Connection::open(&path).unwrap();
            old.execute_batch(store::REQUESTS).unwrap();
            old.pragma_update(None, "user_version", 1).unwrap();
        }
        let start = std::sync::Barrier::new(8);
        thread::scope(|scope| {
            let openers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        Store::open(&path).map(drop)
                    })
                })
                .collect();
            for opener in openers {
                opener.join().unwrap().unwrap();
            }
        });
    }
}

#[test]
fn all_that_waits_at_the_end_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    let (book, now) = (ledger.book(), SystemTime::now());
    (0..5 * TOGETHER).for_each(|id| book.enter(note(entry(&id.to_string(), now))));
    ledger.close();
    assert_eq!(all(&path).lines[0].requests, 5 * TOGETHER as u64);
}

#[test]
fn what_cannot_be_written_does_not_pile_up_beyond_its_bound() {
    let (notes, arriving) = sync_channel(9);
    let state = || Note::State { name: "a".to_owned(), json: String::new() };
    (0..9).for_each(|_| notes.send(state()).unwrap());
    let mut waiting: Vec<Note> = (0..TOGETHER).map(|_| state()).collect();
    assert!(collect(&arriving, &mut waiting));
    assert_eq!((waiting.len(), arriving.try_iter().count()), (TOGETHER, 9));
}

#[test]
fn a_file_that_is_taken_away_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    for id in ["a", "b"] {
        ledger.book().enter(note(entry(id, SystemTime::now())));
        until(|| path.is_file() && all(&path).lines.first().is_some_and(|line| line.requests == 1));
        std::fs::remove_file(&path).unwrap();
    }
    std::fs::create_dir(&path).unwrap();
    ledger.book().enter(note(entry("c", SystemTime::now())));
    thread::sleep(Duration::from_millis(600));
    std::fs::remove_dir(&path).unwrap();
    until(|| path.is_file() && all(&path).lines.first().is_some_and(|line| line.requests == 1));
    ledger.close();
}

#[test]
fn texts_that_wait_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    let long = |id: &str| note(Entry { text: Some("x".repeat(40 << 20)), ..entry(id, SystemTime::now()) });
    let kept = |table: &str| {
        let store = Store::open_existing(&path).unwrap();
        let ids =
            format!("SELECT coalesce(group_concat(request_id), '') FROM (SELECT request_id FROM {table} ORDER BY 1)");
        store.connection.query_row(&ids, [], |row| row.get::<_, String>(0)).unwrap()
    };
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    ["a", "b"].iter().for_each(|id| ledger.book().enter(long(id)));
    other.execute_batch("ROLLBACK").unwrap();
    until(|| ledger.book().backlog.texts.load(Ordering::Relaxed) == 0);
    assert_eq!((kept("requests"), kept("texts")), ("a,b".to_owned(), "a".to_owned()));
    ledger.book().enter(long("c"));
    ledger.close();
    assert_eq!((kept("requests"), kept("texts")), ("a,b,c".to_owned(), "a,c".to_owned()));
}

#[test]
fn a_clock_that_jumps_forth_takes_nothing_away() {
    let calendar = Calendar::new();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let (soon, far) = (calendar.opened + hours(20), calendar.opened + hours(24 * 365));
    assert_eq!(calendar.at(soon), soon);
    assert!(calendar.at(far) < calendar.opened + hours(25));
    let back = calendar.opened - hours(5);
    assert_eq!(calendar.at(back), back);
}

#[test]
fn other_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    assert!(Store::open_existing(&path).unwrap_err().to_string().ends_with("ledger.db: there is no ledger"));
    std::fs::write(&path, "this is a letter, not a ledger; it goes on for a while").unwrap();
    assert!(Store::open(&path).unwrap_err().to_string().contains("ledger.db: "));
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    assert!(Store::open(&path).unwrap_err().to_string().contains("a ledger of version 7"));
    assert!(Store::open(&folder.path().join("none/ledger.db")).is_err());
}

#[test]
fn fields_survive_as_csv() {
    let mut out = Vec::new();
    csv(&mut out, &["a,b".into(), "say \"x\"".into(), serde_json::Value::Null, 1.5.into(), "=1+1".into()]).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "\"a,b\",\"say \"\"x\"\"\",,1.5,'=1+1\r\n");
}
