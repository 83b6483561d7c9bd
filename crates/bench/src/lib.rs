#![doc = include_str!("../README.md")]

pub mod engine;
mod error;
pub mod load;
mod locate;
mod machine;
pub mod model;
mod output;
pub mod overload;
pub mod peer;
#[cfg(feature = "parking-lot-scheduler")]
pub mod pool;
#[cfg(not(feature = "parking-lot-scheduler"))]
#[path = "no_pool.rs"]
pub mod pool;
mod prometheus;
mod random;
pub mod report;
mod roofline;
mod runtime;
pub mod serve;
mod stats;
mod tables;

pub use error::BenchError;
pub use locate::Locate;
pub use output::{Format, OutputOptions};
pub use stats::Samples;

/// `parkade bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Which benchmark.
    #[command(subcommand)]
    pub command: BenchCommand,
    /// Where its report goes.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// The benchmarks.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum BenchCommand {
    /// Send streaming requests to OpenAI-compatible servers and measure what clients see
    Serve(serve::Options),
    /// Measure a server's capacity, then ask for 1, 2 and 4 times as much
    Overload(overload::Options),
    /// Decisions a second of the parking lot, and its memory
    Pool(pool::Options),
    /// Tokens a second of a model alone: prefill, one stream, many streams
    Model(model::Options),
    /// Where a step's time goes with many requests running and waiting
    Engine(engine::Options),
}

/// Runs one benchmark and shows its report. `locate` turns what was given as `--model` (or nothing) into a GGUF file;
/// only the benchmarks that load a model themselves call it.
///
/// # Errors
/// If the benchmark could not run or its report could not be written.
pub fn run(args: BenchArgs, locate: &Locate<'_>) -> Result<(), BenchError> {
    args.output.check()?;
    let report = match args.command {
        BenchCommand::Serve(options) => serve::run(options)?,
        BenchCommand::Overload(options) => overload::run(options)?,
        BenchCommand::Pool(options) => pool::run(options)?,
        BenchCommand::Model(options) => model::run(options, locate)?,
        BenchCommand::Engine(options) => engine::run(options, locate)?,
    };
    args.output.deliver(&report)
}

#[cfg(test)]
mod tests {
    use super::BenchArgs;
    use clap::{Args, FromArgMatches};

    fn parse(line: &str) -> Result<BenchArgs, clap::Error> {
        let command = BenchArgs::augment_args(clap::Command::new("bench"));
        BenchArgs::from_arg_matches(&command.try_get_matches_from(line.split(' '))?)
    }

    #[test]
    fn the_command_line_is_consistent() {
        BenchArgs::augment_args(clap::Command::new("bench")).debug_assert();
    }

    #[test]
    fn output_options_may_stand_before_or_after_the_benchmark() {
        for line in ["bench --format json serve --url http://a:1", "bench serve --url http://a:1 --format json"] {
            assert_eq!(parse(line).expect(line).output.format, super::Format::Json);
        }
    }

    #[test]
    fn an_open_and_a_closed_loop_at_once_are_refused() {
        assert!(parse("bench serve --url http://a:1 --rate 3 --concurrency 2").is_err());
        assert!(parse("bench serve").is_err(), "there is nothing to measure");
    }
}
