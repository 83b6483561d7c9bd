//! From a conversation, or a text, to a request.

use parkade_model::chat_template::{ChatInput, TemplateError};
use parkade_model::tokenizer::{Bos, SpecialTokens, TokenizerError};
use serde_json::{Map, Value, json};

use crate::load::Loaded;
use crate::request::Request;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Whoever offers the model: how it is to answer.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name in chat templates and in OpenAI's API.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One message of a conversation. It is text whatever it spells: no message can end its turn or begin another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// Says how the model is to answer.
    pub fn system(content: impl Into<String>) -> Self {
        Message { role: Role::System, content: content.into() }
    }

    /// Asks.
    pub fn user(content: impl Into<String>) -> Self {
        Message { role: Role::User, content: content.into() }
    }

    /// What the model has answered.
    pub fn assistant(content: impl Into<String>) -> Self {
        Message { role: Role::Assistant, content: content.into() }
    }
}

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// The model knows no turns.
    #[error("the model {model} has no chat template; give one (--chat-template), or have it go on with a text")]
    NoTemplate {
        /// The model's name.
        model: String,
    },
    /// The chat template failed, or refused the messages.
    #[error("the model's chat template failed: {0}")]
    Template(#[from] TemplateError),
    /// The prompt has no tokens.
    #[error("the prompt cannot be tokenised: {0}")]
    Tokenizer(#[from] TokenizerError),
}

impl Loaded {
    /// A request for the model's next answer in a conversation, with the defaults of [`Request::new`]. The template is bounded in time
    /// and memory, but may take a second of it: long conversations are nothing for an async thread.
    ///
    /// ```no_run
    /// use parkade_core::{LoadOptions, Message, Request, load};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let model = load("model.gguf".as_ref(), &LoadOptions::default())?;
    /// let chat = [Message::system("Answer in one word."), Message::user("What is the opposite of hot?")];
    /// let request = Request { max_tokens: Some(16), ..model.chat("opposite", &chat)? };
    /// let stream = model.engine.submit(request)?;
    /// # drop(stream);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The model has no chat template, or the template does not take these messages.
    pub fn chat<'a>(
        &self,
        id: impl Into<String>,
        messages: impl IntoIterator<Item = &'a Message>,
    ) -> Result<Request, PromptError> {
        let template = self.template.as_ref().ok_or_else(|| PromptError::NoTemplate { model: self.name.clone() })?;
        let messages: Value = messages
            .into_iter()
            .map(|Message { role, content }| json!({ "role": role.name(), "content": content }))
            .collect();
        let mut variables = Map::new();
        template.complete(false, &mut variables);
        let prompt = template.render(&ChatInput {
            messages: &messages,
            tools: None,
            documents: None,
            add_generation_prompt: true,
            extra: &variables,
        })?;
        Ok(Request::new(id, self.tokenizer.encode_prompt(&prompt)?))
    }

    /// A request to go on with a text, with the defaults of [`Request::new`]. The text is no markup, whatever it spells.
    ///
    /// # Errors
    /// The text cannot be turned into tokens.
    pub fn completion(&self, id: impl Into<String>, text: &str) -> Result<Request, PromptError> {
        Ok(Request::new(id, self.tokenizer.encode(text, SpecialTokens::AsText, Bos::AsModel)?))
    }
}
