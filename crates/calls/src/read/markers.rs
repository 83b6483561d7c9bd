//! Finds markers in a text that comes a character at a time.

/// Some markers, none of which begins with another, and what may be the beginning of one.
#[derive(Debug)]
pub(super) struct Markers {
    markers: Vec<String>,
    held: String,
}

impl Markers {
    pub(super) fn new<T: Into<String>>(markers: impl IntoIterator<Item = T>) -> Self {
        Markers {
            markers: markers.into_iter().map(Into::into).filter(|marker: &String| !marker.is_empty()).collect(),
            held: String::new(),
        }
    }

    /// Takes a character. It is the last of a marker, whose number is returned; or it is held back, as long as a marker may come of it; or it is put
    /// out as text, with what was held before.
    pub(super) fn step(&mut self, c: char, mut put: impl FnMut(char)) -> Option<usize> {
        self.held.push(c);
        loop {
            if let Some(found) = self.markers.iter().position(|marker| *marker == self.held) {
                self.held.clear();
                return Some(found);
            }
            if self.markers.iter().any(|marker| marker.starts_with(&self.held)) {
                return None;
            }
            put(self.held.remove(0));
            if self.held.is_empty() {
                return None;
            }
        }
    }

    /// Takes a character where nothing but a marker may stand; an error if none can come of it.
    pub(super) fn only(&mut self, c: char) -> Result<Option<usize>, ()> {
        let mut is_other = false;
        let found = self.step(c, |_| is_other = true);
        if is_other { Err(()) } else { Ok(found) }
    }

    /// A marker by its number.
    pub(super) fn marker(&self, number: usize) -> &str {
        self.markers.get(number).map_or("", String::as_str)
    }

    /// Whether something is held back.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// What is held back, at the end of the text.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_marker_is_put_out_as_soon_as_that_is_known() {
        let mut markers = Markers::new(["<a>", "<aab>"]);
        let mut text = String::new();
        let found: Vec<_> = "x<<a<a><aa<aab>".chars().filter_map(|c| markers.step(c, |c| text.push(c))).collect();
        assert_eq!((found, text.as_str()), (vec![0, 1], "x<<a<aa"));
        assert_eq!(markers.step('<', |_| panic!("it is held")), None);
        assert!(markers.is_holding());
        assert_eq!(markers.take(), "<");
    }
}
