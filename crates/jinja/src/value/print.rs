//! What Python writes for a value: `str` and `repr`.

use super::text::{Text, TextBuilder, is_printable};
use super::{Seq, SeqKind, Value};
use crate::budget::MAX_VALUE_DEPTH;
use crate::error::{Error, Result};
use crate::eval::{Interpreter, Object};

impl Interpreter<'_> {
    /// Python's `str(value)`, and nothing for undefined.
    pub(crate) fn str(&self, value: &Value) -> Result<Text> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            Value::Undefined(_) => Ok(Text::own("")),
            other => self.repr(other),
        }
    }

    /// Appends Python's `str(value)`.
    pub(crate) fn write_str(&self, value: &Value, out: &mut TextBuilder<'_>) -> Result<()> {
        match value {
            Value::Text(text) => out.push_text(text),
            Value::Undefined(_) => Ok(()),
            other => self.write_repr(other, 0, out),
        }
    }

    /// Python's `repr(value)`.
    pub(crate) fn repr(&self, value: &Value) -> Result<Text> {
        let mut out = TextBuilder::new(self.budget);
        self.write_repr(value, 0, &mut out)?;
        Ok(out.finish())
    }

    /// Python's `ascii(value)`.
    pub(crate) fn ascii(&self, value: &Value) -> Result<Text> {
        let mut out = TextBuilder::new(self.budget);
        write_pieces(&self.repr(value)?, &mut out, |c, escaped| {
            let plain = c.is_ascii();
            if !plain {
                push_code(escaped, c);
            }
            !plain
        })?;
        Ok(out.finish())
    }

    fn write_repr(&self, value: &Value, depth: usize, out: &mut TextBuilder<'_>) -> Result<()> {
        // A namespace can contain itself, which no value knows by its own depth.
        if depth > MAX_VALUE_DEPTH {
            return Err(Error::too_deep("values", MAX_VALUE_DEPTH));
        }
        self.budget.step(1)?;
        match value {
            Value::None => out.push_own("None"),
            Value::Undefined(_) => out.push_own("Undefined"),
            Value::Bool(b) => out.push_own(if *b { "True" } else { "False" }),
            Value::Int(i) => out.push_own(&i.to_string()),
            Value::Float(f) => out.push_own(&float_repr(*f)),
            Value::Text(text) if text.is_markup() => {
                out.push_own("Markup(")?;
                quote(text, out)?;
                out.push_own(")")
            }
            Value::Text(text) => quote(text, out),
            Value::Seq(seq) => self.write_sequence(seq, depth, out),
            Value::Dict(dict) => self.write_entries(dict.entries(), depth, out),
            Value::Range(range) if range.step == 1 => out.push_own(&format!("range({}, {})", range.start, range.stop)),
            Value::Range(range) => out.push_own(&format!("range({}, {}, {})", range.start, range.stop, range.step)),
            Value::Object(id, _) => match &self.objects[*id] {
                Object::Namespace(attributes) => {
                    out.push_own("<Namespace ")?;
                    self.write_entries(attributes.entries(), depth, out)?;
                    out.push_own(">")
                }
                Object::Loop(state) => {
                    out.push_own(&format!("<LoopContext {}/{}>", state.index + 1, state.items.len()))
                }
                _ => out.push_own(&format!("<{} object>", value.type_name())),
            },
            Value::Macro(of) => out.push_own(&format!("<Macro '{}'>", of.definition.name)),
            _ => out.push_own(&format!("<{}>", value.type_name())),
        }
    }

    fn write_sequence(&self, seq: &Seq, depth: usize, out: &mut TextBuilder<'_>) -> Result<()> {
        let (open, close) = match seq.kind {
            SeqKind::List => ("[", "]"),
            SeqKind::Tuple | SeqKind::Group if seq.items.len() == 1 => ("(", ",)"),
            SeqKind::Tuple | SeqKind::Group => ("(", ")"),
            SeqKind::Keys => ("dict_keys([", "])"),
            SeqKind::Values => ("dict_values([", "])"),
            SeqKind::Items => ("dict_items([", "])"),
        };
        out.push_own(open)?;
        for (index, item) in seq.items.iter().enumerate() {
            if index > 0 {
                out.push_own(", ")?;
            }
            self.write_repr(item, depth + 1, out)?;
        }
        out.push_own(close)
    }

    fn write_entries(&self, entries: &[(Value, Value)], depth: usize, out: &mut TextBuilder<'_>) -> Result<()> {
        out.push_own("{")?;
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                out.push_own(", ")?;
            }
            self.write_repr(key, depth + 1, out)?;
            out.push_own(": ")?;
            self.write_repr(value, depth + 1, out)?;
        }
        out.push_own("}")
    }
}

