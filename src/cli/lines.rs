//! Lines of bytes from a reader, however long or broken they are.
//!
//! Invalid UTF-8 is the caller's to judge; a line beyond the limit is reported and skipped
//! without being held in memory.

use std::io::{self, BufRead};

/// One line without its end, or why it cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Bytes(Vec<u8>),
    /// Longer than the limit; it was skipped.
    TooLong,
}

/// Reads the next line of at most `limit` bytes; `None` at the end.
pub(super) fn next(reader: &mut impl BufRead, limit: usize) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let available = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if available.is_empty() {
            let nothing = line.is_empty() && !too_long;
            return Ok(if nothing { None } else { Some(finish(line, too_long)) });
        }
        let end = memchr::memchr(b'\n', available);
        let taken = end.unwrap_or(available.len());
        too_long |= line.len() + taken > limit;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(&available[..taken]);
        }
        reader.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            return Ok(Some(finish(line, too_long)));
        }
    }
}

fn finish(mut line: Vec<u8>, too_long: bool) -> Line {
    if too_long {
        return Line::TooLong;
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Line::Bytes(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kind() {
        let mut input = io::BufReader::with_capacity(3, &b"one\r\n\n\xff\xfe\n0123456789ab\nlast"[..]);
        let mut seen = Vec::new();
        while let Some(line) = next(&mut input, 10).unwrap() {
            seen.push(line);
        }
        let bytes = |text: &[u8]| Line::Bytes(text.to_vec());
        assert_eq!(seen, [bytes(b"one"), bytes(b""), bytes(b"\xff\xfe"), Line::TooLong, bytes(b"last")]);
    }
}
