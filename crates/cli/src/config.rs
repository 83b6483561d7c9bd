//! Flags over environment over configuration file over defaults.
//!
//! The file has no schema of its own: its keys are the long names of the settings (the flags with an environment
//! variable), and its values become clap's defaults before the command line is parsed. So a new flag is a new key, its
//! value is checked by the same parser, and the order of precedence is clap's.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::args::Cli;
use crate::directories;

/// Why the configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named by --config or PARKADE_CONFIG, or the default one, cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{}: not valid TOML: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A key that no command knows.
    #[error("{}: unknown key `{key}`; the nearest valid key is `{nearest}` (`parkade serve --print-config` shows all)", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, with its section.
        key: String,
        /// The valid key that looks most like it.
        nearest: String,
    },
    /// A value that the flag would refuse too.
    #[error("{}: key `{key}`: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its section.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}

/// The parsed command line, and where its values came from.
pub struct Settings {
    /// The values in force.
    pub cli: Cli,
    command: Command,
    matches: ArgMatches,
    /// The configuration file that was read, if any.
    pub file: Option<PathBuf>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line is wrong, or asks for help.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// The configuration file is wrong.
    #[error(transparent)]
    File(#[from] ConfigError),
}

impl Settings {
    /// Reads the command line, the environment and the configuration file.
    ///
    /// # Errors
    /// [`SettingsError::CommandLine`] also carries `--help` and `--version`, as clap does.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Settings, SettingsError> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let mut command = Cli::command();
        let mut matches = command.try_get_matches_from_mut(&arguments)?;
        let file = config_file(&matches);
        if let Some(path) = &file {
            let table = read_table(path)?;
            command = with_defaults(Cli::command(), &table, path)?;
            matches = command.try_get_matches_from_mut(&arguments)?;
        }
        let cli = Cli::from_arg_matches(&matches)?;
        Ok(Settings { cli, command, matches, file })
    }

    /// The settings of the command in force, as a configuration file. `computed` gives the values that depend on the
    /// machine for settings that were left open.
    #[must_use]
    pub fn as_file(&self, computed: &[(&str, String)]) -> String {
        let Some((name, matches)) = self.matches.subcommand() else { return String::new() };
        let Some(command) = self.command.find_subcommand(name) else { return String::new() };
        let mut text = format!(
            "# The settings of `parkade {name}`. Keys here hold for every command that has such a flag;\n# keys in a section [{name}] for this command alone.\n"
        );
        // Parsing gives each command a copy of the global arguments.
        let own = command.get_arguments().filter(|arg| !arg.is_global_set());
        let mut heading = None;
        for arg in settings(self.command.get_arguments()).chain(settings(own)) {
            if arg.get_help_heading() != heading {
                heading = arg.get_help_heading();
                let _ = write!(text, "\n# -- {} --\n", heading.unwrap_or_default());
            }
            let key = arg.get_long().unwrap_or_default();
            if let Some(help) = arg.get_help() {
                let _ = writeln!(text, "# {help}");
            }
            let given = matches.get_raw(arg.get_id().as_str()).and_then(|mut values| values.next_back());
            let value = given
                .map(|v| v.to_string_lossy().into_owned())
                .or_else(|| computed.iter().find(|(k, _)| *k == key).map(|(_, v)| v.clone()));
            let _ = match value {
                Some(value) => writeln!(text, "{key} = {}", literal(&value)),
                None => writeln!(text, "# {key} ="),
            };
        }
        text
    }
}

/// The settings among a command's arguments: those that the environment can give too, save the file's own name.
fn settings<'a>(arguments: impl Iterator<Item = &'a Arg>) -> impl Iterator<Item = &'a Arg> {
    arguments.filter(|a| a.get_env().is_some() && a.get_long().is_some() && a.get_long() != Some("config"))
}

fn config_file(matches: &ArgMatches) -> Option<PathBuf> {
    let named = matches.subcommand().and_then(|(_, m)| m.get_one::<PathBuf>("config")).cloned();
    named.or_else(|| directories::config_file().filter(|path| path.exists()))
}

/// The configuration file, as it stands.
///
/// # Errors
/// If it cannot be read or is no TOML.
pub fn read_table(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })
}

