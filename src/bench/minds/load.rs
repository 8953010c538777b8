//! The load: requests one after the other, many at once, the same ones again, and short ones
//! beside a long one. Times run from text to verdicts, tokenisation included; making up the
//! texts is not timed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::texts::Texts;
use crate::bench::percentile;
use crate::minds::{Input, Minds, Part};

/// Who answers: one after the other, every member is asked about every request.
#[derive(Clone)]
pub(super) struct Stack(pub(super) Arc<[Minds]>);

/// What came of a load.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) times: Vec<Duration>,
    pub(super) elapsed: Duration,
    /// Of all requests, as the minds counted them.
    pub(super) tokens: u64,
    /// Requests that lack a verdict.
    pub(super) incomplete: usize,
}

/// A short request follows the last one's answer after this pause, so that a long one beside
/// it has company, not competition.
const PAUSE: Duration = Duration::from_millis(10);

impl Stack {
    async fn judge(&self, text: &str, sample: &mut Sample) {
        let started = Instant::now();
        let (mut tokens, mut complete) = (0, true);
        for minds in self.0.iter() {
            let part = Part::alone(text);
            let judgement = minds.judge(Input { parts: vec![part], not_text: false }).await;
            complete &= judgement.unavailable().next().is_none();
            tokens = judgement.prompt_tokens;
        }
        sample.times.push(started.elapsed());
        sample.tokens += tokens;
        sample.incomplete += usize::from(!complete);
    }

    /// One request after the other until `end`, and `least` in any case.
    pub(super) async fn in_turn(&self, texts: &Mutex<Texts>, tokens: usize, end: Instant, least: usize) -> Sample {
        let (mut sample, started) = (Sample::default(), Instant::now());
        while sample.times.len() < least || Instant::now() < end {
            let text = text(texts, tokens);
            self.judge(&text, &mut sample).await;
        }
        sample.elapsed = started.elapsed();
        sample
    }

    /// `clients` that each ask as soon as they are answered. They share the end: one that is
    /// answered at once lets no other begin before.
    pub(super) async fn at_once(
        &self,
        texts: &Arc<Mutex<Texts>>,
        tokens: usize,
        clients: usize,
        end: Instant,
    ) -> Sample {
        let run = || {
            let (stack, texts) = (self.clone(), Arc::clone(texts));
            async move { stack.in_turn(&texts, tokens, end, 0).await }
        };
        together((0..clients).map(|_| run())).await
    }

    /// The same with texts that were judged before.
    pub(super) async fn again(&self, texts: &Arc<[String]>, clients: usize, end: Instant) -> Sample {
        let run = |client: usize| {
            let (stack, texts) = (self.clone(), Arc::clone(texts));
            async move {
                let mut sample = Sample::default();
                for text in texts.iter().cycle().skip(client) {
                    if Instant::now() >= end {
                        break;
                    }
                    stack.judge(text, &mut sample).await;
                }
                sample
            }
        };
        together((0..clients).map(run)).await
    }

    /// Each of them once.
    pub(super) async fn once(&self, texts: &[String]) {
        for text in texts {
            self.judge(text, &mut Sample::default()).await;
        }
    }

    /// Long requests one after the other until `end`, `least` in any case, and short ones beside them.
    pub(super) async fn beside(
        &self,
        texts: &Arc<Mutex<Texts>>,
        (long, short): (usize, usize),
        end: Instant,
        least: usize,
    ) -> (Sample, Sample) {
        let mut running = JoinSet::new();
        let (stack, theirs) = (self.clone(), Arc::clone(texts));
        running.spawn(async move { stack.in_turn(&theirs, long, end, least).await });
        let mut sample = Sample::default();
        loop {
            tokio::select! {
                Some(done) = running.join_next() => return (done.unwrap_or_default(), sample),
                () = tokio::time::sleep(PAUSE) => {
                    let text = text(texts, short);
                    self.judge(&text, &mut sample).await;
                }
            }
        }
    }
}

pub(super) fn text(texts: &Mutex<Texts>, tokens: usize) -> String {
    texts.lock().unwrap_or_else(PoisonError::into_inner).text(tokens)
}

pub(super) fn several(texts: &Mutex<Texts>, tokens: usize, count: usize) -> Arc<[String]> {
    (0..count).map(|_| text(texts, tokens)).collect()
}

/// Runs all of them at once.
async fn together(runs: impl Iterator<Item = impl Future<Output = Sample> + Send + 'static>) -> Sample {
    let (mut all, started) = (Sample::default(), Instant::now());
    let mut running = JoinSet::new();
    runs.for_each(|run| drop(running.spawn(run)));
    while let Some(done) = running.join_next().await {
        // A client that panicked has nothing to add.
        all.add(done.unwrap_or_default());
    }
    all.elapsed = started.elapsed();
    all
}

impl Sample {
    /// Adds a later turn, or another client's requests.
    pub(super) fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.elapsed += other.elapsed;
        self.tokens += other.tokens;
        self.incomplete += other.incomplete;
    }

    /// Milliseconds.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        percentile(&mut self.times.clone(), share) / 1e3
    }

    pub(super) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack that answers at once.
    fn instant() -> (Stack, Arc<Mutex<Texts>>) {
        (Stack(Arc::new([])), Arc::new(Mutex::new(Texts::with(|_| 1))))
    }

    #[tokio::test]
    async fn many_clients_take_no_longer_than_one() {
        let (stack, texts) = instant();
        let time = Duration::from_millis(20);
        let known = several(&texts, 32, 4);
        let started = Instant::now();
        let asked = stack.at_once(&texts, 32, 200, started + time).await.times.len();
        let again = stack.again(&known, 200, Instant::now() + time).await;
        assert!(asked > 0 && !again.times.is_empty());
        // One after the other they would take 8 s.
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        assert!(again.per_second() > 100.0 && again.incomplete == 0);
    }
}
