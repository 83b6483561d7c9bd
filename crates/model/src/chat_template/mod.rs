//! Chat messages to the prompt text that a model was trained on, by the template in its GGUF file.
//!
//! Templates are Jinja in the dialect of Hugging Face: `trim_blocks` and `lstrip_blocks`, `raise_exception`,
//! `strftime_now`, Python's `tojson` and string methods, `break` and `continue`, `{% generation %}`. Values print as
//! Python prints them (`True`, `None`).
//!
//! A template comes from a file that somebody else wrote. [`parkade_jinja`] bounds what it may do, and tells which parts of a
//! prompt are the request's words.

mod builtin;
mod dialect;
mod error;
mod members;
mod messages;
pub(crate) mod sources;
mod system;

use std::cell::Cell;

use parkade_jinja::{ErrorKind, Template, Variable};
use serde_json::{Map, Value};

pub use builtin::GivenTemplate;
pub use dialect::Uses;
pub use error::TemplateError;
pub use members::Member;
pub use parkade_jinja::Limits;

use self::members::Printed;
use self::messages::Dialect;
use self::sources::{DEFAULT, key, sources};
use crate::Prompt;
use crate::gguf::Gguf;
use crate::tokenizer::Tokenizer;

/// The template that is taken when tools are given, if there is one.
const TOOL_USE: &str = "tool_use";

/// The roles of messages that are words of the API, and not text: templates write control tokens with them.
const ROLES: [&str; 9] =
    ["system", "developer", "user", "assistant", "tool", "function", "ipython", "observation", "model"];

/// Variables for the present day that templates read, and how each has it: Llama 3's and Firefunction's. No hours: prompts that begin alike are
/// to go on doing so.
const DATES: [(&str, &str); 2] = [("date_string", "%d %b %Y"), ("datetime", "%b %d %Y")];

/// A small conversation, rendered to find out what a template expects, may use this part of what a request may.
const PROBE_SHARE: u64 = 10;

/// A model's chat template, ready to write prompts.
#[derive(Debug)]
pub struct ChatTemplate {
    templates: Vec<Named>,
    bos: String,
    eos: String,
    limits: Limits,
}

#[derive(Debug)]
struct Named {
    name: String,
    /// What messages call it: its key in the metadata, or how it was given.
    key: String,
    source: String,
    template: Template,
    dialect: Dialect,
    uses: Uses,
    printed: Printed,
}

/// What a prompt is written from.
#[derive(Debug, Clone, Copy)]
pub struct ChatInput<'a> {
    /// The conversation, as the API has it: an array of objects with `role`, `content` and so on.
    ///
    /// Content is a string, an array of text parts (joined by line ends, unless the template wants parts), or null.
    pub messages: &'a Value,
    /// The tools that the model may call, as the API has them.
    pub tools: Option<&'a Value>,
    /// Documents that the answer is to rest on.
    pub documents: Option<&'a Value>,
    /// Whether the prompt ends with the beginning of the assistant's answer.
    pub add_generation_prompt: bool,
    /// More variables for the template, such as `enable_thinking`.
    pub extra: &'a Map<String, Value>,
}