/// Makes the file's values the defaults of the flags of the same name. A command's section wins over the top level.
fn with_defaults(mut command: Command, table: &Table, path: &Path) -> Result<Command, ConfigError> {
    let (sections, top): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
    for (key, value) in top {
        let mut known = false;
        if settings(command.get_arguments()).any(|a| a.get_long() == Some(key)) {
            known = true;
            command = with_default(command, key, key, value, path)?;
        }
        let names: Vec<String> = commands_with(&command, key);
        for name in names {
            known = true;
            command = with_subcommand_default(command, &name, key, key, value, path)?;
        }
        if !known {
            return Err(unknown(key, all_keys(&command), path));
        }
    }
    for (section, values) in sections {
        // A table of its own, which the server reads; see `crate::policy`.
        if section == crate::policy::SECTION {
            continue;
        }
        let Some(sub) = command.find_subcommand(section).filter(|s| settings(s.get_arguments()).next().is_some())
        else {
            let names = command.get_subcommands().filter(|s| settings(s.get_arguments()).next().is_some());
            return Err(unknown(section, names.map(|s| s.get_name().to_owned()).collect(), path));
        };
        let keys: Vec<String> =
            settings(sub.get_arguments()).filter_map(Arg::get_long).map(|k| format!("{section}.{k}")).collect();
        for (key, value) in values.as_table().into_iter().flatten() {
            let full = format!("{section}.{key}");
            if !keys.contains(&full) {
                return Err(unknown(&full, keys, path));
            }
            command = with_subcommand_default(command, section, key, &full, value, path)?;
        }
    }
    Ok(command)
}

fn with_subcommand_default(
    command: Command,
    name: &str,
    key: &str,
    full: &str,
    value: &Value,
    path: &Path,
) -> Result<Command, ConfigError> {
    let mut outcome = Ok(());
    let command = command.mut_subcommand(name, |sub| match with_default(sub.clone(), key, full, value, path) {
        Ok(changed) => changed,
        Err(error) => {
            outcome = Err(error);
            sub
        }
    });
    outcome.map(|()| command)
}

fn with_default(command: Command, key: &str, full: &str, value: &Value, path: &Path) -> Result<Command, ConfigError> {
    let wrong = |message: String| ConfigError::Value { path: path.to_owned(), key: full.to_owned(), message };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
            return Err(wrong(format!("a {} was given; expected a string, a number, true or false", value.type_str())));
        }
    };
    let Some(arg) = settings(command.get_arguments()).find(|a| a.get_long() == Some(key)).cloned() else {
        return Ok(command);
    };
    let id = arg.get_id().clone();
    // Checked here, with the flag's own parser, so that the message can name the file and the key.
    Command::new("parkade")
        .no_binary_name(true)
        .arg(arg)
        .try_get_matches_from([format!("--{key}={text}")])
        .map_err(|error| wrong(first_line(&error)))?;
    Ok(command.mut_arg(id.as_str(), |a| a.default_value(text)))
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ")
        .trim_start_matches("error: ")
        .to_owned()
}

fn commands_with(command: &Command, key: &str) -> Vec<String> {
    let with = command.get_subcommands().filter(|s| settings(s.get_arguments()).any(|a| a.get_long() == Some(key)));
    with.map(|s| s.get_name().to_owned()).collect()
}

fn all_keys(command: &Command) -> Vec<String> {
    let subcommands = command.get_subcommands().flat_map(|s| settings(s.get_arguments()));
    settings(command.get_arguments()).chain(subcommands).filter_map(Arg::get_long).map(str::to_owned).collect()
}

fn unknown(key: &str, valid: Vec<String>, path: &Path) -> ConfigError {
    let like = |candidate: &String| strsim::jaro_winkler(key, candidate);
    let nearest = valid.into_iter().max_by(|a, b| like(a).total_cmp(&like(b))).unwrap_or_default();
    ConfigError::UnknownKey { path: path.to_owned(), key: key.to_owned(), nearest }
}

/// A value as it stands in TOML: bare if it is a number or a truth value in its shortest form, else a string.
fn literal(text: &str) -> String {
    let bare = text.parse::<i64>().is_ok_and(|n| n.to_string() == text)
        || text.parse::<f64>().is_ok_and(|n| n.is_finite() && text.contains('.') && n.to_string() == text)
        || matches!(text, "true" | "false");
    if bare { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}
