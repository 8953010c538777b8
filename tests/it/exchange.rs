//! Recorded exchanges: `recorded/NAME.http` holds a request and its response, in the shape
//! a real provider documents and written for these tests.
//!
//! Heads are kept with LF line ends and become CRLF here; bodies are kept to the byte.

use std::path::Path;

use crate::upstream;

const SEPARATOR: &[u8] = b"\n--- response ---\n";

pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) request: Vec<u8>,
    pub(crate) status_line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) response: Vec<u8>,
}

impl Exchange {
    /// Every recorded exchange, by name.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new("tests/it/recorded");
        let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 15, "the recordings are there");
        files.iter().map(|file| Self::read(file)).collect()
    }

    fn read(file: &Path) -> Self {
        let bytes = std::fs::read(file).unwrap();
        let middle = upstream::find(&bytes, SEPARATOR).expect("a separator");
        let (request_head, request) = split(&bytes[..middle]);
        let (response_head, response) = split(&bytes[middle + SEPARATOR.len()..]);
        let mut lines = response_head.lines();
        Self {
            name: file.file_stem().unwrap().to_str().unwrap().to_owned(),
            path: request_head.split(' ').nth(1).unwrap().to_owned(),
            request: request.to_vec(),
            status_line: lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap().to_owned(),
            headers: lines.map(|line| line.split_once(": ").unwrap()).map(own).collect(),
            response: response.to_vec(),
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.status_line[..3].parse().unwrap()
    }

    /// The response with `Content-Length`, in one write.
    pub(crate) fn whole(&self) -> Vec<u8> {
        upstream::answer(&self.status_line, &self.borrowed(), &self.response)
    }

    /// The response in chunks of `size` bytes: characters, lines and events are cut anywhere.
    pub(crate) fn chunked(&self, size: usize) -> Vec<u8> {
        let mut headers = self.borrowed();
        headers.push(("transfer-encoding", "chunked"));
        let mut bytes = upstream::head(&self.status_line, &headers);
        for part in self.response.chunks(size) {
            bytes.extend(format!("{:x}\r\n", part.len()).as_bytes());
            bytes.extend(part);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }

    fn borrowed(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

fn split(bytes: &[u8]) -> (&str, &[u8]) {
    let blank = upstream::find(bytes, b"\n\n").expect("a blank line");
    (std::str::from_utf8(&bytes[..blank]).unwrap(), &bytes[blank + 2..])
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
