//! Strings that know which of their bytes came from the request.
//!
//! A [`Text`] is a string and a list of runs, each from the template or from the request. Operations that keep pieces of a
//! string keep their origin exactly. It never changes what a template computes.

use std::ops::Range;
use std::sync::Arc;

use crate::budget::{Budget, Work};
use crate::error::{Error, ErrorKind, Result};

/// Who wrote a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The template itself, or what it was given as its own (the texts of special tokens).
    Template,
    /// The request: messages, tools, documents and so on.
    Input,
}

impl Origin {
    /// The origin of what is computed from both and cannot be told apart.
    pub(crate) fn or(self, other: Origin) -> Origin {
        if self == Origin::Input { self } else { other }
    }
}

/// What a text takes besides its bytes: its contents with their counts, and three allocations' overheads.
const TEXT_BYTES: usize = size_of::<Contents>() + 2 * size_of::<usize>() + size_of::<Run>() + 3 * 16;

/// Long texts are worked on in parts of this size.
const PART_BYTES: usize = 16 << 10;

/// Text of one origin, up to a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    end: usize,
    origin: Origin,
}

#[derive(Debug, Clone)]
struct Contents {
    text: String,
    /// In order, without empty ones, neighbours differ; the last one ends with the text.
    runs: Vec<Run>,
    /// Whether it is escaped HTML (`Markup`), which `escape` leaves alone.
    markup: bool,
}

/// A string with the origin of its bytes. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Text(Arc<Contents>);

impl Text {
    /// A text of one origin. It is not charged: constants and such.
    pub(crate) fn new(text: impl Into<String>, origin: Origin) -> Text {
        let text = text.into();
        let runs = if text.is_empty() { Vec::new() } else { vec![Run { end: text.len(), origin }] };
        Text(Arc::new(Contents { text, runs, markup: false }))
    }

    /// The template's own words.
    pub(crate) fn own(text: impl Into<String>) -> Text {
        Text::new(text, Origin::Template)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.text.is_empty()
    }

    /// Its bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.text.len()
    }

    /// Its characters.
    pub(crate) fn chars(&self, budget: &Budget) -> Result<usize> {
        budget.work(Work::Copy, self.len())?;
        Ok(self.as_str().chars().count())
    }

    /// [`Origin::Input`] if any byte came from the request.
    pub(crate) fn origin(&self) -> Origin {
        self.0.runs.iter().fold(Origin::Template, |origin, run| origin.or(run.origin))
    }

    pub(crate) fn is_markup(&self) -> bool {
        self.0.markup
    }

    pub(crate) fn with_markup(mut self, budget: &Budget) -> Result<Text> {
        if !self.0.markup {
            budget.make(self.len())?;
            Arc::make_mut(&mut self.0).markup = true;
        }
        Ok(self)
    }

    /// The same text without the mark of escaped HTML.
    pub(crate) fn without_markup(self, budget: &Budget) -> Result<Text> {
        if !self.0.markup {
            return Ok(self);
        }
        let mut out = TextBuilder::new(budget);
        out.push_text(&self)?;
        Ok(out.finish())
    }

    /// The pieces of a range of bytes, each of one origin.
    pub(crate) fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = (&str, Origin)> {
        let first = self.0.runs.partition_point(|run| run.end <= range.start);
        let mut start = range.start;
        self.0.runs[first..].iter().map_while(move |run| {
            let piece = start..run.end.min(range.end);
            start = piece.end;
            (!piece.is_empty()).then(|| (&self.0.text[piece], run.origin))
        })
    }

    /// A range of bytes as a text of its own.
    pub(crate) fn slice(&self, range: Range<usize>, budget: &Budget) -> Result<Text> {
        if range == (0..self.len()) {
            return Ok(self.clone());
        }
        let mut out = TextBuilder::new(budget);
        out.push_slice(self, range)?;
        Ok(out.finish())
    }

    /// The range of bytes of a part of this text: `part` must be a slice of [`Text::as_str`].
    pub(crate) fn range_of(&self, part: &str) -> Range<usize> {
        let start = (part.as_ptr() as usize).wrapping_sub(self.as_str().as_ptr() as usize);
        debug_assert!(start + part.len() <= self.len());
        start..start + part.len()
    }

    /// A part of this text with its origins; see [`Text::range_of`].
    pub(crate) fn part(&self, part: &str, budget: &Budget) -> Result<Text> {
        self.slice(self.range_of(part), budget)
    }

    /// [`Origin::Input`] if any byte of a part came from the request; see [`Text::range_of`].
    pub(crate) fn slice_origin(&self, part: &str) -> Origin {
        self.pieces(self.range_of(part)).fold(Origin::Template, |origin, (_, other)| origin.or(other))
    }

    /// Each character replaced by what `change` writes for it.
    pub(crate) fn map_chars(&self, budget: &Budget, mut change: impl FnMut(char, &mut String)) -> Result<Text> {
        self.map_pieces(budget, |piece| {
            let mut changed = String::with_capacity(piece.len());
            piece.chars().for_each(|c| change(c, &mut changed));
            changed
        })
    }

    /// Each piece replaced by what `change` makes of it; see [`TextBuilder::push_changed`].
    pub(crate) fn map_pieces(&self, budget: &Budget, change: impl FnMut(&str) -> String) -> Result<Text> {
        let mut out = TextBuilder::new(budget);
        out.push_changed(self, change)?;
        Ok(out.finish())
    }

    /// Appends, in place if nobody else has this text: a chain of `+` costs its length once.
    pub(crate) fn append(mut self, other: &Text, budget: &Budget) -> Result<Text> {
        if let Some(contents) = Arc::get_mut(&mut self.0) {
            budget.make(other.len())?;
            let mut runs = 0;
            for (piece, origin) in other.pieces(0..other.len()) {
                contents.text.push_str(piece);
                runs += usize::from(add_run(&mut contents.runs, contents.text.len(), origin));
            }
            budget.make(runs * size_of::<Run>())?;
            return Ok(self);
        }
        let mut out = TextBuilder::new(budget);
        out.reserve(self.len() + other.len());
        out.push_text(&self)?;
        out.push_text(other)?;
        Ok(out.finish())
    }

    /// The text itself and which ranges came from the request.
    pub(crate) fn into_parts(self) -> (String, Vec<Range<usize>>) {
        let mut start = 0;
        let mut ranges = Vec::new();
        for run in &self.0.runs {
            if run.origin == Origin::Input {
                ranges.push(start..run.end);
            }
            start = run.end;
        }
        let text = Arc::try_unwrap(self.0).map_or_else(|shared| shared.text.clone(), |contents| contents.text);
        (text, ranges)
    }
}

