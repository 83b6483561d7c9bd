//! The addresses that a webhook may be sent to.

use std::io;
use std::net::SocketAddr;

use crate::access::public_address::is_public;

/// The addresses of a host: those that the connection is then made to, so that a name which is resolved again leads nowhere else. Without
/// `allow_private` all of them must be of the public internet.
///
/// # Errors
/// If there are none, or one of them is in the local network.
pub(super) async fn addresses(host: &str, port: u16, allow_private: bool) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    allowed(found, allow_private)
}

fn allowed(found: Vec<SocketAddr>, allow_private: bool) -> io::Result<Vec<SocketAddr>> {
    let refused = |message: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    match found.iter().find(|address| !allow_private && !is_public(address.ip())) {
        Some(address) => {
            refused(format!("it is at {}, in the local network; allow such with --webhook-allow-private", address.ip()))
        }
        None if found.is_empty() => Err(io::Error::new(io::ErrorKind::NotFound, "its name has no address")),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|text| SocketAddr::new(text.parse().expect(text), 443)).collect()
    }

    #[test]
    fn one_address_in_the_local_network_is_too_many() {
        assert!(allowed(at(&["9.9.9.9", "2606:4700::1111"]), false).is_ok());
        for local in ["127.0.0.1", "10.0.0.7", "::1", "::ffff:192.168.0.1", "169.254.169.254"] {
            let error = allowed(at(&["9.9.9.9", local]), false).expect_err(local).to_string();
            assert!(error.contains("in the local network") && error.contains("--webhook-allow-private"), "{error}");
            assert_eq!(allowed(at(&[local]), true).expect(local), at(&[local]));
        }
        assert!(allowed(Vec::new(), true).is_err());
    }

    #[tokio::test]
    async fn a_name_is_judged_by_where_it_leads() {
        let error = addresses("localhost", 80, false).await.expect_err("the local network").to_string();
        assert!(error.contains("in the local network"), "{error}");
        assert!(addresses("localhost", 80, true).await.is_ok());
    }
}
