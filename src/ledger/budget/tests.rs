use std::path::Path;

use super::*;
use crate::ledger::Ledger;
use crate::telemetry::{Entry, Note};

const HOUR: Duration = Duration::from_secs(3600);

/// 2026-11-30 12:00, a Monday and the last day of its month.
const NOON: u64 = 20_787 * 86_400 + 12 * 3600;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Both clocks agree until one of them is moved.
fn noon() -> Now {
    Now { wall: at(NOON), steady: Instant::now() }
}

impl Now {
    fn later(self, by: Duration) -> Self {
        Self { wall: self.wall + by, steady: self.steady + by }
    }

    fn set(self, wall: SystemTime) -> Self {
        Self { wall, ..self }
    }
}

fn limit(usd: f64, per: Per) -> config::Budget {
    config::Budget { usd, per, soft_usd: None, assume_output_tokens: 1000 }
}

fn budgets(limit: config::Budget, spent: f64, now: Now) -> Budgets {
    let account = Account::new("team".to_owned(), limit, spent, now);
    Budgets { accounts: [("team".to_owned(), Arc::new(account))].into() }
}

fn reserve(budgets: &Budgets, usd: f64, now: Now) -> Result<Reservation, Over> {
    budgets.reserve(Some("team"), |_| usd, now).map(|made| made.expect("a budget"))
}

/// Asks for money and spends all of it.
fn spend(budgets: &Budgets, usd: f64, now: Now) -> Result<(), Over> {
    let made = reserve(budgets, usd, now)?;
    budgets.accounts["team"].settle(0.0, usd, now);
    // What was reserved, with the one that the line above took away.
    budgets.accounts["team"].now(now).in_flight += 1;
    drop(made);
    Ok(())
}

fn standing(budgets: &Budgets, now: Now) -> (f64, f64) {
    let standing = budgets.standings(now).next().unwrap();
    (standing.spent_usd, standing.reserved_usd)
}

#[test]
fn what_is_in_flight_counts_until_it_is_known() {
    let now = noon();
    let budgets = budgets(limit(10.0, Per::Day), 0.0, now);
    let first = reserve(&budgets, 6.0, now).unwrap();
    // The money is there, but promised: soon it may be free again.
    assert_eq!(reserve(&budgets, 5.0, now).unwrap_err(), Over { per: Per::Day, wait: None });
    let second = reserve(&budgets, 4.0, now).unwrap();
    assert_eq!(standing(&budgets, now), (0.0, 10.0));
    first.settle(1.0);
    // Nobody answered: nothing was spent.
    drop(second);
    assert_eq!(standing(&budgets, now), (1.0, 0.0));
    // More than was assumed counts in full.
    reserve(&budgets, 2.0, now).unwrap().settle(8.5);
    assert_eq!(standing(&budgets, now), (9.5, 0.0));
    let over = reserve(&budgets, 0.6, now).unwrap_err();
    assert_eq!(over, Over { per: Per::Day, wait: Some(12 * HOUR) });
    // What costs nothing goes on, and so do keys without a budget.
    reserve(&budgets, 0.0, now).unwrap().settle(0.0);
    assert!(budgets.reserve(Some("other"), |_| 99.0, now).unwrap().is_none());
    assert!(budgets.reserve(None, |_| 99.0, now).unwrap().is_none());
}

#[test]
fn many_at_once_never_pass_the_budget_by_more_than_was_not_assumed() {
    for (assumed, actual) in [(1.0, 1.0), (1.0, 0.25), (1.0, 3.0), (0.1, 0.1)] {
        let now = noon();
        let budgets = budgets(limit(50.0, Per::Month), 0.0, now);
        let threads = 8;
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..500 {
                        if let Ok(made) = reserve(&budgets, assumed, Now::read()) {
                            std::thread::yield_now();
                            made.settle(actual);
                        }
                    }
                });
            }
        });
        let (spent, reserved) = standing(&budgets, now);
        let bound = 50.0 + f64::from(threads) * (actual - assumed).max(0.0);
        assert!(spent <= bound + 1e-9, "{spent} of 50, assumed {assumed}, cost {actual}");
        assert!(spent > 50.0 - assumed - 1e-9, "the budget is used: {spent}");
        assert!(reserved.abs() < f64::EPSILON, "{reserved}");
    }
}

#[test]
fn the_next_window_brings_a_new_budget() {
    for (per, left) in [(Per::Day, 12), (Per::Week, 6 * 24 + 12), (Per::Month, 12)] {
        let now = noon();
        let budgets = budgets(limit(1.0, per), 1.0, now);
        let last = now.later(HOUR * left - Duration::from_secs(1));
        assert_eq!(spend(&budgets, 1.0, last).unwrap_err().wait, Some(Duration::from_secs(1)));
        let next = now.later(HOUR * left);
        assert_eq!(spend(&budgets, 1.0, next), Ok(()));
        assert!(spend(&budgets, 1.0, next).is_err());
    }
    // What was in flight is paid for by the window in which it ends, as in the ledger.
    let now = noon();
    let budgets = budgets(limit(1.0, Per::Day), 0.0, now);
    let made = reserve(&budgets, 0.75, now).unwrap();
    let tomorrow = now.later(12 * HOUR);
    assert_eq!(standing(&budgets, tomorrow), (0.0, 0.75));
    made.settle(0.5);
    assert_eq!(standing(&budgets, tomorrow), (0.5, 0.0));
}

