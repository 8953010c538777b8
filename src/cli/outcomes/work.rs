//! The run itself: calls under way, money, the journal, and why it stops.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::pin::pin;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::ask::{Desk, Missed, Reply};
use super::grade::{Grading, Ungraded, Way};
use super::journal::{Entry, Journal, Outcome};
use super::plan::{Job, Named, Prompt};
use super::purse::{Money, Purse};
use crate::cli::progress::Progress;
use crate::shutdown;

/// Failures in a row after which a backend or a grader is left alone.
const PATIENCE: usize = 5;

/// All that a run works with.
pub(super) struct Work<'a> {
    pub(super) prompts: &'a [Prompt],
    pub(super) backends: &'a [Named],
    pub(super) desk: &'a Desk,
    pub(super) grading: Grading<'a>,
    pub(super) purse: &'a Purse,
    pub(super) max_usd: Option<f64>,
    pub(super) max_tokens: u32,
    pub(super) settings: &'a str,
    pub(super) concurrency: usize,
}

/// What a run came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) graded: usize,
    /// Answers that were cut at `max_tokens`, and ones whose tokens were counted here.
    pub(super) cut: usize,
    pub(super) estimated: usize,
    /// Calls without an answer, by backend, with the last complaint.
    pub(super) missed: BTreeMap<String, (usize, String)>,
    /// Answers without a grade, with the last reason.
    pub(super) ungraded: usize,
    pub(super) odd: Option<String>,
    pub(super) left: usize,
    pub(super) stopped: Option<String>,
    in_a_row: BTreeMap<String, usize>,
}

/// What became of a job.
enum Came {
    Graded { outcomes: Vec<(String, Outcome)>, judge_usd: f64, replies: Vec<Reply> },
    Missed(Vec<Missed>),
    Odd(String),
    NoMoney,
}

