//! Chat messages to the prompt text that a model was trained on, by the template in its GGUF file.
//!
//! Templates are Jinja in the dialect of Hugging Face: `trim_blocks` and `lstrip_blocks`, `raise_exception`,
//! `strftime_now`, Python's `tojson` and string methods, `break` and `continue`, `{% generation %}`. Values print as
//! Python prints them (`True`, `None`), except where `~` joins them to a string.
//!
//! A template comes from a file that somebody else wrote, so it is given bounds: the length of its source, its steps and
//! memory (the engine's fuel), the length of the prompt, and the depth of its calls. One way around them is known: the
//! engine joins (`~`) and compares lists without counting, so a list that contains one list many times over, at many
//! levels, takes it long. Only load models from people whom you trust as far as that.

mod date;
mod dialect;
mod environment;
mod error;
mod json;
mod messages;
mod python;

use std::cell::Cell;
use std::io;

use minijinja::Environment;
use minijinja::value::{Serde, Value as TemplateValue};
use serde_json::{Map, Value};

pub use dialect::Uses;
pub use error::TemplateError;

use self::messages::Dialect;
use crate::Prompt;
use crate::gguf::{Gguf, GgufError};
use crate::tokenizer::Tokenizer;

/// The key of the default template. Others have the key of their name: `tokenizer.chat_template.tool_use`.
const KEY: &str = "tokenizer.chat_template";
/// The name of the template without a name.
const DEFAULT: &str = "default";
/// The template that is taken when tools are given, if there is one.
const TOOL_USE: &str = "tool_use";

/// The stack of the thread that renders.
const STACK_BYTES: usize = 128 << 20;

/// What a template may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a template's source.
    pub source_bytes: usize,
    /// Steps of one rendering; 64 bytes of memory cost as much as a step.
    pub fuel: u64,
    /// Bytes of a prompt.
    pub output_bytes: usize,
}

impl Default for Limits {
    /// Far above what real templates need (the longest are some 20 KiB, and take some hundred steps for a message), and
    /// low enough that a rendering ends within a second or so, and stays below 128 MiB of memory.
    fn default() -> Self {
        Limits { source_bytes: 1 << 20, fuel: 2_000_000, output_bytes: 16 << 20 }
    }
}

/// A model's chat template, ready to write prompts.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    templates: Vec<Named>,
    bos: String,
    eos: String,
    limits: Limits,
}

