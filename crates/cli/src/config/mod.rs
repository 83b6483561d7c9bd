//! Flags over environment over configuration file over defaults.
//!
//! Neither the file nor the environment has a schema of its own: a key is the long name of a setting (a flag with an
//! environment variable), and what it says becomes the flag's default before the command line is parsed, first the
//! file's values, then the environment's. So a new flag is a new key, its value is checked by the same parser, and
//! whatever clap itself complains of came from the command line. Where each value came from is kept, so that an error
//! that comes to light later can say it too.

mod environment;
mod file;
mod nested;
mod origin;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::Value;

pub use environment::{ServiceLink, VariableError};
pub use file::{ConfigError, PARKING_LOT, read_table};
pub use origin::Origin;

use crate::args::Cli;
use crate::directories;
use origin::Origins;

/// The environment variable that names the configuration file, as `--config` does.
const FILE_VARIABLE: &str = "PARKADE_CONFIG";

/// The parsed command line, and where its values came from.
pub struct Settings {
    /// The values in force.
    pub cli: Cli,
    /// The configuration file that was read, if any.
    pub file: Option<PathBuf>,
    /// Variables that look like settings and are Kubernetes'.
    pub service_links: Vec<ServiceLink>,
    command: Command,
    matches: ArgMatches,
    origins: Origins,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line is wrong, or asks for help.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// The environment is wrong.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// The configuration file is wrong.
    #[error("{error}{}", named.as_ref().map(|origin| format!(" (the file is named by {origin})")).unwrap_or_default())]
    File {
        /// What is wrong.
        error: Box<ConfigError>,
        /// Who named the file, unless it lies where it is always looked for.
        named: Option<Origin>,
    },
}

impl Settings {
    /// Reads the command line, the environment and the configuration file.
    ///
    /// # Errors
    /// [`SettingsError::CommandLine`] also carries `--help` and `--version`, as clap does.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Settings, SettingsError> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        // As in a shell's ${NAME:-default}.
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        // The flags alone say which command this is, and perhaps which configuration file.
        let flags = flags_only(Cli::command()).try_get_matches_from(&arguments)?;
        let mut origins = Origins::of(&nested::given(&flags).map(|(name, _)| name).unwrap_or_default());
        let mut command = Cli::command();
        let mut file = None;
        if let Some((path, named)) = config_file(&flags, &variable) {
            let filled = read_table(&path).and_then(|table| file::fill_in(command, &table, &path, &mut origins));
            command = filled.map_err(|error| SettingsError::File { error: Box::new(error), named })?;
            file = Some(path);
        }
        let (command, service_links) = environment::fill_in(command, variable, &mut origins)?;
        let matches = flags_only(command.clone()).try_get_matches_from(&arguments)?;
        if let Some((_, matches)) = nested::given(&matches) {
            origins.note_flags(matches);
        }
        let cli = Cli::from_arg_matches(&matches)?;
        Ok(Settings { cli, file, service_links, command, matches, origins })
    }

    /// Where the values of these settings came from, to stand behind an error about them; nothing for those that nobody gave.
    /// They may be named as fields of a configuration in the code.
    #[must_use]
    pub fn origins_of(&self, fields: &[&str]) -> String {
        let said: Vec<String> = fields
            .iter()
            .filter_map(|field| self.origins.of_field(field))
            .map(|(key, origin)| format!("{key} is from {origin}"))
            .collect();
        if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
    }

    /// The settings of the command in force, as a configuration file. `computed` gives the values that depend on the
    /// machine for settings that were left open.
    #[must_use]
    pub fn as_file(&self, computed: &[(&str, String)]) -> String {
        let Some((name, matches)) = nested::given(&self.matches) else { return String::new() };
        let Some(command) = nested::find(&self.command, &name) else { return String::new() };
        let mut text = format!(
            "# The settings of `parkade {name}`. Keys here hold for every command that has such a flag;\n# keys in a section [{name}] for this command alone.\n"
        );
        let mut heading = None;
        for arg in settings(self.command.get_arguments()).chain(settings(command.get_arguments())) {
            if arg.get_help_heading() != heading {
                heading = arg.get_help_heading();
                let _ = write!(text, "\n# -- {} --\n", heading.unwrap_or_default());
            }
            let key = arg.get_long().unwrap_or_default();
            if let Some(help) = arg.get_help() {
                let _ = writeln!(text, "# {help}");
            }
            let given = matches.get_raw(arg.get_id().as_str()).and_then(|values| written(arg, values));
            let value = given.or_else(|| computed.iter().find(|(k, _)| *k == key).map(|(_, v)| v.clone()));
            let _ = match value {
                Some(value) => writeln!(text, "{key} = {}", literal(&value)),
                None => writeln!(text, "# {key} ="),
            };
        }
        text
    }
}

