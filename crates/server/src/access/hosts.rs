//! For which host names the server answers.
//!
//! A loopback address is no proof that the sender is one's own: a page from anywhere can have its own name resolve to
//! 127.0.0.1 (DNS rebinding), and the browser then takes the server's answers for that page's own. What such a page
//! cannot do is change the name in the `host` header. So a server without keys on a loopback address answers only for
//! names that nobody else can own.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{StatusCode, header};

use crate::config::ServerConfig;
use crate::http::{ANY, ApiError, Authority, Host, Retry, is_probe, quote};

/// The names that a listener answers for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    /// Whether the listener can be reached from this machine only.
    on_loopback: bool,
    /// Whether the operator listed hosts: then they are checked in any case.
    listed: bool,
    any: bool,
    allowed: Vec<Authority>,
}

impl Hosts {
    /// What holds for a listener at `address`; without one it is a Unix socket, which no browser reaches.
    pub fn of(address: Option<IpAddr>, config: &ServerConfig) -> Self {
        let allowed = config.allowed_hosts.iter().chain(&config.host_names);
        Self {
            on_loopback: address.is_some_and(|address| address.to_canonical().is_loopback()),
            listed: !config.allowed_hosts.is_empty(),
            any: config.allowed_hosts.iter().any(|host| host == ANY),
            allowed: allowed.filter_map(|host| Authority::parse(host)).collect(),
        }
    }

    /// Whether the listener can be reached from this machine only.
    pub fn on_loopback(&self) -> bool {
        self.on_loopback
    }

    /// Checks that a request is meant for this server. `keyed` says that there are API keys, `local` is the address of
    /// this machine that the request came in on.
    ///
    /// # Errors
    /// 421 with the remedy.
    pub fn check(&self, request: &Parts, keyed: bool, local: Option<IpAddr>) -> Result<(), ApiError> {
        let checked = self.listed || (self.on_loopback && !keyed);
        if !checked || self.any {
            return Ok(());
        }
        // The target counts too: `GET http://name/path`.
        let target = request.uri.authority().map(|authority| authority.as_str());
        let headers = request.headers.get_all(header::HOST);
        let header = headers.iter().map(|host| host.to_str().unwrap_or("\u{fffd}"));
        let mut names = target.into_iter().chain(header).peekable();
        if names.peek().is_none() {
            // HTTP/1.0, as old probes speak it.
            let harmless = is_probe(request.uri.path());
            return if harmless { Ok(()) } else { Err(self.refusal(None)) };
        }
        let local = local.map(|address| Host::Address(address.to_canonical()));
        match names.find(|name| !self.answers_for(name, local.as_ref())) {
            Some(name) => Err(self.refusal(Some(name))),
            None => Ok(()),
        }
    }

    fn answers_for(&self, name: &str, local: Option<&Host>) -> bool {
        let Some(named) = Authority::parse(name) else {
            return false;
        };
        let is =
            |allowed: &Authority| allowed.host == named.host && (allowed.port.is_none() || allowed.port == named.port);
        named.is_loopback() || Some(&named.host) == local || self.allowed.iter().any(is)
    }

    fn refusal(&self, name: Option<&str>) -> ApiError {
        let asked = match name {
            Some(name) => format!("the host {} is not one that this server answers for", quote(name)),
            None => "the request names no host".to_owned(),
        };
        let remedy = if self.listed {
            "use one of those that --allowed-hosts names, or add this one to them"
        } else {
            "without API keys a loopback address is for localhost, 127.0.0.1 and [::1] only; \
             behind a proxy name its hosts with --allowed-hosts, or use --api-keys"
        };
        let message = format!("{asked}: {remedy}");
        ApiError::new(StatusCode::MISDIRECTED_REQUEST, "host_not_allowed", message, Retry::Never).with_param("host")
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::Request;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn hosts(address: IpAddr, allowed: &[&str], host_name: Option<&str>) -> Hosts {
        let config = ServerConfig {
            allowed_hosts: allowed.iter().map(|host| (*host).to_owned()).collect(),
            host_names: host_name.map(str::to_owned).into_iter().collect(),
            ..ServerConfig::default()
        };
        Hosts::of(Some(address), &config)
    }

    fn asked(hosts: &Hosts, target: &str, host: Option<&str>) -> Result<(), ApiError> {
        let mut request = Request::get(target);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        hosts.check(&parts, false, Some(IpAddr::from([10, 1, 2, 3])))
    }

    #[test]
    fn only_names_that_nobody_else_can_own_are_taken_on_loopback() {
        let hosts = hosts(LOOPBACK, &[], Some("my-box"));
        for good in [
            "localhost",
            "LocalHost:1234",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.8.9.10",
            "[::1]",
            "[::1]:9",
            "[::ffff:127.0.0.1]:9",
            "my-box:1234",
            "localhost:",
        ] {
            assert!(asked(&hosts, "/v1/models", Some(good)).is_ok(), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "127.0.0.1.evil.example",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0.0.0.0",
            "[::]",
            "192.168.1.4",
            "[::1",
            "::1",
            "[::1]x",
            "evil@localhost",
            "localhost:x",
            "localhost:99999",
            "",
            " ",
            "my-box.evil.example",
            "localhost,evil.example",
        ] {
            let error = asked(&hosts, "/v1/models", Some(bad)).expect_err(bad);
            assert_eq!((error.status().as_u16(), error.code()), (421, "host_not_allowed"), "{bad}");
            assert!(error.message().contains("--allowed-hosts"), "{error}");
        }
    }

    #[test]
    fn the_name_in_the_target_counts_too() {
        let hosts = hosts(LOOPBACK, &[], None);
        assert!(asked(&hosts, "http://evil.example/v1/models", Some("localhost")).is_err());
        assert!(asked(&hosts, "http://localhost/v1/models", Some("evil.example")).is_err());
        assert!(asked(&hosts, "http://localhost/v1/models", Some("localhost")).is_ok());
    }

    #[test]
    fn who_names_no_host_may_only_probe() {
        let hosts = hosts(LOOPBACK, &[], None);
        assert!(asked(&hosts, "/health", None).is_ok());
        assert!(asked(&hosts, "/v1/models", None).is_err());
    }

    #[test]
    fn a_public_address_or_keys_answer_for_any_name_unless_hosts_are_listed() {
        let public = IpAddr::from([0, 0, 0, 0]);
        assert!(asked(&hosts(public, &[], None), "/v1/models", Some("any.example")).is_ok());
        let listed = hosts(public, &["llm.example.org", "other.example:8080"], None);
        for (host, taken) in [
            ("llm.example.org", true),
            ("LLM.example.org:443", true),
            ("other.example:8080", true),
            ("other.example", false),
            ("any.example", false),
            ("localhost", true),
            // The address that the request came in on, as probes of a cluster use it.
            ("10.1.2.3:1234", true),
            ("10.1.2.4:1234", false),
        ] {
            assert_eq!(asked(&listed, "/v1/models", Some(host)).is_ok(), taken, "{host}");
        }
        assert!(asked(&hosts(LOOPBACK, &["*"], None), "/v1/models", Some("any.example")).is_ok());
        let (parts, ()) = Request::get("/").header("host", "any.example").body(()).expect("a request").into_parts();
        assert!(hosts(LOOPBACK, &[], None).check(&parts, true, None).is_ok(), "keys are what is asked for");
    }
}