#[derive(Debug)]
struct Named {
    name: String,
    dialect: Dialect,
    uses: Uses,
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

/// The names and sources of a model's chat templates.
pub(crate) fn sources(gguf: &Gguf) -> Result<Vec<(&str, &str)>, GgufError> {
    let mut sources: Vec<(&str, &str)> = gguf.get_str(KEY)?.map(|source| (DEFAULT, source)).into_iter().collect();
    for (key, _) in gguf.metadata() {
        let name = key.strip_prefix(KEY).and_then(|rest| rest.strip_prefix('.'));
        if let Some(name) = name.filter(|name| !name.is_empty() && *name != DEFAULT)
            && let Some(source) = gguf.get_str(key)?
        {
            sources.push((name, source));
        }
    }
    Ok(sources)
}

impl ChatTemplate {
    /// The template in a model file; `None` if it has none.
    ///
    /// # Errors
    /// If a template is no valid Jinja or too long.
    pub fn from_gguf(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>, TemplateError> {
        let sources = sources(gguf)?;
        if sources.is_empty() {
            return Ok(None);
        }
        let text = |token: Option<u32>| token.map_or("", |id| tokenizer.token_text(id));
        let sources = sources.into_iter().map(|(name, source)| (name.to_owned(), source.to_owned())).collect();
        Self::named(sources, text(tokenizer.bos()), text(tokenizer.eos()), Limits::default()).map(Some)
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
        Self::named(vec![(DEFAULT.to_owned(), source.into())], bos, eos, limits)
    }

    fn named(
        sources: Vec<(String, String)>,
        bos: &str,
        eos: &str,
        limits: Limits,
    ) -> Result<ChatTemplate, TemplateError> {
        let mut environment = environment::new(limits)?;
        let mut names = Vec::with_capacity(sources.len());
        for (name, source) in sources {
            if source.len() > limits.source_bytes {
                let key = if name == DEFAULT { KEY.to_owned() } else { format!("{KEY}.{name}") };
                return Err(TemplateError::SourceTooLong { key, bytes: source.len(), limit: limits.source_bytes });
            }
            environment
                .add_template_owned(name.clone(), environment::without_generation_tags(&source))
                .map_err(|error| TemplateError::from_engine(&error, limits.fuel, limits.output_bytes))?;
            names.push(name);
        }
        let mut template =
            ChatTemplate { environment, templates: Vec::new(), bos: bos.into(), eos: eos.into(), limits };
        for name in names {
            let (dialect, uses) = template.probe(&name);
            template.templates.push(Named { name, dialect, uses });
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
        let messages = messages::shape(input.messages, template.dialect)?;
        let tools = if with_tools { input.tools } else { None };
        let context = self.context(messages, tools, input.documents, input.add_generation_prompt, input.extra);
        self.run(&template.name, context).map(Prompt::from_template)
    }

    /// What the template for requests with tools, or without, writes into the prompt.
    ///
    /// # Errors
    /// If there is no template for such requests.
    pub fn uses(&self, with_tools: bool) -> Result<Uses, TemplateError> {
        Ok(self.chosen(with_tools)?.uses)
    }

    fn chosen(&self, with_tools: bool) -> Result<&Named, TemplateError> {
        let find = |name: &str| self.templates.iter().find(|template| template.name == name);
        with_tools.then(|| find(TOOL_USE)).flatten().or_else(|| find(DEFAULT)).ok_or_else(|| {
            let names: Vec<&str> = self.templates.iter().map(|template| template.name.as_str()).collect();
            TemplateError::NoDefault { available: names.join(", ") }
        })
    }

    /// Finds out what a template expects and uses. One that takes too long for one small conversation is asked no more.
    fn probe(&self, name: &str) -> (Dialect, Uses) {
        let exhausted = Cell::new(false);
        let render = |trial: dialect::Trial| {
            if exhausted.get() {
                return None;
            }
            let (tools, documents) = (trial.tools.as_ref(), trial.documents.as_ref());
            let context = self.context(trial.messages, tools, documents, true, &Map::new());
            let rendered = self.run(name, context);
            exhausted
                .set(matches!(rendered, Err(TemplateError::OutOfFuel { .. } | TemplateError::OutputTooLong { .. })));
            rendered.ok()
        };
        let dialect = dialect::probe(|messages| render(dialect::Trial { messages, tools: None, documents: None }));
        (dialect, dialect::probe_uses(dialect, render))
    }

    /// The variables of a template, as Hugging Face gives them.
    fn context(
        &self,
        messages: Vec<Value>,
        tools: Option<&Value>,
        documents: Option<&Value>,
        add_generation_prompt: bool,
        extra: &Map<String, Value>,
    ) -> TemplateValue {
        let optional = |value: Option<&Value>| value.map_or(TemplateValue::from(()), |value| Serde(value).into());
        let mut variables: Vec<(&str, TemplateValue)> =
            vec![("bos_token", self.bos.as_str().into()), ("eos_token", self.eos.as_str().into())];
        variables.extend(extra.iter().map(|(name, value)| (name.as_str(), Serde(value).into())));
        // After the extra ones, which cannot replace these.
        variables.extend([
            ("messages", Serde(&messages).into()),
            ("tools", optional(tools)),
            ("documents", optional(documents)),
            ("add_generation_prompt", add_generation_prompt.into()),
        ]);
        TemplateValue::from_pairs(variables)
    }

    /// Renders on a thread of its own with a large stack: a template can nest values as deep as its fuel lasts, and they are
    /// printed and dropped by recursion. The stack is only reserved; what is not used costs nothing.
    fn run(&self, name: &str, context: TemplateValue) -> Result<String, TemplateError> {
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("chat-template".to_owned()).stack_size(STACK_BYTES);
            let failed = |problem: &str| TemplateError::Failed { message: problem.to_owned(), line: 0 };
            let thread = builder
                .spawn_scoped(scope, || self.run_here(name, context))
                .map_err(|error| failed(&format!("no thread could be started for it: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(failed("the template engine panicked")))
        })
    }

    fn run_here(&self, name: &str, context: TemplateValue) -> Result<String, TemplateError> {
        let mut prompt = Bounded { bytes: Vec::new(), limit: self.limits.output_bytes };
        self.environment
            .get_template(name)
            .and_then(|template| template.render_captured_to(context, &mut prompt).map(drop))
            .map_err(|error| TemplateError::from_engine(&error, self.limits.fuel, self.limits.output_bytes))?;
        String::from_utf8(prompt.bytes).map_err(|error| TemplateError::Failed { message: error.to_string(), line: 0 })
    }
}

/// Takes what a template writes, up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
