//! Where `parkade serve` listens: addresses and names on one port, with or without TLS, and a Unix socket.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parkade_server::{Listener, Tls, TlsError};
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket};

use crate::args::ListenArgs;
use crate::host;

/// Where the server listens if nobody says anything.
pub const DEFAULT_HOST: &str = "127.0.0.1";

/// How many connections may wait to be taken; the system may allow fewer.
const BACKLOG: u32 = 1024;

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}; {}", remedy(.source))]
    Address {
        /// Where: an address or a name, with the port.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A Unix socket cannot be made.
    #[error("cannot listen on the Unix socket {}: {source}; {}", path.display(), remedy_of_socket(.source))]
    Unix {
        /// Where.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A certificate without a key, or the other way round.
    #[error("{given} is given and {missing} is not; TLS takes both")]
    HalfOfTls {
        /// The setting that there is.
        given: &'static str,
        /// The one that there is not.
        missing: &'static str,
    },
    /// A certificate where no TLS is spoken.
    #[error(
        "--tls-cert is given, but the server listens at the Unix socket --unix alone, where no TLS is spoken; add --host, or leave it out"
    )]
    NowhereForTls,
    /// The certificate or the key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ListenError {
    /// Whether the flags are at fault, and not the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, ListenError::HalfOfTls { .. } | ListenError::NowhereForTls | ListenError::Tls(_))
    }

    /// The settings that it is about.
    pub fn settings(&self) -> Vec<&'static str> {
        match self {
            ListenError::Address { .. } => vec!["host", "port"],
            ListenError::Unix { .. } => vec!["unix"],
            ListenError::HalfOfTls { .. } | ListenError::Tls(TlsError::Pair { .. }) => vec!["tls-cert", "tls-key"],
            ListenError::NowhereForTls => vec!["tls-cert", "unix"],
            ListenError::Tls(TlsError::Pem { expected, .. }) if expected.contains("key") => vec!["tls-key"],
            ListenError::Tls(_) => vec!["tls-cert", "tls-key"],
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, perhaps another Parkade, is there: stop it, or choose another --port"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 are root's: choose another --port",
        io::ErrorKind::NotFound => "no such host is known: choose another --host, 127.0.0.1 or 0.0.0.0 for example",
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address: choose another --host",
        _ => "choose another --host or --port",
    }
}

fn remedy_of_socket(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop that one, or choose another --unix",
        io::ErrorKind::AlreadyExists => "choose another --unix",
        io::ErrorKind::NotFound => "its directory must be there",
        io::ErrorKind::PermissionDenied => "its directory must be one that this user may write in",
        io::ErrorKind::InvalidInput => "its path must be shorter",
        _ => "choose another --unix",
    }
}

/// The hosts to listen on. A Unix socket takes the place of the default one.
pub fn hosts(args: &ListenArgs) -> Vec<String> {
    let default = args.unix.is_none().then(|| DEFAULT_HOST.to_owned());
    if args.host.is_empty() { default.into_iter().collect() } else { args.host.clone() }
}

/// The certificate, if there is one.
///
/// # Errors
/// If one half is missing, nothing listens that speaks TLS, or the files cannot be used.
pub fn tls(args: &ListenArgs) -> Result<Option<Arc<Tls>>, ListenError> {
    match (&args.tls_cert, &args.tls_key) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) if hosts(args).is_empty() => Err(ListenError::NowhereForTls),
        (Some(certificate), Some(key)) => Ok(Some(Arc::new(Tls::load(certificate, key)?))),
        (Some(_), None) => Err(ListenError::HalfOfTls { given: "--tls-cert", missing: "--tls-key" }),
        (None, Some(_)) => Err(ListenError::HalfOfTls { given: "--tls-key", missing: "--tls-cert" }),
    }
}

/// Opens all of them. Where any free port will do, the first host's is everybody's.
///
/// # Errors
/// The first one that cannot be had.
pub async fn open(args: &ListenArgs, tls: Option<&Arc<Tls>>) -> Result<Vec<Listener>, ListenError> {
    let hosts = hosts(args);
    let mut port = args.port;
    let mut taken: Vec<SocketAddr> = Vec::new();
    let mut listeners = Vec::new();
    for host in &hosts {
        let failed = |source| ListenError::Address { address: host::with_port(host, port), source };
        let addresses = host::addresses(host, port).await.map_err(failed)?;
        // A name for what was given as an address.
        if addresses.iter().any(|address| taken.contains(address)) {
            continue;
        }
        let listener = bind(&addresses, hosts.len() > 1).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        port = address.port();
        taken.push(address);
        listeners.push(match tls {
            Some(tls) => Listener::tls(listener, tls.clone()),
            None => listener.into(),
        });
    }
    if let Some(path) = &args.unix {
        let failed = |source| ListenError::Unix { path: path.clone(), source };
        listeners.push(Listener::unix(path).map_err(failed)?);
    }
    Ok(listeners)
}

/// Listens on the first of a host's addresses that can be had. `several`: an address of IPv6 leaves those of IPv4 to other hosts.
fn bind(addresses: &[SocketAddr], several: bool) -> io::Result<TcpListener> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for &address in addresses {
        match bind_to(address, several) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_to(address: SocketAddr, several: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.is_ipv6() && several {
        set_ipv6_v6only(&socket, true)?;
    }
    // A port that was just given up can be had again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn listen_args(flags: &[&str]) -> ListenArgs {
        let line = ["parkade", "serve", "--port", "0"].iter().chain(flags);
        let Command::Serve(args) = Cli::parse_from(line).command else { panic!("not serve") };
        args.listen
    }

    #[test]
    fn a_unix_socket_alone_takes_the_place_of_the_default_host() {
        assert_eq!(hosts(&listen_args(&[])), ["127.0.0.1"]);
        assert_eq!(hosts(&listen_args(&["--unix", "/tmp/s"])), [""; 0]);
        assert_eq!(hosts(&listen_args(&["--unix", "/tmp/s", "--host", "::1"])), ["::1"]);
        assert_eq!(hosts(&listen_args(&["--host", "127.0.0.1,[::1]", "--host", "localhost"])).len(), 3);
    }

    #[tokio::test]
    async fn all_hosts_have_one_port_and_none_is_opened_twice() {
        let args = listen_args(&["--host", "127.0.0.1", "--host", "localhost", "--host", "127.0.0.2"]);
        let listeners = open(&args, None).await.expect("free ports");
        let addresses: Vec<SocketAddr> =
            listeners.iter().filter_map(|listener| listener.address().expect("usable")).collect();
        assert_eq!(
            addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>(),
            ["127.0.0.1", "127.0.0.2"]
        );
        assert!(addresses.iter().all(|address| address.port() == addresses[0].port()), "{addresses:?}");
    }

    #[test]
    fn half_of_tls_is_refused() {
        let error = tls(&listen_args(&["--tls-key", "k.pem"])).expect_err("no certificate");
        assert!(error.to_string().contains("--tls-cert is not"), "{error}");
        assert!(error.is_usage());
        let both = ["--tls-cert", "/nowhere/c.pem", "--tls-key", "k.pem"];
        let error = tls(&listen_args(&[&both[..], &["--unix", "/tmp/s"]].concat())).expect_err("no place for TLS");
        assert!(error.is_usage() && error.to_string().contains("--tls-cert is given"), "{error}");
        let error = tls(&listen_args(&both)).expect_err("no file");
        assert!(error.to_string().contains("/nowhere/c.pem"), "{error}");
    }
}
