//! SHA-256 of files, and the note beside a fetched model that says what it should be.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Digest> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(nibble(pair[0])? * 16 + nibble(pair[1])?).ok()?;
        }
        Some(Digest(bytes))
    }

    /// Of a file's contents.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Digest> {
        let mut running = Running::default();
        running.read_all(&mut File::open(path)?)?;
        Ok(running.finish())
    }

    /// What the note beside a model says, if there is one.
    #[must_use]
    pub fn noted(model: &Path) -> Option<Digest> {
        let note = std::fs::read_to_string(sidecar_of(model)).ok()?;
        Digest::parse(note.split_whitespace().next()?)
    }

    /// Leaves the note beside a model, in the form that `sha256sum --check` reads.
    pub(super) fn note(self, model: &Path) -> io::Result<()> {
        let name = model.file_name().unwrap_or_default().to_string_lossy();
        std::fs::write(sidecar_of(model), format!("{self}  {name}\n"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `MODEL.gguf.sha256`.
#[must_use]
pub fn sidecar_of(model: &Path) -> PathBuf {
    let mut name = model.as_os_str().to_owned();
    name.push(".sha256");
    PathBuf::from(name)
}

/// A SHA-256 in the making.
#[derive(Default)]
pub(super) struct Running(Sha256);

impl Running {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn read_all(&mut self, source: &mut impl Read) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match source.read(&mut buffer)? {
                0 => return Ok(()),
                n => self.update(&buffer[..n]),
            }
        }
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_is_hashed_and_its_note_reads_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("m.gguf");
        std::fs::write(&file, "abc").expect("written");
        let digest = Digest::of_file(&file).expect("read");
        assert_eq!(digest.to_string(), OF_ABC);
        assert_eq!(Digest::noted(&file), None);
        digest.note(&file).expect("noted");
        assert_eq!(Digest::noted(&file), Some(digest));
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_digest() {
        assert!(Digest::parse(OF_ABC).is_some());
        assert!(Digest::parse(&OF_ABC.to_uppercase()).is_some());
        for wrong in ["", "abc", &OF_ABC[1..], &OF_ABC.replace('b', "g"), &"é".repeat(32)] {
            assert!(Digest::parse(wrong).is_none(), "{wrong}");
        }
    }
}
