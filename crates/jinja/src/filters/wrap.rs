//! Filters that lay out lines: `indent`, `truncate`, `wordwrap`.

use std::ops::Range;

use crate::budget::{Budget, Work};
use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::eval::args::{Args, flag, given, int};
use crate::methods::split::lines;
use crate::value::Value;
use crate::value::text::{Text, TextBuilder, is_space};

/// `indent(width=4, first=False, blank=False)`
pub(super) fn indent(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [width, first, blank] = args.bind("indent", ["width", "first", "blank"], 0)?;
    let budget = interpreter.budget;
    let text = value.text("what is indented")?;
    let indention = match &width {
        Some(Value::Text(text)) => text.clone(),
        other => {
            let width = int(other.as_ref(), "width", 4)?.max(0);
            let mut spaces = TextBuilder::new(budget);
            spaces.push_repeated(&Text::own(" "), usize::try_from(width).unwrap_or(usize::MAX))?;
            spaces.finish()
        }
    };
    // Once for the last line, and once for all of them.
    budget.work(Work::Look, text.len().saturating_mul(2))?;
    let (first, blank) = (flag(first.as_ref(), false), flag(blank.as_ref(), false));
    let mut out = TextBuilder::new(budget);
    if first {
        out.push_text(&indention)?;
    }
    // Jinja adds a line end before it splits: so an empty last line counts.
    let ends_open = text.is_empty() || lines(text.as_str()).last().is_some_and(|(line, end)| line.1 < end);
    let last = ends_open.then_some(((text.len(), text.len()), text.len()));
    for (index, ((start, end), _)) in lines(text.as_str()).chain(last).enumerate() {
        budget.step(1)?;
        if index > 0 {
            out.push_own("\n")?;
            if blank || start < end {
                out.push_text(&indention)?;
            }
        }
        out.push_slice(text, start..end)?;
    }
    Ok(Value::Text(out.finish()))
}

/// `truncate(length=255, killwords=False, end='...', leeway=5)`
pub(super) fn truncate(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [length, killwords, end, leeway] = args.bind("truncate", ["length", "killwords", "end", "leeway"], 0)?;
    let budget = interpreter.budget;
    let end = end.map_or_else(|| Ok(Text::own("...")), |end| end.text("end").cloned())?;
    let length = int(length.as_ref(), "length", 255)?;
    let leeway = int(given(leeway).as_ref(), "leeway", 5)?;
    let end_length = end.chars(budget)? as i128;
    if length < end_length {
        return Err(Error::failed(format!("expected length >= {end_length}, got {length}")));
    }
    if leeway < 0 {
        return Err(Error::failed(format!("expected leeway >= 0, got {leeway}")));
    }
    if interpreter.length(&value)? as i128 <= length.saturating_add(leeway) {
        return Ok(value);
    }
    let text = value.text("what is truncated")?;
    budget.work(Work::Search, text.len())?;
    let kept = usize::try_from(length - end_length).unwrap_or(usize::MAX);
    let cut = text.as_str().char_indices().nth(kept).map_or(text.len(), |(at, _)| at);
    let cut = if flag(killwords.as_ref(), false) { cut } else { text.as_str()[..cut].rfind(' ').unwrap_or(cut) };
    text.slice(0..cut, budget)?.append(&end, budget).map(Value::Text)
}

/// `wordwrap(width=79, break_long_words=True, wrapstring='\n', break_on_hyphens=True)`
pub(super) fn wordwrap(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let names = ["width", "break_long_words", "wrapstring", "break_on_hyphens"];
    let [width, break_long, between, hyphens] = args.bind("wordwrap", names, 0)?;
    let budget = interpreter.budget;
    let text = value.text("what is wrapped")?;
    let width = int(width.as_ref(), "width", 79)?;
    let wrapping = Wrapping {
        width: usize::try_from(width).unwrap_or(0),
        break_long: flag(break_long.as_ref(), true),
        hyphens: flag(hyphens.as_ref(), true),
    };
    if wrapping.width == 0 {
        return Err(Error::failed(format!("invalid width {width} (must be > 0)")));
    }
    let between = given(between).map_or_else(|| Ok(Text::own("\n")), |between| between.text("wrapstring").cloned())?;
    budget.work(Work::Rewrite, text.len().saturating_mul(2))?;
    let mut out = TextBuilder::new(budget);
    let mut first = true;
    for ((start, end), _) in lines(text.as_str()) {
        if !std::mem::take(&mut first) {
            out.push_text(&between)?;
        }
        let mut first_part = true;
        for part in wrapping.wrap(text.as_str(), start..end, budget)? {
            if !std::mem::take(&mut first_part) {
                out.push_text(&between)?;
            }
            out.push_slice(text, part)?;
        }
    }
    Ok(Value::Text(out.finish()))
}

