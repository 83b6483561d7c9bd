//! `'%s' % value`

use super::number;
use crate::budget::Work;
use crate::error::{Error, Result, shown};
use crate::eval::Interpreter;
use crate::filters::html;
use crate::value::Value;
use crate::value::number::Number;
use crate::value::text::{Text, TextBuilder};

/// What stands between `%` and the conversion.
#[derive(Debug, Default, Clone, Copy)]
struct Flags {
    alternate: bool,
    zero: bool,
    left: bool,
    space: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

/// `format % values`
pub(crate) fn format(interpreter: &mut Interpreter<'_>, format: &Text, values: &Value) -> Result<Text> {
    interpreter.budget.work(Work::Search, format.len())?;
    let (list, lenient) = match values {
        Value::Seq(seq) if seq.is_tuple() => (seq.items.clone(), false),
        Value::Seq(_) | Value::Dict(_) | Value::Undefined(_) => (vec![values.clone()], true),
        other => (vec![other.clone()], false),
    };
    interpreter.budget.make_many(list.len(), size_of::<Value>())?;
    let mut out = TextBuilder::new(interpreter.budget);
    let mut formatter = Formatter { interpreter, values, list: list.into_iter(), keyed: false };
    let whole = format.as_str();
    let mut at = 0;
    while let Some(percent) = whole[at..].find('%') {
        out.push_slice(format, at..at + percent)?;
        at += percent + 1;
        at = formatter.conversion(format, at, &mut out)?;
    }
    out.push_slice(format, at..whole.len())?;
    if formatter.list.next().is_some() && !formatter.keyed && !lenient {
        return Err(Error::failed("not all arguments converted during string formatting"));
    }
    let text = out.finish();
    if format.is_markup() { text.with_markup(interpreter.budget) } else { Ok(text) }
}

struct Formatter<'i, 'b, 'v> {
    interpreter: &'i mut Interpreter<'b>,
    values: &'v Value,
    list: std::vec::IntoIter<Value>,
    /// Whether a conversion named its value.
    keyed: bool,
}

