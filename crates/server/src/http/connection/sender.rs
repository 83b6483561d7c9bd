//! Whom a connection comes from.

use std::net::{IpAddr, Ipv6Addr};

/// Whoever sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    /// Whoever holds an address. In IPv6 that is a network of 64 bits: the rest anybody can make up.
    Address(IpAddr),
    /// Whoever may use a Unix socket.
    Socket,
}

impl From<IpAddr> for Sender {
    fn from(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_sender() {
        let sender = |text: &str| Sender::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(sender("2001:db8::1"), sender("2001:db8::ffff:1"));
        assert_ne!(sender("2001:db8::1"), sender("2001:db8:0:1::1"));
        assert_eq!(sender("::ffff:10.0.0.1"), sender("10.0.0.1"));
        assert_ne!(sender("10.0.0.1"), sender("10.0.0.2"));
    }
}
