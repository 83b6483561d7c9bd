//! What `/v1/embeddings` and `/v1/rerank` read alike: for whom, and what is done with texts that are too long.

use std::sync::Arc;

use parkade_core::{Class, Request, RequestId, TaskKind, cut_end};
use parkade_model::TokenId;
use serde_json::Value;
use uuid::Uuid;

use crate::dialects::fields::{Fields, wrong_type};
use crate::dialects::openai::parse::generation::{model_name, user};
use crate::dialects::openai::service_tier;
use crate::generate::{AppState, IgnoredFields, ModelEntry, Sender};
use crate::http::ApiError;

/// The fields that say for whom and how soon, and not what.
const COMMON: &[&str] = &["model", "user", "service_tier", "priority", "truncate", "truncate_prompt_tokens"];

/// The fields of a body beside its texts.
pub(crate) struct TextFields {
    user: Option<String>,
    class: Option<Class>,
    rank: i64,
    truncation: Truncation,
    id: String,
}

/// What is done with a text that is longer than the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truncation {
    /// It is refused.
    None,
    /// It loses its end beyond so many tokens.
    End(usize),
    /// It loses its beginning.
    Start(usize),
}

impl TextFields {
    /// Reads the fields that both have, and notes those that neither they nor `own` are. The model's task must be `task`.
    pub fn read(
        state: &AppState,
        fields: &Fields<'_>,
        task: TaskKind,
        own: &[&str],
    ) -> Result<(Arc<ModelEntry>, Self, Option<IgnoredFields>), ApiError> {
        let model = state.model_for(task, model_name(fields)?)?;
        let mut ignored = IgnoredFields::default();
        for (name, _) in fields.members().filter(|(name, _)| !COMMON.contains(name) && !own.contains(name)) {
            ignored.add(|| fields.name(name));
        }
        let ignored = ignored.settle(state.config().strict)?;
        let context = model.config.context_length;
        let read = Self {
            user: user(fields)?,
            class: fields.word("service_tier", service_tier::WORDS)?.flatten(),
            rank: fields.integer("priority", i64::MIN..=i64::MAX)?.unwrap_or(0),
            truncation: truncation(fields, context)?,
            id: format!("text-{}", Uuid::new_v4().simple()),
        };
        Ok((model, read, ignored))
    }

    /// A request for the text with this number, which stands at `path` in the body.
    pub fn request(
        &self,
        from: &Sender<'_>,
        model: &ModelEntry,
        (number, path): (usize, &str),
        mut tokens: Vec<TokenId>,
    ) -> Result<Request, ApiError> {
        let context = model.config.context_length;
        self.truncation.cut(&mut tokens, model.tokenizer.eos());
        if tokens.is_empty() {
            return Err(ApiError::invalid_value(path, format!("{path} has no tokens; send a text with at least one")));
        }
        if tokens.len() > context {
            let message = format!(
                "{path} has {} tokens, and this model's maximum context length is {context} tokens; shorten it, or send \
                 \"truncate\": true to have its end cut off",
                tokens.len()
            );
            return Err(ApiError::bad_request("context_length_exceeded", message).with_param(path));
        }
        let Sender { identity, deadlines } = from;
        Ok(Request {
            id: RequestId(format!("{}-{number}", self.id)),
            task: model.engine.task(),
            tenant: identity.tenant(self.user.as_deref()),
            cache_scope: identity.cache_scope(None),
            class: identity.class(self.class),
            rank: self.rank,
            timeout: deadlines.timeout,
            format: None,
            ttft_slo: deadlines.ttft_slo,
            ..Request::new(String::new(), tokens)
        })
    }
}

impl Truncation {
    fn cut(self, tokens: &mut Vec<TokenId>, end: Option<TokenId>) {
        match self {
            Truncation::None => {}
            Truncation::End(most) => cut_end(tokens, most, end),
            Truncation::Start(most) => {
                // A text keeps its first token: encoders begin with one of their own.
                let first = usize::from(most > 1);
                let beyond = tokens.len().saturating_sub(most);
                tokens.drain(first.min(tokens.len())..(first + beyond).min(tokens.len()));
            }
        }
    }
}

/// `truncate`: `true` as in TEI, or `START` and `END` as in Cohere's API; `truncate_prompt_tokens`: the most tokens, as in vLLM.
fn truncation(fields: &Fields<'_>, context: usize) -> Result<Truncation, ApiError> {
    let most = fields.limit("truncate_prompt_tokens", 1)?;
    let most_or_context = most.unwrap_or(context).min(context);
    match fields.get("truncate") {
        Some(Value::Bool(true)) => Ok(Truncation::End(most_or_context)),
        None | Some(Value::Bool(false)) if most.is_some() => Ok(Truncation::End(most_or_context)),
        None | Some(Value::Bool(false)) => Ok(Truncation::None),
        Some(Value::String(word)) => match word.to_ascii_uppercase().as_str() {
            "END" => Ok(Truncation::End(most_or_context)),
            "START" => Ok(Truncation::Start(most_or_context)),
            "NONE" => Ok(Truncation::None),
            _ => {
                let words = [("START", ()), ("END", ()), ("NONE", ())];
                fields.word("truncate", &words).map(|_| Truncation::None)
            }
        },
        Some(other) => Err(wrong_type("truncate".to_owned(), other, "true, false, \"END\", \"START\" or \"NONE\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_keeps_its_end_token() {
        let cut = |truncation: Truncation, end| {
            let mut tokens = vec![101, 1, 2, 3, 102];
            truncation.cut(&mut tokens, end);
            tokens
        };
        assert_eq!(cut(Truncation::End(3), Some(102)), [101, 1, 102]);
        assert_eq!(cut(Truncation::End(3), None), [101, 1, 2]);
        assert_eq!(cut(Truncation::End(5), Some(102)), [101, 1, 2, 3, 102]);
        assert_eq!(cut(Truncation::Start(3), Some(102)), [101, 3, 102]);
        assert_eq!(cut(Truncation::Start(1), Some(102)), [102]);
        assert_eq!(cut(Truncation::None, Some(102)).len(), 5);
    }
}
