//! GPT-2's printable alphabet: each byte is written as one visible character, so that a vocabulary is plain text.
//!
//! The printable characters of Latin-1 stand for themselves; the other 68 bytes become the characters from U+0100 on, in
//! the order of their values (a space is `Ġ`, a newline `Ċ`).

/// Does `byte` stand for itself?
const fn printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The character that stands for each byte.
const CHARS: [char; 256] = {
    let mut table = ['\0'; 256];
    let mut shifted = 0u8;
    let mut byte = 0;
    while byte < 256 {
        table[byte] = if printable(byte as u8) {
            byte as u8 as char
        } else {
            shifted += 1;
            // U+0100 and on; no surrogate is near.
            match char::from_u32(0xFF + shifted as u32) {
                Some(c) => c,
                None => panic!("the alphabet ends far below the surrogates"),
            }
        };
        byte += 1;
    }
    table
};

/// The byte that each character below U+0144 stands for, if any.
const BYTES: [Option<u8>; 0x144] = {
    let mut table = [None; 0x144];
    let mut byte = 0;
    while byte < 256 {
        table[CHARS[byte] as usize] = Some(byte as u8);
        byte += 1;
    }
    table
};

/// The character that stands for `byte`.
pub(super) fn char_of(byte: u8) -> char {
    CHARS[usize::from(byte)]
}

/// The byte that `c` stands for.
pub(super) fn byte_of(c: char) -> Option<u8> {
    BYTES.get(c as usize).copied().flatten()
}

/// The bytes that a token's text stands for. A character outside of the alphabet stands for its own UTF-8.
pub(super) fn decode(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match byte_of(c) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        for byte in 0..=255u8 {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(b'a'), char_of(0xAD)), ('Ġ', 'Ċ', 'a', '\u{143}'));
        assert_eq!((byte_of(' '), byte_of('\u{144}'), byte_of('日')), (None, None, None));
    }
}
