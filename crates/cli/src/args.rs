//! The command line. Every flag with an environment variable is a *setting*: it can also stand in the configuration
//! file (see [`crate::config`]), which is why no setting is an `Option` with its default hidden in the code.

mod batch;

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
use parkade_bench::{BenchArgs, Format};
use parkade_calls::Style;
use parkade_core::{Class, DrainWaiting, EngineConfig, ModelConfig, PoolingType, Reserve, SchedulerKind};
use parkade_server::ServerConfig;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StringDeserializer};

use crate::answers::AnswerArgs;
use crate::logging::{Directives, LogFormat};
use crate::numbers::{decimal, whole};
pub use batch::{BatchArgs, BatchCommand, BatchIdArgs, ListArgs, RemoteArgs, ResultsArgs, RunBatchArgs, SubmitArgs};

const EXAMPLES: &str = "\
Examples:
  parkade run                                  chat in the terminal
  parkade run -i 'Name three rivers.'          one answer
  parkade run -i 'Summarise:' -f notes.txt     one answer about a file (-f -: from a pipe)
  parkade serve                                OpenAI's API on http://127.0.0.1:1234/v1
  parkade embed -m embedder.gguf 'A text.'     its embedding, as JSON
  parkade batch run in.jsonl -o out.jsonl      the answers to a file of requests
  parkade pull llama-3.2-1b                    fetch a model
  parkade serve --model llama-3.2-1b           ... and serve it
  parkade doctor                               is everything in order?
  parkade doctor qwen3:4b                      what a model needs, how fast it will be, why it would not load

Settings: a flag wins over the environment (PARKADE_PORT for --port, and so on), which wins over the configuration
file (port = 1234), which wins over the default. An empty variable counts as unset. The file is PARKADE_CONFIG or --config FILE, else
$XDG_CONFIG_HOME/parkade/config.toml (~/.config/parkade/config.toml) if it exists; `parkade serve --print-config`
shows one. Models lie in $PARKADE_HOME, else $XDG_CACHE_HOME/parkade, else ~/.cache/parkade.";

/// The longest time that a setting may be, in seconds: a day.
const LONGEST_SECONDS: u64 = 86_400;

/// Serves open-weight language models on ordinary CPU machines.
#[derive(Debug, Parser)]
#[command(name = "parkade", version, after_help = EXAMPLES, max_term_width = 120, disable_help_subcommand = true, args_override_self = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE", env = "PARKADE_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// Log level, or directives as in RUST_LOG [default: info for serve, else warn]
    #[arg(long, global = true, value_name = "LEVEL", env = "PARKADE_LOG_LEVEL", hide_env = true, value_parser = Directives::parse)]
    pub log_level: Option<Directives>,
    /// Shape of the log lines on standard error
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "PARKADE_LOG_FORMAT",
        hide_env = true,
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Chat in the terminal, or get one answer with -i or from a pipe
    Run(RunArgs),
    /// Serve OpenAI's API over HTTP
    Serve(Box<ServeArgs>),
    /// Turn texts into embeddings, one line of JSON each
    Embed(EmbedArgs),
    /// Answer files of requests, by a server or here
    Batch(BatchArgs),
    /// Fetch a model from the Hugging Face hub
    Pull(PullArgs),
    /// Check the machine and the model, with a remedy for each fault
    Doctor(DoctorArgs),
    /// Measure: the model, the engine, a server, overload
    Bench(Box<BenchArgs>),
    /// Write a random model of any shape, for tests and measurements
    Synth(SynthArgs),
    /// Read an API key from standard input and print its SHA-256 for the keys file
    HashKey,
    /// Print the completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// `parkade synth`.
#[derive(Debug, Args)]
pub struct SynthArgs {
    /// Where the GGUF file goes
    #[arg(value_name = "OUT", required_unless_present = "list")]
    pub out: Option<PathBuf>,
    /// What it is a model of: an architecture in small, or the dimensions of a published model
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
    pub shape: Option<String>,
    /// The same shape and seed are the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Divides the number of layers
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = whole::<u32>(1..=1024))]
    pub scale: u32,
    /// Type of the matrices: f32, q8_0, q4_k_m and so on [default: q8_0 for tiny shapes, q4_k_m for others]
    #[arg(long = "type", value_name = "TYPE")]
    pub ty: Option<String>,
    /// Lists the shapes
    #[arg(long)]
    pub list: bool,
}

