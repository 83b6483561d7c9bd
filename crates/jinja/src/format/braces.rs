//! `'{}'.format(...)`, as the formatter of Jinja's sandbox does it.

use std::ops::Range;
use std::rc::Rc;

use super::spec;
use crate::budget::Work;
use crate::error::{Error, Result, shown};
use crate::eval::Interpreter;
use crate::eval::args::Args;
use crate::filters::html;
use crate::value::Value;
use crate::value::dict::Dict;
use crate::value::text::{Text, TextBuilder};

/// Fields in the specification of a field.
const MAX_DEPTH: usize = 2;

/// What the fields speak of.
enum Source<'a> {
    Args(&'a Args),
    Map(Rc<Dict>),
}

/// Whether fields are numbered by their order or by themselves.
#[derive(Clone, Copy)]
enum Numbering {
    Undecided,
    Automatic(usize),
    Manual,
}

/// `format.format(*args, **kwargs)`
pub(crate) fn format(interpreter: &mut Interpreter<'_>, format: &Text, args: &Args) -> Result<Value> {
    run(interpreter, format, Source::Args(args))
}

/// `format.format_map(map)`
pub(crate) fn format_map(interpreter: &mut Interpreter<'_>, format: &Text, map: Rc<Dict>) -> Result<Value> {
    run(interpreter, format, Source::Map(map))
}

fn run(interpreter: &mut Interpreter<'_>, format: &Text, source: Source<'_>) -> Result<Value> {
    interpreter.budget.work(Work::Search, format.len())?;
    let mut out = TextBuilder::new(interpreter.budget);
    let mut writer = Writer { interpreter, format, source, numbering: Numbering::Undecided };
    writer.write(0..format.len(), MAX_DEPTH, &mut out)?;
    Ok(Value::Text(out.finish()))
}

struct Writer<'i, 'b, 'a> {
    interpreter: &'i mut Interpreter<'b>,
    format: &'a Text,
    source: Source<'a>,
    numbering: Numbering,
}

