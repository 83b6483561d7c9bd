#![doc = include_str!("../README.md")]

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
pub use self::date::strftime_now;
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