/// Which model, and what it may use of the machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// GGUF file, alias (see `parkade pull --list`) or Hugging Face REPO[:FILE]
    #[arg(long, short, value_name = "MODEL", env = "PARKADE_MODEL", hide_env = true, default_value = "default")]
    pub model: String,
    /// Threads that compute [default: the physical cores that this process may use]
    #[arg(long, value_name = "N", env = "PARKADE_THREADS", hide_env = true, value_parser = whole::<u32>(1..=1024))]
    pub threads: Option<u32>,
    /// Memory for the KV cache and the states of sequences, in MiB [default: half of what is free beside the weights]
    #[arg(long, value_name = "MIB", env = "PARKADE_KV_CACHE_MB", hide_env = true, value_parser = whole::<u64>(1..=16_777_216))]
    pub kv_cache_mb: Option<u64>,
    /// Longest sequence in tokens, prompt and answer together; less than the model was made for takes less memory
    /// [default: what the model was made for]
    #[arg(long, value_name = "N", env = "PARKADE_CTX_SIZE", hide_env = true, value_parser = whole::<usize>(ModelConfig::CONTEXT))]
    pub ctx_size: Option<usize>,
    /// How an embedding model pools its hidden states [default: as its file says]
    #[arg(long, value_name = "HOW", env = "PARKADE_POOLING", hide_env = true, value_parser = pooling_parser())]
    pub pooling: Option<PoolingType>,
    /// Built-in chat template (chatml, llama3, gemma, ...) or file, instead of the model's own
    #[arg(long, value_name = "NAME|FILE", env = "PARKADE_CHAT_TEMPLATE", hide_env = true)]
    pub chat_template: Option<String>,
}

/// A second model beside the first.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Model")]
pub struct EmbeddingArgs {
    /// A model of embeddings or a reranker beside the first, given as MODEL is; --pooling is about this one then
    #[arg(long, value_name = "MODEL", env = "PARKADE_EMBEDDING_MODEL", hide_env = true)]
    pub embedding_model: Option<String>,
    /// Memory for its texts while they are computed, in MiB [default: what --max-seqs texts of 512 tokens take, or one
    /// that fills its context, and an eighth of what is free at most]
    #[arg(long, value_name = "MIB", env = "PARKADE_EMBEDDING_KV_MB", hide_env = true, value_parser = whole::<u64>(1..=16_777_216))]
    pub embedding_kv_mb: Option<u64>,
}

/// `parkade run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Answer this and exit. Without it the prompt comes from a pipe, or you chat
    #[arg(long, short = 'i', value_name = "PROMPT")]
    pub prompt: Option<String>,
    /// Puts a text file below the prompt (-: standard input)
    #[arg(long, short, value_name = "FILE", requires = "prompt")]
    pub file: Option<PathBuf>,
    /// System message
    #[arg(long, value_name = "TEXT", env = "PARKADE_SYSTEM", hide_env = true)]
    pub system: Option<String>,
    #[command(flatten)]
    pub form: FormArgs,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// What the answers of `parkade run` are to be: one of these at most.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Form of the answer")]
#[group(multiple = false)]
pub struct FormArgs {
    /// JSON by this schema
    #[arg(long, value_name = "FILE|SCHEMA")]
    pub json_schema: Option<String>,
    /// Text of this grammar: GBNF (from root) if it has ::=, else Lark (from start)
    #[arg(long, value_name = "FILE|GRAMMAR")]
    pub grammar: Option<String>,
    /// Text that matches this regular expression from its first to its last character
    #[arg(long, value_name = "PATTERN")]
    pub regex: Option<String>,
    /// One of several texts: a flag for each
    #[arg(long, value_name = "TEXT")]
    pub choice: Vec<String>,
}

