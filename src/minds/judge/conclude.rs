//! From what the engine answered to verdicts, each whole, in time and about a text that was
//! read, or else with the reason why not.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::encoder::{Answered, Encoder, Limits};
use super::super::engine::Row;
use super::super::reading::{Reading, Stream};
use super::super::{Given, Input, Judgement, Source, Unavailable};

/// What came back: an answer per window in stream order, and why the rest is missing.
pub(super) struct Answers {
    pub(super) windows: Vec<Option<(Arc<Row>, Instant)>>,
    /// Answers from before this instant were known and waited for nobody.
    pub(super) pushed: Instant,
    /// Jobs that waited when this one had to wait.
    pub(super) waiting: usize,
    pub(super) missing: Unavailable,
}

impl Encoder {
    /// Turns answers into verdicts. One that is found after its mind's deadline is none, except
    /// that an attack is one, and harm.
    pub(super) fn conclude(
        &self,
        input: &Input,
        reading: &Reading,
        answers: &Answers,
        started: Instant,
        said: &mut Judgement,
    ) {
        let any_text = reading.streams.iter().any(|stream| !stream.tokens.is_empty());
        let unread = |readable: bool, whole: bool| match (readable, input.not_text && (whole || !any_text)) {
            (_, true) => Err(Unavailable::NotText),
            (false, _) => Err(Unavailable::UnreadableLanguage),
            (true, _) => Ok(()),
        };
        let windows = |wanted, limits| gather(reading, answers, wanted, started, limits);
        let ask: fn(&Stream) -> bool = |stream| stream.ask;
        let guarded: fn(&Stream) -> bool = |stream| stream.guarded;
        if let Some(mind) = &self.heads.intent {
            let given = unread(reading.ask_readable, false).and_then(|()| windows(ask, mind.limits));
            let verdict = given.map(|windows| mind.verdict(&windows));
            said.intent = on_time(verdict, started, mind.limits).into();
        }
        if let Some(mind) = &self.heads.similarity {
            let given = unread(reading.ask_readable, false).and_then(|()| windows(ask, mind.limits));
            let verdict = given.map(|windows| mind.verdict(&windows));
            said.embedding = on_time(verdict, started, mind.limits).into();
        }
        let frame = self.reader.tokenizer.prefix.len();
        if let Some(mind) = &self.heads.jailbreak {
            // What was found is found, whatever else is late or foreign. In a text that is foreign
            // as a whole nothing was read, whatever the score.
            let all = |wanted, found| {
                if found && reading.mostly_readable {
                    return Ok(());
                }
                let readable = reading.guards_readable && reading.hidden_readable;
                let given = windows(wanted, mind.limits).and_then(|_| unread(readable, true));
                on_time(given, started, mind.limits)
            };
            let streams = reading.streams.iter().filter(|stream| stream.guarded);
            let tokens = streams.flat_map(|stream| &stream.windows).map(ExactSizeIterator::len).sum();
            let attack = mind.verdict(input, &arrived(reading, answers, guarded), tokens, frame);
            said.jailbreak = all(guarded, attack.detected()).map(|()| attack).into();
            if let Some(harm) = &mind.harm {
                let typed: fn(&Stream) -> bool = |stream| stream.guarded && stream.source == Source::User;
                let harm = harm.verdict(&arrived(reading, answers, typed));
                said.harm = all(typed, harm.detected()).map(|()| harm).into();
            }
        }
        if let Some(mind) = &self.heads.pii {
            let plain: fn(&Stream) -> bool = |stream| stream.guarded && !stream.hidden;
            let given = unread(reading.guards_readable, true).and_then(|()| windows(plain, mind.limits));
            let verdict = given.map(|windows| mind.verdict(input, reading, &windows, frame));
            said.pii = on_time(verdict, started, mind.limits).into();
        }
    }

    /// None of this family's minds could start.
    pub(super) fn excuse(&self, said: &mut Judgement, why: Unavailable) {
        if self.heads.intent.is_some() {
            said.intent = Given::Unavailable(why);
        }
        if let Some(mind) = &self.heads.jailbreak {
            said.jailbreak = Given::Unavailable(why);
            said.harm = mind.harm.map_or(Given::Off, |_| Given::Unavailable(why));
        }
        if self.heads.pii.is_some() {
            said.pii = Given::Unavailable(why);
        }
        if self.heads.similarity.is_some() {
            said.embedding = Given::Unavailable(why);
        }
    }
}

fn on_time<T>(given: Result<T, Unavailable>, started: Instant, limits: Limits) -> Result<T, Unavailable> {
    match given {
        Ok(_) if Instant::now() > started + limits.deadline => Err(Unavailable::Deadline),
        given => given,
    }
}

/// The windows that were answered, however late.
fn arrived<'a>(reading: &'a Reading, answers: &'a Answers, wanted: fn(&Stream) -> bool) -> Vec<Answered<'a>> {
    let all = reading.streams.iter().flat_map(|stream| stream.windows.iter().map(move |window| (stream, window)));
    all.zip(&answers.windows)
        .filter(|((stream, _), _)| wanted(stream))
        .filter_map(|((stream, window), answer)| Some(Answered { stream, window, row: &answer.as_ref()?.0 }))
        .collect()
}

/// The windows one mind needs, all of them and in time, or why not.
fn gather<'a>(
    reading: &'a Reading,
    answers: &'a Answers,
    wanted: fn(&Stream) -> bool,
    started: Instant,
    limits: Limits,
) -> Result<Vec<Answered<'a>>, Unavailable> {
    let waited = |finished: Instant| answers.waiting >= limits.queue && finished > answers.pushed;
    let all = reading.streams.iter().flat_map(|stream| stream.windows.iter().map(move |window| (stream, window)));
    all.zip(&answers.windows)
        .filter(|((stream, _), _)| wanted(stream))
        .map(|((stream, window), answer)| match answer {
            Some((_, finished)) if waited(*finished) => Err(Unavailable::Overloaded),
            Some((_, finished)) if *finished > started + limits.deadline => Err(Unavailable::Deadline),
            Some((row, _)) => Ok(Answered { stream, window, row }),
            None => Err(answers.missing),
        })
        .collect()
}

impl<T> From<Result<T, Unavailable>> for Given<T> {
    fn from(result: Result<T, Unavailable>) -> Self {
        match result {
            Ok(verdict) => Self::Verdict(verdict),
            Err(why) => Self::Unavailable(why),
        }
    }
}
