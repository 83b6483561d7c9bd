//! Many short byte strings in one piece of memory.

/// Byte strings by number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: Vec<u8>,
    /// Where each one ends.
    ends: Vec<usize>,
}

impl Texts {
    pub(super) fn push(&mut self, text: &[u8]) {
        self.all.extend_from_slice(text);
        self.ends.push(self.all.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The string with this number; empty if there is none.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start..end]
    }
}

impl<'a> FromIterator<&'a [u8]> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(texts: I) -> Self {
        let mut all = Texts::default();
        texts.into_iter().for_each(|text| all.push(text));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_went_in() {
        let texts: Texts = [&b"ab"[..], b"", b"c"].into_iter().collect();
        assert_eq!(
            (texts.get(0), texts.get(1), texts.get(2), texts.get(3)),
            (&b"ab"[..], &b""[..], &b"c"[..], &b""[..])
        );
        assert_eq!(texts.len(), 3);
    }
}