/// `parkade embed`.
#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// The texts. Without any, each line of standard input is one
    #[arg(value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Keeps the first values only, for models that were made for that
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=1 << 20))]
    pub dimensions: Option<usize>,
    /// Cuts off the end of texts that are too long, instead of refusing them
    #[arg(long)]
    pub truncate: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// How `parkade run` picks tokens.
#[derive(Debug, Args, Clone, PartialEq)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// 0 always takes the likeliest token
    #[arg(
        long,
        short,
        value_name = "T",
        env = "PARKADE_TEMPERATURE",
        hide_env = true,
        default_value_t = 0.2,
        value_parser = decimal
    )]
    pub temperature: f32,
    /// Only among the K likeliest tokens (0: all)
    #[arg(long, value_name = "K", env = "PARKADE_TOP_K", hide_env = true, default_value_t = 40, value_parser = whole::<u32>(0..=u32::MAX))]
    pub top_k: u32,
    /// Only among the likeliest tokens that together have probability P
    #[arg(
        long,
        value_name = "P",
        env = "PARKADE_TOP_P",
        hide_env = true,
        default_value_t = 0.9,
        value_parser = decimal
    )]
    pub top_p: f32,
    /// Only tokens with at least P times the likeliest one's probability
    #[arg(
        long,
        value_name = "P",
        env = "PARKADE_MIN_P",
        hide_env = true,
        default_value_t = 0.0,
        value_parser = decimal
    )]
    pub min_p: f32,
    /// Locally typical sampling (1: off)
    #[arg(
        long,
        value_name = "P",
        env = "PARKADE_TYPICAL_P",
        hide_env = true,
        default_value_t = 1.0,
        value_parser = decimal
    )]
    pub typical_p: f32,
    /// Lowers the score of tokens that the answer has already (0: off)
    #[arg(
        long,
        value_name = "X",
        env = "PARKADE_PRESENCE_PENALTY",
        hide_env = true,
        default_value_t = 0.0,
        value_parser = decimal
    )]
    pub presence_penalty: f32,
    /// The same, for each time that it has them (0: off)
    #[arg(
        long,
        value_name = "X",
        env = "PARKADE_FREQUENCY_PENALTY",
        hide_env = true,
        default_value_t = 0.0,
        value_parser = decimal
    )]
    pub frequency_penalty: f32,
    /// Divides the score of tokens that were there before (1: off)
    #[arg(
        long,
        value_name = "R",
        env = "PARKADE_REPETITION_PENALTY",
        hide_env = true,
        default_value_t = 1.0,
        value_parser = decimal
    )]
    pub repetition_penalty: f32,
    /// Same seed, same answer [default: another one each time]
    #[arg(long, value_name = "N", env = "PARKADE_SEED", hide_env = true, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: Option<u64>,
    /// Longest answer, in tokens
    #[arg(
        long,
        value_name = "N",
        env = "PARKADE_MAX_TOKENS",
        hide_env = true,
        default_value = "1024",
        value_parser = whole::<u32>(1..=u32::MAX)
    )]
    pub max_tokens: Option<u32>,
}

