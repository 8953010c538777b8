//! Progress on stderr for runs over a second: one line that rewrites itself on a terminal,
//! elsewhere a plain line after the first second and then every few seconds.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc;
use std::time::Duration;

use tokio::time::Instant;

/// What takes less needs no progress.
const FIRST: Duration = Duration::from_secs(1);
const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// For [`during`].
pub(super) const LOADING: &str = "loading the minds";

pub(super) struct Progress {
    what: &'static str,
    started: Instant,
    next: Instant,
    every: Duration,
    terminal: bool,
    done: u64,
    shown: bool,
    /// What was told last behind the count.
    more: String,
}

impl Progress {
    /// `what` is counted: `lines`, `rows`.
    pub(super) fn new(what: &'static str) -> Self {
        let terminal = io::stderr().is_terminal();
        let every = if terminal { ON_TERMINAL } else { ELSEWHERE };
        let started = Instant::now();
        Self { what, started, next: started + FIRST, every, terminal, done: 0, shown: false, more: String::new() }
    }

    pub(super) fn step(&mut self) {
        self.step_by(1, String::new);
    }

    /// Several are done; `more` is told behind the count.
    pub(super) fn step_by(&mut self, done: u64, more: impl FnOnce() -> String) {
        self.done += done;
        self.more = more();
        let now = Instant::now();
        if now >= self.next {
            self.next = now + self.every;
            self.show();
        }
    }

    fn show(&mut self) {
        self.shown = true;
        let rate = self.done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let digits = usize::from(rate < 9.95);
        let (open, close) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let mut stderr = io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(stderr, "{open}{} {}, {rate:.digits$} a second{}{close}", self.done, self.what, self.more);
        let _ = stderr.flush();
    }

    /// The final count, if any was shown.
    pub(super) fn finish(mut self) {
        if self.shown {
            self.show();
            if self.terminal {
                let _ = writeln!(io::stderr().lock());
            }
        }
    }
}

/// Does `work` that has nothing to count, such as loading; says `what` when it takes long.
pub(super) fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    // Progress that cannot be shown is no reason to stop.
    after(FIRST, || drop(writeln!(io::stderr().lock(), "{what} …")), work)
}

/// Does `work`, and calls `say` from another thread if it is not done by `first`.
fn after<T>(first: Duration, say: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<()>();
        scope.spawn(move || {
            if waiting.recv_timeout(first) == Err(mpsc::RecvTimeoutError::Timeout) {
                say();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_takes_long_is_spoken_of() {
        let said = |first: Duration, work: Duration| {
            let mut said = false;
            after(first, || said = true, || std::thread::sleep(work));
            said
        };
        assert!(said(Duration::from_millis(1), Duration::from_millis(200)));
        assert!(!said(Duration::from_secs(60), Duration::ZERO));
    }
}
