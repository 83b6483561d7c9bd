//! How families of models write calls.

/// A family's way of writing calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Nous Hermes, Qwen 2.5 and 3, and many more.
    Hermes,
    /// The same in ordinary text, for templates that know no tools.
    Generic,
}

/// Names of styles, the first of each its own; the others are those of vLLM's parsers.
const NAMES: [(Style, &[&str]); 2] = [(Style::Hermes, &["hermes"]), (Style::Generic, &["generic"])];

impl Style {
    /// The style that the source of a chat template shows; `None` if it knows no tools.
    pub fn of_template(source: &str) -> Option<Style> {
        source.contains("<tool_call>").then_some(Style::Hermes)
    }

    /// The style of a name, or of one of the names of vLLM's parsers.
    pub fn by_name(name: &str) -> Option<Style> {
        NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(style, _)| *style)
    }

    /// All names, without the other ones.
    pub fn names() -> Vec<&'static str> {
        NAMES.iter().filter_map(|(_, names)| names.first().copied()).collect()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(style, _)| *style == self).and_then(|(_, names)| names.first()).copied().unwrap_or_default()
    }
}