/// `parkade serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub embedding: EmbeddingArgs,
    #[command(flatten)]
    pub listen: ListenArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub webhook: WebhookArgs,
    #[command(flatten)]
    pub answers: AnswerArgs,
    #[command(flatten)]
    pub scheduling: SchedulingArgs,
    /// Print the settings in force as a configuration file, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// Where and for whom `parkade serve` listens.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub struct ListenArgs {
    /// Address or name to listen on (0.0.0.0: every interface); may be given several times, or as a list with commas
    /// [default: 127.0.0.1, or with --unix none]
    #[arg(long, value_name = "HOST", env = "PARKADE_HOST", hide_env = true, value_delimiter = ',', value_parser = crate::host::parse)]
    pub host: Vec<String>,
    /// Port to listen on (0: any free one; the log says which)
    #[arg(long, short, value_name = "PORT", env = "PARKADE_PORT", hide_env = true, default_value_t = 1234, value_parser = whole::<u16>(0..=u16::MAX))]
    pub port: u16,
    /// Unix socket to listen on, for the user that the server runs as
    #[arg(long, value_name = "PATH", env = "PARKADE_UNIX", hide_env = true)]
    pub unix: Option<PathBuf>,
    /// Certificate for TLS in PEM, with those above it; read again at SIGHUP [default: no TLS]
    #[arg(long, value_name = "FILE", env = "PARKADE_TLS_CERT", hide_env = true)]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", env = "PARKADE_TLS_KEY", hide_env = true)]
    pub tls_key: Option<PathBuf>,
    /// Connections at once; the idlest gives way to a newcomer, and when all are at work newcomers get 503
    #[arg(long, value_name = "N", env = "PARKADE_MAX_CONNECTIONS", hide_env = true, default_value_t = ServerConfig::default().max_connections, value_parser = whole::<usize>(1..=1_000_000))]
    pub max_connections: usize,
    /// Seconds that a connection may stay open without a request
    #[arg(long, value_name = "S", env = "PARKADE_IDLE_SECONDS", hide_env = true, default_value_t = ServerConfig::default().idle_timeout.as_secs(), value_parser = whole::<u64>(1..=LONGEST_SECONDS))]
    pub idle_seconds: u64,
    /// Largest request body, in MiB
    #[arg(long, value_name = "MIB", env = "PARKADE_MAX_BODY_MB", hide_env = true, default_value_t = ServerConfig::default().max_body_bytes >> 20, value_parser = whole::<usize>(1..=1 << 20))]
    pub max_body_mb: usize,
    /// Seconds that running answers may still take after SIGTERM or Ctrl-C
    #[arg(long, value_name = "S", env = "PARKADE_DRAIN_SECONDS", hide_env = true, default_value_t = ServerConfig::default().drain_limit.as_secs(), value_parser = whole::<u64>(0..=LONGEST_SECONDS))]
    pub drain_seconds: u64,
    /// What becomes of requests in line then: they may finish too, or are refused at once
    #[arg(long, value_name = "HOW", env = "PARKADE_DRAIN_WAITING", hide_env = true, default_value = "finish", value_parser = drain_waiting_parser())]
    pub drain_waiting: DrainWaiting,
    /// TOML file with the API keys, their classes, weights and limits; read again at SIGHUP [default: everyone may ask]
    #[arg(long, value_name = "FILE", env = "PARKADE_API_KEYS", hide_env = true)]
    pub api_keys: Option<PathBuf>,
    /// A key of its own right, beside those of the file: its requests are the tenant key-1, of a second one key-2, and so on.
    /// Others on this machine can read it in the list of processes; PARKADE_API_KEY (several with commas between) they cannot
    #[arg(long = "api-key", value_name = "KEY", action = ArgAction::Append)]
    pub api_key: Vec<String>,
    /// Names under which the model is listed and asked for, comma-separated, the first as its own; * stands for all that no
    /// model here has [default: its file's name]
    #[arg(long, value_name = "NAMES", env = "PARKADE_ALIAS", hide_env = true)]
    pub alias: Option<String>,
    /// How the model writes calls of tools [default: as its chat template shows]
    #[arg(long, value_name = "NAME", env = "PARKADE_TOOL_CALL_PARSER", hide_env = true, value_parser = call_style_parser())]
    pub tool_call_parser: Option<Style>,
    /// Refuse requests with fields that are not known here, instead of ignoring and reporting these
    #[arg(
        long,
        value_name = "BOOL",
        env = "PARKADE_STRICT",
        hide_env = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value_t = ServerConfig::default().strict
    )]
    pub strict: bool,
    /// Whether GET /slots tells how much room for sequences is taken
    #[arg(long, value_name = "BOOL", env = "PARKADE_SLOTS", hide_env = true, action = ArgAction::Set, default_value_t = ServerConfig::default().slots)]
    pub slots: bool,
    /// Web pages that may call the API, comma-separated origins, localhost for all of this machine, or * [default: none]
    #[arg(long, value_name = "ORIGINS", env = "PARKADE_CORS_ORIGINS", hide_env = true)]
    pub cors_origins: Option<String>,
    /// Names that requests may address the server by, comma-separated hosts or *, for proxies [default: without keys on
    /// a loopback address localhost, 127.0.0.1 and [::1] only, else any]
    #[arg(long, value_name = "HOSTS", env = "PARKADE_ALLOWED_HOSTS", hide_env = true)]
    pub allowed_hosts: Option<String>,
    /// What the objectives of an inference gateway mean (premium=high,batch=low), by the header
    /// x-gateway-inference-objective [default: low, normal and high are classes, and other names say nothing]
    #[arg(long, value_name = "NAME=CLASS", env = "PARKADE_GATEWAY_OBJECTIVES", hide_env = true, value_delimiter = ',', value_parser = crate::objectives::parse)]
    pub gateway_objectives: Vec<(String, Class)>,
}

