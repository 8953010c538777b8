//! What patterns and the model found in one part, made one list of spans. Pure.
//!
//! In this order:
//! 1. a model span is cleaned ([`clean`]): borders at words, no quotes or punctuation around
//!    it, forms of address split off, nothing that its label cannot be ([`plausible`]);
//! 2. a weak finding counts where the model marked some of it as a number too;
//! 3. a listed full name takes the place of the model's names inside it;
//! 4. sure findings stand, the surer first; a model span of a number gives way to one, a name
//!    or an address is cut where one starts;
//! 5. fillers stand where nothing else does;
//! 6. the pieces of one address become one.
//!
//! The threshold that the manifest fits is one of the model's scores and is applied to model
//! spans only.

use std::sync::Arc;

use super::patterns::{Sighting, Standing, is_country};
use super::spans::{Found, overlay};

mod address;
mod clean;
mod plausible;

use plausible::Family;

pub(super) type Marked = Found<Arc<str>>;

/// The thresholds, 0..1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    pub(super) model: f32,
    pub(super) patterns: f32,
}

/// Combines the findings of one part. `text`: the part as given, in code points. `model` is free of
/// overlaps; it and `patterns` are sorted by where they start.
pub(super) fn merge(text: &[char], model: Vec<Marked>, patterns: Vec<Sighting>, thresholds: Thresholds) -> Vec<Marked> {
    let seen = Sorted::new(model.iter().filter(|span| supports(text, span)).cloned().collect());
    let model = model.into_iter().filter(|span| span.score >= thresholds.model);
    let model: Vec<Marked> = model.flat_map(|span| clean::clean(text, span)).collect();
    let (mut sure, mut outer, mut fillers) = (Vec::new(), Vec::new(), Vec::new());
    for Sighting { found, standing } in
        patterns.into_iter().filter(|sighting| sighting.found.score >= thresholds.patterns)
    {
        let family = plausible::family(found.label);
        let agrees = |span: &Marked| plausible::family(&span.label) == family;
        match standing {
            Standing::Sure => sure.push(named(found)),
            Standing::Weak if !seen.meeting(found.start, found.end).any(agrees) => {}
            Standing::Weak if family == Family::Name => outer.push(named(found)),
            Standing::Weak => sure.push(named(found)),
            Standing::Outer => outer.push(named(found)),
            Standing::Filler => fillers.push(named(found)),
        }
    }
    let sure = Sorted::new(overlay(Vec::new(), without_queries(text, sure)));
    let model = within(Sorted::new(model), outer, &sure);
    let model = model.into_iter().flat_map(|span| around(text, span, &sure)).collect();
    let spans = overlay(fillers, overlay(model, sure.spans));
    address::join(text, clean::follow_up(text, spans))
}

/// What a link's query carries counts by itself: the link then ends before its `?`.
fn without_queries(text: &[char], mut sure: Vec<Marked>) -> Vec<Marked> {
    let inner = sure.iter().filter(|found| &*found.label != "DOMAIN_NAME");
    let mut inner: Vec<u32> = inner.map(|found| found.start).collect();
    inner.sort_unstable();
    for link in sure.iter_mut().filter(|found| &*found.label == "DOMAIN_NAME") {
        let first = inner.get(inner.partition_point(|&start| start <= link.start));
        let Some(&first) = first.filter(|&&start| start < link.end) else { continue };
        let before = text.get(link.start as usize..first as usize).unwrap_or_default();
        if let Some(at) = before.iter().position(|c| *c == '?' || *c == '#') {
            link.end = link.start + at as u32;
        }
    }
    sure
}

/// Lets each of `outer` stand for the names inside it, unless one reaches beyond or a sure
/// finding is there. `outer` is sorted: of those taken so far only the last can meet the next.
fn within(model: Sorted, outer: Vec<Marked>, sure: &Sorted) -> Vec<Marked> {
    let mut taken: Vec<Marked> = Vec::new();
    for name in outer {
        let inside = |span: &Marked| {
            let inside = name.start <= span.start && span.end <= name.end;
            inside && plausible::family(&span.label) == Family::Name
        };
        let last = taken.last().filter(|last| meets(last, name.start, name.end));
        if sure.meeting(name.start, name.end).next().is_none()
            && model.meeting(name.start, name.end).chain(last).all(inside)
        {
            taken.pop_if(|last| meets(last, name.start, name.end));
            taken.push(name);
        }
    }
    let taken = Sorted::new(taken);
    let mut names = model.spans;
    names.retain(|span| taken.meeting(span.start, span.end).next().is_none());
    names.extend(taken.spans);
    names
}

/// Spans by where they start, asked which of them meet a stretch. Neighbours may overlap a little.
struct Sorted {
    spans: Vec<Marked>,
    /// How far the spans up to each reach.
    reach: Vec<u32>,
}

impl Sorted {
    fn new(mut spans: Vec<Marked>) -> Self {
        spans.sort_by_key(|span| span.start);
        let furthest = |so_far: &mut u32, span: &Marked| {
            *so_far = span.end.max(*so_far);
            Some(*so_far)
        };
        let reach = spans.iter().scan(0, furthest).collect();
        Self { spans, reach }
    }

    fn meeting(&self, start: u32, end: u32) -> impl Iterator<Item = &Marked> {
        let first = self.reach.partition_point(|&reach| reach <= start);
        let begun = self.spans[first..].iter().take_while(move |span| span.start < end);
        begun.filter(move |span| meets(span, start, end))
    }
}

fn named(found: Found<&'static str>) -> Marked {
    Found { part: found.part, start: found.start, end: found.end, label: found.label.into(), score: found.score }
}

/// Whether a model span may lend its weight to a weak finding: a name does, a number only
/// where it is a telephone's or cannot be what the model took it for.
fn supports(text: &[char], span: &Marked) -> bool {
    match plausible::family(&span.label) {
        Family::Number => {
            &*span.label == "PHONE_NUMBER" || !plausible::plausible(&span.label, &covered(text, span.start, span.end))
        }
        _ => true,
    }
}

fn meets(span: &Marked, start: u32, end: u32) -> bool {
    span.start < end && start < span.end
}

/// What is left of a model span beside the sure findings.
fn around(text: &[char], span: Marked, sure: &Sorted) -> Vec<Marked> {
    let over: Vec<&Marked> = sure.meeting(span.start, span.end).collect();
    if over.is_empty() {
        return vec![span];
    }
    // A sure finding inside an address or of the same kind does not tear it apart: see `address`.
    if plausible::family(&span.label) == Family::Number {
        return Vec::new();
    }
    let mut pieces = Vec::new();
    let mut start = span.start;
    for found in over {
        if found.start > start {
            pieces.push(Found { start, end: found.start, ..span.clone() });
        }
        start = start.max(found.end);
    }
    if start < span.end {
        pieces.push(Found { start, ..span });
    }
    pieces.into_iter().flat_map(|piece| clean::clean(text, piece)).collect()
}

/// The stretch as a string.
fn covered(text: &[char], start: u32, end: u32) -> String {
    text.get(start as usize..end as usize).unwrap_or_default().iter().collect()
}

#[cfg(test)]
mod tests;
