//! Whether and how long a model thinks before it answers.
//!
//! Models that think write their thoughts between markers that their chat template knows. What a client asks for reaches the
//! model as variables of the template; a budget is enforced by a grammar.

use parkade_calls::Reasoning;
use parkade_model::chat_template::ChatTemplate;
use serde_json::{Map, Value};

use super::Tools;

/// Names under which templates ask whether the model is to think.
const SWITCHES: &[&str] = &["enable_thinking", "thinking"];

/// The name under which templates ask how much.
const EFFORT: &str = "reasoning_effort";

/// What a request says of thoughts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thinking {
    /// Whether the model is to think; if nothing is said, as it usually does.
    pub wanted: Option<bool>,
    /// How much, in words: `low`, `medium`, `high`.
    pub effort: Option<String>,
    /// The most tokens of thought.
    pub budget: Option<usize>,
    /// Whether thoughts are told apart from what is said.
    pub separate: bool,
    /// Whether they are sent.
    pub shown: bool,
}

impl Default for Thinking {
    fn default() -> Self {
        Self { wanted: None, effort: None, budget: None, separate: true, shown: true }
    }
}

impl Thinking {
    /// Where a request says nothing of thoughts, whether there are any is the operator's to say.
    pub fn or_as(&mut self, operator: Option<bool>, variables: &Map<String, Value>) {
        let says_nothing = self.wanted.is_none() && self.effort.is_none() && self.budget.is_none();
        if says_nothing && !SWITCHES.iter().any(|name| variables.contains_key(*name)) {
            self.wanted = operator;
        }
    }

    /// Adds what a template asks about thoughts to its variables. What a client has set by name stays.
    ///
    /// Gives back whether the template was told all that is wanted.
    pub fn tell(&self, template: &ChatTemplate, with_tools: bool, variables: &mut Map<String, Value>) -> bool {
        let mut told_switch = self.wanted.is_none();
        let mut told_effort = self.effort.is_none();
        let mut tell = |name: &str, value: Value| {
            let reads = template.reads_variable(with_tools, name);
            if reads {
                variables.entry(name).or_insert(value);
            }
            reads
        };
        if let Some(wanted) = self.wanted {
            for switch in SWITCHES {
                told_switch |= tell(switch, wanted.into());
            }
        }
        if let Some(effort) = self.effort.as_deref().filter(|_| self.wanted != Some(false)) {
            // Templates know three words.
            let known = match effort {
                "minimal" => "low",
                "xhigh" | "max" => "high",
                known => known,
            };
            told_effort |= tell(EFFORT, known.into());
        }
        // A model whose effort cannot be set still thinks or does not.
        told_switch && (told_effort || self.wanted.is_some())
    }

    /// Whether a template reads all that is wanted.
    pub fn tell_any(&self, template: Option<&ChatTemplate>, tools: &Tools) -> bool {
        template.is_some_and(|template| self.tell(template, !tools.is_empty(), &mut Map::new()))
    }

    /// The most tokens of thought, for a model with these markers: none if it is not to think and the prompt does not see to that.
    pub fn bound(&self, told: bool) -> Option<usize> {
        match self.wanted {
            Some(false) if !told => Some(0),
            _ => self.budget,
        }
    }

    /// The markers by which thoughts are told apart, if they are.
    pub fn markers<'a>(&self, of_model: Option<&'a Reasoning>) -> Option<&'a Reasoning> {
        of_model.filter(|_| self.separate)
    }
}
