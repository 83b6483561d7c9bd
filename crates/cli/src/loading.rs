//! From the flags of a command to a loaded model.

use std::path::PathBuf;

use parkade_core::{EngineConfig, EngineError, LoadError, LoadOptions, Loaded, Remedies, TaskKind, load, load_joint};

use crate::args::{EmbeddingArgs, ModelArgs, SchedulingArgs};
use crate::machine::Machine;
use crate::models::{self, ModelError};

/// A KV cache that the machine cannot hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {asked}, and this process may use {limit} MiB of memory in all ({whose}); give less")]
pub struct TooMuchMemory {
    /// What asks for it.
    pub setting: &'static str,
    asked: u64,
    limit: u64,
    whose: &'static str,
}

/// The engine's settings.
#[must_use]
pub fn engine_config(limits: &SchedulingArgs) -> EngineConfig {
    EngineConfig {
        scheduler: limits.scheduler,
        max_seqs: limits.max_seqs,
        max_batched_tokens: limits.max_batched_tokens,
        max_queue_depth: limits.max_queue_depth,
        prefix_cache: limits.prefix_cache,
        reserve: limits.reserve,
        ..EngineConfig::default()
    }
}

/// What the engine is told.
///
/// # Errors
/// More memory was asked for than there is, free or not: the system might grant it, and kill the process later.
pub fn options(args: &ModelArgs, engine: EngineConfig, machine: &Machine) -> Result<LoadOptions, TooMuchMemory> {
    check_memory("kv-cache-mb", args.kv_cache_mb, machine)?;
    Ok(LoadOptions {
        threads: Some(threads(args, machine)),
        kv_cache_bytes: args.kv_cache_mb.map(|mib| mib << 20),
        context: args.ctx_size,
        pooling: args.pooling,
        chat_template: args.chat_template.clone(),
        engine,
        ..LoadOptions::default()
    })
}

fn check_memory(setting: &'static str, asked: Option<u64>, machine: &Machine) -> Result<(), TooMuchMemory> {
    let (limit, whose) = match machine.cgroup_memory {
        Some(limit) if limit < machine.memory_total => (limit, "the limit of its control group"),
        _ => (machine.memory_total, "what the machine has"),
    };
    match asked.filter(|&asked| limit > 0 && asked > limit >> 20) {
        Some(asked) => Err(TooMuchMemory { setting, asked, limit: limit >> 20, whose }),
        None => Ok(()),
    }
}

/// The most tokens in a pass of the second model: a first token of the other one waits for the end of a layer, which is as long as the pass is
/// wide, and wider passes are hardly faster.
const TOKENS_BESIDE: usize = 256;

/// What is to be served: a model, and perhaps another beside it.
pub struct Models {
    /// The first one's file.
    pub path: PathBuf,
    options: LoadOptions,
    /// The second one's, and what the engine is told about it.
    pub beside: Option<(PathBuf, LoadOptions)>,
}

/// Why it is known before anything is loaded that models cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// A model's file is not there.
    #[error("{source}")]
    Missing {
        /// The setting that names it.
        setting: &'static str,
        /// Why not.
        source: ModelError,
    },
    /// A KV cache cannot fit.
    #[error(transparent)]
    Memory(#[from] TooMuchMemory),
}

impl ModelsError {
    /// The setting that is at fault.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        match self {
            ModelsError::Missing { setting, .. } => setting,
            ModelsError::Memory(error) => error.setting,
        }
    }
}

