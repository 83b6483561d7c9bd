//! From a model file to a running engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parkade_kernels::{KvType, Team};
use parkade_model::chat_template::{ChatTemplate, GivenTemplate, TemplateError};
use parkade_model::gguf::{Gguf, GgufError};
use parkade_model::tokenizer::{Tokenizer, TokenizerError};
use parkade_model::{Embeds, Model, ModelConfig, ModelError, Pairs, PoolingType};

use crate::backend::ModelBackend;
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::memory;
use crate::sequence_memory::{SequenceMemory, Shares};

/// The most blocks that nobody asked for. Each takes some hundred bytes to keep track of, and a file can promise any context.
const MOST_BLOCKS: usize = 1 << 20;

/// How to load a model.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Threads that compute; `None` takes as many as the process may use.
    pub threads: Option<usize>,
    /// Bytes for keys and values, and for the states of sequences; `None` takes half of the memory that is free once the weights are there, but no more than
    /// the most sequences can fill, and a million blocks.
    pub kv_cache_bytes: Option<u64>,
    /// The most tokens of a sequence, prompt and answer; `None` takes what the model was made for.
    pub context: Option<usize>,
    /// Tokens in a KV block.
    pub block_len: usize,
    /// How keys and values are stored.
    pub kv_type: KvType,
    /// How the hidden states of texts are pooled; `None` does as the file says.
    pub pooling: Option<PoolingType>,
    /// The chat template, by its name or as a file, instead of those in the model's file.
    pub chat_template: Option<String>,
    /// The engine's settings.
    pub engine: EngineConfig,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            threads: None,
            kv_cache_bytes: None,
            context: None,
            block_len: 16,
            kv_type: KvType::F16,
            pooling: None,
            chat_template: None,
            engine: EngineConfig::default(),
        }
    }
}

/// A model that is ready to answer.
pub struct Loaded {
    /// Takes requests.
    pub engine: Engine,
    /// Text to tokens and back.
    pub tokenizer: Arc<Tokenizer>,
    /// Messages to a prompt, if the file says how.
    pub template: Option<Arc<ChatTemplate>>,
    /// How a query and a document become one text, if the model ranks.
    pub pairs: Option<Arc<Pairs>>,
    /// The model's limits.
    pub config: ModelConfig,
    /// The file's name without its ending, and without the number of a part.
    pub name: String,
    /// Threads that compute.
    pub threads: usize,
    /// Bytes of the weights in memory.
    pub weight_bytes: u64,
    /// Bytes taken for keys and values, and for the states of sequences.
    pub kv_cache_bytes: u64,
    /// What is wrong with the file's metadata, though the model does without it.
    pub warnings: Vec<String>,
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read or is no usable GGUF.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GgufError,
    },
    /// Its tokenizer cannot be used.
    #[error("{path}: {source}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokenizerError,
    },
    /// Its chat template cannot be used.
    #[error("{path}: {source}")]
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TemplateError,
    },
    /// The chat template that was given instead cannot be used.
    #[error(transparent)]
    GivenTemplate(TemplateError),
    /// Its weights cannot be used.
    #[error("{path}: {source}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ModelError,
    },
    /// An option that makes no sense.
    #[error("{option} is {value}; it must be {allowed}")]
    Option {
        /// The option on the command line.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// The memory for keys and values is not there.
    #[error("the KV cache of {} MB could not be allocated: {message}; give a smaller --kv-cache-mb", .bytes / 1_000_000)]
    Memory {
        /// How much was asked for.
        bytes: u64,
        /// What the system said.
        message: String,
    },
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Reads a model file, takes the memory for its KV cache, and starts its engine. This takes as long as repacking the weights does.
///
/// # Errors
/// With the file or option that is at fault, the value, and the remedy.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Loaded, LoadError> {
    options.engine.validate()?;
    let threads = threads(options.threads)?;
    if !(1..=1024).contains(&options.block_len) {
        return Err(LoadError::Option {
            option: "block length",
            value: options.block_len.to_string(),
            allowed: "from 1 to 1024 tokens".to_owned(),
        });
    }
    let file_error = |source| LoadError::File { path: path.to_owned(), source };
    let mut gguf = Gguf::open(path).map_err(file_error)?;
    if let Some(pooling) = options.pooling {
        pooling.say(&mut gguf).map_err(file_error)?;
    }
    let mut tokenizer =
        Tokenizer::from_gguf(&gguf).map_err(|source| LoadError::Tokenizer { path: path.to_owned(), source })?;
    let template = template(&gguf, path, options, &mut tokenizer)?;
    let team = Arc::new(Team::new(threads));
    let model = Model::load_within(&gguf, options.context, team).map_err(|error| match error {
        ModelError::ContextSize { asked, most } => LoadError::Option {
            option: "--ctx-size",
            value: asked.to_string(),
            allowed: format!("from 1 to {most}, what the model was made for: its answers past that would be noise"),
        },
        source => LoadError::Model { path: path.to_owned(), source },
    })?;
    let warnings = warnings(&gguf, &tokenizer);
    let ranks = model.embedder().is_some_and(|embedder| embedder.embeds == Embeds::Scores);
    let pairs = ranks.then(|| Pairs::from_gguf(&gguf)).transpose().map_err(file_error)?;
    let name = gguf.stem().unwrap_or("model").to_owned();
    drop(gguf);

    let config = model.config().clone();
    let memory = sequence_memory(&model, options)?;
    let SequenceMemory { blocks, slots, seqs, bytes: kv_cache_bytes } = memory;
    let memory_error = |error: ModelError| LoadError::Memory { bytes: kv_cache_bytes, message: error.to_string() };
    let kv = model.new_kv_cache(blocks, options.block_len, options.kv_type).map_err(memory_error)?;
    let states = model.new_states(slots).map_err(memory_error)?;
    let weight_bytes = model.weight_bytes() as u64;
    let tokenizer = Arc::new(tokenizer);
    let backend = ModelBackend::new(model, kv, states, blocks, options.block_len);
    let engine = EngineConfig { max_seqs: seqs, ..options.engine.clone() };
    let engine = Engine::start(Box::new(backend), Arc::clone(&tokenizer), engine)?;
    for warning in &warnings {
        tracing::warn!(model = %name, "{warning}");
    }
    if seqs < options.engine.max_seqs {
        tracing::warn!(
            model = %name,
            max_seqs = seqs,
            "the states of {} sequences would take more than half of the KV cache; raise --kv-cache-mb to run them at once",
            options.engine.max_seqs
        );
    }
    tracing::info!(
        model = %name, threads, weight_bytes, kv_cache_bytes, kv_blocks = blocks, state_slots = slots, "model loaded"
    );
    Ok(Loaded {
        engine,
        tokenizer,
        template: template.map(Arc::new),
        pairs: pairs.map(Arc::new),
        config,
        name,
        threads,
        weight_bytes,
        kv_cache_bytes,
        warnings,
    })
}

