//! The Jinja of chat templates.
//!
//! A chat template is a program from a stranger: it comes inside of a model file. This is an interpreter for the language in
//! which Hugging Face's `apply_chat_template` runs it, Jinja 3.1 in an immutable sandbox: `trim_blocks` and `lstrip_blocks`,
//! no automatic escaping, `break` and `continue`, `{% generation %}`, `raise_exception`, `strftime_now`, `tojson` as Python's
//! `json.dumps`, all filters and tests of Jinja, and the methods of Python's strings, lists and dictionaries that do not
//! change them. Values print as Python prints them. There are no other templates to include or extend.
//!
//! # Bounds
//!
//! Whatever a template does, compiling and rendering it end soon, in little memory, and within the 2 MiB of stack that a thread
//! has. [`Limits`] says what one rendering may use up:
//!
//! - *Steps*: each part of an expression that is evaluated, each element that is compared, sorted, searched, hashed, printed or
//!   copied, and text by its bytes, at the price of what is done with them.
//! - *Memory*: all that it makes, charged before it is made and not given back, so that what is alive is never more.
//! - *Output*: bytes of the result.
//!
//! Depth has constant bounds: brackets and blocks of the source (100), calls and blocks within each other while it runs (500),
//! and values within values (140), which each list knows of itself when it is made: nothing that walks over values can
//! overflow the stack. Chains such as `a + b + ...`, `elif` or `x.y.z` are no depth: the parser reads them in loops.
//! Integers have 128 bits; Python's have more.
//!
//! # Whose words they are
//!
//! Each string knows which of its bytes came from the request ([`Variable::Input`]) and which from the template, through all
//! that a template does with it: slices, joins, filters and formats keep it, and where an operation mixes both, what it makes
//! counts as the request's. It changes nothing that a template computes. [`Rendered::input`] says it for the result, so that a
//! control token that somebody wrote into a message can be told from one that the template wrote.
//!
//! ```
//! use parkade_jinja::{Limits, Template, Variable};
//!
//! let limits = Limits::default();
//! let template = Template::compile("<|{{ role }}|>{{ text }}<|end|>", &limits)?;
//! let text = serde_json::json!("No <|end|> yet");
//! let variables = [("role", Variable::Own("user")), ("text", Variable::Input(&text))];
//! let rendered = template.render(&variables, &limits)?;
//! assert_eq!(rendered.text, "<|user|>No <|end|> yet<|end|>");
//! assert_eq!(rendered.input, vec![8..22]);
//! # Ok::<(), parkade_jinja::Error>(())
//! ```

mod budget;
mod date;
mod error;
mod eval;
mod filters;
mod format;
mod globals;
mod methods;
mod syntax;
mod tests;
mod value;

use std::collections::HashMap;
use std::ops::Range;

pub use self::budget::Limits;
pub use self::error::{Error, ErrorKind};
use self::value::Value;
use self::value::json::from_json;
use self::value::text::Text;

/// A compiled template.
#[derive(Debug)]
pub struct Template {
    program: syntax::Program,
}

/// What a template is given under a name.
#[derive(Debug, Clone, Copy)]
pub enum Variable<'a> {
    /// From the request: its text is marked as such.
    Input(&'a serde_json::Value),
    /// Messages from the request: as [`Variable::Input`], but a `role` of a message that is one of these is no text. It is one of
    /// a few words that the API knows, and templates write control tokens with it, such as `<|{{ message.role }}|>`.
    Messages {
        /// The list of messages.
        json: &'a serde_json::Value,
        /// The roles that the API knows.
        roles: &'a [&'a str],
    },
    /// Text that belongs to the template, such as that of special tokens.
    Own(&'a str),
    /// A switch.
    Flag(bool),
}

/// What a template has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// All of it.
    pub text: String,
    /// The ranges of bytes that came from the request, in order and apart from each other.
    pub input: Vec<Range<usize>>,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`ErrorKind::Syntax`], with the line: if it is no valid Jinja, is too long or nested too deeply, or names a filter, a test,
    /// a function or a method that does not exist (unless it asks first whether it does).
    pub fn compile(source: &str, limits: &Limits) -> Result<Template, Error> {
        if source.len() > limits.source_bytes {
            let message = format!("the template has {} bytes; up to {} are taken", source.len(), limits.source_bytes);
            return Err(Error::syntax(1, message));
        }
        Ok(Template { program: syntax::parse(source)? })
    }

    /// Whether the template speaks of a variable of this name.
    ///
    /// ```
    /// # use parkade_jinja::{Limits, Template};
    /// let template = Template::compile("{% for m in messages %}{{ m.content ~ m['name'] }}{% endfor %}", &Limits::default())?;
    /// assert!(template.names_variable("messages") && !template.names_variable("tools"));
    /// assert!(template.names_member("content") && template.names_member("name") && !template.names_member("id"));
    /// # Ok::<(), parkade_jinja::Error>(())
    /// ```
    #[must_use]
    pub fn names_variable(&self, name: &str) -> bool {
        self.program.spoken.has_variable(name)
    }

    /// Whether the template speaks of a member of this name: as an attribute, or as a string of at most 64 bytes.
    #[must_use]
    pub fn names_member(&self, name: &str) -> bool {
        self.program.spoken.has_member(name)
    }

    /// What the template writes with these variables. The last one of a name counts.
    ///
    /// # Errors
    /// If the template raises one, does something that fails, or exceeds a limit.
    pub fn render(&self, variables: &[(&str, Variable<'_>)], limits: &Limits) -> Result<Rendered, Error> {
        let budget = budget::Budget::new(*limits);
        let mut given = HashMap::new();
        for (name, variable) in variables {
            let value = match variable {
                Variable::Input(json) => from_json(json, &[], &budget)?,
                Variable::Messages { json, roles } => from_json(json, roles, &budget)?,
                Variable::Own(text) => Value::Text(Text::own(*text)),
                Variable::Flag(flag) => Value::Bool(*flag),
            };
            given.insert(*name, value);
        }
        let (text, input) = eval::Interpreter::new(&self.program, given, &budget).run()?.into_parts();
        Ok(Rendered { text, input })
    }
}
