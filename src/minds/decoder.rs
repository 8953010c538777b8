//! Decoder minds: a language model reads the question behind a fixed prompt, whose keys and
//! values were computed when it was loaded, and a small head for each mind says what was read.
//!
//! Minds with the same base and the same prompt share every pass. They decide nothing on their
//! own: whoever asks them keeps what the flash minds said, for when nothing comes back.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::batch::{Engine, Pushed, Refused};
use super::cache::Seed;
use super::encoder::Limits;
use super::engine::Row;
use super::queue::Window;
use super::{Given, Input, Intent, Opinion, Unavailable};

mod base;
mod head;
mod load;
mod pass;
mod reader;

pub use base::faults;
pub(super) use load::{Asked, Means, load};

use head::Member;
use reader::Reader;

/// Minds that share one base and one prompt, and so one forward pass.
pub(super) struct Decoder {
    reader: Reader,
    pub(super) engine: Engine,
    seed: Seed,
    pub(super) members: Vec<Member>,
}

impl Decoder {
    /// What those of its minds say that play one of `roles`; `flash` is what the flash mind read.
    pub(super) async fn ask(&self, roles: &[&str], input: &Input, flash: Option<&Intent>) -> Vec<Opinion> {
        let asked: Vec<&Member> = self.members.iter().filter(|member| roles.contains(&&*member.role)).collect();
        if asked.is_empty() {
            return Vec::new();
        }
        let started = Instant::now();
        let row = self.row(input, started, asked.iter().map(|member| member.limits)).await;
        let opinion = |member: &Member| {
            let said = match &row {
                Ok((_, finished)) if *finished > started + member.limits.deadline => {
                    Given::Unavailable(Unavailable::Deadline)
                }
                Ok((row, _)) => Given::Verdict(member.verdict(row, flash)),
                Err(why) => Given::Unavailable(*why),
            };
            Opinion { role: Arc::clone(&member.role), mind: Arc::clone(&member.name), said }
        };
        asked.into_iter().map(opinion).collect()
    }

    /// The roles that its minds play.
    pub(super) fn roles(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| &*member.role)
    }

    /// The pass over one question, and when it ended.
    async fn row(
        &self,
        input: &Input,
        started: Instant,
        limits: impl Iterator<Item = Limits> + Clone,
    ) -> Result<(Arc<Row>, Instant), Unavailable> {
        let deadline = started + limits.clone().map(|limits| limits.deadline).max().unwrap_or_default();
        let ids = self.reader.read(input, deadline)?;
        let window = Window { key: self.seed.window(&ids), ids };
        let queue = limits.map(|limits| limits.queue).max().unwrap_or(0);
        let Pushed { mut answers, refused, .. } = self.engine.push(vec![window], deadline, queue);
        match timeout_at(deadline, answers.recv()).await {
            Ok(Some(done)) => Ok((done.row.ok_or(Unavailable::InferenceFailed)?, done.finished)),
            Ok(None) if refused == Some(Refused::Full) => Err(Unavailable::Overloaded),
            Ok(None) if refused.is_none() && Instant::now() >= deadline => Err(Unavailable::Deadline),
            Ok(None) => Err(Unavailable::InferenceFailed),
            Err(_) => Err(Unavailable::Deadline),
        }
    }
}

#[cfg(test)]
mod tests;
