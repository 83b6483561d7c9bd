//! Reading a JSON object field by field, with errors that name the field, its value and what is allowed.
//!
//! A derived deserialiser stops at "invalid type: string, expected f32 at line 1 column 90"; the reader of such an
//! error has to count columns. These say which field it was.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::http::{ApiError, quote};

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

    /// A number in 32 bits of floating point. One that is too large for them is infinite, which no range has in it; one that
    /// is too small becomes the smallest there is, and not 0, which may mean something else.
    pub fn number(&self, field: &str) -> Result<Option<f32>, ApiError> {
        let number = self.typed(field, "a number", Value::as_f64)?;
        Ok(number.map(|number| match number as f32 {
            narrow if narrow == 0.0 && number != 0.0 => f32::from_bits(1).copysign(narrow),
            narrow => narrow,
        }))
    }

    /// A whole number within `range`; `4.0` counts as one.
    pub fn integer<T: Whole>(&self, field: &str, range: RangeInclusive<T>) -> Result<Option<T>, ApiError> {
        self.get(field).map(|value| integer(value, &self.name(field), range)).transpose()
    }

    /// A limit: a whole number from `least` up, however large. -1 is no limit, as in llama.cpp and vLLM.
    pub fn limit(&self, field: &str, least: usize) -> Result<Option<usize>, ApiError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let allowed = || format!("-1 (no limit) or a whole number, {least} or more");
        let number = value.as_number().ok_or_else(|| wrong_type(self.name(field), value, &allowed()))?;
        let count = match number.as_f64() {
            Some(-1.0) => Some(usize::MAX),
            // A float that is too large becomes the largest count.
            Some(float) if float >= 0.0 && float.fract() == 0.0 => Some(float as usize),
            _ => None,
        };
        match count.filter(|&count| count >= least) {
            Some(count) => Ok(Some(count)),
            None => {
                let name = self.name(field);
                let message = format!("{name} is {number}; allowed: {}", allowed());
                Err(ApiError::invalid_value(name, message))
            }
        }
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

/// A type of whole numbers.
pub(crate) trait Whole: Copy + PartialOrd + std::fmt::Display + TryFrom<i128> {}

impl<T: Copy + PartialOrd + std::fmt::Display + TryFrom<i128>> Whole for T {}

/// A whole number within `range`, standing at `path`.
pub(crate) fn integer<T: Whole>(value: &Value, path: &str, range: RangeInclusive<T>) -> Result<T, ApiError> {
    let allowed = || format!("a whole number, {} to {}", range.start(), range.end());
    let Some(number) = value.as_number() else {
        return Err(wrong_type(path.to_owned(), value, &allowed()));
    };
    let whole = number.as_i128().or_else(|| {
        number
            .as_f64()
            // Up to 2^53 each whole number has its own f64; beyond, the sender's number is not known exactly.
            .filter(|f| f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0)
            .map(|f| f as i128)
    });
    let whole = whole.and_then(|whole| T::try_from(whole).ok()).filter(|whole| range.contains(whole));
    whole.ok_or_else(|| ApiError::invalid_value(path.to_owned(), format!("{path} is {number}; allowed: {}", allowed())))
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
        let above = message(fields.integer("c", 0..=i64::MAX));
        assert_eq!(above, format!("c is {}; allowed: a whole number, 0 to {}", u64::MAX, i64::MAX));
        assert_eq!(fields.integer("c", 0..=u64::MAX), Ok(Some(u64::MAX)));
    }

    #[test]
    fn numbers_that_do_not_fit_single_precision_are_in_no_range_and_not_0() {
        let body = json!({"x": 1e300, "y": -1e300, "z": 1e-300, "zero": -0.0});
        let fields = Fields::top(&body).expect("an object");
        assert_eq!(fields.number("x"), Ok(Some(f32::INFINITY)));
        assert_eq!(fields.number("y"), Ok(Some(f32::NEG_INFINITY)));
        assert!(fields.number("z").is_ok_and(|number| number.is_some_and(|number| number > 0.0)));
        assert_eq!(fields.number("zero"), Ok(Some(0.0)));
    }

    #[test]
    fn a_limit_may_be_larger_than_any_count() {
        for (sent, read) in [
            (json!(0), 0),
            (json!(7.0), 7),
            (json!(-1), usize::MAX),
            (json!(-1.0), usize::MAX),
            (json!(i64::MAX as u64 + 1), i64::MAX as usize + 1),
            (json!(u64::MAX), usize::MAX),
            (json!(1e30), usize::MAX),
            (json!(f64::MAX), usize::MAX),
        ] {
            let body = json!({ "x": sent });
            assert_eq!(Fields::top(&body).expect("an object").limit("x", 0), Ok(Some(read)), "{body}");
        }
        for sent in [json!(0), json!(-2), json!(-1e30), json!(i64::MIN), json!(1.5), json!(0.5), json!(-0.5)] {
            let body = json!({ "x": sent });
            let message = message(Fields::top(&body).expect("an object").limit("x", 1));
            assert_eq!(message, format!("x is {sent}; allowed: -1 (no limit) or a whole number, 1 or more"));
        }
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
