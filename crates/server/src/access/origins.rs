//! Which web pages may change something on a server without keys.
//!
//! A browser lets any page send simple requests anywhere; it only keeps the answer from the page. It says where the page
//! is from, though: in the `origin` header, on everything but plain GETs. Programs that are no browsers send none.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};

use super::hosts::Hosts;
use crate::http::{ANY, ApiError, Authority, LOCALHOST, Retry, is_local_page, normal_origin, quote};

/// Checks that a request which may change something does not come from a foreign page. `listed` are the origins that the
/// operator allows.
///
/// # Errors
/// 403 with the remedy.
pub(crate) fn check(request: &Parts, hosts: &Hosts, listed: &[String]) -> Result<(), ApiError> {
    if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let host = request.headers.get(header::HOST).and_then(|host| Authority::parse(host.to_str().ok()?));
    for origin in request.headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("\u{fffd}");
        let is_this = |listed: &String| normal_origin(listed).is_some_and(|listed| listed.eq_ignore_ascii_case(origin));
        let is_local = |listed: &String| listed == LOCALHOST && is_local_page(origin);
        let allowed = listed.iter().any(|listed| listed == ANY || is_local(listed) || is_this(listed));
        if !allowed && is_foreign(origin, host.as_ref(), hosts) {
            return Err(refusal(origin));
        }
    }
    Ok(())
}

/// Whether an origin is a web page of another host. A program's own page (`vscode-webview://…`) is no web page: no site
/// can have such an origin. `null` is any page that was put into a sandbox.
fn is_foreign(origin: &str, host: Option<&Authority>, hosts: &Hosts) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return true;
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return false;
    }
    let Some(authority) = Authority::parse(authority) else {
        return true;
    };
    let same_host = host.is_some_and(|host| host.is_host_of(&authority));
    let same_machine = hosts.on_loopback() && authority.is_loopback();
    !(same_host || same_machine)
}

fn refusal(origin: &str) -> ApiError {
    let message = format!("web pages from {} may not use this server; allow them with --cors-origins", quote(origin));
    ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", message, Retry::Never).with_param("origin")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::http::Request;

    use super::*;
    use crate::config::ServerConfig;

    fn asked(method: Method, origin: &str, host: &str, listed: &[&str]) -> Result<(), ApiError> {
        let request = Request::builder().method(method).uri("/").header("host", host).header("origin", origin);
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let hosts = Hosts::of(Some(IpAddr::from([127, 0, 0, 1])), &ServerConfig::default());
        check(&parts, &hosts, &listed.iter().map(|origin| (*origin).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_page_from_elsewhere_changes_nothing() {
        for foreign in [
            "https://evil.example",
            "http://localhost.evil.example",
            "http://evil.example:1234",
            "null",
            "",
            "localhost",
            "http://",
            "http://127.1",
        ] {
            let error = asked(Method::POST, foreign, "localhost:1234", &[]).expect_err(foreign);
            assert_eq!((error.status().as_u16(), error.code()), (403, "origin_not_allowed"), "{foreign}");
            assert!(error.message().contains("--cors-origins"), "{error}");
            assert!(asked(Method::GET, foreign, "localhost:1234", &[]).is_ok(), "it could not read the answer");
        }
    }

    #[test]
    fn pages_of_the_same_host_listed_ones_and_programs_may() {
        for own in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[::1]:8443",
            "http://box.example",
            "vscode-webview://abc",
            "app://obsidian.md",
        ] {
            assert!(asked(Method::POST, own, "box.example:1234", &[]).is_ok(), "{own}");
        }
        let listed = ["https://chat.example.org"];
        assert!(asked(Method::POST, "https://chat.example.org", "localhost", &listed).is_ok());
        assert!(asked(Method::POST, "https://other.example.org", "localhost", &listed).is_err());
        assert!(asked(Method::POST, "null", "localhost", &["*"]).is_ok());
        assert!(asked(Method::POST, "http://localhost:3000", "box.example", &["localhost"]).is_ok());
        assert!(asked(Method::POST, "http://localhost.evil.example", "box.example", &["localhost"]).is_err());
        assert!(
            asked(Method::POST, "https://chat.example.org", "localhost", &["HTTPS://Chat.example.org:443"]).is_ok()
        );
    }
}
