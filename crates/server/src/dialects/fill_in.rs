//! A gap in code, as models that have learnt to fill one read it.
//!
//! The order of the parts, and what is left out when they are too long, is llama.cpp's: of what stands before the gap the end is nearest to it,
//! of what stands behind it the beginning.

use parkade_model::TokenId;
use parkade_model::tokenizer::{Bos, FillIn, SpecialTokens};

use crate::generate::ModelEntry;
use crate::http::{ApiError, quote};

/// What stands around a gap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gap<'a> {
    pub prefix: &'a str,
    pub suffix: &'a str,
    /// Other files, by their names.
    pub files: Vec<(&'a str, &'a str)>,
}

/// Between files, for models without a token for it.
const SNIPPET: &str = "\n\n--- snippet ---\n\n";

/// What files are called whose names nobody knows.
const REPOSITORY: &str = "myproject\n";
const THIS_FILE: &str = "filename\n";

impl Gap<'_> {
    /// The prompt whose answer is the filling. It leaves room for so many tokens of an answer, as far as it can.
    ///
    /// # Errors
    /// If the model has not learnt to fill gaps; `param` is the field that asks for it.
    pub fn prompt(&self, model: &ModelEntry, answer: usize, param: &str) -> Result<Vec<TokenId>, ApiError> {
        let marks = model.tokenizer.fill_in().ok_or_else(|| {
            let name = quote(&model.name);
            let message =
                format!("the model {name} cannot fill in the middle: it has no tokens for it; leave {param} out");
            ApiError::unsupported(param, message)
        })?;
        let encode = |text: &str| -> Result<Vec<TokenId>, ApiError> {
            let tokens = model.tokenizer.encode(text, SpecialTokens::AsText, Bos::Never);
            tokens.map_err(|error| ApiError::invalid_value(param, format!("it cannot be tokenised: {error}")))
        };
        let extra = self.extra(&marks, &encode)?;
        let (prefix, suffix) = (encode(self.prefix)?, encode(self.suffix)?);
        // The beginning of a text, and the three marks.
        let room = model.config.context_length.saturating_sub(answer.max(1) + 4);
        let least = prefix.len().min(room - room / 4);
        let after = suffix.len().min(room - least);
        let before = prefix.len().min(room - after);
        let files = extra.len().min(room - after - before);
        let bos = model.tokenizer.bos().filter(|_| model.tokenizer.adds_bos());
        Ok(bos
            .into_iter()
            .chain(extra[extra.len() - files..].iter().copied())
            .chain([marks.prefix])
            .chain(prefix[prefix.len() - before..].iter().copied())
            .chain([marks.suffix])
            .chain(suffix[..after].iter().copied())
            .chain([marks.middle])
            .collect())
    }

    /// The other files.
    fn extra(
        &self,
        marks: &FillIn,
        encode: &impl Fn(&str) -> Result<Vec<TokenId>, ApiError>,
    ) -> Result<Vec<TokenId>, ApiError> {
        let mut tokens = Vec::new();
        if self.files.is_empty() {
            return Ok(tokens);
        }
        if let Some(repository) = marks.repository {
            tokens.push(repository);
            tokens.extend(encode(REPOSITORY)?);
        }
        for (name, text) in &self.files {
            match marks.file {
                Some(file) => {
                    tokens.push(file);
                    tokens.extend(encode(&format!("{name}\n"))?);
                }
                None => tokens.extend(encode(SNIPPET)?),
            }
            tokens.extend(encode(text)?);
        }
        if let Some(file) = marks.file {
            tokens.push(file);
            tokens.extend(encode(THIS_FILE)?);
        }
        Ok(tokens)
    }
}
