//! Webhooks: where events are sent, and the secrets that sign them, by the specification of Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks>).

use std::fmt;
use std::ops::RangeInclusive;

use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::public_address;
use crate::http::quote;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// Bytes of a secret, as the specification has them.
const SECRET_BYTES: RangeInclusive<usize> = 24..=BLOCK;

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// A new secret, and the one before it.
const MOST_SECRETS: usize = 2;

/// The longest URL, in bytes.
const LONGEST_URL: usize = 2048;

/// Where events are sent, and what signs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    url: WebhookUrl,
    secrets: Vec<Secret>,
}

/// What is wrong with a webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Its URL; what is wrong, and the remedy.
    #[error("{0}")]
    Url(String),
    /// One of its secrets; what is wrong, and the remedy, without the secret.
    #[error("{0}")]
    Secret(String),
}

/// An address of the web without a user or a password. What stands behind the host may be a secret, and is not printed.
#[derive(Clone, PartialEq, Eq)]
struct WebhookUrl(Uri);

/// A key of HMAC-SHA256, with zeros up to the length of a block, as RFC 2104 has it. It is never printed.
#[derive(Clone, PartialEq, Eq)]
struct Secret([u8; BLOCK]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |uri: &Uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?));
        f.write_str(&place(&self.0).unwrap_or_default())
    }
}

impl Webhook {
    /// A webhook at a URL of `https` or `http`. Its events are signed with the first secret, and with the second one too if there are two,
    /// so that receivers can go from one to the other: each is `whsec_` and 24 to 64 bytes in base64.
    ///
    /// ```
    /// use parkade_server::Webhook;
    ///
    /// let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    /// assert!(Webhook::new("https://hooks.example/parkade", &[secret]).is_ok());
    /// assert!(Webhook::new("https://hooks.example/parkade", &["hunter2"]).is_err());
    /// ```
    ///
    /// # Errors
    /// What is wrong with the URL or a secret.
    pub fn new(url: &str, secrets: &[&str]) -> Result<Self, WebhookError> {
        let url = WebhookUrl::parse(url).map_err(WebhookError::Url)?;
        if secrets.is_empty() || secrets.len() > MOST_SECRETS {
            let number = secrets.len();
            let message = format!("there are {number} secrets; give one, or the new one and the one before it");
            return Err(WebhookError::Secret(message));
        }
        let secrets = secrets.iter().map(|text| Secret::parse(text)).collect::<Result<_, _>>();
        Ok(Self { url, secrets: secrets.map_err(WebhookError::Secret)? })
    }

    /// Checks what can be known of its address before anything is sent.
    ///
    /// # Errors
    /// If it is one of the local network, or not encrypted.
    pub(crate) fn check_public(&self) -> Result<(), WebhookError> {
        let host = self.host();
        let is_local = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
        if is_local || host.parse().is_ok_and(|address| !public_address::is_public(address)) {
            let message = format!(
                "{} is in the local network; give a public address, or allow such with --webhook-allow-private",
                quote(host)
            );
            return Err(WebhookError::Url(message));
        }
        if !self.is_encrypted() {
            let message = "http:// is for the local network, with --webhook-allow-private; use https://";
            return Err(WebhookError::Url(message.to_owned()));
        }
        Ok(())
    }

    /// Whether it is spoken to by TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.url.0.scheme_str() == Some("https")
    }

    /// The host's name or address, without brackets.
    pub(crate) fn host(&self) -> &str {
        self.url.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.url.0.port_u16().unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }

    /// Host and port as they stand in the URL.
    pub(crate) fn authority(&self) -> &str {
        self.url.0.authority().map_or("", |authority| authority.as_str())
    }

    /// Path and query.
    pub(crate) fn path(&self) -> &str {
        self.url.0.path_and_query().map_or("/", |path| path.as_str())
    }

    /// The header `webhook-signature` of a message: `v1,` and the signature in base64, for each secret.
    pub(crate) fn signature(&self, id: &str, timestamp: u64, body: &str) -> String {
        let signed = format!("{id}.{timestamp}.{body}");
        let signatures: Vec<_> = self.secrets.iter().map(|secret| secret.sign(signed.as_bytes())).collect();
        signatures.join(" ")
    }
}

