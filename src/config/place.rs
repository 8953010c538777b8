//! Which line, or which environment variable, a value comes from.

use std::collections::BTreeMap;
use std::ops::Range;

use toml_edit::{Document, TableLike};

use super::fault::{Fault, Key, Problem};

/// Values that `MOM_…` variables put in place of the file's, by key.
pub(super) type Overrides = BTreeMap<Key, String>;

/// The text of a configuration and the overrides on top of it.
pub(super) struct Places<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) document: &'a Document<&'a str>,
    /// Key to variable name.
    pub(super) variables: &'a Overrides,
}

impl Places<'_> {
    pub(super) fn fault(&self, problem: Problem) -> Fault {
        let Problem { key, message, suggestion } = problem;
        let (source, line) = match self.variable(&key) {
            Some(variable) => (variable.to_owned(), 0),
            None => (self.file.to_owned(), self.line(&key)),
        };
        let message = if key.0.is_empty() { message } else { format!("{key}: {message}") };
        Fault { source, line, message, suggestion }
    }

    /// The variable that set this value, or the only one that set anything below it.
    fn variable(&self, key: &Key) -> Option<&str> {
        let above = self.variables.iter().find(|(set, _)| set.holds(key));
        let below = || self.variables.iter().find(|(set, _)| key.holds(set) && find(self.document, key).is_none());
        above.or_else(below).map(|(_, variable)| variable.as_str())
    }

    /// The line of the value, or of the nearest thing around it that the file has.
    fn line(&self, key: &Key) -> usize {
        let mut around = key.clone();
        loop {
            if let Some(span) = find(self.document, &around) {
                return line_at(self.text, span.start);
            }
            if around.0.is_empty() {
                return 0;
            }
            around = around.parent();
        }
    }
}

/// 1-based line of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// Where a key's name, or a list's element, begins.
fn find(document: &Document<&str>, key: &Key) -> Option<Range<usize>> {
    in_table(document.as_table(), &key.0)
}

fn in_table(table: &dyn TableLike, path: &[String]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let (name, item) = table.get_key_value(first)?;
    let Some(next) = rest.first() else { return name.span().or_else(|| item.span()) };
    if let Some(table) = item.as_table_like() {
        return in_table(table, rest);
    }
    let index: usize = next.parse().ok()?;
    if let Some(tables) = item.as_array_of_tables() {
        let table = tables.get(index)?;
        return if rest.len() == 1 { table.span() } else { in_table(table, &rest[1..]) };
    }
    let value = item.as_array()?.get(index)?;
    match (value.as_inline_table(), rest.len()) {
        (_, 1) => value.span(),
        (Some(table), _) => in_table(table, &rest[1..]),
        (None, _) => None,
    }
}
