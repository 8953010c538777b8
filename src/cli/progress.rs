//! Progress on stderr for runs over a second: one line that rewrites itself on a terminal,
//! a plain line every few seconds elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    what: &'static str,
    started: Instant,
    next: Instant,
    every: Duration,
    terminal: bool,
    done: u64,
    shown: bool,
}

impl Progress {
    /// `what` is counted: `lines`, `rows`.
    pub(super) fn new(what: &'static str) -> Self {
        let terminal = io::stderr().is_terminal();
        let every = if terminal { ON_TERMINAL } else { ELSEWHERE };
        let started = Instant::now();
        let next = started + if terminal { Duration::from_secs(1) } else { ELSEWHERE };
        Self { what, started, next, every, terminal, done: 0, shown: false }
    }

    pub(super) fn step(&mut self) {
        self.done += 1;
        let now = Instant::now();
        if now >= self.next {
            self.next = now + self.every;
            self.show();
        }
    }

    fn show(&mut self) {
        self.shown = true;
        let rate = self.done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let (open, close) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let mut stderr = io::stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(stderr, "{open}{} {}, {rate:.0} a second{close}", self.done, self.what);
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
