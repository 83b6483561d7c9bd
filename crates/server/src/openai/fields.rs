//! Reading a JSON object field by field, with errors that name the field, its value and what is allowed.
//!
//! A derived deserialiser stops at "invalid type: string, expected f32 at line 1 column 90"; the reader of such an
//! error has to count columns. These say which field it was.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::errors::ApiError;

/// Longest piece of a value that an error message repeats, in characters.
const QUOTED: usize = 60;

/// A JSON object together with the path that leads to it (`messages[3].`), for error messages.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    /// The top level of a body.
    pub fn top(body: &'a Value) -> Result<Self, ApiError> {
        let object = body.as_object().ok_or_else(|| {
            ApiError::invalid_body(format!("the body is {}; a JSON object is expected", describe(body)))
        })?;
        Ok(Self { object, path: String::new() })
    }

    /// The object that stands at `path`.
    pub fn at(value: &'a Value, path: String) -> Result<Self, ApiError> {
        match value.as_object() {
            Some(object) => Ok(Self { object, path: path + "." }),
            None => Err(wrong_type(path, value, "an object")),
        }
    }

    /// The full name of a field, as `param` reports it.
    pub fn name(&self, field: &str) -> String {
        format!("{}{field}", self.path)
    }

    /// A field's value. `null` counts as absent, as in OpenAI's API.
    pub fn get(&self, field: &str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    /// The members with a value, by name.
    pub fn members(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.object.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.as_str(), value))
    }

    /// Which of several names for the same field was sent, or the first. If several were sent they must agree.
    pub fn alias<const N: usize>(&self, names: [&'static str; N]) -> Result<&'static str, ApiError> {
        let mut sent = names.into_iter().filter_map(|name| Some((name, self.get(name)?)));
        let Some((first, value)) = sent.next() else {
            return Ok(names[0]);
        };
        match sent.find(|(_, other)| *other != value) {
            None => Ok(first),
            Some((second, other)) => Err(ApiError::invalid_value(
                self.name(second),
                format!(
                    "{first} is {} and {second} is {}; they mean the same: send one of them",
                    describe(value),
                    describe(other)
                ),
            )),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self, field: &str) -> Result<Option<bool>, ApiError> {
        self.typed(field, "true or false", Value::as_bool)
    }

    /// A string.
    pub fn string(&self, field: &str) -> Result<Option<&'a str>, ApiError> {
        self.typed(field, "a string", Value::as_str)
    }

    /// A list.
    pub fn list(&self, field: &str) -> Result<Option<&'a Vec<Value>>, ApiError> {
        self.typed(field, "a list", Value::as_array)
    }

    /// An object.
    pub fn object(&self, field: &str) -> Result<Option<&'a Map<String, Value>>, ApiError> {
        self.typed(field, "an object", Value::as_object)
    }

    /// A finite number that fits into 32 bits of floating point.
    pub fn number(&self, field: &str) -> Result<Option<f32>, ApiError> {
        let Some(number) = self.typed(field, "a number", Value::as_f64)? else {
            return Ok(None);
        };
        let narrow = number as f32;
        if narrow.is_finite() {
            Ok(Some(narrow))
        } else {
            Err(ApiError::invalid_value(
                self.name(field),
                format!("{} is {number}; that is out of range", self.name(field)),
            ))
        }
    }

    /// A whole number within `range`; `4.0` counts as one.
    pub fn integer(&self, field: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        self.get(field).map(|value| integer(value, &self.name(field), range)).transpose()
    }

    /// One of a fixed set of words.
    pub fn word<T: Copy>(&self, field: &str, words: &[(&'static str, T)]) -> Result<Option<T>, ApiError> {
        let Some(word) = self.string(field)? else {
            return Ok(None);
        };
        match words.iter().find(|(name, _)| *name == word) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let allowed: Vec<_> = words.iter().map(|(name, _)| *name).collect();
                Err(ApiError::invalid_value(
                    self.name(field),
                    format!("{} is {}; allowed: {}", self.name(field), quote(word), allowed.join(", ")),
                ))
            }
        }
    }

    fn typed<T>(
        &self,
        field: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => Err(wrong_type(self.name(field), value, expected)),
            },
        }
    }
}

/// A whole number within `range`, standing at `path`.
pub(crate) fn integer(value: &Value, path: &str, range: RangeInclusive<i64>) -> Result<i64, ApiError> {
    let allowed = || match (*range.start(), *range.end()) {
        (low, i64::MAX) => format!("{low} or more"),
        (low, high) => format!("{low} to {high}"),
    };
    let Some(number) = value.as_number() else {
        return Err(wrong_type(path.to_owned(), value, &format!("a whole number, {}", allowed())));
    };
    let whole = number.as_i64().or_else(|| {
        number
            .as_f64()
            // Up to 2^53 each whole number has its own f64; beyond, the sender's number is not known exactly.
            .filter(|f| f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0)
            .map(|f| f as i64)
    });
    match whole {
        Some(whole) if range.contains(&whole) => Ok(whole),
        _ => Err(ApiError::invalid_value(
            path.to_owned(),
            format!("{path} is {number}; allowed: a whole number, {}", allowed()),
        )),
    }
}

/// The error for a value of the wrong JSON type.
pub(crate) fn wrong_type(path: String, value: &Value, expected: &str) -> ApiError {
    let message = format!("{path} is {}; allowed: {expected}", describe(value));
    ApiError::invalid_type(path, message)
}

/// A value as an error message shows it: its type, and itself if it is short.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) => format!("the string {}", quote(s)),
        Value::Array(a) => format!("a list of {}", a.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// A client's text in quotes, without control characters and not at full length.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED).is_some() {
        shown.push('…');
    }
    format!("'{shown}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message<T: std::fmt::Debug>(result: Result<T, ApiError>) -> String {
        result.expect_err("a refused value").message().to_owned()
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_with_its_value() {
        let body = json!({"temperature": "hot", "n": 1.5, "stream": 1});
        let fields = Fields::top(&body).expect("an object");
        assert_eq!(message(fields.number("temperature")), "temperature is the string 'hot'; allowed: a number");
        assert_eq!(message(fields.integer("n", 1..=128)), "n is 1.5; allowed: a whole number, 1 to 128");
        assert_eq!(message(fields.boolean("stream")), "stream is the number 1; allowed: true or false");
    }

    #[test]
    fn whole_floats_are_integers_and_huge_ones_are_not() {
        let body = json!({"a": 4.0, "b": 1e300, "c": u64::MAX, "d": -0.0});
        let fields = Fields::top(&body).expect("an object");
        assert_eq!(fields.integer("a", 0..=10).ok().flatten(), Some(4));
        assert_eq!(fields.integer("d", 0..=10).ok().flatten(), Some(0));
        assert!(fields.integer("b", 0..=i64::MAX).is_err());
        assert!(fields.integer("c", 0..=i64::MAX).is_err());
    }

    #[test]
    fn numbers_that_do_not_fit_single_precision_are_refused() {
        let body = json!({"x": 1e300});
        let fields = Fields::top(&body).expect("an object");
        assert!(message(fields.number("x")).contains("out of range"));
    }

    #[test]
    fn null_counts_as_absent() {
        let body = json!({"stop": null});
        let fields = Fields::top(&body).expect("an object");
        assert_eq!(fields.string("stop").ok(), Some(None));
    }

    #[test]
    fn long_and_unprintable_values_are_shortened_and_escaped() {
        let shown = quote(&"\u{1b}[31m".repeat(100));
        assert!(shown.ends_with("…'"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}