impl Formatter<'_, '_, '_> {
    /// One conversion, behind its `%`; gives back where it ends.
    fn conversion(&mut self, format: &Text, start: usize, out: &mut TextBuilder<'_>) -> Result<usize> {
        self.interpreter.budget.step(1)?;
        let incomplete = || Error::failed("incomplete format");
        let mut rest = &format.as_str()[start..];
        let key = match rest.strip_prefix('(') {
            None => None,
            Some(after) => {
                let end = after.find(')').ok_or_else(|| Error::failed("incomplete format key"))?;
                rest = &after[end + 1..];
                Some(&after[..end])
            }
        };
        let mut flags = Flags::default();
        while let Some(flag) = rest.chars().next() {
            match flag {
                '#' => flags.alternate = true,
                '0' => flags.zero = true,
                '-' => flags.left = true,
                ' ' => flags.space = true,
                '+' => flags.plus = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        if let Some(width) = self.size(&mut rest)? {
            flags.left |= width < 0;
            flags.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        }
        if let Some(mut after) = rest.strip_prefix('.') {
            let precision = self.size(&mut after)?.unwrap_or(0).max(0);
            flags.precision = Some(usize::try_from(precision).unwrap_or(usize::MAX));
            rest = after;
        }
        rest = rest.trim_start_matches(['h', 'l', 'L']);
        let conversion = rest.chars().next().ok_or_else(incomplete)?;
        let end = format.len() - rest.len() + conversion.len_utf8();
        if conversion == '%' {
            out.push_own("%")?;
            return Ok(end);
        }
        let value = match key {
            Some(key) => self.keyed_value(key)?,
            None => self.next()?,
        };
        self.write(conversion, flags, &value, format.is_markup(), out)?;
        Ok(end)
    }

    fn next(&mut self) -> Result<Value> {
        self.list.next().ok_or_else(|| Error::failed("not enough arguments for format string"))
    }

    fn keyed_value(&mut self, key: &str) -> Result<Value> {
        self.keyed = true;
        let Value::Dict(values) = self.values else { return Err(Error::failed("format requires a mapping")) };
        let value = values.get_str(key, self.interpreter.budget)?;
        value.cloned().ok_or_else(|| Error::failed(format!("KeyError: '{}'", shown(key))))
    }

    /// A width or precision: digits, or `*` for the next value.
    fn size(&mut self, rest: &mut &str) -> Result<Option<i128>> {
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            return self.next()?.int("*").map(Some);
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        *rest = after;
        let too_big = |_| Error::failed("width too big");
        if digits.is_empty() { Ok(None) } else { digits.parse().map(Some).map_err(too_big) }
    }

    fn write(
        &mut self,
        conversion: char,
        flags: Flags,
        value: &Value,
        markup: bool,
        out: &mut TextBuilder<'_>,
    ) -> Result<()> {
        match conversion {
            's' | 'r' | 'a' => {
                let text = match conversion {
                    's' => self.interpreter.str(value)?,
                    'r' => self.interpreter.repr(value)?,
                    _ => self.interpreter.ascii(value)?,
                };
                let text = if markup { html::escape(&text, self.interpreter.budget)? } else { text };
                self.write_text(&text, flags, out)
            }
            'c' => {
                let text = match value {
                    Value::Text(text) if text.as_str().chars().take(2).count() == 1 => text.clone(),
                    other => {
                        let c = other.as_int().and_then(|i| u32::try_from(i).ok()).and_then(char::from_u32);
                        Text::own(c.ok_or_else(|| Error::failed("%c requires int or char"))?)
                    }
                };
                self.write_text(&text, Flags { precision: None, ..flags }, out)
            }
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' => write_integer(conversion, flags, value, out),
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                value.defined()?;
                let number = Number::of(value)
                    .ok_or_else(|| Error::failed(format!("must be real number, not {}", value.type_name())))?;
                let number = number.as_f64();
                let digits =
                    number::float(number, conversion, flags.precision, flags.alternate, self.interpreter.budget)?;
                let flags = Flags { zero: flags.zero && number.is_finite(), ..flags };
                write_number(number.is_sign_negative(), "", &digits, flags, out)
            }
            other => Err(Error::failed(format!("unsupported format character '{other}' (0x{:x})", other as u32))),
        }
    }

    fn write_text(&self, text: &Text, flags: Flags, out: &mut TextBuilder<'_>) -> Result<()> {
        let length = text.chars(self.interpreter.budget)?;
        self.interpreter.budget.work(Work::Search, text.len())?;
        let kept = flags.precision.map_or(length, |precision| precision.min(length));
        let end = text.as_str().char_indices().nth(kept).map_or(text.len(), |(at, _)| at);
        let missing = flags.width.saturating_sub(kept);
        let space = Text::own(" ");
        if !flags.left {
            out.push_repeated(&space, missing)?;
        }
        out.push_slice(text, 0..end)?;
        if flags.left { out.push_repeated(&space, missing) } else { Ok(()) }
    }
}

fn write_integer(conversion: char, flags: Flags, value: &Value, out: &mut TextBuilder<'_>) -> Result<()> {
    value.defined()?;
    let number = match Number::of(value) {
        Some(Number::Int(i)) => i,
        Some(Number::Float(f)) if f.is_finite() && matches!(conversion, 'd' | 'i' | 'u') => f as i128,
        _ => {
            let (kind, wanted) = match conversion {
                'd' | 'i' | 'u' => (value.type_name(), "a real number is required"),
                _ => (value.type_name(), "an integer is required"),
            };
            return Err(Error::failed(format!("%{conversion} format: {wanted}, not {kind}")));
        }
    };
    let (digits, prefix) = number::integer(number, conversion);
    let missing = flags.precision.unwrap_or(0).saturating_sub(digits.len());
    if missing > 1000 {
        return Err(Error::failed(format!("a precision of {missing} is too big; up to 1000 digits are possible")));
    }
    let digits = "0".repeat(missing) + &digits;
    write_number(number < 0, if flags.alternate { prefix } else { "" }, &digits, flags, out)
}

fn write_number(negative: bool, prefix: &str, digits: &str, flags: Flags, out: &mut TextBuilder<'_>) -> Result<()> {
    let sign = match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    let missing = flags.width.saturating_sub(sign.len() + prefix.len() + digits.len());
    let zeros = if flags.zero && !flags.left { missing } else { 0 };
    let space = Text::own(" ");
    if !flags.left {
        out.push_repeated(&space, missing - zeros)?;
    }
    out.push_own(sign)?;
    out.push_own(prefix)?;
    out.push_repeated(&Text::own("0"), zeros)?;
    out.push_own(digits)?;
    if flags.left { out.push_repeated(&space, missing) } else { Ok(()) }
}
