//! `--host`: an address of this machine, or a name that stands for one.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The longest host name that DNS knows.
const LONGEST_NAME: usize = 253;

/// Takes an address, one in brackets, or a name.
///
/// # Errors
/// What a host is.
pub fn parse(text: &str) -> Result<String, String> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bracketed.filter(|address| address.parse::<Ipv6Addr>().is_ok()) {
        return Ok(address.to_owned());
    }
    let readable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_name = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(readable);
    if is_name || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("give an IP address such as 127.0.0.1, 0.0.0.0 or ::1, or a host name such as localhost, without a port"
        .to_owned())
}

/// The addresses that a host stands for, those of IPv4 first: that is what most clients try when they are told a name.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if there are none.
pub async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let unknown = |reason: String| io::Error::new(io::ErrorKind::NotFound, reason);
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| unknown(error.to_string()))?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    if addresses.is_empty() { Err(unknown("the name has no address".to_owned())) } else { Ok(addresses) }
}

/// A host and a port as they stand in a URL.
pub fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_taken_and_nothing_else_is() {
        for (text, host) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("localhost", "localhost"),
            ("my-box.lan", "my-box.lan"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(host));
        }
        for bad in ["", "localhost:1234", "http://localhost", "a b", "[localhost]", "a/b", "*"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn localhost_is_this_machine_by_ipv4_first() {
        let found = addresses("localhost", 7).await.expect("a name of this machine");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{found:?}");
        let first_of_v6 = found.iter().position(SocketAddr::is_ipv6).unwrap_or(found.len());
        assert!(found[first_of_v6..].iter().all(SocketAddr::is_ipv6));
        let unknown = addresses("no-such-host.invalid", 7).await.expect_err("no such name");
        assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
    }
}
