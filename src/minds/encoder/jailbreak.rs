//! The guard's head: from windows to one verdict about the whole request. Pure.

use super::super::{Harm, Input, Jailbreak, Stretch};
use super::{Answered, Head, Limits, softmax};

/// From here on more text does not lower a window's odds: an attack must not drown in padding.
const MOST_WINDOWS: f32 = 16.0;

/// How much less evidence than the strongest token another may have and still be part of it, in
/// logits: what stands around an order looks a little like one, too.
const FALL: f32 = 1.25;

/// Tokens with too little evidence that do not end a stretch.
const GAP: usize = 3;

#[derive(Debug)]
pub(in crate::minds) struct JailbreakHead {
    pub(in crate::minds) limits: Limits,
    pub(in crate::minds) head: Head,
    /// Each token's own evidence for an attack, where the graph tells it: one logit a token.
    pub(in crate::minds) evidence: Option<Head>,
    /// Index of the label `benign`, and how many labels there are.
    pub(in crate::minds) benign: usize,
    pub(in crate::minds) width: usize,
    /// Tokens of a full window.
    pub(in crate::minds) capacity: usize,
    pub(in crate::minds) threshold: f32,
    pub(in crate::minds) harm: Option<HarmHead>,
}

/// The second output of a guard: its label at index 1 is "harmful".
#[derive(Clone, Copy, Debug)]
pub(in crate::minds) struct HarmHead {
    pub(in crate::minds) head: Head,
    pub(in crate::minds) threshold: f32,
}

impl JailbreakHead {
    /// The worst window decides. `windows`: those that were answered; `tokens`: of all windows of
    /// the request, as what is still to be read is a chance for a false alarm, too; `frame`:
    /// special tokens before a window's own.
    pub(in crate::minds) fn verdict(
        &self,
        input: &Input,
        windows: &[Answered<'_>],
        tokens: usize,
        frame: usize,
    ) -> Jailbreak {
        let attack =
            |scores: &[f32]| scores.iter().enumerate().filter(|(label, _)| *label != self.benign).map(|(_, p)| p).sum();
        let worst = worst_of(windows, self.head, attack);
        let score = worst.map_or(0.0, |(score, _)| self.among(score, tokens));
        let mut verdict = Jailbreak {
            score,
            threshold: self.threshold,
            source: worst.map(|(_, window)| window.stream.source),
            span: None,
        };
        if verdict.detected() {
            verdict.span = worst.and_then(|(_, window)| self.stretch(input, window, frame));
        }
        verdict
    }

    /// A window among `n` full ones is an attack with an `n`th of the odds of a lone one, before
    /// a word of it was read: the more text, the more chances for a false alarm.
    fn among(&self, score: f32, tokens: usize) -> f32 {
        let full = (tokens as f32 / self.capacity.max(1) as f32).clamp(1.0, MOST_WINDOWS);
        score / (score + (1.0 - score) * full)
    }

    /// The stretch around the token with most evidence; none where the window as a whole speaks
    /// for an attack, but no token by itself.
    fn stretch(&self, input: &Input, worst: &Answered<'_>, frame: usize) -> Option<Stretch> {
        if worst.stream.hidden {
            return None;
        }
        let tokens = worst.stream.tokens.get(worst.window.clone())?;
        let logits = worst.output(self.evidence?).get(frame..)?.get(..tokens.len())?;
        let peak = (0..tokens.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))?;
        let enough = f32::max(logits[peak] - FALL, 0.0);
        let mut speaks = (0..tokens.len()).filter(|&at| logits[at] > enough && tokens[at].part == tokens[peak].part);
        // The run that holds the peak.
        let mut run = speaks.next()?..0;
        run.end = run.start + 1;
        for at in speaks {
            if at > run.end + GAP {
                if run.contains(&peak) {
                    break;
                }
                run.start = at;
            }
            run.end = at + 1;
        }
        let place = input.parts.get(tokens[peak].part as usize)?.place;
        Some(Stretch { place, start: tokens[run.start].start as usize, end: tokens[run.end - 1].end as usize })
    }
}

impl HarmHead {
    /// The worst window decides.
    pub(in crate::minds) fn verdict(&self, windows: &[Answered<'_>]) -> Harm {
        let worst = worst_of(windows, self.head, |scores| scores.get(1).copied().unwrap_or(0.0));
        Harm { score: worst.map_or(0.0, |(score, _)| score), threshold: self.threshold }
    }
}

/// The highest probability and its window.
fn worst_of<'a>(
    windows: &'a [Answered<'a>],
    head: Head,
    probability: impl Fn(&[f32]) -> f32,
) -> Option<(f32, &'a Answered<'a>)> {
    let scored = windows.iter().map(|window| (probability(&softmax(window.output(head), head.temperature)), window));
    scored.reduce(|worst, next| if next.0 > worst.0 { next } else { worst })
}

#[cfg(test)]
mod tests;