/// Where work is kept that outlives its client.
#[derive(Debug, Args)]
#[command(next_help_heading = "Durable work")]
pub struct StoreArgs {
    /// Where batches and their files are kept: a file of SQLite's, postgres://USER:PASSWORD@HOST/NAME for several
    /// nodes, or none. Nothing is made before it is needed [default: parkade.db beside the models]
    #[arg(long, value_name = "PLACE", env = "PARKADE_STORE", hide_env = true)]
    pub store: Option<String>,
    /// Bytes that the files of one key may have together, in MiB
    #[arg(long, value_name = "MIB", env = "PARKADE_STORE_QUOTA_MB", hide_env = true, default_value_t = DEFAULT_QUOTA_MB, value_parser = whole::<u64>(1..=1 << 30))]
    pub store_quota_mb: u64,
    /// Days that batches and their files are kept
    #[arg(long, value_name = "DAYS", env = "PARKADE_STORE_DAYS", hide_env = true, default_value_t = 30, value_parser = whole::<u64>(1..=36_500))]
    pub store_days: u64,
    /// Seconds after which the work of a node that has died is taken up by others
    #[arg(long, value_name = "S", env = "PARKADE_LEASE_SECONDS", hide_env = true, default_value_t = 15, value_parser = whole::<u64>(1..=3600))]
    pub lease_seconds: u64,
}

/// Who is told that durable work is over.
#[derive(Debug, Args)]
#[command(next_help_heading = "Webhook")]
pub struct WebhookArgs {
    /// Is told when batches are over, of keys that name no webhook of their own: by Standard Webhooks, signed
    /// with the secret in PARKADE_WEBHOOK_SECRET [default: nobody is told]
    #[arg(long, value_name = "URL", env = "PARKADE_WEBHOOK_URL", hide_env = true)]
    pub webhook_url: Option<String>,
    /// File with the secret instead (whsec_...), or with the new one and the one before it; read again at SIGHUP
    #[arg(long, value_name = "FILE", env = "PARKADE_WEBHOOK_SECRET_FILE", hide_env = true)]
    pub webhook_secret_file: Option<PathBuf>,
    /// Whether webhooks, keys' own too, may be in the local network, and without TLS
    #[arg(
        long,
        value_name = "BOOL",
        env = "PARKADE_WEBHOOK_ALLOW_PRIVATE",
        hide_env = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value_t = false
    )]
    pub webhook_allow_private: bool,
}

/// Two of the largest files that OpenAI's API takes, ten times.
const DEFAULT_QUOTA_MB: u64 = 4000;

/// More rows than this in a step hardly raise the throughput of a few cores, but every answer gets slower with them (measured with 2
/// threads, see BENCHMARKING.md). Who waits in line instead starts later and is done sooner.
pub fn default_max_seqs() -> usize {
    std::thread::available_parallelism().map_or(16, |threads| (8 * threads.get()).clamp(16, 64))
}

