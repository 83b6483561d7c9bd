//! Settings from the configuration file.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use parkade_model::nearest;
use parkade_server::{in_plain_words, read_text};
use toml::{Table, Value};

use super::origin::{Origin, Origins};
use super::{Place, check, nested, settings, with_default};

/// The section that is no command: the limits and weights of the scheduler.
pub const PARKING_LOT: &str = "parking-lot";

/// Why the configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{}: not valid TOML: line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there, with what stands there.
        message: String,
    },
    /// A key that no command knows.
    #[error("{}: unknown key `{key}`{} (`parkade serve --print-config` shows all)", path.display(), suggestion(.nearest.as_deref()))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, with its section.
        key: String,
        /// The valid key that looks most like it.
        nearest: Option<String>,
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

/// The configuration file, as it stands.
///
/// # Errors
/// If it cannot be read or is no TOML.
pub fn read_table(path: &Path) -> Result<Table, ConfigError> {
    let text =
        File::open(path).and_then(read_text).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text[..start].matches('\n').count();
        let shown = text.lines().nth(line - 1).unwrap_or_default().trim();
        let message = format!("`{shown}`: {}", in_plain_words(error.message()));
        ConfigError::Syntax { path: path.to_owned(), line, message }
    })
}

/// Makes the file's values the defaults of the flags of the same name. A command's section wins over the top level.
pub(super) fn fill_in(
    mut command: Command,
    table: &Table,
    path: &Path,
    origins: &mut Origins,
) -> Result<Command, ConfigError> {
    let (sections, top): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
    for (key, value) in top {
        let places = places_of(&command, key);
        if places.is_empty() {
            return Err(unknown(key, all_keys(&command), path));
        }
        for place in places {
            command = put(command, place.as_deref(), key, key, value, path, origins)?;
        }
    }
    for (section, values) in sections {
        // A table of its own, which the server reads; see `crate::policy`.
        if section == PARKING_LOT {
            continue;
        }
        // A section holds for the commands within its command too.
        let commands: Vec<String> =
            with_settings(&command).filter(|name| name.split(' ').next() == Some(section)).collect();
        if commands.is_empty() {
            let names = with_settings(&command).filter_map(|name| name.split(' ').next().map(str::to_owned));
            return Err(unknown(section, names.collect(), path));
        }
        let keys: Vec<String> = commands
            .iter()
            .filter_map(|name| nested::find(&command, name))
            .flat_map(|sub| settings(sub.get_arguments()))
            .filter_map(|arg| Some(format!("{section}.{}", arg.get_long()?)))
            .collect();
        for (key, value) in values.as_table().into_iter().flatten() {
            let full = format!("{section}.{key}");
            if !keys.contains(&full) {
                return Err(unknown(&full, keys, path));
            }
            for name in &commands {
                command = put(command, Some(name), key, &full, value, path, origins)?;
            }
        }
    }
    Ok(command)
}

fn put(
    command: Command,
    place: Place<'_>,
    key: &str,
    full: &str,
    value: &Value,
    path: &Path,
    origins: &mut Origins,
) -> Result<Command, ConfigError> {
    let wrong = |message: String| ConfigError::Value { path: path.to_owned(), key: full.to_owned(), message };
    let no_value = || wrong(format!("a {} was given; expected a string, a number, true or false", value.type_str()));
    let owner = place.map_or(Some(&command), |name| nested::find(&command, name));
    let Some(arg) = owner.and_then(|owner| setting(owner, key)).cloned() else { return Ok(command) };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Array(list) => joined(&arg, list).ok_or_else(no_value)?,
        Value::Datetime(_) | Value::Table(_) => return Err(no_value()),
    };
    check(&arg, text.as_ref()).map_err(wrong)?;
    origins.note(place, key, Origin::File { path: path.to_owned(), key: full.to_owned() });
    Ok(with_default(command, place, &arg, text.into()))
}

/// A list of texts as its flag takes it, if that takes lists.
fn joined(arg: &Arg, list: &[Value]) -> Option<String> {
    let delimiter = arg.get_value_delimiter()?;
    let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    texts.map(|texts| texts.join(&delimiter.to_string()))
}

fn setting<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    settings(command.get_arguments()).find(|arg| arg.get_long() == Some(key))
}

/// The names of the commands that have settings.
fn with_settings(command: &Command) -> impl Iterator<Item = String> {
    let has_settings =
        |name: &String| nested::find(command, name).is_some_and(|sub| settings(sub.get_arguments()).next().is_some());
    nested::all(command).into_iter().filter(has_settings)
}

/// Where there are flags of this name.
fn places_of(command: &Command, key: &str) -> Vec<Option<String>> {
    let top = setting(command, key).map(|_| None);
    let has_key = |name: &String| nested::find(command, name).is_some_and(|sub| setting(sub, key).is_some());
    top.into_iter().chain(nested::all(command).into_iter().filter(has_key).map(Some)).collect()
}

fn all_keys(command: &Command) -> Vec<String> {
    let names = nested::all(command);
    let below = names.iter().filter_map(|name| nested::find(command, name));
    let settings = [command].into_iter().chain(below).flat_map(|command| settings(command.get_arguments()));
    settings.filter_map(Arg::get_long).map(str::to_owned).collect()
}

fn unknown(key: &str, valid: Vec<String>, path: &Path) -> ConfigError {
    let nearest = nearest(key, valid.iter().map(String::as_str)).map(str::to_owned);
    ConfigError::UnknownKey { path: path.to_owned(), key: key.to_owned(), nearest }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; the nearest valid key is `{nearest}`"))
}
