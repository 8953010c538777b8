//! Reading files of JSON lines, plain or gzipped. A bad line is told and counted; it ends nothing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

use super::Failure;
use super::lines::{self, Line};

const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// Bad rows that are shown; the rest are only counted.
const SHOWN: usize = 5;

pub(super) struct Rows<T> {
    pub(super) rows: Vec<T>,
    pub(super) bad: usize,
}

/// Every row of every file. Rows that cannot be read are counted, the first few shown.
pub(super) fn read<T: DeserializeOwned>(files: &[PathBuf]) -> Result<Rows<T>, Failure> {
    read_with(files, |line, _, _| serde_json::from_slice(line).map_err(|error| error.to_string()))
}

/// The same with a parser of one's own, which gets each line, its file and its number.
pub(super) fn read_with<T>(
    files: &[PathBuf],
    mut parse: impl FnMut(&[u8], &Path, usize) -> Result<T, String>,
) -> Result<Rows<T>, Failure> {
    let mut read = Rows { rows: Vec::new(), bad: 0 };
    for path in files {
        let fault = |error: io::Error| Failure::new(format!("{}: {error}", path.display()));
        let mut reader = open(path).map_err(fault)?;
        let mut number = 0;
        while let Some(line) = lines::next(&mut reader, LONGEST_LINE).map_err(fault)? {
            number += 1;
            let row = match line {
                Line::Bytes(bytes) if bytes.trim_ascii().is_empty() => continue,
                Line::Bytes(bytes) => parse(&bytes, path, number),
                Line::TooLong => Err("the line is too long".to_owned()),
            };
            match row {
                Ok(row) => read.rows.push(row),
                Err(error) => {
                    read.bad += 1;
                    if read.bad <= SHOWN {
                        // Bad rows are also counted in the report.
                        let _ = writeln!(io::stderr().lock(), "{}:{number}: {error}", path.display());
                    }
                }
            }
        }
    }
    Ok(read)
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    let gzipped = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if gzipped { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(BufReader::new(file)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_gzipped_rows_survive_bad_ones() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("a.jsonl");
        std::fs::write(&plain, "1\nx\n\n2\n\"y\"\n").unwrap();
        let gzipped = folder.path().join("b.jsonl.gz");
        let mut encoder = flate2::write::GzEncoder::new(File::create(&gzipped).unwrap(), flate2::Compression::fast());
        encoder.write_all(b"3\n").unwrap();
        encoder.finish().unwrap();
        let read = read::<u8>(&[plain, gzipped]).unwrap();
        assert_eq!((read.rows, read.bad), (vec![1, 2, 3], 2));
        assert!(super::read::<u8>(&[folder.path().join("none")]).is_err());
    }
}
