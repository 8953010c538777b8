//! From a request's texts to the windows that a graph runs.
//!
//! The parts of one message are read as one text, so that nothing hides between them; the
//! ask is read on its own for brain and similarity. Parts that nobody judges are counted.

use std::ops::Range;

use tokio::time::Instant;

use super::disguise::Disguises;
use super::normalise::normalise;
use super::patterns::{Patterns, Sighting};
use super::readable::{Letters, Readable};
use super::tokenizer::{Token, Tokenizer, TokenizerError};
use super::window;
use super::{Input, JudgedPart, Part, Source};

/// How one family of minds reads: tokenizer, window size, scripts.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) tokenizer: Tokenizer,
    pub(super) readable: Readable,
    /// Tokens in one window, special ones included.
    pub(super) max_tokens: usize,
    pub(super) overlap: usize,
    pub(super) disguises: Disguises,
    /// Present where a mind reports what patterns find.
    pub(super) patterns: Option<Patterns>,
}

/// A request, read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The ask's stream first, so that its windows run first.
    pub(super) streams: Vec<Stream>,
    pub(super) judged: Vec<JudgedPart>,
    pub(super) prompt_tokens: u64,
    pub(super) patterns: Vec<Sighting>,
    /// Every stretch of what the guards read is readable; and the whole of it, taken together.
    pub(super) guards_readable: bool,
    /// So is what was hidden, which only the jailbreak guard reads.
    pub(super) hidden_readable: bool,
    pub(super) mostly_readable: bool,
    pub(super) ask_readable: bool,
}

/// Tokens read together, and the windows over them.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) tokens: Vec<Token>,
    pub(super) windows: Vec<Range<usize>>,
    pub(super) guarded: bool,
    pub(super) ask: bool,
    /// Words that were hidden in the text: for the jailbreak guard only, no offsets.
    pub(super) hidden: bool,
    /// Whose message it is.
    pub(super) source: Source,
}

/// One part's tokens, and whether its letters can be read.
#[derive(Default)]
struct PartReading {
    tokens: Vec<Token>,
    pieces: Vec<Letters>,
    /// Tokens of what was hidden in it.
    hidden: Vec<Token>,
    normalised: Vec<&'static str>,
}

impl Reader {
    /// Reads every part whole, or gives up at `deadline`.
    pub(super) fn read(&self, input: &Input, deadline: Instant) -> Result<Reading, TokenizerError> {
        let asks = asks(&input.parts);
        let mut reading = Reading { guards_readable: true, hidden_readable: true, ..Reading::default() };
        let mut parts = Vec::with_capacity(input.parts.len());
        for (index, part) in (0_u32..).zip(&input.parts) {
            let read = if part.guarded || asks[index as usize] {
                self.read_part(index, part, deadline, &mut reading)?
            } else {
                reading.prompt_tokens += self.tokenizer.count(&part.text, deadline)? as u64;
                PartReading::default()
            };
            parts.push(read);
        }
        let accepts = |wanted: &dyn Fn(usize) -> bool| {
            let read = parts.iter().enumerate().filter(|(index, _)| wanted(*index));
            let letters = read.flat_map(|(_, part)| &part.pieces).fold(Letters::default(), |mut sum, piece| {
                sum += *piece;
                sum
            });
            self.readable.accepts(letters)
        };
        reading.ask_readable = accepts(&|index| asks[index]);
        reading.mostly_readable = accepts(&|index| input.parts[index].guarded);
        let steps: Vec<Vec<&'static str>> = parts.iter_mut().map(|part| std::mem::take(&mut part.normalised)).collect();
        reading.streams = self.streams(input, &asks, parts);
        reading.judged = judged(input, &asks, &reading.streams, steps);
        Ok(reading)
    }

    fn read_part(
        &self,
        index: u32,
        part: &Part,
        deadline: Instant,
        reading: &mut Reading,
    ) -> Result<PartReading, TokenizerError> {
        let text = normalise(&part.text);
        let mut normalised = text.steps.clone();
        let (mut tokens, mut hidden) = (Vec::new(), Vec::new());
        let pieces = self.tokenizer.read(index, &text, &self.readable, deadline, &mut tokens)?;
        reading.prompt_tokens += tokens.len() as u64;
        if part.guarded {
            reading.guards_readable &= self.legible(&pieces);
            for revealed in self.disguises.reveal(&text.text, deadline)? {
                normalised.push(revealed.from);
                let text = normalise(&revealed.text);
                let pieces = self.tokenizer.read(index, &text, &self.readable, deadline, &mut hidden)?;
                reading.hidden_readable &= self.legible(&pieces);
            }
            if let Some(patterns) = &self.patterns {
                reading.patterns.extend(patterns.find(index, &text, deadline)?);
            }
        }
        Ok(PartReading { tokens, pieces, hidden, normalised })
    }

    /// Each stretch must be readable, not only the whole: a foreign passage inside a long
    /// English text is as unread as a foreign text. Two pieces at a time, so that a short
    /// last piece does not decide alone.
    fn legible(&self, pieces: &[Letters]) -> bool {
        let pairs = pieces.windows(2).map(|pair| {
            let mut sum = pair[0];
            sum += pair[1];
            sum
        });
        match pieces {
            [only] => self.readable.accepts(*only),
            _ => pairs.into_iter().all(|sum| self.readable.accepts(sum)),
        }
    }

