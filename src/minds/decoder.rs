//! Decoder minds: a language model reads the question behind a fixed prompt, whose keys and
//! values were computed when it was loaded, and a small head for each mind says what was read.
//!
//! Minds with the same base and the same prompt share every pass. They decide nothing on their
//! own: whoever asks them keeps what the flash minds said, for when nothing comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::batch::{Engine, Pushed, Refused};
use super::cache::Seed;
use super::encoder::Limits;
use super::engine::Row;
use super::queue::Window;
use super::{COMPLEXITIES, Given, Input, Intent, Opined, Opinion, Stretch, Unavailable};
use crate::config::Explain;

mod base;
mod head;
mod kept;
mod load;
mod pass;
mod reader;
mod speaker;
mod steering;
mod words;
mod writing;

pub use base::faults;
pub(super) use load::{Asked, Means, load};

use head::Member;
use reader::{Question, Reader};
use speaker::{Speaker, Task, Told};
use steering::Steering;

/// A reason that nobody waits for is given up after this.
const LATEST: Duration = Duration::from_secs(30);

/// Minds that share one base and one prompt, and so one forward pass.
pub(super) struct Decoder {
    reader: Reader,
    pub(super) engine: Engine,
    seed: Seed,
    pub(super) members: Vec<Member>,
    /// Where one of them finds sentences that steer.
    steering: Option<Steering>,
    /// Where one of them explains itself.
    speaker: Option<Speaker>,
}

/// A reason that is being written, and how it is to be had.
pub(super) struct Writing {
    pub(super) told: Told,
    pub(super) explain: Explain,
    pub(super) deadline: Duration,
}

impl Decoder {
    /// What those of its minds say that play one of `roles`, and which sentences try to steer them;
    /// `flash` is what the flash mind read. Deadlines count from `since`.
    pub(super) async fn ask(
        &self,
        roles: &[&str],
        input: &Input,
        flash: Option<&Intent>,
        since: Instant,
    ) -> (Vec<Opinion>, Vec<Stretch>) {
        let asked: Vec<&Member> = self.members.iter().filter(|member| roles.contains(&&*member.role)).collect();
        if asked.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let row = self.row(input, since, asked.iter().map(|member| member.limits)).await;
        let opinion = |member: &Member| {
            let said = match &row {
                Ok(read) if read.finished > since + member.limits.deadline => Given::Unavailable(Unavailable::Deadline),
                Ok(read) => Given::Verdict(member.verdict(&read.row, flash)),
                Err(why) => Given::Unavailable(*why),
            };
            let (role, mind) = (Arc::clone(&member.role), Arc::clone(&member.name));
            Opinion { role, mind, said, ignored: Vec::new(), reason: Given::Off }
        };
        let ignored = row.as_ref().map_or(Vec::new(), |read| read.ignored.clone());
        (asked.into_iter().map(opinion).collect(), ignored)
    }

    /// Has the mind that plays `role` say why it said so; `None`: it does not explain itself.
    pub(super) fn explain(
        &self,
        role: &str,
        said: &Opined,
        wanted: &[Explain],
        input: Result<&Input, Unavailable>,
    ) -> Option<Result<Writing, Unavailable>> {
        let member = self.members.iter().find(|member| *member.role == *role)?;
        let speaker = self.speaker.as_ref().filter(|_| wanted.contains(&member.explain))?;
        let (explain, deadline) = (member.explain, member.limits.deadline);
        let now = Instant::now();
        let until = now + if explain == Explain::Log { LATEST } else { deadline };
        let ask = |question: Question| {
            let (label, difficulty) = match said {
                Opined::Intent(intent) => {
                    (intent.category().0, intent.complexity().map_or("medium", |(label, _)| label))
                }
                Opined::Expert(expert) => (expert.domain().0, third(expert.difficulty)),
            };
            speaker.ask(Task { question: question.ids, label: label.to_owned(), difficulty, until })
        };
        let told = input.and_then(|input| self.reader.question(input, until)).and_then(ask);
        Some(told.map(|told| Writing { told, explain, deadline }))
    }

    /// The longest of those of its minds that play one of `roles`.
    pub(super) fn deadline(&self, roles: &[&str]) -> Duration {
        let asked = self.members.iter().filter(|member| roles.contains(&&*member.role));
        asked.map(|member| member.limits.deadline).max().unwrap_or_default()
    }

    /// The roles that its minds play.
    pub(super) fn roles(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| &*member.role)
    }

    /// The pass over one question.
    async fn row(
        &self,
        input: &Input,
        since: Instant,
        limits: impl Iterator<Item = Limits> + Clone,
    ) -> Result<Read, Unavailable> {
        let deadline = since + limits.clone().map(|limits| limits.deadline).max().unwrap_or_default();
        let asked = self.reader.question(input, deadline)?;
        let ids = self.reader.framed(&asked);
        let window = Window { key: self.seed.window(&ids), ids };
        let queue = limits.map(|limits| limits.queue).max().unwrap_or(0);
        let Pushed { mut answers, refused, .. } = self.engine.push(vec![window], deadline, queue);
        match timeout_at(deadline, answers.recv()).await {
            Ok(Some(done)) => {
                let row = done.row.ok_or(Unavailable::InferenceFailed)?;
                let find =
                    |steering: Steering| steering.find(&asked, row.get(steering.index).map_or(&[], Vec::as_slice));
                let ignored = self.steering.map_or(Vec::new(), find);
                Ok(Read { row, finished: done.finished, ignored })
            }
            Ok(None) if refused == Some(Refused::Full) => Err(Unavailable::Overloaded),
            Ok(None) if refused.is_none() && Instant::now() >= deadline => Err(Unavailable::Deadline),
            Ok(None) => Err(Unavailable::InferenceFailed),
            Err(_) => Err(Unavailable::Deadline),
        }
    }
}

/// A question that was read.
struct Read {
    row: Arc<Row>,
    finished: Instant,
    ignored: Vec<Stretch>,
}

/// In the words of the complexity.
fn third(difficulty: f32) -> &'static str {
    let [simple, medium, hard] = COMPLEXITIES;
    if difficulty < 1.0 / 3.0 {
        simple
    } else if difficulty < 2.0 / 3.0 {
        medium
    } else {
        hard
    }
}

#[cfg(test)]
mod tests;