/// Which scheduler, and its limits.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scheduling")]
pub struct SchedulingArgs {
    /// Who runs next
    #[arg(long, value_name = "NAME", env = "PARKADE_SCHEDULER", hide_env = true, value_parser = scheduler_parser(), default_value = SchedulerKind::of_this_build().name())]
    pub scheduler: SchedulerKind,
    /// What `parking-lot` sets aside before a request starts: its expected answer (and parks somebody when that was too
    /// little), or the longest possible one
    #[arg(long, value_name = "HOW", env = "PARKADE_RESERVE", hide_env = true, default_value = "predicted", value_parser = reserve_parser())]
    pub reserve: Reserve,
    /// Sequences that run at once; by default 8 for each hardware thread, from 16 to 64
    #[arg(long, value_name = "N", env = "PARKADE_MAX_SEQS", hide_env = true, default_value_t = default_max_seqs(), value_parser = whole::<usize>(EngineConfig::SEQS))]
    pub max_seqs: usize,
    /// Prompt tokens in one step
    #[arg(long, value_name = "N", env = "PARKADE_MAX_BATCHED_TOKENS", hide_env = true, default_value_t = EngineConfig::default().max_batched_tokens, value_parser = whole::<usize>(EngineConfig::BATCHED_TOKENS))]
    pub max_batched_tokens: usize,
    /// Requests that may wait; those above get 503
    #[arg(long, value_name = "N", env = "PARKADE_MAX_QUEUE_DEPTH", hide_env = true, default_value_t = EngineConfig::default().max_queue_depth, value_parser = whole::<usize>(EngineConfig::QUEUE_DEPTH))]
    pub max_queue_depth: usize,
    /// Whether the KV of past prompts is kept while nothing else needs the memory
    #[arg(long, value_name = "BOOL", env = "PARKADE_PREFIX_CACHE", hide_env = true, action = ArgAction::Set, default_value_t = EngineConfig::default().prefix_cache)]
    pub prefix_cache: bool,
}

fn pooling_parser() -> impl TypedValueParser<Value = PoolingType> {
    let named = |name: String| PoolingType::ALL.into_iter().find(|kind| kind.name() == name).ok_or("no such pooling");
    PossibleValuesParser::new(PoolingType::ALL.map(PoolingType::name)).try_map(named)
}

fn call_style_parser() -> impl TypedValueParser<Value = Style> {
    PossibleValuesParser::new(Style::names()).try_map(|name| Style::by_name(&name).ok_or("no such parser"))
}

fn drain_waiting_parser() -> impl TypedValueParser<Value = DrainWaiting> {
    one_of([("finish", "They run too, as far as the time allows"), ("refuse", "They get 503 at once")])
}

fn reserve_parser() -> impl TypedValueParser<Value = Reserve> {
    one_of([("predicted", "The expected answer"), ("full", "The longest possible answer")])
}

/// Words that stand for the values of a type, with what they mean.
fn one_of<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    words: [(&'static str, &'static str); 2],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words.map(|(word, help)| PossibleValue::new(word).help(help)))
        .try_map(|word| T::deserialize(StringDeserializer::<ValueError>::new(word)))
}

fn scheduler_parser() -> impl TypedValueParser<Value = SchedulerKind> {
    let names = [SchedulerKind::ParkingLot, SchedulerKind::Default].map(SchedulerKind::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<SchedulerKind>())
}

/// `parkade pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Alias, perhaps with a quantisation (qwen3:4b-q8_0), or Hugging Face REPO[:FILE]; FILE may be a quantisation's name, such as Q4_K_M
    #[arg(value_name = "MODEL", required_unless_present = "list")]
    pub model: Option<String>,
    /// Quantisation, whether it fits the machine's memory or not [default: the best that fits]
    #[arg(long, value_name = "NAME")]
    pub quant: Option<String>,
    /// List the aliases, and which of them are here
    #[arg(long)]
    pub list: bool,
}

/// `parkade doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// GGUF file, alias or REPO[:FILE] to look at: what it is, what it needs, how fast it will be here, and why it would not load
    #[arg(value_name = "MODEL")]
    pub look_at: Option<String>,
    /// Shape of the report
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub format: Format,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub embedding: EmbeddingArgs,
}