impl Writer<'_, '_, '_> {
    /// A part of the format, with its fields replaced.
    fn write(&mut self, range: Range<usize>, depth: usize, out: &mut TextBuilder<'_>) -> Result<()> {
        let whole = self.format.as_str();
        let mut at = range.start;
        while at < range.end {
            let rest = &whole[at..range.end];
            let Some(brace) = rest.find(['{', '}']) else {
                return out.push_slice(self.format, at..range.end);
            };
            out.push_slice(self.format, at..at + brace)?;
            let rest = &rest[brace..];
            at += brace;
            if rest.starts_with("{{") || rest.starts_with("}}") {
                out.push_slice(self.format, at..at + 1)?;
                at += 2;
            } else if rest.starts_with('}') {
                return Err(Error::failed("Single '}' encountered in format string"));
            } else {
                if rest.len() == 1 {
                    return Err(Error::failed("Single '{' encountered in format string"));
                }
                let end = field_end(rest).ok_or_else(|| Error::failed("expected '}' before end of string"))?;
                if depth == 0 {
                    return Err(Error::failed("Max string recursion exceeded"));
                }
                self.field(at + 1..at + end, depth, out)?;
                at += end + 1;
            }
        }
        Ok(())
    }

    /// A field: `name!conversion:specification`.
    fn field(&mut self, range: Range<usize>, depth: usize, out: &mut TextBuilder<'_>) -> Result<()> {
        self.interpreter.budget.step(1)?;
        let field = &self.format.as_str()[range.clone()];
        let name_end = name_end(field);
        let (name, rest) = field.split_at(name_end);
        let (conversion, spec) = match rest.strip_prefix('!') {
            None => (None, rest),
            Some(rest) => {
                let mut chars = rest.chars();
                let conversion = chars.next();
                let missing = || Error::failed("end of string while looking for conversion specifier");
                let conversion = conversion.filter(|c| *c != ':').ok_or_else(missing)?;
                let rest = chars.as_str();
                if !rest.is_empty() && !rest.starts_with(':') {
                    return Err(Error::failed("expected ':' after conversion specifier"));
                }
                (Some(conversion), rest)
            }
        };
        let value = self.value(name)?;
        let value = match conversion {
            None => value,
            Some('s') => Value::Text(self.interpreter.str(&value)?),
            Some('r') => Value::Text(self.interpreter.repr(&value)?),
            Some('a') => Value::Text(self.interpreter.ascii(&value)?),
            Some(other) => return Err(Error::failed(format!("Unknown conversion specifier {other}"))),
        };
        let mut specification = TextBuilder::new(self.interpreter.budget);
        let spec_start = range.end - spec.len() + usize::from(!spec.is_empty());
        self.write(spec_start..range.end, depth - 1, &mut specification)?;
        let specification = specification.finish();
        if self.format.is_markup() {
            let mut plain = TextBuilder::new(self.interpreter.budget);
            spec::write(self.interpreter, &value, &specification, &mut plain)?;
            return out.push_text(&html::escape(&plain.finish(), self.interpreter.budget)?);
        }
        spec::write(self.interpreter, &value, &specification, out)
    }

    /// The value of `first.attribute[item]`.
    fn value(&mut self, name: &str) -> Result<Value> {
        let first_end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(first_end);
        let mut value = self.first(first)?;
        while !rest.is_empty() {
            self.interpreter.budget.step(1)?;
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return Err(Error::failed("Empty attribute in format string"));
                }
                value = self.interpreter.attribute(&value, &after[..end])?;
                rest = &after[end..];
            } else {
                let inner = rest
                    .strip_prefix('[')
                    .ok_or_else(|| Error::failed("Only '.' or '[' may follow ']' in format field specifier"))?;
                let end = inner.find(']').ok_or_else(|| Error::failed("Missing ']' in format string"))?;
                let key = match inner[..end].parse::<u32>() {
                    Ok(index) if inner.as_bytes()[0] != b'+' => Value::Int(index.into()),
                    _ => Value::own(&inner[..end]),
                };
                value = self.interpreter.item(&value, &key)?;
                rest = &inner[end + 1..];
            }
        }
        Ok(value)
    }

    fn first(&mut self, name: &str) -> Result<Value> {
        let index = match (name.is_empty(), self.numbering) {
            (true, Numbering::Manual) => {
                let message = "cannot switch from manual field specification to automatic field numbering";
                return Err(Error::failed(message));
            }
            (true, Numbering::Undecided) => {
                self.numbering = Numbering::Automatic(1);
                Some(0)
            }
            (true, Numbering::Automatic(next)) => {
                self.numbering = Numbering::Automatic(next + 1);
                Some(next)
            }
            (false, numbering) if name.bytes().all(|b| b.is_ascii_digit()) => {
                if matches!(numbering, Numbering::Automatic(_)) {
                    let message = "cannot switch from automatic field numbering to manual field specification";
                    return Err(Error::failed(message));
                }
                self.numbering = Numbering::Manual;
                Some(name.parse().unwrap_or(usize::MAX))
            }
            _ => None,
        };
        let unknown = || Error::failed(format!("KeyError: '{}'", shown(name)));
        match (&self.source, index) {
            (Source::Args(args), Some(index)) => {
                let out_of_range = || format!("Replacement index {index} out of range for positional args tuple");
                args.positional.get(index).cloned().ok_or_else(|| Error::failed(out_of_range()))
            }
            (Source::Args(args), None) => {
                self.interpreter.budget.step(args.named.len())?;
                let found = args.named.iter().find(|(known, _)| **known == *name);
                found.map(|(_, value)| value.clone()).ok_or_else(unknown)
            }
            (Source::Map(map), None) => map.get_str(name, self.interpreter.budget)?.cloned().ok_or_else(unknown),
            (Source::Map(_), Some(_)) => Err(Error::failed("Format string contains positional fields")),
        }
    }
}

/// Where the field that begins a text ends: the place of its `}`.
fn field_end(text: &str) -> Option<usize> {
    let mut open = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// Where a field's name ends: at `!` or `:`, but not within `[...]`.
fn name_end(field: &str) -> usize {
    let mut inside = false;
    for (at, byte) in field.bytes().enumerate() {
        match byte {
            b'[' => inside = true,
            b']' => inside = false,
            b'!' | b':' if !inside => return at,
            _ => {}
        }
    }
    field.len()
}
