#![doc = include_str!("../README.md")]

mod bounds;
pub mod engine;
mod error;
pub mod grammar;
pub mod hot_paths;
pub mod load;
mod locate;
pub mod locks;
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
pub mod quick;
mod random;
pub mod report;
mod roofline;
mod runtime;
pub mod serve;
mod started;
mod stats;
mod subject;
mod tables;

pub use error::BenchError;
pub use locate::Locate;
pub use output::{Format, OutputOptions};
pub use roofline::Roofline;
pub use stats::Samples;
pub use subject::Subject;

/// `parkade bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Which benchmark; without one, what each of them answers.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
    /// Where its report goes.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// The benchmarks.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum BenchCommand {
    /// What can this machine do? Five figures in under a minute
    Quick(quick::Options),
    /// How many tokens a second does a model make, and how near is that to what the machine can do?
    Model(model::Options),
    /// Where does a step's time go while many requests run and wait, and what do batches of prompts cost?
    Engine(engine::Options),
    /// How many decisions a second does the parking lot make, and how much memory does a waiting task take?
    Pool(pool::Options),
    /// What does an answer with a format cost beside the model?
    Grammar(grammar::Options),
    /// What do Parkade's locks cost beside parking_lot's and std's, and who waits for how long?
    Locks(locks::Options),
    /// What do clients of OpenAI-compatible servers see, one server beside another?
    Serve(serve::Options),
    /// What becomes of a server's promises when 1, 2 and 4 times its capacity is asked of it?
    Overload(overload::Options),
}

/// Runs one benchmark and shows its report; without one, says what each of them answers. `locate` turns what was given as `--model` (or nothing) into a GGUF file;
/// only the benchmarks that load a model themselves call it.
///
/// # Errors
/// If the benchmark could not run or its report could not be written.
pub fn run(args: BenchArgs, locate: &Locate<'_>) -> Result<(), BenchError> {
    args.output.check()?;
    let Some(command) = args.command else {
        return output::write(&overview());
    };
    let report = match command {
        BenchCommand::Quick(options) => quick::run(options, locate)?,
        BenchCommand::Serve(options) => serve::run(options)?,
        BenchCommand::Overload(options) => overload::run(options)?,
        BenchCommand::Pool(options) => pool::run(options)?,
        BenchCommand::Locks(options) => locks::run(options)?,
        BenchCommand::Model(options) => model::run(options, locate)?,
        BenchCommand::Engine(options) => engine::run(options, locate)?,
        BenchCommand::Grammar(options) => grammar::run(options, locate)?,
    };
    args.output.deliver(&report)
}

/// The benchmarks, and what each answers.
fn overview() -> String {
    let commands = <BenchCommand as clap::Subcommand>::augment_subcommands(clap::Command::new("bench"));
    let mut text = String::new();
    for command in commands.get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("parkade bench {:<9} {about}\n", command.get_name()));
    }
    text + "\nEach has --help, --format json, --save FILE.json and --report FILE.html.\n"
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
    fn without_a_name_all_are_told() {
        assert!(parse("bench").expect("nothing is missing").command.is_none());
        let text = super::overview();
        for name in ["quick", "model", "engine", "pool", "grammar", "locks", "serve", "overload"] {
            assert!(text.lines().any(|line| line.starts_with(&format!("parkade bench {name} "))), "{name}: {text}");
        }
    }

    #[test]
    fn an_open_and_a_closed_loop_at_once_are_refused() {
        assert!(parse("bench serve --url http://a:1 --rate 3 --concurrency 2").is_err());
        assert!(parse("bench serve").is_err(), "there is nothing to measure");
    }
}
