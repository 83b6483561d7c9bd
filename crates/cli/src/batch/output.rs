//! The file of answers: each is a line that is written whole, so that whoever is interrupted can go on.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::BatchError;

/// How each line begins. What begins otherwise is somebody else's file, and is not touched.
const BEGINNING: &str = r#"{"id":"batch_req_"#;

/// A file that lines are added to.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: File,
}

#[derive(Deserialize)]
struct Answered {
    id: String,
    custom_id: Option<String>,
}

impl Output {
    /// Opens a file of answers, or makes one: what is answered in it, by `custom_id`. A last line that was written in part is cut off.
    ///
    /// # Errors
    /// If it cannot be used, holds something else, or is written by another process.
    pub fn resume(path: &Path) -> Result<(Self, HashSet<String>), BatchError> {
        let mut output = Self::open(path)?;
        let (done, whole) = output.read()?;
        let end = output.file.set_len(whole).and_then(|()| output.file.seek(SeekFrom::End(0)));
        end.map_err(|source| output.failed(source))?;
        Ok((output, done))
    }

    /// Opens a file of what failed, and empties it.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn anew(path: &Path) -> Result<Self, BatchError> {
        let mut output = Self::open(path)?;
        output.read()?;
        let emptied = output.file.set_len(0).and_then(|()| output.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|source| output.failed(source))?;
        Ok(output)
    }

    fn open(path: &Path) -> Result<Self, BatchError> {
        let failed = |source| BatchError::File { path: path.to_owned(), source };
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let output = Self { path: path.to_owned(), file: options.map_err(failed)? };
        match output.file.try_lock() {
            Ok(()) => Ok(output),
            Err(TryLockError::WouldBlock) => Err(BatchError::Busy(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn failed(&self, source: io::Error) -> BatchError {
        BatchError::File { path: self.path.clone(), source }
    }

    /// What is answered, and how many bytes are whole lines.
    fn read(&mut self) -> Result<(HashSet<String>, u64), BatchError> {
        let (mut done, mut whole, mut number) = (HashSet::new(), 0, 0);
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|source| self.failed(source))?;
            number += 1;
            let foreign = || BatchError::Foreign { path: self.path.clone(), line: number };
            if line.last() != Some(&b'\n') {
                let common = line.len().min(BEGINNING.len());
                return if line[..common] == BEGINNING.as_bytes()[..common] {
                    Ok((done, whole))
                } else {
                    Err(foreign())
                };
            }
            let answered: Answered = serde_json::from_slice(&line).map_err(|_| foreign())?;
            if !answered.id.starts_with("batch_req_") {
                return Err(foreign());
            }
            done.extend(answered.custom_id);
            whole += read as u64;
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, line: &str) -> Result<(), BatchError> {
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(|source| self.failed(source))
    }

    /// Waits until all is on the disk.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn sync(&self) -> Result<(), BatchError> {
        self.file.sync_all().map_err(|source| self.failed(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str) -> String {
        format!(r#"{{"id":"batch_req_1","custom_id":"{id}","response":{{}},"error":null}}"#)
    }

    #[test]
    fn a_torn_line_is_cut_off_wherever_it_is_torn_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.jsonl");
        for torn in 0..line("b").len() {
            std::fs::write(&path, format!("{}\n{}", line("a"), &line("b")[..torn])).expect("written");
            let (mut output, done) = Output::resume(&path).expect("a file of answers");
            assert_eq!(done, HashSet::from(["a".to_owned()]), "{torn}");
            output.add(&line("c")).expect("written");
            assert_eq!(std::fs::read_to_string(&path).expect("text"), format!("{}\n{}\n", line("a"), line("c")));
        }
    }

    #[test]
    fn the_file_of_somebody_else_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes.txt");
        for text in
            ["my notes", "my notes\n", "{}\n", r#"{"id":"x","custom_id":"a"}"#, "{\"id\":\"x\",\"custom_id\":\"a\"}\n"]
        {
            std::fs::write(&path, text).expect("written");
            for opened in [Output::resume(&path).map(|_| ()), Output::anew(&path).map(|_| ())] {
                assert!(matches!(opened, Err(BatchError::Foreign { line: 1, .. })), "{text}: {opened:?}");
            }
            assert_eq!(std::fs::read_to_string(&path).expect("text"), text);
        }
    }

    #[test]
    fn one_process_writes_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.jsonl");
        let first = Output::resume(&path).expect("made");
        assert!(matches!(Output::resume(&path), Err(BatchError::Busy(_))));
        drop(first);
        assert!(Output::anew(&path).is_ok());
    }
}
