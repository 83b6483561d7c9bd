//! SentencePiece's precompiled map of characters: what each is replaced by before pieces are looked for (NFKC, mostly).
//!
//! The map is a double array as Darts-clone writes it: 4 bytes with the size of the array, the array of 32-bit units, then
//! the replacements, each with a zero byte after it. It comes from a file: each index is checked where it is used, and
//! what leads out of the map means that nothing is replaced.

/// Bytes that a replaced sequence may have, so that no map makes a text cost more than this at each place. A map of NFKC
/// has 13 at most.
const LONGEST_KEY: usize = 64;
/// Bytes that a replacement may have; 33 in NFKC.
const LONGEST_REPLACEMENT: usize = 256;

/// The map of a vocabulary.
#[derive(Debug)]
pub(super) struct CharacterMap {
    units: Vec<u32>,
    replacements: Vec<u8>,
}

/// Whether a value hangs at the end of the way to this unit.
fn has_value(unit: u32) -> bool {
    unit >> 8 & 1 == 1
}

/// The byte that leads to a unit; a unit with a value has none.
fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xFF)
}

/// How far a unit's children are from it, to be combined by exclusive or.
fn offset(unit: u32) -> u32 {
    unit >> 10 << ((unit & 1 << 9) >> 6)
}

impl CharacterMap {
    /// # Errors
    /// With what is wrong with the bytes.
    pub(super) fn new(bytes: &[u8]) -> Result<CharacterMap, String> {
        let Some((size, rest)) = bytes.split_first_chunk() else {
            return Err(format!("it has {} bytes, and its first four should be a size", bytes.len()));
        };
        let size = u32::from_le_bytes(*size) as usize;
        if !size.is_multiple_of(4) || size >= rest.len() {
            let problem = "should be a multiple of 4 and leave bytes for the replacements";
            return Err(format!("its array has {size} of {} bytes; the size {problem}", rest.len()));
        }
        let (array, replacements) = rest.split_at(size);
        let longest = replacements.split(|&byte| byte == 0).map(<[u8]>::len).max().unwrap_or(0);
        if longest > LONGEST_REPLACEMENT {
            return Err(format!("it replaces a character by {longest} bytes; up to {LONGEST_REPLACEMENT} are taken"));
        }
        let (units, _) = array.as_chunks();
        Ok(CharacterMap {
            units: units.iter().map(|&unit| u32::from_le_bytes(unit)).collect(),
            replacements: replacements.to_vec(),
        })
    }

    /// How many bytes at the head of `text` are replaced, and by what: the longest sequence that the map knows.
    pub(super) fn replace(&self, text: &str) -> Option<(usize, &str)> {
        let mut at = offset(*self.units.first()?);
        let mut longest = None;
        for (byte, len) in text.bytes().take(LONGEST_KEY).zip(1..) {
            at ^= u32::from(byte);
            let Some(&unit) = self.units.get(at as usize) else { break };
            if label(unit) != u32::from(byte) || byte == 0 {
                break;
            }
            at ^= offset(unit);
            if has_value(unit)
                && let Some(value) = self.units.get(at as usize)
            {
                longest = Some((len, (value & !(1 << 31)) as usize));
            }
        }
        let (len, start) = longest.filter(|&(len, _)| text.is_char_boundary(len))?;
        let rest = self.replacements.get(start..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        Some((len, std::str::from_utf8(&rest[..end]).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of `keys`, each an ASCII letter, in the way of Darts-clone.
    fn map(keys: &[(u8, &str)]) -> Vec<u8> {
        let mut units = vec![0u32; 512];
        // The root's children are at 256 ^ byte, and the value of each at that ^ 1.
        units[0] = 256 << 10;
        let mut replacements = vec![b'?', 0];
        for &(byte, text) in keys {
            let child = 256 ^ usize::from(byte);
            units[child] = 1 << 10 | 1 << 8 | u32::from(byte);
            units[child ^ 1] = 1 << 31 | replacements.len() as u32;
            replacements.extend_from_slice(text.as_bytes());
            replacements.push(0);
        }
        let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(replacements);
        bytes
    }

    #[test]
    fn a_known_character_is_replaced_and_others_are_not() {
        let map = CharacterMap::new(&map(&[(b'A', "a"), (b'\t', " "), (b'~', "")])).unwrap();
        assert_eq!(map.replace("AB"), Some((1, "a")));
        assert_eq!(map.replace("\tx"), Some((1, " ")));
        assert_eq!(map.replace("~"), Some((1, "")));
        assert_eq!((map.replace("B"), map.replace("é"), map.replace("\0"), map.replace("")), (None, None, None, None));
    }

    #[test]
    fn a_map_of_a_wrong_shape_is_refused() {
        let problem = |bytes: &[u8]| CharacterMap::new(bytes).unwrap_err();
        assert!(problem(&[]).contains("0 bytes"));
        assert!(problem(&[8, 0, 0, 0, 1, 2, 3, 4]).contains("8 of 4"));
        assert!(problem(&[2, 0, 0, 0, 1, 2, 3, 4]).contains("multiple of 4"));
        assert!(problem(&[0xFF; 64]).contains("4294967295"));
        let long = map(&[(b'A', &"a".repeat(300))]);
        assert!(problem(&long).contains("300 bytes"));
    }

    #[test]
    fn a_map_that_leads_anywhere_does_no_harm() {
        for fill in [0x0000_0000u32, 0xFFFF_FFFF, 0x0000_0141, 0x8000_0141, 0x7FFF_FF41, 0x0000_0541] {
            let mut bytes = 1024u32.to_le_bytes().to_vec();
            bytes.extend((0..256).flat_map(|_| fill.to_le_bytes()));
            bytes.extend([0xFF, b'a', 0xC3]);
            let map = CharacterMap::new(&bytes).unwrap();
            for text in ["A", "AAAA", "é", "日本", "🙂A"] {
                assert!(map.replace(text).is_none_or(|(len, _)| text.is_char_boundary(len) && len > 0));
            }
        }
    }
}