impl WebhookUrl {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST_URL {
            return Err(format!("it has {} bytes; allowed: up to {LONGEST_URL}", text.len()));
        }
        // The value is not repeated: there may be a secret in it.
        let wanted = "use a URL such as 'https://hooks.example/parkade'";
        let uri: Uri = text.parse().map_err(|error| format!("it is no URL ({error}); {wanted}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(format!("it is no URL of https or http; {wanted}"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(format!("it has a user or a password in it; leave these out: events are signed, {wanted}"));
        }
        if uri.port_u16() == Some(0) || uri.authority().is_some_and(|authority| authority.as_str().ends_with(':')) {
            return Err(format!("its port is none; leave it out, or {wanted}"));
        }
        Ok(Self(uri))
    }
}

impl Secret {
    fn parse(text: &str) -> Result<Self, String> {
        let wanted =
            "give 'whsec_' and 24 to 64 random bytes in base64, as `echo whsec_$(openssl rand -base64 32)` prints";
        let encoded =
            text.strip_prefix(PREFIX).ok_or_else(|| format!("a secret does not begin with '{PREFIX}'; {wanted}"))?;
        let bytes = STANDARD.decode(encoded).map_err(|_| format!("a secret is not in base64; {wanted}"))?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(format!("a secret has {} bytes; {wanted}", bytes.len()));
        }
        let mut block = [0; BLOCK];
        block[..bytes.len()].copy_from_slice(&bytes);
        Ok(Self(block))
    }

    fn sign(&self, message: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new(&self.0.into());
        mac.update(message);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn refused(url: &str, secrets: &[&str]) -> String {
        Webhook::new(url, secrets).expect_err(url).to_string()
    }

    /// The example of the specification's own libraries.
    #[test]
    fn a_message_is_signed_as_the_specification_has_it() {
        let webhook = Webhook::new("https://hooks.example", &[SECRET]).expect("valid");
        let signature = webhook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_beside_each_other() {
        let new = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let both = Webhook::new("https://hooks.example", &[new, SECRET]).expect("valid");
        let old = Webhook::new("https://hooks.example", &[SECRET]).expect("valid");
        let signatures = both.signature("msg_1", 1, "{}");
        let (first, second) = signatures.split_once(' ').expect("two");
        assert!(first.starts_with("v1,") && first != second);
        assert_eq!(second, old.signature("msg_1", 1, "{}"));
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_and_not_repeated() {
        for bad in ["", "hunter2", "whsec_", "whsec_aHVudGVyMg==", "whsec_!!!", &format!("whsec_{}", "A".repeat(88))] {
            let message = refused("https://hooks.example", &[bad]);
            assert!(message.contains("24 to 64 random bytes"), "{bad}: {message}");
            assert!(bad.len() < 7 || !message.contains(bad), "{message}");
        }
        assert!(refused("https://hooks.example", &[]).contains("0 secrets"));
        assert!(refused("https://hooks.example", &[SECRET; 3]).contains("3 secrets"));
        let shown = format!("{:?}", Webhook::new("https://hooks.example/x?token=y", &[SECRET]).expect("valid"));
        assert!(!shown.contains("MfKQ") && !shown.contains("token") && shown.contains("hooks.example"), "{shown}");
    }

    #[test]
    fn what_is_no_address_of_the_web_is_refused() {
        for bad in ["", "hooks.example", "/path", "ftp://hooks.example", "https://", "https://a b", "https://h:0/"] {
            assert!(refused(bad, &[SECRET]).contains("https://hooks.example/parkade"), "{bad}");
        }
        assert!(refused("https://ada:pw@hooks.example", &[SECRET]).contains("a user or a password"));
        assert!(refused(&format!("https://h/{}", "x".repeat(LONGEST_URL)), &[SECRET]).contains("allowed: up to"));
        let webhook = Webhook::new("https://[2606:4700::1111]:8443/a/b?c=d", &[SECRET]).expect("valid");
        assert_eq!((webhook.host(), webhook.port()), ("2606:4700::1111", 8443));
        assert_eq!((webhook.authority(), webhook.path()), ("[2606:4700::1111]:8443", "/a/b?c=d"));
        assert_eq!(Webhook::new("http://hooks.example", &[SECRET]).expect("valid").path(), "/");
    }

    #[test]
    fn the_local_network_is_told_at_once_where_it_can_be() {
        let local = |url: &str| Webhook::new(url, &[SECRET]).expect(url).check_public().is_err();
        for url in
            ["https://localhost", "https://a.LOCALHOST:1/x", "https://127.0.0.1", "https://[::1]/", "https://10.1.2.3"]
        {
            assert!(local(url), "{url}");
        }
        assert!(local("http://hooks.example"), "not encrypted");
        assert!(!local("https://hooks.example") && !local("https://9.9.9.9/x"));
    }
}
