//! `format(value, spec)`: Python's format specifications.

use super::number;
use crate::budget::{Budget, Work};
use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::value::Value;
use crate::value::number::Number;
use crate::value::print::float_repr;
use crate::value::text::{Text, TextBuilder};

/// `[[fill]align][sign][#][0][width][grouping][.precision][type]`
#[derive(Debug, Clone, Copy)]
struct Spec {
    fill: char,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    fn parse(text: &str) -> Result<Spec> {
        let bad = || Error::failed(format!("Invalid format specifier '{}'", crate::error::shown(text)));
        let is_align = |c: char| matches!(c, '<' | '>' | '=' | '^');
        let mut spec = Spec {
            fill: ' ',
            align: None,
            sign: None,
            alternate: false,
            width: 0,
            grouping: None,
            precision: None,
            kind: None,
        };
        let mut rest = text;
        let mut chars = rest.chars();
        let (first, second) = (chars.next(), chars.next());
        if let (Some(fill), Some(align)) = (first, second.filter(|c| is_align(*c))) {
            (spec.fill, spec.align) = (fill, Some(align));
            rest = chars.as_str();
        } else if let Some(align) = first.filter(|c| is_align(*c)) {
            spec.align = Some(align);
            rest = &rest[1..];
        }
        if let Some(sign) = rest.chars().next().filter(|c| matches!(c, '+' | '-' | ' ')) {
            spec.sign = Some(sign);
            rest = &rest[1..];
        }
        if let Some(after) = rest.strip_prefix('#') {
            spec.alternate = true;
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('0') {
            if spec.align.is_none() {
                (spec.fill, spec.align) = ('0', Some('='));
            }
            rest = after;
        }
        let digits = |rest: &mut &str| -> Result<Option<usize>> {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            *rest = after;
            let too_many = |_| Error::failed("Too many decimal digits in format string");
            if number.is_empty() { Ok(None) } else { number.parse().map(Some).map_err(too_many) }
        };
        spec.width = digits(&mut rest)?.unwrap_or(0);
        if let Some(grouping) = rest.chars().next().filter(|c| matches!(c, ',' | '_')) {
            spec.grouping = Some(grouping);
            rest = &rest[1..];
        }
        if let Some(mut after) = rest.strip_prefix('.') {
            spec.precision =
                Some(digits(&mut after)?.ok_or_else(|| Error::failed("Format specifier missing precision"))?);
            rest = after;
        }
        let mut kind = rest.chars();
        spec.kind = kind.next();
        if kind.next().is_some() { Err(bad()) } else { Ok(spec) }
    }

    fn unknown(&self, value: &Value) -> Error {
        let kind = self.kind.unwrap_or(' ');
        Error::failed(format!("Unknown format code '{kind}' for object of type '{}'", value.type_name()))
    }
}

/// Appends `format(value, spec)`.
pub(super) fn write(
    interpreter: &Interpreter<'_>,
    value: &Value,
    spec: &Text,
    out: &mut TextBuilder<'_>,
) -> Result<()> {
    if spec.is_empty() {
        return interpreter.write_str(value, out);
    }
    interpreter.budget.work(Work::Search, spec.len())?;
    let parsed = Spec::parse(spec.as_str())?;
    match (value, Number::of(value)) {
        (Value::Text(text), _) => write_text(interpreter, text, parsed, out),
        (_, Some(number)) => write_number(value, number, parsed, interpreter.budget, out),
        _ => {
            value.defined()?;
            Err(Error::failed(format!("unsupported format string passed to {}.__format__", value.type_name())))
        }
    }
}

fn write_text(interpreter: &Interpreter<'_>, text: &Text, spec: Spec, out: &mut TextBuilder<'_>) -> Result<()> {
    let value = || Value::Text(text.clone());
    if spec.kind.is_some_and(|kind| kind != 's') {
        return Err(spec.unknown(&value()));
    }
    if spec.align == Some('=') && spec.fill != '0' {
        return Err(Error::failed("'=' alignment not allowed in string format specifier"));
    }
    let not_for_text = [
        (spec.sign.is_some(), "Sign not allowed in string format specifier"),
        (spec.alternate, "Alternate form (#) not allowed in string format specifier"),
        (spec.grouping.is_some(), "Cannot specify ',' or '_' with 's'."),
    ];
    if let Some((_, message)) = not_for_text.iter().find(|(given, _)| *given) {
        return Err(Error::failed(*message));
    }
    let length = text.chars(interpreter.budget)?;
    interpreter.budget.work(Work::Search, text.len())?;
    let kept = spec.precision.map_or(length, |precision| precision.min(length));
    let end = text.as_str().char_indices().nth(kept).map_or(text.len(), |(at, _)| at);
    let missing = spec.width.saturating_sub(kept);
    let left = match spec.align {
        Some('>') => missing,
        Some('^') => missing / 2,
        _ => 0,
    };
    let fill = Text::own(spec.fill);
    out.push_repeated(&fill, left)?;
    out.push_slice(text, 0..end)?;
    out.push_repeated(&fill, missing - left)
}

fn write_number(value: &Value, number: Number, spec: Spec, budget: &Budget, out: &mut TextBuilder<'_>) -> Result<()> {
    let (negative, mut digits, prefix) = digits(value, number, spec, budget)?;
    let sign = match (negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    };
    if let Some(separator) = spec.grouping {
        let size = if matches!(spec.kind, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
        // Zeros that fill the width are digits, and grouped with the others.
        if spec.fill == '0' && spec.align == Some('=') {
            budget.make(spec.width)?;
            budget.work(Work::Rewrite, spec.width)?;
            let width = spec.width.saturating_sub(sign.len() + prefix.len());
            digits.insert_str(0, &"0".repeat(number::zeros_for(&digits, size, width)));
        }
        digits = number::grouped(&digits, separator, size);
    }
    let missing = spec.width.saturating_sub(sign.len() + prefix.len() + digits.chars().count());
    let fill = Text::own(spec.fill);
    let (left, inner) = match spec.align.unwrap_or('>') {
        '=' => (0, missing),
        '<' => (0, 0),
        '^' => (missing / 2, 0),
        _ => (missing, 0),
    };
    out.push_repeated(&fill, left)?;
    out.push_own(sign)?;
    out.push_own(prefix)?;
    out.push_repeated(&fill, inner)?;
    out.push_own(&digits)?;
    out.push_repeated(&fill, missing - left - inner)
}

/// Whether a number is negative, its digits, and what stands before them.
fn digits(value: &Value, number: Number, spec: Spec, budget: &Budget) -> Result<(bool, String, &'static str)> {
    match (number, spec.kind) {
        (Number::Int(_), _) if spec.precision.is_some() && !matches!(spec.kind, Some('e'..='g' | 'E'..='G' | '%')) => {
            Err(Error::failed("Precision not allowed in integer format specifier"))
        }
        (Number::Int(i), None | Some('d' | 'n' | 'b' | 'o' | 'x' | 'X')) => {
            let (digits, prefix) = number::integer(i, spec.kind.unwrap_or('d'));
            Ok((i < 0, digits, if spec.alternate { prefix } else { "" }))
        }
        (Number::Int(i), Some('c')) => {
            let c = u32::try_from(i).ok().and_then(char::from_u32);
            let c = c.ok_or_else(|| Error::failed("%c arg not in range(0x110000)"))?;
            Ok((false, c.to_string(), ""))
        }
        (_, Some(kind @ ('e'..='g' | 'E'..='G' | '%'))) => {
            let number = number.as_f64();
            Ok((number.is_sign_negative(), number::float(number, kind, spec.precision, spec.alternate, budget)?, ""))
        }
        (Number::Float(f), Some('n')) => {
            Ok((f.is_sign_negative(), number::float(f, 'g', spec.precision, spec.alternate, budget)?, ""))
        }
        (Number::Float(f), None) => {
            let digits = match spec.precision {
                None => float_repr(f.abs()),
                Some(precision) => {
                    let digits = number::float(f, 'g', Some(precision.max(1)), spec.alternate, budget)?;
                    if digits.contains(['.', 'e', 'n']) { digits } else { with_point(f, digits, precision, budget)? }
                }
            };
            Ok((f.is_sign_negative(), digits, ""))
        }
        _ => Err(spec.unknown(value)),
    }
}

/// Without a type a float has a digit behind the point, or an exponent.
fn with_point(number: f64, digits: String, precision: usize, budget: &Budget) -> Result<String> {
    if digits.len() < precision.max(1) || number == 0.0 {
        return Ok(digits + ".0");
    }
    let exponential = number::float(number, 'e', Some(precision.max(1) - 1), false, budget)?;
    Ok(match exponential.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => {
            format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => exponential,
    })
}
