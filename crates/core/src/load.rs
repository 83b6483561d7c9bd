//! From a model file to a running engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parkade_kernels::{KvType, Team};
use parkade_model::chat_template::{ChatTemplate, GivenTemplate, TemplateError};
use parkade_model::gguf::{Gguf, GgufError};
use parkade_model::tokenizer::{Tokenizer, TokenizerError};
use parkade_model::{Embeds, Model, ModelConfig, ModelError, Pairs, PoolingType};

use crate::backend::{Backend, ModelBackend};
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::kv_groups::KvGroups;
use crate::memory;
use crate::parking_lot::Served;
use crate::sequence_memory::{SequenceMemory, Shares};
use crate::vocabulary::Vocabulary;

/// The most blocks that nobody asked for. Each takes some hundred bytes to keep track of, and a file can promise any context.
const MOST_BLOCKS: usize = 1 << 20;

/// Texts of so many tokens, as many as run at once, have memory beside another model if nobody says how much.
const USUAL_TEXT: usize = 512;

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
    #[error("the KV cache of {} MB could not be allocated: {message}; give a smaller {setting}", .bytes / 1_000_000)]
    Memory {
        /// The setting that it comes from.
        setting: &'static str,
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
    let team = team(options)?;
    let (opened, backend) = open(path, read(path, options)?, options, &team, false)?;
    let engine = Engine::start(backend, Arc::clone(&opened.tokenizer), opened.engine(options))?;
    Ok(opened.with(engine))
}

/// Reads two model files, and starts an engine for each with one worker and one team of threads for both, which are those of the first. The
/// second has to be a model of embeddings or a reranker; what it takes for keys and values, if nobody says how much, is what its texts need.
///
/// # Errors
/// As [`load`], and if the second model goes on with texts.
pub fn load_joint(
    (path, options): (&Path, &LoadOptions),
    (beside, options_beside): (&Path, &LoadOptions),
) -> Result<(Loaded, Loaded), LoadError> {
    let team = team(options)?;
    let (gguf, gguf_beside) = (read(path, options)?, read(beside, options_beside)?);
    if gguf.stem() == gguf_beside.stem() {
        return Err(LoadError::Option {
            option: "--embedding-model",
            value: beside.display().to_string(),
            allowed: "a file of another name than the first model's: requests tell them by it".to_owned(),
        });
    }
    let (embedder, second) = open(beside, gguf_beside, options_beside, &team, true)?;
    let (first, backend) = open(path, gguf, options, &team, false)?;
    let served = |opened: &Opened, backend, options: &LoadOptions| Served {
        backend,
        vocabulary: Arc::clone(&opened.tokenizer) as Arc<dyn Vocabulary>,
        config: opened.engine(options),
    };
    let models = vec![served(&first, backend, options), served(&embedder, second, options_beside)];
    let mut engines = Engine::start_joint(models)?.into_iter();
    let (Some(one), Some(other)) = (engines.next(), engines.next()) else { unreachable!("an engine for each model") };
    Ok((first.with(one), embedder.with(other)))
}

/// The threads that compute.
fn team(options: &LoadOptions) -> Result<Arc<Team>, LoadError> {
    options.engine.validate()?;
    Ok(Arc::new(Team::new(threads(options.threads)?)))
}

/// A model that is ready to be run: all that is known of it, before it has an engine.
struct Opened {
    tokenizer: Arc<Tokenizer>,
    template: Option<ChatTemplate>,
    pairs: Option<Pairs>,
    config: ModelConfig,
    name: String,
    threads: usize,
    weight_bytes: u64,
    kv_cache_bytes: u64,
    /// How many sequences may run: as many as were asked for, or as states fit.
    seqs: usize,
    warnings: Vec<String>,
}

impl Opened {
    /// The settings of its engine.
    fn engine(&self, options: &LoadOptions) -> EngineConfig {
        let mut engine = EngineConfig { max_seqs: self.seqs, ..options.engine.clone() };
        if engine.max_seqs < options.engine.max_seqs {
            engine.remedies.seqs = engine.remedies.kv;
        }
        engine
    }

    fn with(self, engine: Engine) -> Loaded {
        let Opened {
            tokenizer, template, pairs, config, name, threads, weight_bytes, kv_cache_bytes, warnings, ..
        } = self;
        Loaded {
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
        }
    }
}

/// Reads what a model file says.
fn read(path: &Path, options: &LoadOptions) -> Result<Gguf, LoadError> {
    let file_error = |source| LoadError::File { path: path.to_owned(), source };
    let mut gguf = Gguf::open(path).map_err(file_error)?;
    if let Some(pooling) = options.pooling {
        pooling.say(&mut gguf).map_err(file_error)?;
    }
    Ok(gguf)
}