/// A word, a part of one up to a hyphen, or white space.
struct Chunk {
    range: Range<usize>,
    chars: usize,
    space: bool,
}

struct Wrapping {
    width: usize,
    break_long: bool,
    hyphens: bool,
}

impl Wrapping {
    /// The lines of a line, as Python's `textwrap` finds them.
    fn wrap(&self, text: &str, line: Range<usize>, budget: &Budget) -> Result<Vec<Range<usize>>> {
        let mut chunks = self.chunks(text, line, budget)?;
        chunks.reverse();
        let mut lines = Vec::new();
        while !chunks.is_empty() {
            budget.make_many(1, size_of::<Range<usize>>())?;
            if !lines.is_empty() {
                chunks.pop_if(|chunk| chunk.space);
            }
            let mut taken: Vec<Chunk> = Vec::new();
            let mut length = 0;
            while let Some(chunk) = chunks.pop_if(|chunk| length + chunk.chars <= self.width) {
                budget.step(1)?;
                length += chunk.chars;
                taken.push(chunk);
            }
            if let Some(long) = chunks.pop_if(|chunk| chunk.chars > self.width) {
                self.take_long(text, long, self.width - length, &mut taken, &mut chunks);
            }
            taken.pop_if(|chunk| chunk.space);
            if let (Some(first), Some(last)) = (taken.first(), taken.last()) {
                lines.push(first.range.start..last.range.end);
            }
        }
        Ok(lines)
    }

    /// Takes what fits of a word that is longer than a line.
    fn take_long(&self, text: &str, long: Chunk, room: usize, taken: &mut Vec<Chunk>, chunks: &mut Vec<Chunk>) {
        if !self.break_long {
            if taken.is_empty() {
                taken.push(long)
            } else {
                chunks.push(long)
            }
            return;
        }
        let word = &text[long.range.clone()];
        let mut end = word.char_indices().nth(room).map_or(word.len(), |(at, _)| at);
        let mut chars = room.min(long.chars);
        if self.hyphens
            && let Some(hyphen) = word[..end].rfind('-')
            && word[..hyphen].contains(|c| c != '-')
        {
            end = hyphen + 1;
            chars = word[..end].chars().count();
        }
        let Range { start, end: stop } = long.range;
        taken.push(Chunk { range: start..start + end, chars, space: false });
        chunks.push(Chunk { range: start + end..stop, chars: long.chars - chars, space: false });
    }

    fn chunks(&self, text: &str, line: Range<usize>, budget: &Budget) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        let mut start = line.start;
        while start < line.end {
            let rest = &text[start..line.end];
            let space = rest.starts_with(is_space);
            let mut run = &rest[..rest.find(|c| is_space(c) != space).unwrap_or(rest.len())];
            while !run.is_empty() {
                let end = if space || !self.hyphens { run.len() } else { hyphen_end(run) };
                budget.make_many(1, size_of::<Chunk>())?;
                chunks.push(Chunk { range: start..start + end, chars: run[..end].chars().count(), space });
                start += end;
                run = &run[end..];
            }
        }
        Ok(chunks)
    }
}

/// Where a word may be broken first: behind a hyphen between letters.
fn hyphen_end(word: &str) -> usize {
    let is_letter = |c: &char| c.is_alphabetic() || *c == '_';
    let mut before = [' '; 2];
    for (at, c) in word.char_indices() {
        let mut after = word[at + c.len_utf8()..].chars();
        if c == '-' && before.iter().all(is_letter) && after.next().is_some_and(|c| is_letter(&c)) {
            let second = after.next();
            let second = if second == Some('-') { after.next() } else { second };
            if second.is_some_and(|c| is_letter(&c)) {
                return at + 1;
            }
        }
        before = [before[1], c];
    }
    word.len()
}
