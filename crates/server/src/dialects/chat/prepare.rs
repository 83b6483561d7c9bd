//! From a chat to what an engine can answer.

use parkade_calls::{Reading, Style};
use parkade_model::{Prompt, TokenId};

use super::constraint::{self, Constraint};
use super::prompt;
use super::{Conversation, Form};
use crate::generate::{ModelEntry, WantedFormat, refuse_hopeless, untokenisable};
use crate::http::{ApiError, quote};

/// A chat that an engine can answer.
pub(crate) struct Prepared {
    pub tokens: Vec<TokenId>,
    /// The prompt that these are the tokens of.
    pub prompt: Prompt,
    /// How its answer is read.
    pub form: Form,
    /// What its answer may be, calls and thoughts included.
    pub format: Option<WantedFormat>,
    /// Whether control tokens must appear in the answer's text, because calls or thoughts are written with them.
    pub spell_control: bool,
}

impl Conversation {
    /// Renders and tokenises it. It takes time in proportion to the messages.
    ///
    /// # Errors
    /// What of it the model cannot read.
    pub fn prepare(mut self, model: &ModelEntry) -> Result<Prepared, ApiError> {
        let template = model.template.as_ref().ok_or_else(|| no_template(model))?;
        let with_tools = !self.tools.is_empty();
        let style = call_style(model, with_tools);
        self.thinking.or_as(model.defaults.thinking, &self.variables);
        let told = self.thinking.tell(template, with_tools, &mut self.variables);
        template.complete(with_tools, &mut self.variables);
        let prompt = prompt::render(&self, template, style, model.reasoning.as_ref())?;
        refuse_hopeless(model, prompt.text(), self.param)?;
        let tokens = model.tokenizer.encode_prompt(&prompt);
        let tokens = tokens.map_err(|error| untokenisable(self.param, &error))?;
        let markers = model.reasoning.as_ref();
        let starts_inside = markers.is_some_and(|markers| markers.is_open_after(prompt.text()));
        let constraint = Constraint {
            tools: &self.tools,
            style,
            markers,
            starts_inside,
            bound: self.thinking.bound(told),
            may_think: self.thinking.wanted != Some(false) || starts_inside,
            tokenizer: &model.tokenizer,
        };
        // Under a grammar of the whole answer nothing of it is a thought.
        let is_of_all = self.format.as_ref().is_some_and(|asked| constraint::is_of_all(&asked.format));
        let format = constraint::format(&constraint, self.format)?;
        let reasoning = self.thinking.markers(markers).filter(|_| !is_of_all).cloned();
        let functions = self.tools.callable();
        let is_read = with_tools || reasoning.is_some();
        let form = Form {
            reading: Reading { style: with_tools.then_some(style), reasoning, starts_inside, functions },
            shows_thoughts: self.thinking.shown,
            one_call: !self.tools.parallel,
        };
        Ok(Prepared { tokens, prompt, form, format, spell_control: is_read })
    }
}

/// How a model writes calls: as its template has them, or in words that it is told.
pub(crate) fn call_style(model: &ModelEntry, with_tools: bool) -> Style {
    let knows_tools =
        model.template.as_ref().is_some_and(|template| template.uses(with_tools).is_ok_and(|uses| uses.tools));
    model.call_style.filter(|_| knows_tools || !with_tools).unwrap_or(Style::Generic)
}

fn no_template(model: &ModelEntry) -> ApiError {
    let name = quote(&model.name);
    let message = format!(
        "the model {name} has no chat template; use /v1/completions, or serve it with --chat-template NAME|FILE"
    );
    ApiError::invalid_value("model", message)
}
