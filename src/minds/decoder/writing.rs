//! What may be written, token by token: `{"cause": "…", "reason": "…"}`, the cause copied from
//! the question, the reason in free words, both short. Nothing outside that shape can come out.

use super::words::Words;

/// Most tokens of the cause and of the reason.
const CAUSE: usize = 12;
const REASON: usize = 32;

/// Before the cause, between the two, and what the model has to say to end either.
pub(super) const OPEN: &str = "{\"cause\": \"";
pub(super) const TURN: &str = "\", \"reason\": \"";

/// A reason on its way.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    words: &'a Words,
    question: &'a [i64],
    /// Where in the question the cause may go on.
    places: Vec<usize>,
    pub(super) cause: Vec<i64>,
    pub(super) reason: Vec<i64>,
    turned: bool,
    /// It ended where the model wanted it to.
    pub(super) whole: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write(i64),
    /// The cause is there: [`TURN`].
    Turn,
    Done,
}

impl<'a> Writing<'a> {
    pub(super) fn new(words: &'a Words, question: &'a [i64]) -> Self {
        let begins = |&place: &usize| {
            let word = place == 0 || words.apart(question[place - 1], question[place]);
            word && words.is_lettered(question[place])
        };
        let places = (0..question.len()).filter(begins).collect();
        Self { words, question, places, cause: Vec::new(), reason: Vec::new(), turned: false, whole: false }
    }

    /// `logits`: of the whole vocabulary, behind what is written so far.
    pub(super) fn step(&mut self, logits: &[f32]) -> Step {
        if self.turned { self.reason(logits) } else { self.cause(logits) }
    }

    fn cause(&mut self, logits: &[f32]) -> Step {
        let logit = |id: i64| usize::try_from(id).ok().and_then(|id| logits.get(id)).copied();
        let ways = self.places.iter().filter_map(|&place| self.question.get(place).copied());
        let ways = ways.filter(|&id| self.words.is_free(id)).filter_map(|id| Some((id, logit(id)?)));
        let likeliest = ways.max_by(|a, b| a.1.total_cmp(&b.1));
        let may_end = self.cause.last().is_some_and(|&last| {
            let next = self.places.iter().map(|&place| self.question.get(place));
            next.into_iter().any(|next| next.is_none_or(|&next| self.words.apart(last, next)))
        });
        match likeliest {
            Some((id, logit)) if self.cause.len() < CAUSE && !(may_end && self.words.closing(logits) > logit) => {
                self.places.retain(|&place| self.question.get(place) == Some(&id));
                self.places.iter_mut().for_each(|place| *place += 1);
                self.cause.push(id);
                Step::Write(id)
            }
            _ => {
                if !may_end {
                    trim(self.words, &mut self.cause);
                }
                self.turned = true;
                Step::Turn
            }
        }
    }

    fn reason(&mut self, logits: &[f32]) -> Step {
        let Some((id, logit)) = self.words.likeliest(logits) else { return Step::Done };
        self.whole = !self.reason.is_empty() && self.words.closing(logits) > logit;
        if self.whole {
            return Step::Done;
        }
        if self.reason.len() == REASON {
            self.reason.push(id);
            trim(self.words, &mut self.reason);
            return Step::Done;
        }
        self.reason.push(id);
        Step::Write(id)
    }
}

/// Takes the last word off, of which perhaps only a part is there.
fn trim(words: &Words, ids: &mut Vec<i64>) {
    while let Some(last) = ids.pop() {
        if ids.last().is_none_or(|&before| words.apart(before, last)) {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tokenizer::Tokenizer;
    use super::*;
    use crate::config::Folders;
    use crate::eval::stats::SplitMix;

    /// Whatever a model wants to say, this is what comes out.
    #[test]
    fn nothing_outside_the_shape_comes_out() {
        let file = Folders::default().bases_dir.join("smollm2-135m/tokenizer.json");
        let tokenizer = Tokenizer::load(&file).unwrap();
        let words = Words::new(&tokenizer).unwrap();
        let mut random = SplitMix(7);
        let texts = [
            "Is \"this\" {a} test<br>?",
            "",
            "naïve café — 12:30, d'accord?",
            "x",
            "\u{1}\n\n",
            "The cat sat on the cat.",
        ];
        for text in texts.into_iter().cycle().take(18) {
            let question = tokenizer.prompt(text).unwrap();
            let mut writing = Writing::new(&words, &question);
            let (mut steps, mut turns) = (0, 0);
            loop {
                let logits: Vec<f32> =
                    (0..=tokenizer.largest_id()).map(|_| random.below(1 << 20) as f32 / 1e5).collect();
                match writing.step(&logits) {
                    Step::Write(_) => {}
                    Step::Turn => turns += 1,
                    Step::Done => break,
                }
                steps += 1;
            }
            assert!(turns == 1 && steps <= CAUSE + REASON + 1, "{text}: {steps}");
            let (cause, reason) = (tokenizer.text(&writing.cause).unwrap(), tokenizer.text(&writing.reason).unwrap());
            assert!(text.contains(cause.trim()), "{text}: {cause}");
            for said in [cause, reason] {
                assert!(
                    !said.contains(['"', '\\', '{', '}', '<', '>']) && !said.chars().any(char::is_control),
                    "{said:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_cut_ends_with_a_word() {
        let file = Folders::default().bases_dir.join("smollm2-135m/tokenizer.json");
        let tokenizer = Tokenizer::load(&file).unwrap();
        let words = Words::new(&tokenizer).unwrap();
        let mut ids = tokenizer.prompt("one tetrahydrocannabinol").unwrap();
        assert!(ids.len() > 3);
        trim(&words, &mut ids);
        assert_eq!(tokenizer.text(&ids).unwrap(), "one");
    }
}
