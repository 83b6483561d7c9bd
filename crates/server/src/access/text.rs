//! Texts that people write for the server: read within a bound, and what the reader of TOML says of them, in plain words.

use std::io::{self, Read};

/// The longest text that is read, in bytes: what a server takes as a body unless it is told otherwise.
const LONGEST: u64 = 8 << 20;

/// Reads a text to its end, which a device or a pipe may not have.
///
/// ```
/// let error = parkade_server::read_text(std::io::repeat(b'a')).expect_err("it has no end");
/// assert_eq!(error.to_string(), "it has more than 8388608 bytes");
/// ```
///
/// # Errors
/// If it cannot be read, is no UTF-8, or has more than 8 MiB.
pub fn read_text(from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {LONGEST} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Puts what is said in Rust's terms into those of whoever wrote the file.
///
/// ```
/// use parkade_server::in_plain_words;
///
/// let message = "invalid value: integer `-1`, expected u32";
/// assert_eq!(in_plain_words(message), "invalid value: integer `-1`, expected a whole number from 0 to 4294967295");
/// ```
#[must_use]
pub fn in_plain_words(message: &str) -> String {
    // What no 64 bits hold is no integer to the reader.
    let too_large = ["` as i128, ", "` as u128, ", "any valid TOML value"].iter().any(|mark| message.contains(mark));
    let number = message.strip_prefix("invalid type: integer `").filter(|_| too_large);
    if let Some((literal, _)) = number.and_then(|rest| rest.split_once('`')) {
        return format!("the number {literal} is larger than any that is allowed");
    }
    message
        .replace("expected u32", "expected a whole number from 0 to 4294967295")
        .replace("expected u64", "expected a whole number, 0 or more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_to_its_end_if_it_is_no_longer_than_any_may_be() {
        assert_eq!(read_text(io::repeat(b'a').take(LONGEST)).expect("it fits").len() as u64, LONGEST);
        let kind = |from: &mut dyn Read| read_text(from).expect_err("no such text").kind();
        assert_eq!(kind(&mut io::repeat(b'a').take(LONGEST + 1)), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(&mut io::repeat(b'a')), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(&mut &[0xff][..]), io::ErrorKind::InvalidData);
    }
}
