//! Reasons in words: after a decision the base reads the question again behind another prompt,
//! with the decision in it, and the rest of its layers write why. One reason at a time, on a
//! thread of its own; between two tokens the base is free for questions.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::watch;
use tokio::time::Instant;

use super::super::engine::{EngineError, Program};
use super::super::manifest::Prompt;
use super::super::tokenizer::{Tokenizer, TokenizerError, Trusting};
use super::super::{Reason, Unavailable};
use super::kept::{Kept, Next};
use super::words::Words;
use super::writing::{OPEN, Step, TURN, Writing};

/// What a reason is asked for.
pub(super) struct Task {
    /// Tokens of the question alone.
    pub(super) question: Vec<i64>,
    /// The decision: a field, and how difficult.
    pub(super) label: String,
    pub(super) difficulty: &'static str,
    /// Nobody waits for it any longer.
    pub(super) until: Instant,
}

/// What is written so far, or why there will be nothing; the sender is gone when no more will come.
pub(super) type Told = watch::Receiver<Result<Option<Reason>, Unavailable>>;

struct Job(Task, watch::Sender<Result<Option<Reason>, Unavailable>>);

/// Most reasons that may wait, whatever is configured: each is given up after a while.
const MOST_WAITING: usize = 1024;

/// The thread that writes.
pub(super) struct Speaker(SyncSender<Job>);

/// What it writes with.
pub(super) struct Voice {
    pub(super) base: Arc<Mutex<Program>>,
    /// The layers above those that decide.
    pub(super) top: Program,
    pub(super) tokenizer: Tokenizer,
    pub(super) prompt: Prompt,
}

/// A voice that has read its prompt.
struct Ready {
    voice: Voice,
    ours: Trusting,
    words: Words,
    below: Kept,
    above: Kept,
    turn: Vec<i64>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SpeakError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("cannot start the thread that writes reasons: {0}")]
    Thread(#[from] std::io::Error),
}

impl Speaker {
    /// Reads the prompt, then waits for work on a thread of its own; `queue` reasons may wait.
    pub(super) fn start(voice: Voice, queue: usize) -> Result<Self, SpeakError> {
        let (send, receive) = sync_channel(queue.min(MOST_WAITING));
        let ready = Ready::new(voice)?;
        thread::Builder::new().name("mom-speaker".to_owned()).spawn(move || ready.work(&receive))?;
        Ok(Self(send))
    }

    pub(super) fn ask(&self, task: Task) -> Result<Told, Unavailable> {
        let (tell, told) = watch::channel(Ok(None));
        match self.0.try_send(Job(task, tell)) {
            Ok(()) => Ok(told),
            Err(TrySendError::Full(_)) => Err(Unavailable::Overloaded),
            Err(TrySendError::Disconnected(_)) => Err(Unavailable::InferenceFailed),
        }
    }
}

impl Ready {
    fn new(mut voice: Voice) -> Result<Self, SpeakError> {
        let words = Words::new(&voice.tokenizer)?;
        let ours = voice.tokenizer.trusting();
        let (before, turn) = (ours.ids(&voice.prompt.before)?, ours.ids(TURN)?);
        let mut base = voice.base.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut below, mut above) = (Kept::nothing(&base), Kept::nothing(&voice.top));
        let states = below.read(&mut base, Next::Tokens(&[before]), "hidden")?;
        drop(base);
        above.read(&mut voice.top, Next::States(&states), "logits")?;
        Ok(Self { voice, ours, words, below, above, turn })
    }

    fn work(mut self, jobs: &Receiver<Job>) {
        for Job(task, tell) in jobs {
            if let Err(error) = self.write(&task, &tell) {
                tracing::error!(%error, "a reason could not be written");
                let _ = tell.send_replace(Err(Unavailable::InferenceFailed));
            }
        }
    }

    fn write(
        &mut self,
        task: &Task,
        tell: &watch::Sender<Result<Option<Reason>, Unavailable>>,
    ) -> Result<(), SpeakError> {
        let wanted = || !tell.is_closed() && Instant::now() < task.until;
        if !wanted() {
            return Ok(());
        }
        let after = self.voice.prompt.after.replace("{label}", &task.label).replace("{difficulty}", task.difficulty);
        let mut next = task.question.clone();
        next.extend(self.ours.ids(&format!("{after}{OPEN}"))?);
        let (mut below, mut above) = (self.below.clone(), self.above.clone());
        let mut writing = Writing::new(&self.words, &task.question);
        while wanted() {
            let mut base = self.voice.base.lock().unwrap_or_else(PoisonError::into_inner);
            let states = below.read(&mut base, Next::Tokens(&[next]), "hidden")?;
            drop(base);
            let logits = above.read(&mut self.voice.top, Next::States(&states), "logits")?;
            let step = writing.step(&logits.values);
            let text = |ids: &[i64]| self.voice.tokenizer.text(ids).map(|text| text.trim().to_owned());
            let reason = Reason { cause: text(&writing.cause)?, text: text(&writing.reason)?, whole: writing.whole };
            let _ = tell.send_replace(Ok(Some(reason)));
            next = match step {
                Step::Write(id) => vec![id],
                Step::Turn => self.turn.clone(),
                Step::Done => break,
            };
        }
        Ok(())
    }
}
