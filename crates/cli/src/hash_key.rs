//! `parkade hash-key`: what a keys file says of a key.

use std::io::{self, BufRead, Write};

/// No key has so many bytes; a device or a pipe may have no first line.
const LONGEST_KEY: u64 = 64 << 10;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashKeyError {
    /// Standard input cannot be read.
    #[error("cannot read the key from standard input: {0}")]
    Input(io::Error),
    /// There is no key.
    #[error(
        "standard input has no key in its first line; for example: openssl rand -hex 32 | tee key.txt | parkade hash-key"
    )]
    Empty,
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// Reads a key, the first line of `input`, and writes its SHA-256 in hex. The key is not an argument, because other
/// users of the machine can see those.
///
/// # Errors
/// If there is no key, or input or output fail.
pub fn run(input: impl BufRead, out: &mut impl Write) -> Result<(), HashKeyError> {
    let mut line = String::new();
    input.take(LONGEST_KEY).read_line(&mut line).map_err(HashKeyError::Input)?;
    if line.len() as u64 == LONGEST_KEY {
        return Err(HashKeyError::Input(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    let key = line.trim();
    if key.is_empty() {
        return Err(HashKeyError::Empty);
    }
    writeln!(out, "{}", parkade_server::hash_key(key)).map_err(HashKeyError::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_hashed_without_its_end() {
        let mut out = Vec::new();
        run(&b"test\r\nmore\n"[..], &mut out).expect("a key");
        assert_eq!(out, b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n");
        assert!(matches!(run(&b" \n"[..], &mut out), Err(HashKeyError::Empty)));
        let endless = io::BufReader::new(io::repeat(b'a'));
        assert!(matches!(run(endless, &mut out), Err(HashKeyError::Input(_))));
    }
}