/// A string as Python's source would have it.
pub(crate) fn quote(text: &Text, out: &mut TextBuilder<'_>) -> Result<()> {
    let whole = text.as_str();
    let quote = if whole.contains('\'') && !whole.contains('"') { "\"" } else { "'" };
    out.push_own(quote)?;
    write_pieces(text, out, |c, escaped| {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\'' | '"' if quote.starts_with(c) => escaped.extend(['\\', c]),
            c if is_printable(c) => return false,
            c => push_code(escaped, c),
        }
        true
    })?;
    out.push_own(quote)
}

/// Appends a character's code as Python's source would have it.
fn push_code(out: &mut String, c: char) {
    match c as u32 {
        code @ ..=0xff => push_hex(out, 'x', code, 2),
        code @ ..=0xffff => push_hex(out, 'u', code, 4),
        code => push_hex(out, 'U', code, 8),
    }
}

/// Appends an escape such as `\u00e9`.
pub(crate) fn push_hex(out: &mut String, kind: char, code: u32, digits: u32) {
    out.extend(['\\', kind]);
    let digit = |place| char::from_digit((code >> (4 * place)) & 15, 16).unwrap_or('0');
    out.extend((0..digits).rev().map(digit));
}

/// Writes a text with some characters replaced: `escape` appends what stands for one, or says false to leave it as it is.
pub(crate) fn write_pieces(
    text: &Text,
    out: &mut TextBuilder<'_>,
    mut escape: impl FnMut(char, &mut String) -> bool,
) -> Result<()> {
    out.push_changed(text, |part| {
        let mut written = String::with_capacity(part.len());
        for c in part.chars() {
            if !escape(c, &mut written) {
                written.push(c);
            }
        }
        written
    })
}

/// Python's shortest form of a number that comes back as the same: `1.0`, `0.1`, `1e-05`, `1e+16`.
pub(crate) fn float_repr(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "nan"
        } else if number > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => {
            let plain = number.to_string();
            if plain.contains('.') { plain } else { plain + ".0" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, Limits};
    use crate::value::text::Origin;

    #[test]
    fn floats_are_written_as_python_does() {
        let cases = [
            (1.0, "1.0"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (1e100, "1e+100"),
            (f64::NAN, "nan"),
            (-0.0, "-0.0"),
            (f64::NEG_INFINITY, "-inf"),
            (123456.789, "123456.789"),
        ];
        for (number, text) in cases {
            assert_eq!(float_repr(number), text);
        }
    }

    #[test]
    fn strings_are_quoted_as_python_does_and_keep_their_origin() {
        let budget = Budget::new(Limits::default());
        let quoted = |text: &str| {
            let mut out = TextBuilder::new(&budget);
            quote(&Text::new(text, Origin::Input), &mut out).unwrap();
            let (text, ranges) = out.finish().into_parts();
            assert_eq!((ranges.len(), ranges[0].clone()), (1, 1..text.len() - 1));
            text
        };
        assert_eq!(quoted("a'b"), r#""a'b""#);
        assert_eq!(quoted("a'b\""), r#"'a\'b"'"#);
        assert_eq!(quoted("é\n\u{1}\u{200b}"), r"'é\n\x01\u200b'");
    }
}
