//! Metadata keys that begin with the architecture's name.

use std::cell::RefCell;
use std::collections::HashSet;

use crate::error::ModelError;
use crate::gguf::{Array, Gguf, Value};

/// Keys that change the results of some architectures, and the values with which they do not. A file that sets one to something else,
/// though its family does not read it, must be refused: its answers would be wrong without a sign.
const RESULT_KEYS: &[(&str, f64)] = &[
    ("expert_count", 0.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attention.temperature_scale", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("final_logit_softcapping", 0.0),
    ("logit_scale", 0.0),
    ("residual_scale", 0.0),
    ("embedding_scale", 0.0),
];

/// The metadata keys of one architecture. Remembers which were read.
pub(crate) struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
    read: RefCell<HashSet<&'static str>>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(gguf: &'a Gguf, architecture: &'a str) -> Keys<'a> {
        Keys { gguf, architecture, read: RefCell::default() }
    }

    /// The error about a key whose value makes no sense.
    pub(crate) fn wrong(&self, key: &str, found: impl ToString, expected: String) -> ModelError {
        ModelError::Config { key: self.name(key), found: found.to_string(), expected }
    }

    /// A number from 1 to `limit`.
    pub(crate) fn size(&self, key: &'static str, limit: u32) -> Result<usize, ModelError> {
        let value = self.gguf.require_u32(&self.asked(key))?;
        self.checked(key, value, limit)
    }

    /// A number from 1 to `limit`, if the file has it.
    pub(crate) fn optional_size(&self, key: &'static str, limit: u32) -> Result<Option<usize>, ModelError> {
        self.integer(key)?.map(|value| self.checked(key, value, limit)).transpose()
    }

    /// A number from 1 to `limit` for each layer: an array of them, or one for all.
    pub(crate) fn sizes(&self, key: &'static str, limit: u32, layers: usize) -> Result<Vec<usize>, ModelError> {
        if !self.is_array(key) {
            return Ok(vec![self.size(key, limit)?; layers]);
        }
        let sizes = self.counts(key, limit, layers)?;
        match sizes.contains(&0) {
            true => Err(self.wrong(key, 0, format!("1 to {limit}"))),
            false => Ok(sizes),
        }
    }

    /// A number from 0 to `limit` for each layer, by an array of them.
    pub(crate) fn counts(&self, key: &'static str, limit: u32, layers: usize) -> Result<Vec<usize>, ModelError> {
        let array = match self.gguf.get(&self.asked(key)) {
            Some(Value::Array(array)) if array.len() == layers => array.integers().unwrap_or_default(),
            Some(Value::Array(array)) => return Err(self.not_of_layers(key, array.len(), limit, layers)),
            _ => return Err(self.not_of_layers(key, 0, limit, layers)),
        };
        let counts: Vec<_> = array.iter().filter_map(|&n| u32::try_from(n).ok()).map(|n| n as usize).collect();
        match counts.iter().find(|&&count| count > limit as usize) {
            Some(count) => Err(self.wrong(key, count, format!("0 to {limit}"))),
            None if counts.len() == layers => Ok(counts),
            None => Err(self.not_of_layers(key, layers, limit, layers)),
        }
    }

    fn not_of_layers(&self, key: &str, found: usize, limit: u32, layers: usize) -> ModelError {
        self.wrong(
            key,
            format!("an array of {found}"),
            format!("one number from 0 to {limit} for each of {layers} layers"),
        )
    }

    /// Whether there is attention: a model of states alone has no heads, or none that count.
    pub(crate) fn attends(&self) -> Result<bool, ModelError> {
        let has_states = ["ssm.inner_size", "wkv.head_size"].iter().any(|key| self.gguf.get(&self.name(key)).is_some());
        Ok(!has_states || self.integer("attention.head_count")?.is_some_and(|heads| heads > 0))
    }

    /// Whether the file has an array of that name.
    pub(crate) fn is_array(&self, key: &str) -> bool {
        matches!(self.gguf.get(&self.name(key)), Some(Value::Array(_)))
    }

    /// A number from 0 to `limit`; 0 if the file does not have it.
    pub(crate) fn count(&self, key: &'static str, limit: u32) -> Result<usize, ModelError> {
        match self.integer(key)? {
            Some(value) if value > limit => Err(self.wrong(key, value, format!("0 to {limit}"))),
            value => Ok(value.unwrap_or(0) as usize),
        }
    }

    /// Any number that is not negative, if the file has it.
    pub(crate) fn integer(&self, key: &'static str) -> Result<Option<u32>, ModelError> {
        Ok(self.gguf.get_u32(&self.asked(key))?)
    }

    /// A number that the file must have.
    pub(crate) fn float(&self, key: &'static str) -> Result<f32, ModelError> {
        Ok(self.gguf.require_f32(&self.asked(key))?)
    }

    /// What a norm adds before its root.
    pub(crate) fn epsilon(&self, key: &'static str) -> Result<f32, ModelError> {
        let eps = self.float(key)?;
        if !(0.0..1.0).contains(&eps) {
            return Err(self.wrong(key, eps, "from 0 to 1".to_owned()));
        }
        Ok(eps)
    }

    /// A number, if the file has it.
    pub(crate) fn optional_float(&self, key: &'static str) -> Result<Option<f32>, ModelError> {
        Ok(self.gguf.get_f32(&self.asked(key))?)
    }

    /// A positive finite number; 0 counts as absent, as converters write it for "not set".
    pub(crate) fn positive(&self, key: &'static str) -> Result<Option<f32>, ModelError> {
        match self.optional_float(key)? {
            Some(value) if !(value.is_finite() && value >= 0.0) => {
                Err(self.wrong(key, value, "a positive number".to_owned()))
            }
            value => Ok(value.filter(|&value| value > 0.0)),
        }
    }

    /// A positive finite number that the file must have.
    pub(crate) fn factor(&self, key: &'static str) -> Result<f32, ModelError> {
        let found = self.float(key)?;
        self.positive(key)?.ok_or_else(|| self.wrong(key, found, "a positive number".to_owned()))
    }

    /// A base of rotary frequencies, if the file says it.
    pub(crate) fn freq_base(&self, key: &'static str) -> Result<Option<f32>, ModelError> {
        match self.positive(key)? {
            Some(base) if base <= 1.0 => Err(self.wrong(key, base, "more than 1".to_owned())),
            base => Ok(base),
        }
    }

    /// Yes or no, if the file says it.
    pub(crate) fn flag(&self, key: &'static str) -> Result<Option<bool>, ModelError> {
        Ok(self.gguf.get_bool(&self.asked(key))?)
    }

    /// A yes or no for each layer: an array of them, or a period, of whose layers only the last is a no. Without the key the period is `period`.
    pub(crate) fn pattern(&self, key: &'static str, layers: usize, period: usize) -> Result<Vec<bool>, ModelError> {
        // As llama.cpp has it, a period of 0 is a yes for all.
        self.pattern_by(key, layers, period, |layer, period| period == 0 || layer % period + 1 < period)
    }

    /// As [`pattern`](Self::pattern), where `yes` says it of a layer and a period.
    pub(crate) fn pattern_by(
        &self,
        key: &'static str,
        layers: usize,
        period: usize,
        yes: impl Fn(usize, usize) -> bool,
    ) -> Result<Vec<bool>, ModelError> {
        let name = self.asked(key);
        let flags = match self.gguf.get(&name) {
            Some(Value::Array(Array::Bool(flags))) => Some(flags.clone()),
            Some(Value::Array(array)) => array.integers().map(|flags| flags.iter().map(|&flag| flag != 0).collect()),
            _ => None,
        };
        match flags {
            Some(flags) if flags.len() == layers => Ok(flags),
            Some(flags) => {
                Err(self.wrong(key, format!("an array of {}", flags.len()), format!("one for each of {layers} layers")))
            }
            None => {
                let period = self.integer(key)?.map_or(period, |period| period as usize);
                Ok((0..layers).map(|layer| yes(layer, period)).collect())
            }
        }
    }

    /// A text, if the file has it.
    pub(crate) fn text(&self, key: &'static str) -> Result<Option<&'a str>, ModelError> {
        Ok(self.gguf.get_str(&self.asked(key))?)
    }

    /// A list of texts, if the file has it.
    pub(crate) fn texts(&self, key: &'static str) -> Result<Option<&'a [String]>, ModelError> {
        Ok(self.gguf.get_str_array(&self.asked(key))?)
    }

    /// Refuses values that change the results, of keys that nobody read.
    pub(crate) fn refuse_unread(&self) -> Result<(), ModelError> {
        let read = self.read.borrow();
        for &(key, neutral) in RESULT_KEYS.iter().filter(|(key, _)| !read.contains(key)) {
            let name = self.name(key);
            let Some(value) = self.gguf.get(&name) else { continue };
            let number = match value.integer() {
                Some(n) => n as f64,
                None => self.gguf.require_f32(&name)?.into(),
            };
            if number != neutral {
                let expected = format!("{neutral}; architecture '{}' is not supported with it", self.architecture);
                return Err(self.wrong(key, number, expected));
            }
        }
        let causal = "attention.causal";
        if !read.contains(causal) && self.gguf.get_bool(&self.name(causal))? == Some(false) {
            let expected = "true: only models that generate text are supported".to_owned();
            return Err(self.wrong(causal, false, expected));
        }
        Ok(())
    }

    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// The whole name of a key that is read now.
    fn asked(&self, key: &'static str) -> String {
        self.read.borrow_mut().insert(key);
        self.name(key)
    }

    fn checked(&self, key: &str, value: u32, limit: u32) -> Result<usize, ModelError> {
        if value == 0 || value > limit {
            return Err(self.wrong(key, value, format!("1 to {limit}")));
        }
        Ok(value as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::write::GgufWriter;

    #[test]
    fn a_key_that_changes_results_is_refused_unless_it_was_read() {
        let mut writer = GgufWriter::new();
        writer.set("granite.logit_scale", 8.0f32);
        let mut file = Vec::new();
        writer.write(&mut file, |_| unreachable!("there are no tensors")).unwrap();
        let gguf = Gguf::from_bytes(file).unwrap();
        let keys = Keys::new(&gguf, "granite");
        let message = keys.refuse_unread().unwrap_err().to_string();
        assert!(message.contains("'granite.logit_scale' is 8; expected 0"), "{message}");
        assert_eq!(keys.positive("logit_scale").unwrap(), Some(8.0));
        keys.refuse_unread().unwrap();
    }
}