/// A setting's value as it is given: the last one, or of a list all.
fn written<'a>(arg: &Arg, values: impl DoubleEndedIterator<Item = &'a OsStr>) -> Option<String> {
    let mut values = values.map(OsStr::to_string_lossy);
    match arg.get_value_delimiter() {
        None => values.next_back().map(Into::into),
        Some(delimiter) => {
            let all: Vec<_> = values.collect();
            (!all.is_empty()).then(|| all.join(&delimiter.to_string()))
        }
    }
}

/// The settings among a command's arguments: those that the environment can give too, save the file's own name.
fn settings<'a>(arguments: impl Iterator<Item = &'a Arg>) -> impl Iterator<Item = &'a Arg> {
    arguments.filter(|a| a.get_env().is_some() && a.get_long().is_some() && a.get_long() != Some("config"))
}

/// The command as its flags alone fill it: what the environment says is put in by [`environment::fill_in`]. A negative
/// number is a value and no flag, so that whoever gives one is told what is allowed.
pub fn flags_only(command: Command) -> Command {
    let alone = |arg: Arg| {
        let takes_values = arg.get_long().is_some() && arg.get_action().takes_values();
        arg.env(Resettable::Reset).allow_negative_numbers(takes_values)
    };
    command.mut_args(alone).mut_subcommands(flags_only)
}

/// The configuration file, and who named it.
fn config_file(flags: &ArgMatches, variable: &impl Fn(&str) -> Option<OsString>) -> Option<(PathBuf, Option<Origin>)> {
    let flag = flags.subcommand().and_then(|(_, matches)| matches.get_one::<PathBuf>("config")).cloned();
    if let Some(path) = flag {
        return Some((path, Some(Origin::Flag("config".to_owned()))));
    }
    if let Some(path) = variable(FILE_VARIABLE) {
        return Some((path.into(), Some(Origin::Variable(FILE_VARIABLE.to_owned()))));
    }
    directories::config_file().filter(|path| path.exists()).map(|path| (path, None))
}

/// Where a setting's flag stands: at the top, for every command, or in one command, by its name such as `batch run`.
type Place<'a> = Option<&'a str>;

/// Checks a value that was not given by its flag with the flag's own parser; the message leaves out the flag, which is not at fault.
pub fn check(arg: &Arg, value: &OsStr) -> Result<(), String> {
    let key = arg.get_long().unwrap_or_default();
    let mut flag = OsString::from(format!("--{key}="));
    flag.push(value);
    let alone = flags_only(Command::new("parkade").no_binary_name(true).arg(arg.clone()));
    match alone.try_get_matches_from([flag]) {
        Ok(_) => Ok(()),
        Err(error) => Err(without_flag(&first_paragraph(&error), key)),
    }
}

