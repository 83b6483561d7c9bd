//! A model for a program that has the engine in its own process, loaded as `parkade serve` does.

use clap::{CommandFactory, FromArgMatches, Parser};
use parkade_core::Loaded;

use crate::args::{EmbeddingArgs, ModelArgs, SchedulingArgs};
use crate::config::{check, flags_only};
use crate::loading::{self, Models};
use crate::machine::Machine;

/// What an engine can be told: those flags of `parkade serve` that are not the server's own.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, args_override_self = true)]
struct EngineArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    embedding: EmbeddingArgs,
    #[command(flatten)]
    scheduling: SchedulingArgs,
}

/// Why there is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotLoaded {
    /// The setting that it is about.
    pub setting: String,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl NotLoaded {
    fn about(setting: impl AsRef<str>, error: impl ToString) -> NotLoaded {
        NotLoaded { setting: snake_case(setting.as_ref()), message: error.to_string() }
    }
}

/// Loads a model, and the one beside it if there is to be one, with settings that are named as the flags of `parkade serve`, in snake case:
/// `[("model", "default"), ("kv_cache_mb", "256")]`. Environment and configuration file are the command's and are not read.
///
/// # Errors
/// With the setting that is at fault.
pub fn load<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(Loaded, Option<Loaded>), NotLoaded> {
    let args = parse(settings)?;
    let engine = loading::engine_config(&args.scheduling);
    let models = Models::find(&args.model, &args.embedding, engine, &Machine::read())
        .map_err(|error| NotLoaded::about(error.setting(), error))?;
    models.load().map_err(|error| NotLoaded::about(loading::setting_of(&error), &error))
}

fn snake_case(flag: &str) -> String {
    flag.replace('-', "_")
}

fn parse<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<EngineArgs, NotLoaded> {
    let command = flags_only(EngineArgs::command());
    let mut flags = Vec::new();
    for (name, value) in settings {
        let is_meant = |flag: &str| snake_case(flag) == name;
        let Some(arg) = command.get_arguments().find(|arg| arg.get_long().is_some_and(is_meant)) else {
            let known: Vec<String> = command.get_arguments().filter_map(|arg| arg.get_long().map(snake_case)).collect();
            let message = format!("'{name}' is no setting of an engine; there are: {}", known.join(", "));
            return Err(NotLoaded::about(name, message));
        };
        check(arg, value.as_ref()).map_err(|message| NotLoaded::about(name, format!("{name}: {message}")))?;
        flags.push(format!("--{}={value}", name.replace('_', "-")));
    }
    let matches = command.try_get_matches_from(flags).and_then(|matches| EngineArgs::from_arg_matches(&matches));
    matches.map_err(|error| NotLoaded::about("", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use parkade_core::SchedulerKind;

    #[test]
    fn settings_are_the_flags_of_serve() {
        let args = parse([("threads", "3"), ("scheduler", "default"), ("prefix_cache", "false")]).expect("settings");
        assert_eq!((args.model.model.as_str(), args.model.threads), ("default", Some(3)));
        assert_eq!((args.scheduling.scheduler, args.scheduling.prefix_cache), (SchedulerKind::Default, false));
        let scheduler = parse([]).expect("none").scheduling.scheduler;
        assert_eq!(scheduler, SchedulerKind::of_this_build(), "as the server's");
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_value_and_what_is_allowed() {
        for (name, value, said) in [
            ("threads", "0", "threads: invalid value '0': expected a whole number from 1 to 1024"),
            ("scheduler", "fair", "scheduler: invalid value 'fair' [possible values: parking-lot, default]"),
            (
                "port",
                "1234",
                "'port' is no setting of an engine; there are: model, threads, kv_cache_mb, ctx_size, pooling, chat_template",
            ),
            ("kv_cache_mb", "0", "kv_cache_mb: invalid value '0'"),
            ("help", "", "'help' is no setting"),
        ] {
            let error = parse([(name, value)]).expect_err(name);
            assert_eq!(error.setting, name);
            assert!(error.message.starts_with(said), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_loaded_is_laid_to_its_setting() {
        let error = |name, value| load([("model", "/nowhere.gguf"), (name, value)]).err().expect("no such file");
        assert_eq!(error("threads", "1").setting, "model");
    }
}
