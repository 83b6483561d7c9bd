//! Arithmetic as Python does it, on integers of 128 bits.

use super::Value;
use crate::error::{Error, Result};
use crate::syntax::ast::Arithmetic;

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub(crate) fn of(value: &Value) -> Option<Number> {
        match value {
            Value::Float(f) => Some(Number::Float(*f)),
            other => other.as_int().map(Number::Int),
        }
    }

    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Number::Int(i) => i as f64,
            Number::Float(f) => f,
        }
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Value {
        match number {
            Number::Int(i) => Value::Int(i),
            Number::Float(f) => Value::Float(f),
        }
    }
}

/// The error of an integer over 128 bits. Python would go on.
pub(crate) fn too_large() -> Error {
    Error::failed("an integer becomes larger than 128 bits")
}

/// `a op b` on numbers.
pub(crate) fn arithmetic(op: Arithmetic, a: Number, b: Number) -> Result<Value> {
    if let (Number::Int(a), Number::Int(b)) = (a, b) {
        return integers(op, a, b);
    }
    let (a, b) = (a.as_f64(), b.as_f64());
    Ok(Value::Float(match op {
        Arithmetic::Add => a + b,
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div if b == 0.0 => return Err(Error::failed("float division by zero")),
        Arithmetic::Div => a / b,
        Arithmetic::FloorDiv | Arithmetic::Mod if b == 0.0 => {
            return Err(Error::failed(if op == Arithmetic::Mod {
                "float modulo"
            } else {
                "float floor division by zero"
            }));
        }
        Arithmetic::FloorDiv => ((a - modulo(a, b)) / b).round(),
        Arithmetic::Mod => modulo(a, b),
        Arithmetic::Pow => return power(a, b),
    }))
}

/// Python's `%`: of the sign of the divisor.
fn modulo(a: f64, b: f64) -> f64 {
    let rest = a % b;
    match rest {
        0.0 => 0.0f64.copysign(b),
        _ if (rest < 0.0) != (b < 0.0) => rest + b,
        _ => rest,
    }
}

fn power(a: f64, b: f64) -> Result<Value> {
    if a == 0.0 && b < 0.0 {
        return Err(Error::failed("0.0 cannot be raised to a negative power"));
    }
    if a < 0.0 && b.is_finite() && b.fract() != 0.0 {
        return Err(Error::failed("a fractional power of a negative number is complex, which is not supported"));
    }
    let result = a.powf(b);
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(Error::failed("(34, 'Numerical result out of range')"));
    }
    Ok(Value::Float(result))
}

fn integers(op: Arithmetic, a: i128, b: i128) -> Result<Value> {
    let by_zero = || Error::failed("integer division or modulo by zero");
    let result = match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Sub => a.checked_sub(b),
        Arithmetic::Mul => a.checked_mul(b),
        Arithmetic::Div if b == 0 => return Err(Error::failed("division by zero")),
        Arithmetic::Div => return Ok(Value::Float(a as f64 / b as f64)),
        Arithmetic::FloorDiv | Arithmetic::Mod if b == 0 => return Err(by_zero()),
        Arithmetic::FloorDiv => a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q }),
        Arithmetic::Mod => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
        Arithmetic::Pow if b < 0 => return power(a as f64, b as f64),
        Arithmetic::Pow => match (a, b) {
            (0 | 1, _) => Some(if b == 0 { 1 } else { a }),
            (-1, _) => Some(if b % 2 == 0 { 1 } else { -1 }),
            _ => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        },
    };
    result.map(Value::Int).ok_or_else(too_large)
}

/// Python's `round`: to the even neighbour, decided on the exact value.
pub(crate) fn round(number: f64, digits: i128) -> f64 {
    if !number.is_finite() || digits > 300 {
        return number;
    }
    if digits >= 0 {
        return format!("{number:.*}", digits as usize).parse().unwrap_or(number);
    }
    if digits < -308 {
        return 0.0f64.copysign(number);
    }
    let unit = 10f64.powi(-digits as i32);
    (number / unit).round_ties_even() * unit
}

/// `int(text, base)`; `None` if it is no number.
pub(crate) fn parse_int(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(super::text::is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let (base, digits) = match (prefix.as_deref(), base) {
        (Some("0x"), 16 | 0) => (16, &digits[2..]),
        (Some("0o"), 8 | 0) => (8, &digits[2..]),
        (Some("0b"), 2 | 0) => (2, &digits[2..]),
        (_, 0) => (10, digits),
        _ => (base, digits),
    };
    let well_spaced = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    let digits = digits.replace('_', "");
    // The sign has been read: the parser must not find another one.
    let digits = well_spaced.then_some(digits).filter(|d| d.starts_with(|c: char| c.is_ascii_alphanumeric()))?;
    let number = i128::from_str_radix(&digits, base).ok()?;
    Some(if negative { -number } else { number })
}

/// `float(text)`; `None` if it is no number.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(super::text::is_space);
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    text.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_text_are_read_as_python_reads_them() {
        assert_eq!(parse_int(" -1_000 ", 10), Some(-1000));
        assert_eq!(parse_int("0x1F", 16), Some(31));
        assert_eq!(parse_int("0x1F", 10), None);
        for none in ["", "-", "--1", "+-1", "1__0", "_1", "1_", "1.5", "x"] {
            assert_eq!(parse_int(none, 10), None, "{none}");
        }
        assert_eq!(parse_float("1e3"), Some(1000.0));
        assert_eq!(parse_float("1_0.5"), Some(10.5));
        assert_eq!(parse_float("x"), None);
        assert_eq!(round(2.5, 0), 2.0);
        assert_eq!(round(2.675, 2), 2.67);
        assert_eq!(round(1234.0, -2), 1200.0);
    }
}