fn first_paragraph(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

/// A message of clap's without its ` for '--port <PORT>'`.
fn without_flag(message: &str, key: &str) -> String {
    let named = format!(" for '--{key}");
    let parts = message.split_once(&named).and_then(|(before, flag)| Some((before, flag.split_once('\'')?.1)));
    parts.map_or_else(|| message.to_owned(), |(before, after)| format!("{before}{after}"))
}

/// Makes a checked value the default of a flag.
fn with_default(command: Command, place: Place<'_>, arg: &Arg, value: OsString) -> Command {
    let id = arg.get_id().as_str();
    match place {
        None => command.mut_arg(id, |arg| arg.default_value(value)),
        Some(name) => {
            let id = id.to_owned();
            nested::change(command, name, Box::new(|sub| sub.mut_arg(id, |arg| arg.default_value(value))))
        }
    }
}

/// A value as it stands in TOML: bare if it is a number or a truth value in its shortest form, else a string.
fn literal(text: &str) -> String {
    let bare = text.parse::<i64>().is_ok_and(|n| n.to_string() == text)
        || text.parse::<f64>().is_ok_and(|n| n.is_finite() && text.contains('.') && n.to_string() == text)
        || matches!(text, "true" | "false");
    if bare { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    /// `parkade serve` with these variables, and the file of this text.
    fn serve(flags: &[&str], variables: &[(&str, &str)], text: &str) -> Result<Settings, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("c.toml");
        std::fs::write(&path, text).expect("written");
        let path = path.to_str().expect("text");
        let arguments =
            ["parkade", "serve", "--config", path].into_iter().chain(flags.iter().copied()).map(OsString::from);
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        Settings::read(arguments, variable).map_err(|error| error.to_string().replace(path, "FILE"))
    }

    fn refused(flags: &[&str], variables: &[(&str, &str)], text: &str) -> String {
        serve(flags, variables, text).err().expect("it is wrong")
    }

    fn port(settings: &Settings) -> u16 {
        let args::Command::Serve(serve) = &settings.cli.command else { panic!("not serve") };
        serve.listen.port
    }

    #[test]
    fn an_error_says_which_of_flag_variable_and_file_the_value_came_from() {
        assert!(refused(&["--port", "x"], &[], "").contains("invalid value 'x' for '--port <PORT>'"));
        let variable = refused(&[], &[("PARKADE_PORT", "x")], "");
        assert!(variable.starts_with("environment variable PARKADE_PORT: invalid value 'x': "), "{variable}");
        assert!(!variable.contains("--port"), "{variable}");
        let file = refused(&[], &[], "[serve]\nport = 70000");
        assert!(file.starts_with("FILE: key `serve.port`: invalid value '70000': "), "{file}");
        assert!(!file.contains("--port") && file.ends_with("(the file is named by the flag --config)"), "{file}");
        // Any setting, with what it may be.
        let scheduler = refused(&[], &[("PARKADE_SCHEDULER", "fair")], "");
        assert!(scheduler.contains("PARKADE_SCHEDULER") && scheduler.contains("default"), "{scheduler}");
        assert!(refused(&[], &[("PARKADE_LOG_FORMAT", "xml")], "").contains("PARKADE_LOG_FORMAT"));
    }

    /// What Rust and clap say of numbers, instead of what is allowed.
    const RAW: [&str; 9] = [
        "invalid digit",
        "number too",
        "cannot parse",
        "invalid float",
        "out of range integral",
        "provided string",
        "is not in",
        "unexpected argument",
        "i128",
    ];

    /// The settings of `parkade serve`: their keys and variables.
    fn settings_of_serve() -> Vec<(String, String)> {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").expect("a command");
        settings(command.get_arguments())
            .chain(settings(serve.get_arguments()))
            .map(|arg| {
                let variable = arg.get_env().and_then(OsStr::to_str).expect("a setting has a variable");
                (arg.get_long().expect("a setting has a flag").to_owned(), variable.to_owned())
            })
            .collect()
    }

    #[test]
    fn whatever_a_setting_is_given_it_is_taken_or_refused_with_source_and_value_and_what_is_allowed() {
        let all = settings_of_serve();
        assert!(all.len() > 20, "{all:?}");
        let mut refused_settings = 0;
        for (key, variable) in &all {
            let mut refused_once = false;
            for value in ["zzz", "-1", "99999999999999999999999", "1.5", "nan", "1e999", " ", "é", ""] {
                let quoted = Value::String(value.to_owned());
                let flag = format!("--{key}={value}");
                let mut given = vec![
                    (format!("--{key}"), serve(&[&flag], &[], "")),
                    (format!("environment variable {variable}"), serve(&[], &[(variable, value)], "")),
                    (format!("FILE: key `serve.{key}`"), serve(&[], &[], &format!("[serve]\n{key} = {quoted}"))),
                ];
                if matches!(key.as_str(), "log-level" | "log-format") {
                    // They hold for every command, and stand at the top.
                    given[2] = (format!("FILE: key `{key}`"), serve(&[], &[], &format!("{key} = {quoted}")));
                }
                for (source, settings) in given {
                    let Some(message) = settings.err() else { continue };
                    refused_once = true;
                    assert!(message.contains(&source), "{source}: {message}");
                    assert!(value.is_empty() || message.contains(&format!("'{value}'")), "{source}: {message}");
                    assert!(!RAW.iter().any(|raw| message.contains(raw)), "{source}: {message}");
                    let says_what = ["expected", "possible values", "use ", "give ", "a value is required"];
                    assert!(says_what.iter().any(|words| message.contains(words)), "{source}: {message}");
                }
            }
            refused_settings += usize::from(refused_once);
        }
        assert!(refused_settings > 16, "{refused_settings} of {} refuse anything", all.len());
    }

    #[test]
    fn a_number_in_the_file_that_is_none_of_the_allowed_ones_is_refused_by_its_key() {
        for (text, key, value) in [
            ("threads = -1", "threads", "'-1'"),
            ("threads = 0", "threads", "'0'"),
            ("threads = 1.5", "threads", "'1.5'"),
            ("threads = nan", "threads", "'NaN'"),
            ("threads = true", "threads", "'true'"),
            ("[serve]\nthreads = 99999999999999999999999", "threads", "99999999999999999999999"),
            ("port = 0x10000", "port", "'65536'"),
            ("port = -99999999999999999999999", "port", "-99999999999999999999999"),
            ("max-seqs = ''", "max-seqs", "''"),
        ] {
            let message = refused(&[], &[], text);
            assert!(message.starts_with("FILE: ") && message.contains(key), "{text}: {message}");
            assert!(message.contains(value), "{text}: {message}");
            assert!(!RAW.iter().any(|raw| message.contains(raw)), "{text}: {message}");
        }
    }

    #[test]
    fn a_negative_number_is_a_value_and_no_flag() {
        for key in ["threads", "port", "drain-seconds", "max-queue-depth"] {
            let message = refused(&[&format!("--{key}"), "-1"], &[], "");
            assert!(message.contains(&format!("invalid value '-1' for '--{key} ")), "{message}");
            assert!(message.contains("expected a whole number from "), "{message}");
        }
    }

    #[test]
    fn what_is_found_wrong_later_says_it_too() {
        let settings = serve(
            &["--max-seqs", "9"],
            &[("PARKADE_MAX_QUEUE_DEPTH", "5"), ("PARKADE_MAX_SEQS", "1"), ("PARKADE_MAX_BODY_MB", "3")],
            "host = '127.0.0.1'\n[serve]\nmax-queue-depth = 4\n",
        );
        let settings = settings.expect("every value can be read");
        assert_eq!(settings.origins_of(&["max_seqs"]), " (max-seqs is from the flag --max-seqs)");
        let depth = " (max-queue-depth is from the environment variable PARKADE_MAX_QUEUE_DEPTH)";
        assert_eq!(settings.origins_of(&["max-queue-depth"]), depth);
        let host = settings.origins_of(&["host", "port"]);
        assert!(host.starts_with(" (host is from the key `host` in ") && !host.contains("port"), "{host}");
        // A field that counts in another unit than the setting.
        let body = " (max-body-mb is from the environment variable PARKADE_MAX_BODY_MB)";
        assert_eq!(settings.origins_of(&["max_body_bytes"]), body);
        assert_eq!(settings.origins_of(&["max_batched_tokens", "max_headers", "no-such-setting"]), "");
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let empty = [("PARKADE_PORT", ""), ("PARKADE_LOG_LEVEL", ""), ("PARKADE_CONFIG", ""), ("PARKADE_THREADS", "")];
        let settings = serve(&[], &empty, "port = 5").expect("valid");
        assert_eq!(port(&settings), 5);
        assert_eq!(settings.cli.global.log_level, None);
    }

    #[test]
    fn what_kubernetes_says_of_a_service_of_that_name_is_no_setting() {
        let links = [
            ("PARKADE_PORT", "tcp://10.96.12.7:1234"),
            ("PARKADE_SERVICE_HOST", "10.96.12.7"),
            ("PARKADE_SERVICE_PORT", "1234"),
            ("PARKADE_PORT_1234_TCP", "tcp://10.96.12.7:1234"),
        ];
        let settings = serve(&[], &links, "port = 5").expect("valid");
        assert_eq!(port(&settings), 5);
        let told: Vec<&str> = settings.service_links.iter().map(|link| link.variable.as_str()).collect();
        assert_eq!(told, ["PARKADE_PORT"]);
        for value in ["udp://10.96.12.7:1234", "tcp://[fd00::7]:1234", "sctp://parkade:1"] {
            assert_eq!(port(&serve(&[], &[("PARKADE_PORT", value)], "").expect(value)), 1234, "{value}");
        }
        for value in ["tcp://", "http://10.96.12.7:1234", "tcp://10.96.12.7", "tcp://:x", "1234x"] {
            assert!(refused(&[], &[("PARKADE_PORT", value)], "").contains("PARKADE_PORT"), "{value}");
        }
    }

    #[test]
    fn several_hosts_can_be_given_wherever_one_can() {
        let hosts = |settings: Result<Settings, String>| {
            let settings = settings.expect("valid");
            let args::Command::Serve(serve) = &settings.cli.command else { panic!("not serve") };
            let printed = settings.as_file(&[]).replace("[::1]", "::1");
            assert!(printed.contains(&format!("host = \"{}\"", serve.listen.host.join(","))), "{printed}");
            serve.listen.host.clone()
        };
        let both = ["127.0.0.1", "::1"];
        assert_eq!(hosts(serve(&["--host", "127.0.0.1", "--host", "[::1]"], &[], "")), both);
        assert_eq!(hosts(serve(&["--host", "127.0.0.1,::1"], &[], "")), both);
        assert_eq!(hosts(serve(&[], &[("PARKADE_HOST", "127.0.0.1,::1")], "")), both);
        assert_eq!(hosts(serve(&[], &[], "host = '127.0.0.1,::1'")), both);
        assert_eq!(hosts(serve(&[], &[], "host = ['127.0.0.1', '::1']")), both);
        assert_eq!(hosts(serve(&["--host", "::1"], &[("PARKADE_HOST", "127.0.0.1")], "host = 'a'")), ["::1"]);
        assert!(refused(&[], &[], "host = [1]").contains("`host`"));
        assert!(refused(&[], &[], "port = ['1']").contains("`port`"));
        assert!(refused(&["--host", "127.0.0.1,a b"], &[], "").contains("'a b'"));
    }

    #[test]
    fn variables_of_other_commands_are_not_looked_at() {
        assert!(serve(&[], &[("PARKADE_PRESENCE_PENALTY", "hot")], "").is_ok());
    }

    #[test]
    fn a_file_that_a_variable_names_is_refused_by_that_variable() {
        let variable = |name: &str| (name == FILE_VARIABLE).then(|| OsString::from("/nowhere/c.toml"));
        let error = Settings::read(["parkade", "serve"].map(OsString::from), variable).err().expect("not there");
        let message = error.to_string();
        assert!(message.contains("/nowhere/c.toml") && message.contains("variable PARKADE_CONFIG"), "{message}");
    }
}