/// Says that the text up to `end` is of this origin; true if that takes one more run.
fn add_run(runs: &mut Vec<Run>, end: usize, origin: Origin) -> bool {
    match runs.last_mut() {
        Some(last) if last.end == end => false,
        Some(last) if last.origin == origin => {
            last.end = end;
            false
        }
        None if end == 0 => false,
        _ => {
            // Most texts have one.
            if runs.is_empty() {
                runs.reserve_exact(1);
            }
            runs.push(Run { end, origin });
            true
        }
    }
}

/// Makes a [`Text`] piece by piece; each is charged before it is copied.
#[derive(Debug)]
pub(crate) struct TextBuilder<'b> {
    budget: &'b Budget,
    text: String,
    runs: Vec<Run>,
    longest: usize,
}

impl<'b> TextBuilder<'b> {
    pub(crate) fn new(budget: &'b Budget) -> TextBuilder<'b> {
        TextBuilder { budget, text: String::new(), runs: Vec::new(), longest: usize::MAX }
    }

    /// For what the template writes in the end.
    pub(crate) fn for_output(budget: &'b Budget) -> TextBuilder<'b> {
        TextBuilder { longest: budget.limits().output_bytes, ..TextBuilder::new(budget) }
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Room for so many bytes, if they may be made at all: the pieces are charged when they come.
    fn reserve(&mut self, bytes: usize) {
        if bytes <= self.budget.limits().memory_bytes {
            self.text.reserve_exact(bytes);
        }
    }

    pub(crate) fn push(&mut self, text: &str, origin: Origin) -> Result<()> {
        if text.len() > self.longest - self.text.len() {
            let message = format!("it writes more than {} bytes", self.longest);
            return Err(Error::new(ErrorKind::Output, message));
        }
        self.budget.make(text.len())?;
        self.text.push_str(text);
        if add_run(&mut self.runs, self.text.len(), origin) {
            // A text of one character takes far more than a byte.
            self.budget.make(if self.runs.len() == 1 { TEXT_BYTES } else { size_of::<Run>() })?;
        }
        Ok(())
    }

    /// The template's own words, or digits and the like.
    pub(crate) fn push_own(&mut self, text: &str) -> Result<()> {
        self.push(text, Origin::Template)
    }

    pub(crate) fn push_text(&mut self, text: &Text) -> Result<()> {
        self.push_slice(text, 0..text.len())
    }

    pub(crate) fn push_slice(&mut self, text: &Text, range: Range<usize>) -> Result<()> {
        text.pieces(range).try_for_each(|(piece, origin)| self.push(piece, origin))
    }

    /// A part of a text; see [`Text::range_of`].
    pub(crate) fn push_part(&mut self, text: &Text, part: &str) -> Result<()> {
        self.push_slice(text, text.range_of(part))
    }

    /// A text with each piece replaced by what `change` makes of it, which is about as long. Long ones are taken in parts, so that
    /// no second copy of a long text is made.
    pub(crate) fn push_changed(&mut self, text: &Text, mut change: impl FnMut(&str) -> String) -> Result<()> {
        for (mut piece, origin) in text.pieces(0..text.len()) {
            while !piece.is_empty() {
                let boundary = (PART_BYTES..piece.len()).find(|at| piece.is_char_boundary(*at)).unwrap_or(piece.len());
                let (part, rest) = piece.split_at(boundary);
                self.budget.work(Work::Rewrite, part.len())?;
                self.push(&change(part), origin)?;
                piece = rest;
            }
        }
        Ok(())
    }

    /// A text many times over.
    pub(crate) fn push_repeated(&mut self, text: &Text, times: usize) -> Result<()> {
        // Refused before the first one is made.
        if text.len().saturating_mul(times) > self.budget.limits().memory_bytes {
            self.budget.make(usize::MAX)?;
        }
        if text.is_empty() {
            return Ok(());
        }
        if text.len() == 1 {
            let part = text.as_str().repeat(times.min(PART_BYTES));
            for done in (0..times).step_by(PART_BYTES) {
                self.push(&part[..part.len().min(times - done)], text.origin())?;
            }
            return Ok(());
        }
        for _ in 0..times {
            self.budget.step(1)?;
            self.push_text(text)?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Text {
        Text(Arc::new(Contents { text: self.text, runs: self.runs, markup: false }))
    }
}

/// Python's idea of white space.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Whether Python's `repr` leaves a character as it is.
pub(crate) fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{feff}' => false,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => false,
        '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'.. => false,
        _ => !c.is_control() && !c.is_whitespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    fn mixed(budget: &Budget) -> Text {
        let mut out = TextBuilder::new(budget);
        out.push_own("<a>").unwrap();
        out.push("é<b>", Origin::Input).unwrap();
        out.push("", Origin::Input).unwrap();
        out.push_own("").unwrap();
        out.push_own("</a>").unwrap();
        out.finish()
    }

    #[test]
    fn slices_and_joins_keep_the_origin_of_each_byte() {
        let budget = Budget::new(Limits::default());
        let text = mixed(&budget);
        let written = |text: Text| {
            let (text, ranges) = text.into_parts();
            (text, ranges.into_iter().map(|range| (range.start, range.end)).collect::<Vec<_>>())
        };
        assert_eq!(written(text.clone()), ("<a>é<b></a>".to_owned(), vec![(3, 8)]));
        assert_eq!(written(text.slice(1..5, &budget).unwrap()), ("a>é".to_owned(), vec![(2, 4)]));
        assert_eq!(text.slice(9..11, &budget).unwrap().origin(), Origin::Template);
        let twice = text.clone().append(&text, &budget).unwrap();
        assert_eq!(written(twice).1, [(3, 8), (15, 20)]);
        let own = Text::own("x").append(&Text::new("y", Origin::Input), &budget).unwrap();
        assert_eq!(written(own.append(&Text::own("z"), &budget).unwrap()), ("xyz".to_owned(), vec![(1, 2)]));
        let upper = text.map_chars(&budget, |c, out| out.extend(c.to_uppercase())).unwrap();
        assert_eq!(written(upper), ("<A>É<B></A>".to_owned(), vec![(3, 8)]));
    }

    #[test]
    fn repeating_is_refused_before_it_is_made() {
        let budget = Budget::new(Limits::default());
        let mut out = TextBuilder::new(&budget);
        assert!(out.push_repeated(&Text::own("ab"), usize::MAX / 4).is_err());
        assert_eq!(out.len(), 0);
    }
}
