//! Where the value of a setting came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::Place;

/// What settings are counted in that stand in other units in the code.
const UNITS: [&str; 2] = ["mb", "seconds"];

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The flag of this name.
    Flag(String),
    /// The environment variable of this name.
    Variable(String),
    /// The configuration file.
    File {
        /// Which.
        path: PathBuf,
        /// The key, with its section.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) => write!(f, "the flag --{name}"),
            Origin::Variable(name) => write!(f, "the environment variable {name}"),
            Origin::File { path, key } => write!(f, "the key `{key}` in {}", path.display()),
        }
    }
}

/// Who gave the values of one command's settings. What is not in it has its default.
pub(super) struct Origins {
    command: String,
    known: BTreeMap<String, Origin>,
}

impl Origins {
    pub(super) fn of(command: &str) -> Origins {
        Origins { command: command.to_owned(), known: BTreeMap::new() }
    }

    /// Whose settings these are.
    pub(super) fn command(&self) -> &str {
        &self.command
    }

    /// Notes who gave a value, in place of whoever gave one before; values of other commands do not count.
    pub(super) fn note(&mut self, place: Place<'_>, key: &str, origin: Origin) {
        if place.is_none_or(|command| command == self.command) {
            self.known.insert(key.to_owned(), origin);
        }
    }

    /// Notes what stood on the command line. An argument's id is its flag's name with underscores.
    pub(super) fn note_flags(&mut self, matches: &ArgMatches) {
        for id in matches.ids().filter(|id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine)) {
            let key = id.as_str().replace('_', "-");
            self.known.insert(key.clone(), Origin::Flag(key));
        }
    }

    /// The setting behind a field, and who gave it: the one of the same name, or one that says the same in a unit of its own
    /// (`max_body_bytes` is `max-body-mb`).
    pub(super) fn of_field(&self, field: &str) -> Option<(&str, &Origin)> {
        let key = field.trim_start_matches('-').replace('_', "-");
        let stem = key.rsplit_once('-').map(|(stem, _)| stem);
        let in_a_unit =
            |known: &str| known.rsplit_once('-').is_some_and(|(own, unit)| UNITS.contains(&unit) && stem == Some(own));
        let exact = self.known.get_key_value(&key);
        let found = exact.or_else(|| self.known.iter().find(|(known, _)| in_a_unit(known)));
        found.map(|(key, origin)| (key.as_str(), origin))
    }
}
