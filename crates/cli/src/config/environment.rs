//! Settings from the environment.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

use super::origin::{Origin, Origins};
use super::{check, nested, settings, with_default};

/// A variable that the flag would refuse too.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {name}: {message}; correct it, or unset it")]
pub struct VariableError {
    name: String,
    message: String,
}

/// A variable by which Kubernetes (or Docker) announces a service: of one called `parkade`, `PARKADE_PORT` is
/// `tcp://10.96.12.7:1234`. It bears a setting's name, but nobody meant it as one.
#[derive(Debug, PartialEq, Eq)]
pub struct ServiceLink {
    /// Its name.
    pub variable: String,
    /// What it says.
    pub value: String,
}

/// Makes the variables of the command in force the defaults of their flags.
pub(super) fn fill_in(
    mut command: Command,
    variable: impl Fn(&str) -> Option<OsString>,
    origins: &mut Origins,
) -> Result<(Command, Vec<ServiceLink>), VariableError> {
    let name = origins.command().to_owned();
    let of = |command: &Command| settings(command.get_arguments()).cloned().collect::<Vec<Arg>>();
    let everywhere = of(&command).into_iter().map(|arg| (None, arg));
    let own = nested::find(&command, &name).map(of).unwrap_or_default();
    let own = own.into_iter().map(|arg| (Some(name.as_str()), arg));
    let mut links = Vec::new();
    for (place, arg) in everywhere.chain(own) {
        let name = arg.get_env().and_then(OsStr::to_str).unwrap_or_default();
        let Some(value) = variable(name) else { continue };
        if let Some(value) = value.to_str().filter(|value| is_service_link(name, value)) {
            links.push(ServiceLink { variable: name.to_owned(), value: value.to_owned() });
            continue;
        }
        check(&arg, &value).map_err(|message| VariableError { name: name.to_owned(), message })?;
        origins.note(place, arg.get_long().unwrap_or_default(), Origin::Variable(name.to_owned()));
        command = with_default(command, place, &arg, value);
    }
    Ok((command, links))
}

fn is_service_link(name: &str, value: &str) -> bool {
    let address = ["tcp://", "udp://", "sctp://"].iter().find_map(|scheme| value.strip_prefix(scheme));
    let port = address.and_then(|address| address.rsplit_once(':')).map(|(_, port)| port.parse::<u16>());
    name.ends_with("_PORT") && matches!(port, Some(Ok(_)))
}
