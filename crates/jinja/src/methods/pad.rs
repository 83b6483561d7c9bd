//! `center`, `ljust`, `rjust`, `zfill`, `expandtabs`.

use crate::budget::Work;
use crate::error::{Error, Result};
use crate::eval::Interpreter;
use crate::eval::args::{Args, int};
use crate::value::Value;
use crate::value::text::{Text, TextBuilder};

pub(super) fn call(interpreter: &mut Interpreter<'_>, text: &Text, method: &str, args: Args) -> Result<Value> {
    if method == "expandtabs" {
        let [size] = args.bind(method, ["tabsize"], 0)?;
        return expand_tabs(interpreter, text, int(size.as_ref(), "tabsize", 8)?);
    }
    if method == "zfill" {
        let width = args.one(method, "width")?.int("width")?;
        return zfill(interpreter, text, width);
    }
    let [width, fill] = args.bind(method, ["width", "fillchar"], 1)?;
    let width = int(width.as_ref(), "width", 0)?;
    let fill = match &fill {
        Some(fill) => fill.text("fillchar")?.clone(),
        None => Text::own(" "),
    };
    if fill.as_str().chars().take(2).count() != 1 {
        return Err(Error::failed("The fill character must be exactly one character long"));
    }
    let missing = missing(interpreter, text, width)?;
    let left = match method {
        "ljust" => 0,
        "rjust" => missing,
        // As in Python, where the odd one goes depends on the width.
        _ => missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1),
    };
    pad(interpreter, text, &fill, left, missing - left)
}

/// A text with so many fill characters on both sides.
pub(crate) fn pad(interpreter: &Interpreter<'_>, text: &Text, fill: &Text, left: usize, right: usize) -> Result<Value> {
    let mut out = TextBuilder::new(interpreter.budget);
    out.push_repeated(fill, left)?;
    out.push_text(text)?;
    out.push_repeated(fill, right)?;
    Ok(Value::Text(out.finish()))
}

fn missing(interpreter: &Interpreter<'_>, text: &Text, width: i128) -> Result<usize> {
    let length = text.chars(interpreter.budget)?;
    Ok(usize::try_from(width).unwrap_or(if width > 0 { usize::MAX } else { 0 }).saturating_sub(length))
}

/// `center(width)`, which is a filter too.
pub(crate) fn center(interpreter: &mut Interpreter<'_>, text: &Text, width: Value) -> Result<Value> {
    call(interpreter, text, "center", Args { positional: vec![width], named: Vec::new() })
}

fn zfill(interpreter: &Interpreter<'_>, text: &Text, width: i128) -> Result<Value> {
    let missing = missing(interpreter, text, width)?;
    let sign = usize::from(text.as_str().starts_with(['+', '-']));
    let mut out = TextBuilder::new(interpreter.budget);
    out.push_slice(text, 0..sign)?;
    out.push_repeated(&Text::own("0"), missing)?;
    out.push_slice(text, sign..text.len())?;
    Ok(Value::Text(out.finish()))
}

fn expand_tabs(interpreter: &Interpreter<'_>, text: &Text, size: i128) -> Result<Value> {
    let size = usize::try_from(size).unwrap_or(0);
    let mut out = TextBuilder::new(interpreter.budget);
    let mut column = 0;
    interpreter.budget.work(Work::Look, text.len())?;
    for part in text.as_str().split_inclusive(['\t', '\n', '\r']) {
        interpreter.budget.step(1)?;
        let plain = part.trim_end_matches('\t');
        out.push_part(text, plain)?;
        column += plain.chars().count();
        if plain.len() < part.len() {
            let spaces = if size == 0 { 0 } else { size - column % size };
            out.push_repeated(&Text::own(" "), spaces)?;
            column += spaces;
        } else if plain.ends_with(['\n', '\r']) {
            column = 0;
        }
    }
    Ok(Value::Text(out.finish()))
}
