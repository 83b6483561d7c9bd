//! Commands within commands, which are named by their path: `batch run`.

use clap::{ArgMatches, Command};

/// The command of this name below another.
pub(super) fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Command> {
    name.split(' ').try_fold(command, |command, part| command.find_subcommand(part))
}

/// The names of all commands below one.
pub(super) fn all(command: &Command) -> Vec<String> {
    let below = |sub: &Command| {
        let name = sub.get_name();
        let inner: Vec<_> = all(sub).into_iter().map(|inner| format!("{name} {inner}")).collect();
        [name.to_owned()].into_iter().chain(inner)
    };
    command.get_subcommands().flat_map(below).collect()
}

/// Changes the command of this name.
pub(super) fn change(command: Command, name: &str, with: Box<dyn FnOnce(Command) -> Command>) -> Command {
    match name.split_once(' ') {
        None => command.mut_subcommand(name, with),
        Some((first, rest)) => {
            let rest = rest.to_owned();
            command.mut_subcommand(first, move |command| change(command, &rest, with))
        }
    }
}

/// The name of the command that was given, and what was given to it.
pub(super) fn given(matches: &ArgMatches) -> Option<(String, &ArgMatches)> {
    let (name, matches) = matches.subcommand()?;
    Some(match given(matches) {
        None => (name.to_owned(), matches),
        Some((inner, matches)) => (format!("{name} {inner}"), matches),
    })
}