/// Reads a model's weights, and takes the memory for its KV cache. `beside`: it is an embedder beside another model.
fn open(
    path: &Path,
    gguf: Gguf,
    options: &LoadOptions,
    team: &Arc<Team>,
    beside: bool,
) -> Result<(Opened, Box<dyn Backend>), LoadError> {
    options.engine.validate()?;
    if !(1..=1024).contains(&options.block_len) {
        return Err(LoadError::Option {
            option: "block length",
            value: options.block_len.to_string(),
            allowed: "from 1 to 1024 tokens".to_owned(),
        });
    }
    let file_error = |source| LoadError::File { path: path.to_owned(), source };
    let mut tokenizer =
        Tokenizer::from_gguf(&gguf).map_err(|source| LoadError::Tokenizer { path: path.to_owned(), source })?;
    let template = template(&gguf, path, options, &mut tokenizer)?;
    let model = Model::load_within(&gguf, options.context, Arc::clone(team)).map_err(|error| match error {
        ModelError::ContextSize { asked, most } => LoadError::Option {
            option: "--ctx-size",
            value: asked.to_string(),
            allowed: format!(
                "from {} to {most}, what the model was made for: its answers past that would be noise",
                ModelConfig::CONTEXT.start()
            ),
        },
        source => LoadError::Model { path: path.to_owned(), source },
    })?;
    let warnings = warnings(&gguf, &tokenizer);
    if beside && model.embedder().is_none() {
        return Err(LoadError::Option {
            option: "--embedding-model",
            value: path.display().to_string(),
            allowed: "a model of embeddings or a reranker; this one goes on with texts".to_owned(),
        });
    }
    let ranks = model.embedder().is_some_and(|embedder| embedder.embeds == Embeds::Scores);
    let pairs = ranks.then(|| Pairs::from_gguf(&gguf)).transpose().map_err(file_error)?;
    let name = gguf.stem().unwrap_or("model").to_owned();
    drop(gguf);

    let config = model.config().clone();
    let memory = sequence_memory(&model, options, beside)?;
    let SequenceMemory { blocks, slots, seqs, bytes: kv_cache_bytes } = memory;
    let memory_error = |error: ModelError| LoadError::Memory {
        setting: options.engine.remedies.kv,
        bytes: kv_cache_bytes,
        message: error.to_string(),
    };
    let kv = model.new_kv_cache(blocks, options.block_len, options.kv_type).map_err(memory_error)?;
    let states = model.new_states(slots).map_err(memory_error)?;
    let weight_bytes = model.weight_bytes() as u64;
    let backend = Box::new(ModelBackend::new(model, kv, states, blocks, options.block_len));
    for warning in &warnings {
        tracing::warn!(model = %name, "{warning}");
    }
    if seqs < options.engine.max_seqs {
        tracing::warn!(
            model = %name,
            max_seqs = seqs,
            "the states of {} sequences would take more than half of the KV cache; raise {} to run them at once",
            options.engine.max_seqs,
            options.engine.remedies.kv
        );
    }
    let (threads, tokenizer) = (team.threads(), Arc::new(tokenizer));
    tracing::info!(
        model = %name, threads, weight_bytes, kv_cache_bytes, kv_blocks = blocks, state_slots = slots, "model loaded"
    );
    let opened =
        Opened { tokenizer, template, pairs, config, name, threads, weight_bytes, kv_cache_bytes, seqs, warnings };
    Ok((opened, backend))
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

fn sequence_memory(model: &Model, options: &LoadOptions, beside: bool) -> Result<SequenceMemory, LoadError> {
    let config = model.config();
    let layout = model.kv_layout();
    let block_bytes = layout.bytes_per_block(options.block_len, options.kv_type).ok_or_else(|| LoadError::Option {
        option: "block length",
        value: options.block_len.to_string(),
        allowed: "small enough to count its bytes".to_owned(),
    })?;
    let EngineConfig { max_seqs, max_batched_tokens, .. } = options.engine;
    let groups = KvGroups::new(layout.reaches(), options.block_len).in_passes_of(max_batched_tokens);
    let of_all = |tokens: usize| groups.most_blocks(tokens).saturating_mul(max_seqs);
    let useful = match beside {
        // More than this no set of running sequences could ever fill.
        false => of_all(config.context_length),
        // Texts are short as a rule; one may fill the context.
        true => of_all(config.context_length.min(USUAL_TEXT)).max(groups.most_blocks(config.context_length)),
    };
    let useful = useful.clamp(groups.count(), MOST_BLOCKS);
    let (budget, most_blocks) = match options.kv_cache_bytes {
        Some(bytes) if block_bytes > 0 => (bytes, usize::MAX),
        Some(bytes) => (bytes, useful),
        None => (memory::free_bytes() / if beside { 8 } else { 2 }, useful),
    };
    let (state_bytes, groups) = (model.state_bytes(), groups.count());
    let shares = Shares { block_bytes, groups, state_bytes, most_blocks, max_seqs };
    shares.split(budget).ok_or_else(|| LoadError::Option {
        option: options.engine.remedies.kv,
        value: format!("{:.1} MB", budget as f64 / 1e6),
        allowed: format!(
            "at least {:.1} MB, {} of {} tokens{}",
            shares.least() as f64 / 1e6,
            if groups == 1 { "one block".to_owned() } else { format!("a block of each of {groups} groups of layers") },
            options.block_len,
            if shares.state_bytes > 0 { " and one state" } else { "" }
        ),
    })
}
