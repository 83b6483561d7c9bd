//! Where a file's bytes come from.
//!
//! A model file is read, not mapped: nothing of it is needed once the model is loaded, and somebody who overwrites or
//! cuts it meanwhile causes an error here instead of a SIGBUS anywhere.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use super::error::GgufError;

/// A file on disk or in memory, of the length that it had when it was opened.
#[derive(Debug)]
pub(super) struct Source {
    bytes: Bytes,
    len: usize,
}

#[derive(Debug)]
enum Bytes {
    OnDisk { file: File, modified: Option<SystemTime> },
    InMemory(Vec<u8>),
}

impl Source {
    pub(super) fn of_file(file: File) -> io::Result<Source> {
        let metadata = file.metadata()?;
        let len = usize::try_from(metadata.len()).map_err(|_| ErrorKind::FileTooLarge)?;
        Ok(Source { bytes: Bytes::OnDisk { file, modified: metadata.modified().ok() }, len })
    }

    pub(super) fn of_bytes(bytes: Vec<u8>) -> Source {
        Source { len: bytes.len(), bytes: Bytes::InMemory(bytes) }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Fills `out` with the bytes from `offset` on, which must be inside the file as it was when it was opened.
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), GgufError> {
        let needed = out.len();
        let shorter = || GgufError::BecameShorter { offset, needed };
        match &self.bytes {
            Bytes::InMemory(bytes) => {
                let inside = offset.checked_add(needed).and_then(|end| bytes.get(offset..end));
                out.copy_from_slice(inside.ok_or_else(shorter)?);
                Ok(())
            }
            Bytes::OnDisk { file, .. } => match file.read_exact_at(out, offset as u64) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(shorter()),
                Err(source) => Err(GgufError::Read { offset, source }),
            },
        }
    }

    /// Whether the file is as it was when it was opened, as far as the system tells.
    pub(super) fn check_unchanged(&self) -> Result<(), GgufError> {
        let Bytes::OnDisk { file, modified } = &self.bytes else { return Ok(()) };
        let now = file.metadata().map_err(|source| GgufError::Read { offset: 0, source })?;
        if now.len() == self.len as u64 && now.modified().ok() == *modified {
            return Ok(());
        }
        Err(GgufError::Changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_becomes_shorter_is_an_error_and_one_that_changes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        std::fs::write(&path, [7; 100]).unwrap();
        let source = Source::of_file(File::open(&path).unwrap()).unwrap();
        let mut out = [0; 40];
        source.read(60, &mut out).unwrap();
        assert_eq!((out, source.check_unchanged().is_ok()), ([7; 40], true));

        let writer = File::options().write(true).open(&path).unwrap();
        writer.set_len(90).unwrap();
        let error = source.read(60, &mut out).unwrap_err().to_string();
        assert!(error.contains("the file became shorter while it was read: 40 bytes at offset 60"), "{error}");
        assert!(matches!(source.check_unchanged(), Err(GgufError::Changed)));

        writer.set_len(100).unwrap();
        writer.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(matches!(source.check_unchanged(), Err(GgufError::Changed)), "as long as before, but written");
    }

    #[test]
    fn bytes_in_memory_end_where_they_end() {
        let source = Source::of_bytes(vec![1, 2, 3]);
        let mut out = [0; 2];
        source.read(1, &mut out).unwrap();
        assert_eq!(out, [2, 3]);
        for offset in [2, 3, 4, usize::MAX] {
            assert!(matches!(source.read(offset, &mut out), Err(GgufError::BecameShorter { .. })));
        }
    }
}
