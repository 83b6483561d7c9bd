//! Hosts and origins as they stand in headers and in the server's settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// In the list of allowed hosts: any.
pub(crate) const ANY: &str = "*";

/// In the list of web pages that may call: all of this machine, whatever their port.
pub(crate) const LOCALHOST: &str = "localhost";

/// Whether an origin is a web page that this machine itself serves.
pub(crate) fn is_local_page(origin: &str) -> bool {
    let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    page.and_then(Authority::parse).is_some_and(|authority| authority.is_loopback())
}

/// A host as it stands in a `host` header or an origin, with its port if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    pub host: Host,
    pub port: Option<u16>,
}

/// A machine by its address or by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    /// In lower case.
    Name(String),
}

impl Authority {
    /// Reads `name`, `name:80`, `127.0.0.1:80` or `[::1]:80`. Addresses in other spellings (`127.1`) are names here, and
    /// no names that anybody allows.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                let port = if port.is_empty() { port } else { port.strip_prefix(':')? };
                (Host::Address(IpAddr::V6(address).to_canonical()), port)
            }
            None => {
                let (name, port) = text.split_once(':').unwrap_or((text, ""));
                let host = match name.parse::<Ipv4Addr>() {
                    Ok(address) => Host::Address(IpAddr::V4(address)),
                    Err(_) => Host::Name(readable_name(name)?),
                };
                (host, port)
            }
        };
        let port = match port {
            "" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// Whether both are the same machine by name, whatever the ports.
    pub fn is_host_of(&self, other: &Self) -> bool {
        self.host == other.host
    }

    /// Whether it can only be the machine itself.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }
}

/// A host name in lower case, without the dot of the root.
fn readable_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let readable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (!name.is_empty() && name.bytes().all(readable)).then(|| name.to_ascii_lowercase())
}

/// An origin as browsers send it (RFC 6454): scheme and host in lower case, the port only where it is not the scheme's own. `None` if
/// it is none: with a path, or a slash at the end, it would never be met.
pub(crate) fn normal_origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(in_scheme) {
        return None;
    }
    Authority::parse(authority)?;
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    Some(format!("{scheme}://{}", authority.strip_suffix(own_port).unwrap_or(authority)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_page_is_one_of_this_machine_and_of_no_name_that_looks_like_it() {
        for local in ["http://localhost", "https://localhost:3000", "http://127.0.0.1:8080", "http://[::1]"] {
            assert!(is_local_page(local), "{local}");
        }
        for other in ["http://localhost.evil.example", "http://notlocalhost", "localhost", "null", "ftp://localhost"] {
            assert!(!is_local_page(other), "{other}");
        }
    }

    #[test]
    fn an_origin_is_listed_as_browsers_send_it() {
        for (listed, sent) in [
            ("https://a.example", "https://a.example"),
            ("HTTPS://A.example:443", "https://a.example"),
            ("http://a.example:80", "http://a.example"),
            ("http://a.example:443", "http://a.example:443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("tauri://localhost", "tauri://localhost"),
        ] {
            assert_eq!(normal_origin(listed).as_deref(), Some(sent), "{listed}");
        }
        for none in [
            "a.example",
            "https://a.example/",
            "https://a.example/chat",
            "https://",
            "://a",
            "http://a?q",
            "http://a b",
            "1x://a",
        ] {
            assert_eq!(normal_origin(none), None, "{none}");
        }
    }
}