impl Models {
    /// Looks for the files, and says what the engines are told.
    ///
    /// # Errors
    /// If a file is not there, or more memory was asked for than the machine has.
    pub fn find(
        args: &ModelArgs,
        embedding: &EmbeddingArgs,
        engine: EngineConfig,
        machine: &Machine,
    ) -> Result<Models, ModelsError> {
        let locate = |setting, model| models::locate(model).map_err(|source| ModelsError::Missing { setting, source });
        let path = locate("model", &args.model)?;
        let mut options = options(args, engine.clone(), machine)?;
        let Some(model) = &embedding.embedding_model else { return Ok(Models { path, options, beside: None }) };
        check_memory("embedding-kv-mb", embedding.embedding_kv_mb, machine)?;
        let beside = LoadOptions {
            kv_cache_bytes: embedding.embedding_kv_mb.map(|mib| mib << 20),
            pooling: options.pooling.take(),
            engine: EngineConfig {
                remedies: Remedies { kv: "--embedding-kv-mb", ..Remedies::default() },
                max_batched_tokens: engine.max_batched_tokens.min(TOKENS_BESIDE),
                ..engine
            },
            ..LoadOptions::default()
        };
        Ok(Models { path, options, beside: Some((locate("embedding-model", model)?, beside)) })
    }

    /// Loads them and starts their engines.
    ///
    /// # Errors
    /// With the file or option that is at fault.
    pub fn load(&self) -> Result<(Loaded, Option<Loaded>), LoadError> {
        match &self.beside {
            None => Ok((load(&self.path, &self.options)?, None)),
            Some((path, options)) => {
                let (first, second) = load_joint((&self.path, &self.options), (path, options))?;
                Ok((first, Some(second)))
            }
        }
    }
}

/// The commands and paths for models that do a task.
#[must_use]
pub fn takers(task: TaskKind) -> &'static str {
    match task {
        TaskKind::Generate => "`parkade run` takes it, and `parkade serve` at /v1/chat/completions",
        TaskKind::Embed => "`parkade embed` takes it, and `parkade serve` at /v1/embeddings",
        TaskKind::Rank => "`parkade serve` takes it, at /v1/rerank",
    }
}

/// Threads that compute.
#[must_use]
pub fn threads(args: &ModelArgs, machine: &Machine) -> usize {
    args.threads.map_or_else(|| machine.default_threads(), |n| n as usize)
}

/// The setting, or the field of a configuration, that an error of loading is about.
#[must_use]
pub fn setting_of(error: &LoadError) -> &str {
    match error {
        LoadError::Option { option: setting, .. } | LoadError::Memory { setting, .. } => {
            setting.trim_start_matches("--")
        }
        LoadError::GivenTemplate(_) => "chat-template",
        LoadError::Engine(error) => setting_of_engine(error),
        _ => "model",
    }
}

/// The field of the configuration that an error of the engine is about.
#[must_use]
pub fn setting_of_engine(error: &EngineError) -> &str {
    match error {
        EngineError::Config { field, .. } => field,
        EngineError::Policy(error) => &error.field,
        EngineError::SchedulerMissing { .. } => "scheduler",
        _ => "threads",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cgroup_memory: Option<u64>) -> Machine {
        Machine {
            processor: None,
            hardware_threads: 8,
            cores: 4,
            cgroup_cores: None,
            memory_total: 1 << 30,
            memory_free: 1 << 29,
            cgroup_memory,
        }
    }

    fn asking(threads: Option<u32>, kv_cache_mb: Option<u64>) -> ModelArgs {
        ModelArgs {
            model: "default".to_owned(),
            threads,
            kv_cache_mb,
            ctx_size: None,
            pooling: None,
            chat_template: None,
        }
    }

    #[test]
    fn flags_reach_the_engine_and_the_cores_are_the_default() {
        let options_of =
            |args: ModelArgs| options(&args, EngineConfig::default(), &machine(None)).expect("enough memory");
        let plain = options_of(asking(None, None));
        assert_eq!((plain.threads, plain.kv_cache_bytes), (Some(4), None));
        let told = options_of(asking(Some(2), Some(64)));
        assert_eq!((told.threads, told.kv_cache_bytes), (Some(2), Some(64 << 20)));
    }

    #[test]
    fn more_memory_than_there_is_is_refused_with_the_limit() {
        let refused = |limit| {
            options(&asking(None, Some(2000)), EngineConfig::default(), &machine(limit))
                .expect_err("too much")
                .to_string()
        };
        assert!(refused(None).contains("1024 MiB") && refused(None).contains("what the machine has"));
        assert!(refused(Some(1 << 28)).contains("256 MiB") && refused(Some(1 << 28)).contains("control group"));
    }
}