impl ChatTemplate {
    /// The template in a model file; `None` if it has none.
    ///
    /// # Errors
    /// If a template is no valid Jinja or too long.
    pub fn from_gguf(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>, TemplateError> {
        // The tokenizer tells of those that are no text.
        let sources = sources(gguf, &mut Vec::new());
        if sources.is_empty() {
            return Ok(None);
        }
        let text = |token: Option<u32>| token.map_or("", |id| tokenizer.token_text(id));
        let sources =
            sources.into_iter().map(|(name, source)| (name.to_owned(), key(name), source.to_owned())).collect();
        Self::named(sources, text(tokenizer.bos()), text(tokenizer.eos()), Limits::default()).map(Some)
    }

    /// A template that is taken instead of those in the model's file.
    ///
    /// # Errors
    /// If it is no valid Jinja.
    pub fn given(given: GivenTemplate, tokenizer: &Tokenizer) -> Result<ChatTemplate, TemplateError> {
        let text = |token: Option<u32>| token.map_or("", |id| tokenizer.token_text(id));
        let sources = vec![(DEFAULT.to_owned(), given.name, given.source)];
        Self::named(sources, text(tokenizer.bos()), text(tokenizer.eos()), Limits::default())
    }

    /// A template from its source. `bos` and `eos` are the texts of the tokens that begin and end a text.
    ///
    /// # Errors
    /// If the template is no valid Jinja or too long.
    pub fn new(source: impl Into<String>, bos: &str, eos: &str) -> Result<ChatTemplate, TemplateError> {
        Self::with_limits(source, bos, eos, Limits::default())
    }

    /// As [`ChatTemplate::new`], with other limits.
    ///
    /// # Errors
    /// If the template is no valid Jinja or too long.
    pub fn with_limits(
        source: impl Into<String>,
        bos: &str,
        eos: &str,
        limits: Limits,
    ) -> Result<ChatTemplate, TemplateError> {
        Self::named(vec![(DEFAULT.to_owned(), key(DEFAULT), source.into())], bos, eos, limits)
    }

    fn named(
        sources: Vec<(String, String, String)>,
        bos: &str,
        eos: &str,
        limits: Limits,
    ) -> Result<ChatTemplate, TemplateError> {
        let mut template = ChatTemplate { templates: Vec::new(), bos: bos.into(), eos: eos.into(), limits };
        for (name, key, source) in sources {
            if source.len() > limits.source_bytes {
                let bytes = source.len();
                return Err(TemplateError::SourceTooLong { key, bytes, limit: limits.source_bytes });
            }
            let compiled = Template::compile(&source, &limits)
                .map_err(|error| TemplateError::from_engine(&error, key.clone(), &limits))?;
            let (dialect, uses, printed) = template.probe(&compiled);
            template.templates.push(Named { name, key, source, template: compiled, dialect, uses, printed });
        }
        Ok(template)
    }

    /// The prompt for a conversation.
    ///
    /// # Errors
    /// If the template refuses the messages or fails on them, or takes too long, or the prompt becomes too long.
    pub fn render(&self, input: &ChatInput<'_>) -> Result<Prompt, TemplateError> {
        let with_tools = input.tools.is_some_and(|tools| !tools.is_null() && tools != &Value::Array(Vec::new()));
        let template = self.chosen(with_tools)?;
        let mut messages = messages::shape(input.messages, template.dialect)?;
        if template.dialect.fold_system {
            messages = system::fold(messages);
        }
        let messages = Value::Array(messages);
        let tools = input.tools.filter(|_| with_tools).unwrap_or(&Value::Null);
        let documents = input.documents.unwrap_or(&Value::Null);
        let variables = self.variables(&messages, tools, documents, input.add_generation_prompt, input.extra);
        let rendered = template
            .template
            .render(&variables, &self.limits)
            .map_err(|error| TemplateError::from_engine(&error, template.key.clone(), &self.limits))?;
        Ok(Prompt::with_given(rendered.text, rendered.input))
    }

    /// The source of the template for requests with tools, or without; `None` if there is none for such requests.
    pub fn source(&self, with_tools: bool) -> Option<&str> {
        self.chosen(with_tools).ok().map(|chosen| chosen.source.as_str())
    }

    /// What the template for requests with tools, or without, writes into the prompt.
    ///
    /// # Errors
    /// If there is no template for such requests.
    pub fn uses(&self, with_tools: bool) -> Result<Uses, TemplateError> {
        Ok(self.chosen(with_tools)?.uses)
    }

    /// Whether the template for requests with tools, or without, can read a member of this name there: it speaks of that name, or it
    /// writes such objects as a whole.
    pub fn reads_member(&self, with_tools: bool, of: Member, name: &str) -> bool {
        // Without a template for such a request rendering fails, and says so.
        self.chosen(with_tools)
            .map_or(true, |chosen| chosen.printed.reads(of, name, chosen.template.names_member(name)))
    }

    /// Whether the template for requests with tools, or without, speaks of a variable of this name.
    pub fn reads_variable(&self, with_tools: bool, name: &str) -> bool {
        self.chosen(with_tools).map_or(true, |chosen| chosen.template.names_variable(name))
    }

    /// Adds what the template for requests with tools, or without, takes for granted to the variables of a request: the present day (in
    /// UTC), without which some take a day on which their model was new, and no `functions`, which is what `tools` were once called.
    /// What is there stays.
    pub fn complete(&self, with_tools: bool, variables: &mut Map<String, Value>) {
        let dates = DATES.map(|(name, format)| (name, parkade_jinja::strftime_now(format)));
        for (name, value) in dates.into_iter().chain([("functions", String::new())]) {
            if self.reads_variable(with_tools, name) && !variables.contains_key(name) {
                variables.insert(name.to_owned(), value.into());
            }
        }
    }

    fn chosen(&self, with_tools: bool) -> Result<&Named, TemplateError> {
        let find = |name: &str| self.templates.iter().find(|template| template.name == name);
        with_tools.then(|| find(TOOL_USE)).flatten().or_else(|| find(DEFAULT)).ok_or_else(|| {
            let names: Vec<&str> = self.templates.iter().map(|template| template.name.as_str()).collect();
            TemplateError::NoDefault { available: names.join(", ") }
        })
    }

    /// Finds out what a template expects and uses. One that takes too long for one small conversation is asked no more.
    fn probe(&self, template: &Template) -> (Dialect, Uses, Printed) {
        let limits = Limits { fuel: self.limits.fuel / PROBE_SHARE, ..self.limits };
        let exhausted = Cell::new(false);
        let render =
            |trial: dialect::Trial| {
                if exhausted.get() {
                    return None;
                }
                let (messages, extra) = (Value::Array(trial.messages), Map::new());
                let (tools, documents) = (trial.tools.unwrap_or_default(), trial.documents.unwrap_or_default());
                let rendered = template.render(&self.variables(&messages, &tools, &documents, true, &extra), &limits);
                exhausted.set(rendered.as_ref().is_err_and(|error| {
                    matches!(error.kind(), ErrorKind::Fuel | ErrorKind::Memory | ErrorKind::Output)
                }));
                rendered.ok().map(|rendered| rendered.text)
            };
        let dialect = dialect::probe(|messages| render(dialect::Trial { messages, tools: None, documents: None }));
        (dialect, dialect::probe_uses(dialect, render), members::probe(dialect, render))
    }

    /// The variables of a template, as Hugging Face gives them.
    fn variables<'a>(
        &'a self,
        messages: &'a Value,
        tools: &'a Value,
        documents: &'a Value,
        add_generation_prompt: bool,
        extra: &'a Map<String, Value>,
    ) -> Vec<(&'a str, Variable<'a>)> {
        let mut variables = vec![("bos_token", Variable::Own(&self.bos)), ("eos_token", Variable::Own(&self.eos))];
        variables.extend(extra.iter().map(|(name, value)| (name.as_str(), Variable::Input(value))));
        // After the extra ones, which cannot replace these.
        variables.extend([
            ("messages", Variable::Messages { json: messages, roles: &ROLES }),
            ("tools", Variable::Input(tools)),
            ("documents", Variable::Input(documents)),
            ("add_generation_prompt", Variable::Flag(add_generation_prompt)),
        ]);
        variables
    }
}
