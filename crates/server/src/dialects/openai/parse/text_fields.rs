//! What `/v1/embeddings` and `/v1/rerank` read alike: for whom, and what is done with texts that are too long.

use std::sync::Arc;

use parkade_core::{Class, Request, RequestId, TaskKind};
use parkade_model::TokenId;
use serde_json::Value;
use uuid::Uuid;

use crate::dialects::fields::{Fields, wrong_type};
use crate::dialects::request::generation::{model_name, user};
use crate::dialects::request::service_tier;
use crate::generate::{AppState, IgnoredFields, ModelEntry, Sender};
use crate::http::ApiError;

/// The fields that say for whom and how soon, and not what.
const COMMON: &[&str] =
    &["model", "user", "service_tier", "priority", "supersedes", "truncate", "truncate_prompt_tokens"];

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
    /// The names of the fields that are read where these are an endpoint's own.
    pub fn names(own: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
        own.iter().chain(COMMON).copied()
    }

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

    /// How many tokens at both ends of a text stay where it is cut: its end token, and the first one, with which encoders begin.
    pub fn around_text(&self, model: &ModelEntry, tokens: &[TokenId]) -> (usize, usize) {
        let ends = tokens.last().is_some_and(|&last| Some(last) == model.tokenizer.eos());
        let begins = matches!(self.truncation, Truncation::Start(most) if most > 1);
        (usize::from(begins), usize::from(ends))
    }

    /// Refuses what leaves no room for a text, with so many tokens before and behind it.
    pub fn check_room(&self, path: &str, model: &ModelEntry, (before, behind): (usize, usize)) -> Result<(), ApiError> {
        let most = match self.truncation {
            Truncation::None => model.config.context_length,
            Truncation::End(most) | Truncation::Start(most) => most,
        };
        if before + behind < most {
            return Ok(());
        }
        let message = format!(
            "{path} has {} tokens, with what the model wants around it, and of {most} tokens that leaves none for a document; shorten it",
            before + behind
        );
        Err(ApiError::bad_request("context_length_exceeded", message).with_param(path))
    }

    /// A request for the text with this number, which stands at `path` in the body. Where it is cut, so many tokens `around` stay at both ends.
    pub fn request(
        &self,
        from: &Sender<'_>,
        model: &ModelEntry,
        (number, path): (usize, &str),
        around: (usize, usize),
        mut tokens: Vec<TokenId>,
    ) -> Result<Request, ApiError> {
        let context = model.config.context_length;
        self.truncation.cut(&mut tokens, around);
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
    /// Takes out what is too much, but none of the first `before` and the last `behind` tokens.
    fn cut(self, tokens: &mut Vec<TokenId>, (before, behind): (usize, usize)) {
        let (most, from_start) = match self {
            Truncation::None => return,
            Truncation::End(most) => (most, false),
            Truncation::Start(most) => (most, true),
        };
        let beyond = tokens.len().saturating_sub(most);
        let to = tokens.len().saturating_sub(behind);
        let first = if from_start { before } else { to.saturating_sub(beyond) };
        tokens.drain(first.min(to)..(first + beyond).min(to));
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
    fn a_text_that_is_cut_keeps_what_stands_around_it() {
        let cut = |truncation: Truncation, around| {
            let mut tokens = vec![101, 1, 2, 3, 102];
            truncation.cut(&mut tokens, around);
            tokens
        };
        assert_eq!(cut(Truncation::End(3), (0, 1)), [101, 1, 102]);
        assert_eq!(cut(Truncation::End(3), (0, 0)), [101, 1, 2]);
        assert_eq!(cut(Truncation::End(5), (0, 1)), [101, 1, 2, 3, 102]);
        assert_eq!(cut(Truncation::Start(3), (1, 1)), [101, 3, 102]);
        assert_eq!(cut(Truncation::Start(1), (0, 1)), [102]);
        assert_eq!(cut(Truncation::End(4), (2, 2)), [101, 1, 3, 102]);
        assert_eq!(cut(Truncation::Start(4), (2, 2)), [101, 1, 3, 102]);
        assert_eq!(cut(Truncation::None, (1, 1)).len(), 5);
    }
}