impl Work<'_> {
    pub(super) async fn run(&self, jobs: Vec<Job>, journal: &mut Journal) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let mut progress = Progress::new("answers");
        let mut jobs = jobs.into_iter().peekable();
        let mut running = FuturesUnordered::new();
        let mut busy: BTreeMap<&str, usize> = BTreeMap::new();
        let mut stop = pin!(shutdown::signal());
        let mut interrupted = false;
        loop {
            while tally.stopped.is_none() && running.len() < self.concurrency {
                let Some(&job) = jobs.peek() else { break };
                let callees = self.callees(job);
                if callees.iter().any(|name| busy.get(name).is_some_and(|calls| *calls >= self.most(name))) {
                    break;
                }
                let Some(money) = self.purse.reserve(self.worst(job)) else {
                    if running.is_empty() {
                        tally.stopped = Some(self.cap_reached());
                    }
                    break;
                };
                jobs.next();
                callees.iter().for_each(|name| *busy.entry(name).or_default() += 1);
                running.push(async move { (job, self.work(job, money).await) });
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                _ = &mut stop => {
                    if interrupted {
                        break;
                    }
                    interrupted = true;
                    tally.stopped.get_or_insert_with(|| "interrupted; the same command goes on from here".to_owned());
                    stop.set(shutdown::signal());
                    let calls = running.len();
                    writeln!(io::stderr().lock(), "\nstopping once {calls} answers are in; again to leave them unread")?;
                }
                Some((job, came)) = running.next() => {
                    for name in self.callees(job) {
                        busy.entry(name).and_modify(|calls| *calls -= 1);
                    }
                    let answers = self.answers(job);
                    self.note(job, came, journal, &mut tally);
                    let spent = self.purse.spent();
                    let cap = self.max_usd.map(|cap| format!(" of {cap}")).unwrap_or_default();
                    progress.step_by(answers as u64, || format!(", {spent:.4}{cap} USD"));
                }
            }
        }
        tally.left = jobs.map(|job| self.answers(job)).sum();
        progress.finish();
        Ok(tally)
    }

    fn cap_reached(&self) -> String {
        format!("the next answer could pass --max-usd {}; with more the run goes on", self.max_usd.unwrap_or_default())
    }

    fn answers(&self, job: Job) -> usize {
        match job {
            Job::One { .. } => 1,
            Job::All { .. } => self.backends.len(),
        }
    }

    /// How many answers a job asks for, and how many words of a judge.
    pub(super) fn calls(&self, job: Job) -> (usize, usize) {
        let (answers, Job::One { prompt, .. } | Job::All { prompt }) = (self.answers(job), job);
        let words = match self.prompts[prompt].way {
            Way::Rule(_) | Way::Command => 0,
            Way::Reference => answers,
            Way::Compared => answers * (answers - 1),
        };
        (answers, words)
    }

    /// The backends that a job calls.
    fn callees(&self, job: Job) -> BTreeSet<&str> {
        let judge = self.grading.judge;
        match job {
            Job::One { backend, .. } => {
                BTreeSet::from_iter(judge.into_iter().chain([&*self.backends[backend].backend]))
            }
            Job::All { .. } => judge.into_iter().chain(self.backends.iter().map(|named| &*named.backend)).collect(),
        }
    }

    fn most(&self, name: &str) -> usize {
        self.desk.concurrency(name)
    }

    /// What a job costs at most.
    pub(super) fn worst(&self, job: Job) -> f64 {
        let (prompt, asked): (&Prompt, &[Named]) = match job {
            Job::One { prompt, backend } => (&self.prompts[prompt], &self.backends[backend..=backend]),
            Job::All { prompt } => (&self.prompts[prompt], self.backends),
        };
        let answers = asked.iter().map(|named| self.desk.worst(&named.backend, &prompt.asked.messages)).sum::<f64>();
        answers + self.grading.worst(prompt.way, &prompt.asked, asked.len(), self.max_tokens)
    }

    async fn work(&self, job: Job, money: Money<'_>) -> Came {
        let (prompt, asked) = match job {
            Job::One { prompt, backend } => (&self.prompts[prompt], &self.backends[backend..=backend]),
            Job::All { prompt } => (&self.prompts[prompt], self.backends),
        };
        let calls = asked.iter().map(|named| self.desk.ask(&named.backend, &prompt.asked.messages));
        let (mut replies, mut missed) = (Vec::new(), Vec::new());
        for answer in join_all(calls).await {
            match answer {
                Ok(reply) => {
                    money.pay(reply.usd);
                    replies.push(reply);
                }
                Err(one) => {
                    money.pay(one.usd);
                    missed.push(one);
                }
            }
        }
        if !missed.is_empty() {
            return Came::Missed(missed);
        }
        let graded = match (prompt.way, &replies[..]) {
            (Way::Compared, replies) => self.grading.compared(&prompt.asked, replies, &money).await,
            (way, [reply]) => {
                let graded = self.grading.alone(way, &prompt.asked, &asked[0].model, reply, &money).await;
                graded.map(|(grade, usd)| (vec![grade], usd))
            }
            _ => Err(Ungraded::Odd("there is no answer".to_owned())),
        };
        match graded {
            Ok((grades, judge_usd)) => {
                let outcome = |((named, score), reply): ((&Named, f64), &Reply)| {
                    let usd = (!named.unpriced).then_some(reply.usd);
                    (named.model.clone(), Outcome { score, tokens: Some(reply.tokens as f64), usd })
                };
                let outcomes = asked.iter().zip(grades).zip(&replies).map(outcome).collect();
                Came::Graded { outcomes, judge_usd, replies }
            }
            Err(Ungraded::Odd(why)) => Came::Odd(why),
            Err(Ungraded::Missed(one)) => Came::Missed(vec![one]),
            Err(Ungraded::NoMoney) => Came::NoMoney,
        }
    }

    /// Counts what became of a job and writes it down; may end the run.
    fn note(&self, job: Job, came: Came, journal: &mut Journal, tally: &mut Tally) {
        if matches!(came, Came::Graded { .. } | Came::Odd(_)) {
            self.callees(job).into_iter().for_each(|name| tally.well(name));
        }
        match came {
            Came::Graded { outcomes, judge_usd, replies } => {
                tally.graded += replies.len();
                tally.cut += replies.iter().filter(|reply| reply.cut).count();
                tally.estimated += replies.iter().filter(|reply| reply.estimated).count();
                tally.well(GRADER);
                let (Job::One { prompt, .. } | Job::All { prompt }) = job;
                let Prompt { asked, graded, .. } = &self.prompts[prompt];
                let entry = Entry { asked, outcomes, graded, settings: self.settings, judge_usd };
                if let Err(error) = journal.append(&entry) {
                    tally.stopped = Some(format!("the outcome could not be written: {error}"));
                }
            }
            Came::Missed(missed) => {
                for Missed { backend, why, .. } in missed {
                    let said = format!("{backend} failed {PATIENCE} times in a row: {why}");
                    tally.stop_after(&backend, said);
                    let entry = tally.missed.entry(backend).or_default();
                    *entry = (entry.0 + 1, why);
                }
            }
            Came::Odd(why) => {
                tally.ungraded += 1;
                tally.stop_after(GRADER, format!("{PATIENCE} answers in a row could not be graded: {why}"));
                tally.odd = Some(why);
            }
            Came::NoMoney => {
                tally.ungraded += 1;
                tally.stopped.get_or_insert_with(|| self.cap_reached());
            }
        }
    }
}

/// No backend's name.
const GRADER: &str = "";

impl Tally {
    fn well(&mut self, who: &str) {
        self.in_a_row.remove(who);
    }

    fn stop_after(&mut self, who: &str, why: String) {
        let failures = self.in_a_row.entry(who.to_owned()).or_default();
        *failures += 1;
        if *failures >= PATIENCE {
            self.stopped.get_or_insert(why);
        }
    }
}