/// The template that was given, or else the file's.
fn template(
    gguf: &Gguf,
    path: &Path,
    options: &LoadOptions,
    tokenizer: &mut Tokenizer,
) -> Result<Option<ChatTemplate>, LoadError> {
    let Some(given) = &options.chat_template else {
        return ChatTemplate::from_gguf(gguf, tokenizer)
            .map_err(|source| LoadError::Template { path: path.to_owned(), source });
    };
    let given = GivenTemplate::find(given).map_err(LoadError::GivenTemplate)?;
    tokenizer.add_markup(given.source());
    ChatTemplate::given(given, tokenizer).map(Some).map_err(LoadError::GivenTemplate)
}

/// What is wrong with a file's metadata and matters to nobody, or not much.
fn warnings(gguf: &Gguf, tokenizer: &Tokenizer) -> Vec<String> {
    let unusable =
        gguf.unusable().map(|(key, problem)| format!("metadata key '{key}' {problem}; it counts as missing"));
    unusable.chain(tokenizer.warnings().iter().cloned()).collect()
}

fn threads(asked: Option<usize>) -> Result<usize, LoadError> {
    let threads = asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    if (1..=1024).contains(&threads) {
        return Ok(threads);
    }
    Err(LoadError::Option { option: "--threads", value: threads.to_string(), allowed: "from 1 to 1024".to_owned() })
}

fn sequence_memory(model: &Model, options: &LoadOptions) -> Result<SequenceMemory, LoadError> {
    let config = model.config();
    let block_bytes = model.kv_bytes_per_block(options.block_len, options.kv_type).ok_or_else(|| LoadError::Option {
        option: "block length",
        value: options.block_len.to_string(),
        allowed: "small enough to count its bytes".to_owned(),
    })?;
    // More than this no set of running sequences could ever fill.
    let max_seqs = options.engine.max_seqs;
    let useful = config.context_length.div_ceil(options.block_len).saturating_mul(max_seqs).clamp(1, MOST_BLOCKS);
    let (budget, most_blocks) = match options.kv_cache_bytes {
        Some(bytes) if block_bytes > 0 => (bytes, usize::MAX),
        Some(bytes) => (bytes, useful),
        None => (memory::free_bytes() / 2, useful),
    };
    let shares = Shares { block_bytes, state_bytes: model.state_bytes(), most_blocks, max_seqs };
    shares.split(budget).ok_or_else(|| LoadError::Option {
        option: "--kv-cache-mb",
        value: format!("{:.1} MB", budget as f64 / 1e6),
        allowed: format!(
            "at least {:.1} MB, one block of {} tokens{}",
            shares.least() as f64 / 1e6,
            options.block_len,
            if shares.state_bytes > 0 { " and one state" } else { "" }
        ),
    })
}