#[test]
fn a_clock_that_jumps_gives_no_second_budget_and_locks_nobody_out() {
    let used_up = |now: Now| budgets(limit(1.0, Per::Day), 1.0, now);
    let now = noon();
    for jump in [at(0), at(NOON - 86_400), at(NOON + 86_400), at(NOON * 3), SystemTime::UNIX_EPOCH - HOUR] {
        let budgets = used_up(now);
        for hours in 0..12 {
            assert!(spend(&budgets, 1.0, now.later(HOUR * hours).set(jump)).is_err(), "a second budget at {jump:?}");
        }
        // Set right again: nothing has changed.
        assert!(spend(&budgets, 1.0, now.later(HOUR * 11)).is_err());
        assert_eq!(spend(&budgets, 1.0, now.later(HOUR * 12)), Ok(()));
    }
    // It was wrong from the start, by years, and is set right later: a day on there is a budget again.
    for wrong in [at(0), at(NOON * 3)] {
        let started = now.set(wrong);
        let budgets = used_up(started);
        let right = now.later(24 * HOUR);
        assert_eq!(spend(&budgets, 1.0, right), Ok(()));
        assert!(spend(&budgets, 1.0, right).is_err());
    }
    // Set back within the window for good: it lasts until midnight comes again, and no longer.
    let budgets = used_up(now);
    let back = |hours: u32| Now { wall: at(NOON) + HOUR * hours - 6 * HOUR, steady: now.steady + HOUR * hours };
    assert!(spend(&budgets, 1.0, back(12)).is_err());
    assert!(spend(&budgets, 1.0, back(17)).is_err());
    assert_eq!(spend(&budgets, 1.0, back(18)), Ok(()));
}

#[test]
fn beyond_the_soft_limit_requests_go_on_and_are_told() {
    let now = noon();
    let budgets = budgets(config::Budget { soft_usd: Some(5.0), ..limit(10.0, Per::Week) }, 0.0, now);
    let first = reserve(&budgets, 6.0, now).unwrap();
    assert_eq!(first.over_soft, None, "nothing is spent yet");
    first.settle(6.0);
    let second = reserve(&budgets, 1.0, now).unwrap();
    assert_eq!(second.over_soft, Some(0.6));
    second.settle(0.0);
}

fn entry(id: &str, key: Option<&str>, at: SystemTime, cost_usd: Option<f64>) -> Note {
    let key = key.map(str::to_owned);
    let entry = Entry { at: millis(at), request_id: id.to_owned(), key, status: 200, cost_usd, ..Entry::default() };
    Note::Request(Box::new(entry))
}

fn config(path: &Path) -> Config {
    let sha = |digit: &str| digit.repeat(64);
    let text = format!(
        r#"
        [backends.one]
        base_url = "http://127.0.0.1:9000/v1"
        price = {{ input = 1, output = 2 }}
        [[routes]]
        name = "all"
        candidates = ["one"]
        [ledger]
        path = "{}"
        keep = "36500d"
        [keys.day]
        sha256 = "{}"
        budget = {{ usd = 1, per = "day" }}
        [keys.month]
        sha256 = "{}"
        budget = {{ usd = 1, per = "month" }}
        [keys.free]
        sha256 = "{}"
        "#,
        path.display(),
        sha("1"),
        sha("2"),
        sha("3")
    );
    Config::parse(&text).unwrap()
}

#[test]
fn a_start_sums_up_what_the_ledger_has_of_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let config = config(&path);
    let ledger = Ledger::open(config.ledger.as_ref().unwrap()).unwrap();
    let hours = |count: i64| at(NOON.saturating_add_signed(count * 3600));
    let rows = [
        ("day", hours(-13), Some(100.0)),
        ("day", hours(-12), Some(0.125)),
        ("day", hours(0), None),
        ("day", hours(-1), Some(0.25)),
        // A clock was ahead when these were written: by less than a window, and by more.
        ("day", hours(13), Some(0.5)),
        ("day", hours(24 * 365), Some(100.0)),
        ("month", hours(-24 * 29), Some(0.75)),
        ("month", hours(-24 * 31), Some(100.0)),
        ("free", hours(0), Some(100.0)),
    ];
    for (n, (key, at, cost)) in rows.into_iter().enumerate() {
        ledger.book().enter(entry(&n.to_string(), Some(key), at, cost));
    }
    ledger.book().enter(entry("nobody", None, hours(0), Some(100.0)));
    ledger.close();
    let budgets = Budgets::open(&config, noon()).unwrap();
    let spent: Vec<(&str, f64)> =
        budgets.standings(noon()).map(|standing| (standing.key, standing.spent_usd)).collect();
    assert_eq!(spent, [("day", 0.875), ("month", 0.75)]);
    std::fs::remove_file(&path).unwrap();
    assert!(Budgets::open(&config, noon()).unwrap_err().to_string().ends_with("there is no ledger"));
}
