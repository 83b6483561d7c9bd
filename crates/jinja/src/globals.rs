//! Functions that every template has: those of Jinja and those of Hugging Face.

use crate::budget::Work;
use crate::date;
use crate::error::{Error, ErrorKind, Result};
use crate::eval::args::Args;
use crate::eval::{Interpreter, Object};
use crate::value::dict::Dict;
use crate::value::text::Text;
use crate::value::{ObjectKind, Range, Value};

/// The sandbox of Jinja makes no longer ranges.
const MAX_RANGE: usize = 100_000;

/// Characters that are told of what a template raises: it goes into an answer and a line of the log.
const LONGEST_MESSAGE: usize = 2000;

/// A function that every template has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    Lipsum,
    RaiseException,
    StrftimeNow,
}

/// All of them by name.
pub(crate) const BUILTINS: [(&str, Builtin); 8] = [
    ("range", Builtin::Range),
    ("dict", Builtin::Dict),
    ("namespace", Builtin::Namespace),
    ("cycler", Builtin::Cycler),
    ("joiner", Builtin::Joiner),
    ("lipsum", Builtin::Lipsum),
    ("raise_exception", Builtin::RaiseException),
    ("strftime_now", Builtin::StrftimeNow),
];

pub(crate) fn call(interpreter: &mut Interpreter<'_>, builtin: Builtin, args: Args) -> Result<Value> {
    match builtin {
        Builtin::Range => range(args),
        Builtin::Dict => Ok(Value::Dict(std::rc::Rc::new(dict(interpreter, args)?))),
        Builtin::Namespace => {
            let attributes = dict(interpreter, args)?;
            interpreter.new_object(ObjectKind::Namespace, Object::Namespace(attributes))
        }
        Builtin::Cycler => {
            let items = args.positional;
            if items.is_empty() {
                return Err(Error::failed("at least one item has to be provided"));
            }
            interpreter.new_object(ObjectKind::Cycler, Object::Cycler { items, next: 0 })
        }
        Builtin::Joiner => {
            let [separator] = args.bind("joiner", ["sep"], 0)?;
            let separator = separator.map_or_else(|| Ok(Text::own(", ")), |separator| interpreter.str(&separator))?;
            interpreter.new_object(ObjectKind::Joiner, Object::Joiner { separator, used: false })
        }
        Builtin::Lipsum => Err(Error::failed("the function 'lipsum' is not supported")),
        Builtin::RaiseException => {
            let message = args.one("raise_exception", "message")?;
            let message: String = interpreter.str(&message)?.as_str().chars().take(LONGEST_MESSAGE).collect();
            Err(Error::new(ErrorKind::Raised, message))
        }
        Builtin::StrftimeNow => {
            let format = args.one("strftime_now", "format")?;
            let format = format.text("the format of strftime_now")?;
            // A code becomes at most 18 characters.
            interpreter.budget.make(format.len().saturating_mul(9))?;
            interpreter.budget.work(Work::Rewrite, format.len())?;
            Value::made(date::strftime_now(format.as_str()), format.origin(), interpreter.budget)
        }
    }
}

fn range(args: Args) -> Result<Value> {
    if !args.named.is_empty() {
        return Err(Error::failed("range() takes no keyword arguments"));
    }
    let bound = |value: &Value| -> Result<i128> {
        let bound = value.int("an argument of range()")?;
        // Longer ones are refused in any case; so no sum overflows.
        i64::try_from(bound).map(i128::from).map_err(|_| too_long())
    };
    let bounds = args.positional.iter().map(bound).collect::<Result<Vec<_>>>()?;
    let (start, stop, step) = match bounds[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] => (start, stop, step),
        _ => return Err(Error::failed(format!("range expected 1 to 3 arguments, got {}", bounds.len()))),
    };
    if step == 0 {
        return Err(Error::failed("range() arg 3 must not be zero"));
    }
    let range = Range { start, stop, step };
    if range.len() > MAX_RANGE {
        return Err(too_long());
    }
    Ok(Value::Range(std::rc::Rc::new(range)))
}

fn too_long() -> Error {
    Error::failed(format!("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({MAX_RANGE})."))
}

/// `dict(mapping or pairs, name=value, ...)`, and `namespace` takes the same.
fn dict(interpreter: &mut Interpreter<'_>, args: Args) -> Result<Dict> {
    let budget = interpreter.budget;
    let mut dict = Dict::new();
    if args.positional.len() > 1 {
        return Err(Error::failed(format!("dict expected at most 1 argument, got {}", args.positional.len())));
    }
    match args.positional.first() {
        None => {}
        Some(Value::Dict(from)) => {
            for (key, value) in from.entries() {
                dict.insert(key.clone(), value.clone(), budget)?;
            }
        }
        Some(pairs) => {
            for pair in interpreter.iterate(pairs)?.iter() {
                let pair = interpreter.iterate(&pair)?;
                let (Some(key), Some(value), 2) = (pair.get(0), pair.get(1), pair.len()) else {
                    let length = pair.len();
                    let message = format!("dictionary update sequence element has length {length}; 2 is required");
                    return Err(Error::failed(message));
                };
                dict.insert(key, value, budget)?;
            }
        }
    }
    for (name, value) in args.named {
        dict.insert(Value::own(&*name), value, budget)?;
    }
    Ok(dict)
}
