//! Filters of numbers.

use crate::budget::Work;
use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::eval::args::{Args, flag, given, int as int_argument};
use crate::value::Value;
use crate::value::number::{self, Number, parse_float, parse_int};
use crate::value::text::Text;

pub(super) fn abs(_: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    args.none("abs")?;
    value.defined()?;
    match Number::of(&value) {
        Some(Number::Int(i)) => i.checked_abs().map(Value::Int).ok_or_else(number::too_large),
        Some(Number::Float(f)) => Ok(Value::Float(f.abs())),
        None => Err(Error::failed(format!("bad operand type for abs(): '{}'", value.type_name()))),
    }
}

/// `int(default=0, base=10)`
pub(super) fn int(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [default, base] = args.bind("int", ["default", "base"], 0)?;
    value.defined()?;
    // In a base that is none no text is a whole number.
    let base = base.as_ref().map_or(Some(10), Value::as_int).and_then(|base| u32::try_from(base).ok());
    let base = base.filter(|base| *base == 0 || (2..=36).contains(base));
    let default = default.unwrap_or(Value::Int(0));
    Ok(match &value {
        Value::Text(text) => {
            read_number(interpreter, text)?;
            let whole = base.and_then(|base| parse_int(text.as_str(), base));
            whole.or_else(|| parse_float(text.as_str()).and_then(truncate)).map_or(default, Value::Int)
        }
        Value::Float(f) if f.is_infinite() => return Err(Error::failed("cannot convert float infinity to integer")),
        Value::Float(f) => truncate(*f).map_or(default, Value::Int),
        other => other.as_int().map_or(default, Value::Int),
    })
}

/// Charges for reading a number: for the digits, and for a copy of them without underscores.
fn read_number(interpreter: &Interpreter<'_>, text: &Text) -> Result<()> {
    interpreter.budget.make(text.len())?;
    interpreter.budget.work(Work::Rewrite, text.len())
}

fn truncate(number: f64) -> Option<i128> {
    (number.abs() < 1e38).then_some(number as i128)
}

/// `float(default=0.0)`
pub(super) fn float(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [default] = args.bind("float", ["default"], 0)?;
    value.defined()?;
    let number = match &value {
        Value::Text(text) => {
            read_number(interpreter, text)?;
            parse_float(text.as_str())
        }
        other => Number::of(other).map(Number::as_f64),
    };
    Ok(number.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float))
}

/// `round(precision=0, method='common')`
pub(super) fn round(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [precision, method] = args.bind("round", ["precision", "method"], 0)?;
    // Python's `round(number, None)` gives a whole number.
    let to_whole = matches!(precision, Some(Value::None));
    let precision = int_argument(given(precision).as_ref(), "precision", 0)?;
    let method = method.as_ref().map_or(Ok("common"), |method| Ok(method.text("method")?.as_str()))?;
    value.defined()?;
    let unknown = || Error::failed(format!("type {} doesn't define __round__ method", value.type_name()));
    let number = Number::of(&value).ok_or_else(unknown)?;
    let unit = 10f64.powi(i32::try_from(precision.clamp(-400, 400)).unwrap_or(0));
    match (method, number) {
        ("ceil" | "floor", _) if to_whole => Err(Error::failed("precision must be an integer, not NoneType")),
        ("common", Number::Float(f)) if to_whole => {
            let rounded = truncate(number::round(f, 0));
            rounded.map(Value::Int).ok_or_else(|| Error::failed("cannot convert float to integer"))
        }
        ("common", Number::Int(i)) if precision >= 0 => Ok(Value::Int(i)),
        ("common", Number::Int(i)) => round_integer(i, precision.unsigned_abs()),
        ("common", Number::Float(f)) => {
            interpreter.budget.step(usize::try_from(precision.clamp(0, 300)).unwrap_or(0))?;
            Ok(Value::Float(number::round(f, precision)))
        }
        ("ceil", number) => Ok(Value::Float((number.as_f64() * unit).ceil() / unit)),
        ("floor", number) => Ok(Value::Float((number.as_f64() * unit).floor() / unit)),
        _ => Err(Error::failed("method must be common, ceil or floor")),
    }
}

/// To so many zeros at the end, ties to the even neighbour.
fn round_integer(number: i128, zeros: u128) -> Result<Value> {
    let Some(unit) = u32::try_from(zeros).ok().and_then(|zeros| 10i128.checked_pow(zeros)) else {
        return Ok(Value::Int(0));
    };
    let (whole, rest) = (number.div_euclid(unit), number.rem_euclid(unit));
    let up = match (rest * 2).cmp(&unit) {
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => whole.rem_euclid(2),
        std::cmp::Ordering::Less => 0,
    };
    (whole + up).checked_mul(unit).map(Value::Int).ok_or_else(number::too_large)
}

/// `filesizeformat(binary=False)`
pub(super) fn filesizeformat(interpreter: &mut Interpreter<'_>, value: Value, args: Args) -> Result<Value> {
    let [binary] = args.bind("filesizeformat", ["binary"], 0)?;
    let binary = flag(binary.as_ref(), false);
    value.defined()?;
    let bytes = match &value {
        Value::Text(text) => {
            read_number(interpreter, text)?;
            parse_float(text.as_str())
        }
        other => Number::of(other).map(Number::as_f64),
    };
    let bytes = bytes.ok_or_else(|| Error::failed("filesizeformat needs a number"))?;
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    let text = match bytes {
        1.0 => "1 Byte".to_owned(),
        _ if bytes < base => format!("{} Bytes", bytes as i128),
        _ => {
            let mut unit = base * base;
            let mut prefixes = (if binary { "KMGTPEZY" } else { "kMGTPEZY" }).chars();
            let mut prefix = prefixes.next().unwrap_or('k');
            for next in prefixes {
                if bytes < unit {
                    break;
                }
                unit *= base;
                prefix = next;
            }
            let suffix = if binary { "iB" } else { "B" };
            format!("{:.1} {prefix}{suffix}", base * bytes / unit)
        }
    };
    Ok(Value::own(text))
}
