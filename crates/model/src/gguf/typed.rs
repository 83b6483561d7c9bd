//! Metadata by type.
//!
//! `get_*` is `Ok(None)` when the key is absent and an error when it holds something else; `require_*` makes absence an error.

use std::borrow::Cow;

use super::{Array, Gguf, GgufError, Value};

impl Gguf {
    /// The value of `key`, in the file's own type, if it has one that can be used.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let &index = self.header.keys.get(key)?;
        Some(&self.header.metadata[index].1)
    }

    /// `general.architecture`, which every file must have.
    ///
    /// # Errors
    /// If it is missing or no string.
    pub fn architecture(&self) -> Result<&str, GgufError> {
        self.require_str("general.architecture")
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        if let Some(problem) = self.header.unusable.get(key) {
            return Err(GgufError::Unusable { key: key.to_owned(), problem: problem.clone() });
        }
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(GgufError::KeyType { key: key.to_owned(), found: value.to_string(), expected }),
        }
    }

    /// An unsigned integer. Any integer type is taken as long as the value fits, since converters differ.
    ///
    /// # Errors
    /// If the value is no integer from 0 to 2^32 - 1.
    pub fn get_u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        self.typed(key, "an integer from 0 to 2^32 - 1", |v| v.integer().and_then(|n| u32::try_from(n).ok()))
    }

    /// An unsigned integer of 64 bits, from any integer type that fits.
    ///
    /// # Errors
    /// If the value is no integer from 0 to 2^64 - 1.
    pub fn get_u64(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.typed(key, "an integer from 0 to 2^64 - 1", |v| v.integer().and_then(|n| u64::try_from(n).ok()))
    }

    /// A floating-point number (`float64` is rounded).
    ///
    /// # Errors
    /// If the value is no `float32` or `float64`.
    pub fn get_f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.typed(key, "a floating-point number", |v| match *v {
            Value::F32(x) => Some(x),
            Value::F64(x) => Some(x as f32),
            _ => None,
        })
    }

    /// A boolean, or 0 or 1 of any integer type, since converters differ.
    ///
    /// # Errors
    /// If the value is neither.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.typed(key, "a bool", |v| match (v, v.integer()) {
            (&Value::Bool(b), _) => Some(b),
            (_, Some(0)) => Some(false),
            (_, Some(1)) => Some(true),
            _ => None,
        })
    }

    /// A string.
    ///
    /// # Errors
    /// If the value is no string.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.typed(key, "a string", |v| match v {
            Value::Str(s) => Some(s.as_str()),
            _ => None,
        })
    }

    /// An array of strings.
    ///
    /// # Errors
    /// If the value is no array of strings.
    pub fn get_str_array(&self, key: &str) -> Result<Option<&[String]>, GgufError> {
        self.typed(key, "an array of strings", |v| match v {
            Value::Array(Array::Str(a)) => Some(a.as_slice()),
            _ => None,
        })
    }

    /// An array of `float32`.
    ///
    /// # Errors
    /// If the value is no array of `float32`.
    pub fn get_f32_array(&self, key: &str) -> Result<Option<&[f32]>, GgufError> {
        self.typed(key, "an array of float32", |v| match v {
            Value::Array(Array::F32(a)) => Some(a.as_slice()),
            _ => None,
        })
    }

    /// An array of bytes, which some converters write as signed.
    ///
    /// # Errors
    /// If the value is no array of `uint8` or `int8`.
    pub fn get_bytes(&self, key: &str) -> Result<Option<Cow<'_, [u8]>>, GgufError> {
        self.typed(key, "an array of uint8 or int8", |v| match v {
            Value::Array(Array::U8(a)) => Some(Cow::Borrowed(a.as_slice())),
            Value::Array(Array::I8(a)) => Some(a.iter().map(|&byte| byte.cast_unsigned()).collect()),
            _ => None,
        })
    }

    /// An array of integers, from any integer type.
    ///
    /// # Errors
    /// If the value is no array of integers that fit into an `i64`.
    pub fn get_int_array(&self, key: &str) -> Result<Option<Vec<i64>>, GgufError> {
        self.typed(key, "an array of integers", |v| match v {
            Value::Array(a) => a.integers(),
            _ => None,
        })
    }

    /// As [`Gguf::get_u32`]; absence is an error.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn require_u32(&self, key: &str) -> Result<u32, GgufError> {
        self.get_u32(key)?.ok_or_else(|| missing(key))
    }

    /// As [`Gguf::get_f32`]; absence is an error.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn require_f32(&self, key: &str) -> Result<f32, GgufError> {
        self.get_f32(key)?.ok_or_else(|| missing(key))
    }

    /// As [`Gguf::get_str`]; absence is an error.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn require_str(&self, key: &str) -> Result<&str, GgufError> {
        self.get_str(key)?.ok_or_else(|| missing(key))
    }

    /// As [`Gguf::get_str_array`]; absence is an error.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn require_str_array(&self, key: &str) -> Result<&[String], GgufError> {
        self.get_str_array(key)?.ok_or_else(|| missing(key))
    }
}

/// What a model can do without: a value of another type counts as missing, with a warning.
pub(crate) fn or_missing<T>(value: Result<Option<T>, GgufError>, warnings: &mut Vec<String>) -> Option<T> {
    value.unwrap_or_else(|error| {
        // The file itself tells of these.
        if !matches!(error, GgufError::Unusable { .. }) {
            warnings.push(format!("{error}; it counts as missing"));
        }
        None
    })
}

fn missing(key: &str) -> GgufError {
    GgufError::MissingKey { key: key.to_owned() }
}
