//! Server-sent events, read beside the relay: bytes go by untouched, this only listens.
//!
//! Follows the WHATWG event-stream rules as far as accounting needs them: lines end in LF,
//! CR or CRLF, a blank line ends an event, `data` lines are joined by LF.

/// Longest `data` kept for reading. Longer events are relayed all the same, just not read.
const MAX_DATA: usize = 1 << 20;

/// An incremental reader: the events do not depend on how the bytes were cut into chunks.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    too_long: bool,
    after_cr: bool,
    /// Bytes since the last blank line.
    inside_event: bool,
}

impl Reader {
    /// Takes the next chunk and calls `event` with the data of each event it completes.
    pub fn feed(&mut self, mut chunk: &[u8], mut event: impl FnMut(&[u8])) {
        if chunk.is_empty() {
            // Nothing came: a CR at the end of the last chunk still waits for its LF.
            return;
        }
        if std::mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
            chunk = &chunk[1..];
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', chunk) {
            self.push(&chunk[..end]);
            let crlf = chunk[end] == b'\r' && chunk.get(end + 1) == Some(&b'\n');
            self.after_cr = chunk[end] == b'\r' && end + 1 == chunk.len();
            chunk = &chunk[end + 1 + usize::from(crlf)..];
            self.end_line(&mut event);
        }
        self.push(chunk);
    }

    /// Whether everything so far ends at an event boundary, so that another event may follow.
    pub fn at_boundary(&self) -> bool {
        !self.inside_event && self.line.is_empty()
    }

    /// Whether an event has begun that is not whole. The closing `[DONE]` and comments are
    /// whole without their blank line: some servers leave it out.
    pub fn inside_event(&self) -> bool {
        let done = |data: &[u8]| data.trim_ascii() == b"[DONE]";
        match self.line.strip_prefix(b"data:") {
            Some(rest) => !done(rest),
            None if self.line.is_empty() || self.line.starts_with(b":") => self.has_data && !done(&self.data),
            None => true,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.inside_event = true;
        }
        if self.line.len() + bytes.len() <= MAX_DATA {
            self.line.extend_from_slice(bytes);
        } else {
            self.too_long = true;
        }
    }

    fn end_line(&mut self, event: &mut impl FnMut(&[u8])) {
        if self.line.is_empty() && !self.too_long {
            if self.has_data {
                event(&self.data);
            }
            self.data.clear();
            self.has_data = false;
            self.inside_event = false;
            return;
        }
        let value = match self.line.strip_prefix(b"data") {
            Some([]) => Some(&[][..]),
            Some([b':', rest @ ..]) => Some(rest.strip_prefix(b" ").unwrap_or(rest)),
            _ => None,
        };
        if let Some(value) = value.filter(|_| !self.too_long && self.data.len() < MAX_DATA) {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
        self.line.clear();
        self.too_long = false;
        self.inside_event = true;
    }
}

#[cfg(test)]
mod tests;
