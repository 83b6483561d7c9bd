//! The `parkade` command: chat in the terminal, serve OpenAI's API, fetch models, check the machine. Other programs
//! can run it by [`main`], and load models as it does by [`load`].

mod answers;
mod args;
mod batch;
mod config;
mod directories;
mod doctor;
mod embed;
mod embedded;
mod error;
mod hash_key;
mod host;
mod listeners;
mod loading;
mod logging;
mod machine;
mod models;
mod names;
mod numbers;
mod objectives;
mod open_files;
mod policy;
mod pull;
mod run;
mod serve;
mod stderr;
mod synth;
mod webhook;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::CommandFactory;

use args::{Cli, Command};
use config::{ServiceLink, Settings, SettingsError};
use error::{CliError, FAILURE, INTERRUPTED, SUCCESS, WRONG_USAGE};
use run::Ending;

pub use embedded::{NotLoaded, load};

/// Runs the command that these arguments name, the first of which is the program's own name. The exit code is given back.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let code = match Settings::read(arguments, |name| std::env::var_os(name)) {
        Ok(settings) => execute(&settings).unwrap_or_else(|error| failed(&error, &settings)),
        Err(SettingsError::CommandLine(error)) => {
            show(&error);
            u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE)
        }
        Err(error) => {
            stderr::say(format_args!("parkade: {error}"));
            WRONG_USAGE
        }
    };
    stderr::flush();
    code
}

fn failed(error: &CliError, settings: &Settings) -> u8 {
    // Whoever read our output has seen enough (`| head`).
    if error.is_broken_pipe() {
        return SUCCESS;
    }
    stderr::say(format_args!("parkade: {error}{}", settings.origins_of(&error.settings())));
    error.exit_code()
}

/// Help and versions go to standard output, faults to standard error. That nobody is left to read them is no fault of its own.
fn show(error: &clap::Error) {
    if !error.use_stderr() {
        let _ = error.print();
        return;
    }
    let styled = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = if styled { error.render().ansi().to_string() } else { error.render().to_string() };
    stderr::say(text.trim_end());
}

fn execute(settings: &Settings) -> Result<u8, CliError> {
    let cli = &settings.cli;
    let default_level = if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn" };
    logging::start(cli.global.log_level.as_ref(), cli.global.log_format, default_level);
    for ServiceLink { variable, value } in &settings.service_links {
        tracing::info!(variable, value, "ignored: Kubernetes announces a service of that name so (enableServiceLinks)");
    }
    let mut out = io::stdout().lock();
    match &cli.command {
        Command::Run(args) => Ok(match run::run(args, &mut out)? {
            Ending::Whole => SUCCESS,
            Ending::Stopped => INTERRUPTED,
        }),
        Command::Serve(args) if args.print_config => {
            out.write_all(serve::configuration(settings, args)?.as_bytes()).map_err(CliError::Output)?;
            Ok(SUCCESS)
        }
        Command::Serve(args) => {
            serve::serve(args, settings.file.as_deref())?;
            Ok(SUCCESS)
        }
        Command::Embed(args) => {
            embed::run(args, io::stdin().lock(), &mut out)?;
            Ok(SUCCESS)
        }
        Command::Batch(args) => Ok(match batch::run(args, &mut out)? {
            batch::Ending::Whole => SUCCESS,
            batch::Ending::Failures => FAILURE,
            batch::Ending::Stopped => INTERRUPTED,
        }),
        Command::Pull(args) => {
            pull::run(args, &mut out)?;
            Ok(SUCCESS)
        }
        Command::Doctor(args) => doctor::run(args, settings.file.as_deref(), &mut out).map_err(CliError::Output),
        Command::Bench(args) => {
            parkade_bench::run((**args).clone(), &|model| {
                models::locate(model.unwrap_or("default")).map_err(|error| error.to_string())
            })?;
            Ok(SUCCESS)
        }
        Command::Synth(args) => {
            synth::run(args, &mut out)?;
            Ok(SUCCESS)
        }
        Command::HashKey => {
            hash_key::run(io::stdin().lock(), &mut out)?;
            Ok(SUCCESS)
        }
        Command::Completions { shell } => {
            // Into memory first: clap_complete panics when the pipe is closed.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "parkade", &mut script);
            out.write_all(&script).map_err(CliError::Output)?;
            Ok(SUCCESS)
        }
    }
}