    fn streams(&self, input: &Input, asks: &[bool], parts: Vec<PartReading>) -> Vec<Stream> {
        let ask_parts = || asks.iter().enumerate().filter(|(_, ask)| **ask).map(|(index, _)| index);
        let message = |index: usize| input.parts.get(index).map(|part| part.place.map(|place| place.message));
        let first = ask_parts().next().and_then(message);
        let in_ask = |index: usize| first.is_some() && message(index) == first;
        // Where a message is the ask and nothing else, one stream serves guards and ask.
        let shared = (0..input.parts.len()).all(|index| asks[index] == (in_ask(index) && input.parts[index].guarded));
        let mut streams = Vec::new();
        if !shared || first.is_none() {
            let tokens = ask_parts().flat_map(|index| parts[index].tokens.iter().copied()).collect();
            streams.push(self.stream(tokens, false, true, Source::User));
        }
        let mut current = None;
        let mut hidden = Vec::new();
        for (index, mut part) in parts.into_iter().enumerate().filter(|(index, _)| input.parts[*index].guarded) {
            if !part.hidden.is_empty() {
                let stream = self.stream(std::mem::take(&mut part.hidden), true, false, input.parts[index].source);
                hidden.push(Stream { hidden: true, ..stream });
            }
            match streams.last_mut() {
                Some(stream) if current == message(index) && stream.guarded => stream.tokens.extend(part.tokens),
                _ => {
                    let source = input.parts[index].source;
                    streams.push(self.stream(part.tokens, true, shared && in_ask(index), source));
                }
            }
            current = message(index);
        }
        let any_text = streams.iter().any(|stream| stream.guarded && !stream.tokens.is_empty());
        streams.retain(|stream| stream.ask || !stream.tokens.is_empty());
        if !any_text {
            // Empty text is valid input for the guards too.
            streams.iter_mut().for_each(|stream| stream.guarded |= stream.tokens.is_empty());
        }
        streams.append(&mut hidden);
        for stream in &mut streams {
            let capacity = self.max_tokens.saturating_sub(self.tokenizer.frame());
            stream.windows = window::split(stream.tokens.len(), capacity, self.overlap);
        }
        streams.sort_by_key(|stream| !stream.ask);
        streams
    }

    fn stream(&self, tokens: Vec<Token>, guarded: bool, ask: bool, source: Source) -> Stream {
        Stream { tokens, windows: Vec::new(), guarded, ask, hidden: false, source }
    }

    /// Token ids of one window with its frame, ready for the graph.
    pub(super) fn framed(&self, tokens: &[Token]) -> Vec<i64> {
        let inside = tokens.iter().map(|token| i64::from(token.id));
        let frame = |ids: &[u32]| ids.iter().map(|&id| i64::from(id)).collect::<Vec<_>>();
        let mut ids = frame(&self.tokenizer.prefix);
        ids.extend(inside);
        ids.extend(frame(&self.tokenizer.suffix));
        ids
    }
}

/// Which parts are the ask: those marked so, else the last guarded part.
pub(super) fn asks(parts: &[Part]) -> Vec<bool> {
    let mut asks: Vec<bool> = parts.iter().map(|part| part.ask).collect();
    if !asks.contains(&true)
        && let Some(last) = parts.iter().rposition(|part| part.guarded)
    {
        asks[last] = true;
    }
    asks
}

fn judged(input: &Input, asks: &[bool], streams: &[Stream], mut steps: Vec<Vec<&'static str>>) -> Vec<JudgedPart> {
    let read = counted(input, streams);
    let judged = input.parts.iter().enumerate().filter(|(index, part)| part.guarded || asks[*index]);
    let entry = |(index, part): (usize, &Part)| {
        let super::Place { message, part: place } = part.place.unwrap_or(super::Place { message: 0, part: 0 });
        let (tokens, windows) = read[index].unwrap_or_default();
        let normalised = std::mem::take(&mut steps[index]);
        JudgedPart { message, part: place, tokens, windows, source: part.source, normalised }
    };
    judged.map(entry).collect()
}

/// Tokens and windows of each part in the first stream that reads it, in one walk over the streams.
fn counted(input: &Input, streams: &[Stream]) -> Vec<Option<(usize, usize)>> {
    let mut counted = vec![None; input.parts.len()];
    for stream in streams {
        let mut start = 0;
        // A part's tokens stand together.
        for run in stream.tokens.chunk_by(|a, b| a.part == b.part) {
            let (index, end) = (run[0].part as usize, start + run.len());
            let reads = if input.parts[index].guarded { stream.guarded && !stream.hidden } else { stream.ask };
            if reads && counted[index].is_none() {
                let over = stream.windows.partition_point(|window| window.end <= start);
                let begun = stream.windows.partition_point(|window| window.start < end);
                counted[index] = Some((run.len(), begun - over));
            }
            start = end;
        }
    }
    counted
}

#[cfg(test)]
mod tests;
