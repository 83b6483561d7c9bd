//! Digits of numbers in Python's formats.

use crate::budget::Budget;
use crate::error::{Error, Result};

/// More digits behind the point are refused.
const MAX_PRECISION: usize = 300;

/// Steps that exact digits of the largest and the smallest numbers cost, besides those behind the point.
const STEPS: usize = 300;

/// The digits of `|number|` by `e`, `f`, `g` (or upper case) and `%`.
pub(crate) fn float(
    number: f64,
    kind: char,
    precision: Option<usize>,
    alternate: bool,
    budget: &Budget,
) -> Result<String> {
    let precision = precision.unwrap_or(6);
    if precision > MAX_PRECISION {
        return Err(Error::failed(format!(
            "a precision of {precision} is too big; up to {MAX_PRECISION} digits are possible"
        )));
    }
    let number = number.abs();
    budget.step(precision + if (1e-20..1e20).contains(&number) { 0 } else { STEPS })?;
    if !number.is_finite() {
        let text = if number.is_nan() { "nan" } else { "inf" };
        let sign = if kind == '%' { "%" } else { "" };
        return Ok(if kind.is_uppercase() { text.to_uppercase() } else { text.to_owned() } + sign);
    }
    let mut digits = match kind.to_ascii_lowercase() {
        'f' => format!("{number:.precision$}"),
        '%' => format!("{:.precision$}", number * 100.0),
        'e' => exponential(number, precision),
        _ => general(number, precision.max(1), alternate),
    };
    if alternate && !digits.contains('.') {
        let end = digits.find('e').unwrap_or(digits.len());
        digits.insert(end, '.');
    }
    if kind == '%' {
        digits.push('%');
    }
    Ok(if kind.is_uppercase() { digits.to_uppercase() } else { digits })
}

fn exponential(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// The shorter of both forms, with so many significant digits.
fn general(number: f64, precision: usize, alternate: bool) -> String {
    let rounded = format!("{number:.*e}", precision - 1);
    let exponent: i32 = rounded.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let fixed = exponent >= -4 && i64::from(exponent) < precision as i64;
    let text = if fixed {
        let decimals = usize::try_from(precision as i64 - 1 - i64::from(exponent)).unwrap_or(0);
        format!("{number:.decimals$}")
    } else {
        exponential(number, precision - 1)
    };
    if alternate {
        return text;
    }
    let (digits, exponent) = text.split_at(text.find('e').unwrap_or(text.len()));
    if !digits.contains('.') {
        return text;
    }
    format!("{}{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// The digits of `|number|` in a base, and the prefix that `#` asks for.
pub(crate) fn integer(number: i128, kind: char) -> (String, &'static str) {
    let number = number.unsigned_abs();
    match kind {
        'b' => (format!("{number:b}"), "0b"),
        'o' => (format!("{number:o}"), "0o"),
        'x' => (format!("{number:x}"), "0x"),
        'X' => (format!("{number:X}"), "0X"),
        _ => (number.to_string(), ""),
    }
}

/// Digits before the point, and the rest.
fn whole_and_rest(digits: &str, size: usize) -> (&str, &str) {
    let end = digits.find(|c: char| !c.is_ascii_hexdigit() || (c == 'e' && size == 3)).unwrap_or(digits.len());
    digits.split_at(end)
}

/// How many zeros before these digits make them as long as `width` when they are grouped. No group begins with its separator: so it
/// may become one more.
pub(crate) fn zeros_for(digits: &str, size: usize, width: usize) -> usize {
    let (whole, rest) = whole_and_rest(digits, size);
    let length = |count: usize| count + count.saturating_sub(1) / size + rest.len();
    let count = (whole.len()..).find(|count| length(*count) >= width).unwrap_or(whole.len());
    count - whole.len()
}

/// Digits with a separator after each group, counted from the point or the end.
pub(crate) fn grouped(digits: &str, separator: char, size: usize) -> String {
    let (whole, rest) = whole_and_rest(digits, size);
    let mut out = String::with_capacity(digits.len() * 2);
    for (index, c) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % size == 0 {
            out.push(separator);
        }
        out.push(c);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    #[test]
    fn numbers_are_written_as_python_does() {
        let budget = Budget::new(Limits::default());
        let of = |number, kind, precision| float(number, kind, precision, false, &budget).unwrap();
        assert_eq!(of(1.5, 'f', None), "1.500000");
        assert_eq!(of(2.675, 'f', Some(2)), "2.67");
        assert_eq!(of(12345.678, 'e', Some(2)), "1.23e+04");
        assert_eq!(of(0.00001, 'g', None), "1e-05");
        assert_eq!(of(100000.0, 'g', None), "100000");
        assert_eq!(of(1e6, 'G', None), "1E+06");
        assert_eq!(of(0.256, '%', Some(1)), "25.6%");
        assert_eq!(grouped("1234567.891", ',', 3), "1,234,567.891");
        assert_eq!([6, 7, 8, 9].map(|width| zeros_for("1234", 3, width)), [1, 2, 3, 3]);
        assert!(float(1.0, 'f', Some(70_000), false, &budget).is_err());
    }
}
