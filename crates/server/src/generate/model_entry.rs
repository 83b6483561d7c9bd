//! A model and what belongs to it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parkade_calls::{Reasoning, Style};
use parkade_core::Engine;
use parkade_model::chat_template::ChatTemplate;
use parkade_model::tokenizer::Tokenizer;
use parkade_model::{ModelConfig, Pairs};
use sha2::{Digest, Sha256};

use super::Defaults;

/// Among the names that an operator gives a model: any that no model has.
pub const ANY_NAME: &str = "*";

/// A model that can answer.
#[non_exhaustive]
pub struct ModelEntry {
    /// The name under which it is listed.
    pub name: String,
    /// Further names that mean it.
    pub aliases: Vec<String>,
    /// Names that its operator gave it, which are listed with it; the first is its own.
    pub given_aliases: Vec<String>,
    /// Whether it answers to names that no model here has.
    pub any_name: bool,
    /// What its operator wants of requests that do not say.
    pub defaults: Defaults,
    /// What it is called by itself, whatever its operator calls it.
    pub root: String,
    /// The name of its file, without the folder; empty if nobody said.
    pub file_name: String,
    /// The engine that runs it.
    pub engine: Engine,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Its chat template; without one only `/v1/completions` works.
    pub template: Option<Arc<ChatTemplate>>,
    /// How it writes calls of functions; none if its template has no tools, or writes them as nobody here knows.
    pub call_style: Option<Style>,
    /// The markers around its thoughts, if it thinks.
    pub reasoning: Option<Reasoning>,
    /// How a query and a document are joined, if it ranks.
    pub pairs: Option<Arc<Pairs>>,
    /// Its geometry.
    pub config: ModelConfig,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
    /// What answers report as `system_fingerprint`: the same for the same model and version.
    pub fingerprint: String,
    /// The longest text of one token in bytes: what a prompt's length in tokens is estimated with.
    pub(crate) longest_token: usize,
}

impl ModelEntry {
    /// A model under a name, loaded now.
    pub fn new(
        name: impl Into<String>,
        engine: Engine,
        tokenizer: Arc<Tokenizer>,
        template: Option<Arc<ChatTemplate>>,
        config: ModelConfig,
    ) -> Self {
        let name = name.into();
        let longest_token = (0..tokenizer.vocab_size())
            .filter_map(|id| u32::try_from(id).ok())
            .map(|id| {
                let bytes = tokenizer.token_bytes(id).len();
                bytes.max(tokenizer.token_text(id).len())
            })
            .max()
            .unwrap_or(1)
            .max(1);
        let geometry = format!("{} {name} {config:?}", env!("CARGO_PKG_VERSION"));
        let digest = Sha256::digest(geometry.as_bytes());
        let fingerprint = digest[..5]
            .iter()
            .fold(concat!("b", env!("CARGO_PKG_VERSION"), "-").to_owned(), |text, byte| text + &format!("{byte:02x}"));
        let source = |with_tools| template.as_ref().and_then(|template| template.source(with_tools));
        let call_style = source(true).and_then(Style::of_template);
        let reasoning = source(false).and_then(Reasoning::of_template);
        Self {
            root: name.clone(),
            name,
            aliases: Vec::new(),
            call_style,
            reasoning,
            given_aliases: Vec::new(),
            any_name: false,
            defaults: Defaults::default(),
            file_name: String::new(),
            engine,
            tokenizer,
            template,
            config,
            pairs: None,
            created: unix_seconds(),
            fingerprint,
            longest_token,
        }
    }

    /// Adds names that mean this model too.
    #[must_use]
    pub fn with_aliases(mut self, aliases: impl IntoIterator<Item = String>) -> Self {
        self.aliases.extend(aliases);
        self
    }

    /// With another way of writing calls than its template tells.
    #[must_use]
    pub fn with_call_style(mut self, style: Option<Style>) -> Self {
        self.call_style = style.or(self.call_style);
        self
    }

    /// With names that its operator gave it. The first is the one under which it is listed; [`ANY_NAME`] stands for all that no model has.
    #[must_use]
    pub fn with_given_aliases(mut self, aliases: &[String]) -> Self {
        let (any, names): (Vec<_>, Vec<_>) = aliases.iter().cloned().partition(|alias| alias == ANY_NAME);
        self.any_name = !any.is_empty();
        if let Some(first) = names.first() {
            let former = std::mem::replace(&mut self.name, first.clone());
            self.aliases.push(former);
        }
        self.aliases.extend(names.iter().skip(1).cloned());
        self.given_aliases = names;
        self
    }

    /// With what its operator wants of requests that do not say.
    #[must_use]
    pub fn with_defaults(mut self, defaults: Defaults) -> Self {
        self.defaults = defaults;
        self
    }

    /// With the name of its file.
    #[must_use]
    pub fn with_file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = name.into();
        self
    }

    /// With how a query and a document are joined, for a model that ranks.
    #[must_use]
    pub fn with_pairs(mut self, pairs: Option<Arc<Pairs>>) -> Self {
        self.pairs = pairs;
        self
    }

    /// Whether a request's `model` means this one.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// Seconds since 1970, as OpenAI's `created`.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
