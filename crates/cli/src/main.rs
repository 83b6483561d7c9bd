//! The `parkade` command: chat in the terminal, serve OpenAI's API, fetch models, check the machine.

mod args;
mod config;
mod directories;
mod doctor;
mod error;
mod hash_key;
mod host;
mod loading;
mod logging;
mod machine;
mod models;
mod names;
mod numbers;
mod open_files;
mod policy;
mod pull;
mod run;
mod serve;
mod stderr;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use args::{Cli, Command};
use config::{ServiceLink, Settings, SettingsError};
use error::{CliError, WRONG_USAGE};

fn main() -> ExitCode {
    let code = match Settings::read(std::env::args_os(), |name| std::env::var_os(name)) {
        Ok(settings) => execute(&settings).unwrap_or_else(|error| failed(&error, &settings)),
        Err(SettingsError::CommandLine(error)) => {
            show(&error);
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE))
        }
        Err(error) => {
            stderr::say(format_args!("parkade: {error}"));
            ExitCode::from(WRONG_USAGE)
        }
    };
    stderr::flush();
    code
}

fn failed(error: &CliError, settings: &Settings) -> ExitCode {
    // Whoever read our output has seen enough (`| head`).
    if error.is_broken_pipe() {
        return ExitCode::SUCCESS;
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

fn execute(settings: &Settings) -> Result<ExitCode, CliError> {
    let cli = &settings.cli;
    let default_level = if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn" };
    logging::start(cli.global.log_level.as_ref(), cli.global.log_format, default_level);
    for ServiceLink { variable, value } in &settings.service_links {
        tracing::info!(variable, value, "ignored: Kubernetes announces a service of that name so (enableServiceLinks)");
    }
    let mut out = io::stdout().lock();
    match &cli.command {
        Command::Run(args) => Ok(run::run(args, &mut out)?),
        Command::Serve(args) if args.print_config => {
            out.write_all(serve::configuration(settings, args)?.as_bytes()).map_err(CliError::Output)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve(args) => Ok(serve::serve(args, settings.file.as_deref())?),
        Command::Pull(args) => {
            pull::run(args, &mut out)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(args) => doctor::run(args, settings.file.as_deref(), &mut out).map_err(CliError::Output),
        Command::Bench(args) => {
            parkade_bench::run((**args).clone(), &|model| {
                models::locate(model.unwrap_or("default")).map_err(|error| error.to_string())
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::HashKey => {
            hash_key::run(io::stdin().lock(), &mut out)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            // Into memory first: clap_complete panics when the pipe is closed.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "parkade", &mut script);
            out.write_all(&script).map_err(CliError::Output)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
