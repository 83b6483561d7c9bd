//! Texts of tokens as RWKV's vocabulary writes them: `\n`, `\t`, `\r`, `\xFF` for any byte, and a backslash before what else
//! it would mean something else.

/// Appends the bytes that a token's text stands for.
pub(super) fn decode(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let mut chars = rest.chars();
        match chars.next() {
            Some('n') => out.push(b'\n'),
            Some('t') => out.push(b'\t'),
            Some('r') => out.push(b'\r'),
            Some('x') => match chars.as_str().get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) => {
                    out.push(byte);
                    chars.nth(1);
                }
                None => out.push(b'x'),
            },
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {}
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_bytes_and_nothing_else_changes() {
        let decoded = |text: &str| {
            let mut out = Vec::new();
            decode(text, &mut out);
            out
        };
        assert_eq!(decoded(r"a\n\t\r\\ \x00\xff\'é"), b"a\n\t\r\\ \x00\xff'\xc3\xa9");
        assert_eq!(decoded(r"\x\xg0\xé"), b"xxg0x\xc3\xa9", "no digits of a byte");
        assert_eq!(decoded("\\"), b"");
    }
}
