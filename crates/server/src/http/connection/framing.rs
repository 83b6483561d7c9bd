//! Where a body ends among the bytes of a connection (RFC 9112, sections 6.2 and 7.1).
//!
//! This only finds the end. Whether the chunks are well-formed is for the HTTP library, which decodes them and closes
//! the connection when they are not.

/// How a body's end is marked, and how far it has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are missing.
    Length(u64),
    /// In chunks.
    Chunked(Place),
}

/// A place in a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the line that says the size of a chunk.
    Size { size: u64, in_digits: bool },
    /// In a chunk: so many bytes are missing, the line break behind it included.
    Data(u64),
    /// In a line behind the last chunk.
    Trailer { is_empty: bool },
    /// Behind everything.
    End,
}

const LINE_BREAK: u64 = 2;

impl Place {
    const START: Self = Self::Size { size: 0, in_digits: true };

    /// Goes on by the first of `bytes`, or several of them; how many.
    fn advance(&mut self, bytes: &[u8]) -> usize {
        let Some(&byte) = bytes.first() else { return 0 };
        *self = match *self {
            Self::Data(missing) => {
                let step = usize::try_from(missing).unwrap_or(usize::MAX).min(bytes.len());
                let missing = missing - step as u64;
                *self = if missing == 0 { Self::START } else { Self::Data(missing) };
                return step;
            }
            Self::Size { size: 0, .. } if byte == b'\n' => Self::Trailer { is_empty: true },
            Self::Size { size, .. } if byte == b'\n' => Self::Data(size.saturating_add(LINE_BREAK)),
            Self::Size { size, in_digits } => match char::from(byte).to_digit(16).filter(|_| in_digits) {
                Some(digit) => Self::Size { size: size.saturating_mul(16).saturating_add(u64::from(digit)), in_digits },
                None => Self::Size { size, in_digits: false },
            },
            Self::Trailer { is_empty: true } if byte == b'\n' => Self::End,
            Self::Trailer { .. } if byte == b'\n' => Self::Trailer { is_empty: true },
            Self::Trailer { is_empty } => Self::Trailer { is_empty: is_empty && byte == b'\r' },
            Self::End => return 0,
        };
        1
    }
}

impl Framing {
    pub fn length(length: u64) -> Self {
        Self::Length(length)
    }

    pub fn chunked() -> Self {
        Self::Chunked(Place::START)
    }

    /// How many of `bytes`, which come next, belong to the body.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Length(missing) => {
                let taken = usize::try_from(*missing).unwrap_or(usize::MAX).min(bytes.len());
                *missing -= taken as u64;
                taken
            }
            Self::Chunked(place) => {
                let mut taken = 0;
                loop {
                    match place.advance(&bytes[taken..]) {
                        0 => return taken,
                        step => taken += step,
                    }
                }
            }
        }
    }

    /// Whether all of the body has come.
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Place::End))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `bytes` in pieces of `step`; how many belong to the body, and whether it is complete.
    fn taken(mut framing: Framing, bytes: &[u8], step: usize) -> (usize, bool) {
        let mut total = 0;
        for piece in bytes.chunks(step) {
            let count = framing.take(piece);
            total += count;
            if count < piece.len() {
                break;
            }
        }
        (total, framing.is_complete())
    }

    #[test]
    fn a_bodys_end_is_found_however_it_comes() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A;name=value\r\n0123456789\r\n000\r\n\r\n",
            "5 ; a=\"b\"\r\nhe\n\no\r\n0\r\nx-trailer: a\r\ny: b\r\n\r\n",
            "1f\r\n0123456789012345678901234567890\r\n0\r\n\r\n",
        ] {
            let bytes = format!("{body}GET / HTTP/1.1\r\n");
            for step in 1..bytes.len() {
                assert_eq!(taken(Framing::chunked(), bytes.as_bytes(), step), (body.len(), true), "{body:?} by {step}");
            }
            for end in 0..body.len() {
                let begun = &body.as_bytes()[..end];
                assert_eq!(taken(Framing::chunked(), begun, 3), (end, false), "{begun:?}");
            }
        }
        for step in 1..8 {
            assert_eq!(taken(Framing::length(5), b"helloGET", step), (5, true));
            assert_eq!(taken(Framing::length(9), b"helloGET", step), (8, false));
        }
    }

    #[test]
    fn a_size_without_bound_stays_a_number() {
        let (taken, complete) = taken(Framing::chunked(), "ffffffffffffffffffffff\r\nrest".as_bytes(), 1);
        assert_eq!((taken, complete), (28, false));
    }
}
