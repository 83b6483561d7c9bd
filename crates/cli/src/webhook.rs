//! The webhook of the server: its URL is a setting, its secrets stand in a file or in the environment, where no list of processes and no
//! printed configuration shows them.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use parkade_server::{Webhook, WebhookError, read_text};

use crate::args::WebhookArgs;

/// The environment variable with the secret; during a change the new one and the one before it, a comma or space between.
pub const SECRET_VARIABLE: &str = "PARKADE_WEBHOOK_SECRET";

/// Why there is no webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookArgsError {
    /// The file of secrets.
    #[error("cannot read the webhook's secret from {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is nothing to sign with.
    #[error("webhook-url is given without a secret; set {SECRET_VARIABLE}, or give --webhook-secret-file FILE")]
    NoSecret,
    /// There is nothing to be told.
    #[error("a webhook's secret is given without a URL; give --webhook-url, or leave the secret out")]
    NoUrl,
    /// There are two sources.
    #[error("the webhook's secret stands in {SECRET_VARIABLE} and in a file; leave one of them out")]
    TwoSecrets,
    /// The URL or a secret cannot be used.
    #[error("{what}: {0}", what = if matches!(.0, WebhookError::Url(_)) { "webhook-url" } else { "the webhook's secret" })]
    Webhook(WebhookError),
}

impl WebhookArgsError {
    /// The setting that it is about.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        match self {
            Self::NoSecret | Self::Webhook(WebhookError::Url(_)) => "webhook-url",
            Self::Read { .. } | Self::NoUrl | Self::TwoSecrets | Self::Webhook(_) => "webhook-secret-file",
        }
    }
}

/// The webhook, if there is to be one. `variable` is what the environment has as [`SECRET_VARIABLE`].
///
/// # Errors
/// What is wrong with it; never with a secret.
pub fn read(args: &WebhookArgs, variable: Option<String>) -> Result<Option<Webhook>, WebhookArgsError> {
    let variable = variable.filter(|text| !text.trim().is_empty());
    let secrets = match (&args.webhook_secret_file, variable) {
        (Some(_), Some(_)) => return Err(WebhookArgsError::TwoSecrets),
        (None, variable) => variable,
        (Some(path), None) => {
            let text = File::open(path).and_then(read_text);
            Some(text.map_err(|source| WebhookArgsError::Read { path: path.clone(), source })?)
        }
    };
    let (url, secrets) = match (&args.webhook_url, &secrets) {
        (None, None) => return Ok(None),
        (Some(url), Some(secrets)) => (url, secrets),
        (Some(_), None) => return Err(WebhookArgsError::NoSecret),
        (None, Some(_)) => return Err(WebhookArgsError::NoUrl),
    };
    let between = |letter: char| letter == ',' || letter.is_whitespace();
    let secrets: Vec<&str> = secrets.split(between).filter(|secret| !secret.is_empty()).collect();
    Webhook::new(url, &secrets).map(Some).map_err(WebhookArgsError::Webhook)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn args(url: Option<&str>, file: Option<PathBuf>) -> WebhookArgs {
        WebhookArgs { webhook_url: url.map(str::to_owned), webhook_secret_file: file, webhook_allow_private: false }
    }

    #[test]
    fn a_secret_comes_from_the_environment_or_from_a_file() {
        let url = Some("https://hooks.example/x");
        let wanted = Webhook::new("https://hooks.example/x", &[NEW, OLD]).expect("valid");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, format!("{NEW}\n{OLD}\n")).expect("written");
        let read = |args, variable: Option<&str>| super::read(&args, variable.map(str::to_owned));
        assert_eq!(read(args(None, None), None).expect("none"), None);
        assert_eq!(read(args(url, Some(path.clone())), Some(" ")).expect("valid"), Some(wanted.clone()));
        assert_eq!(read(args(url, None), Some(&format!("{NEW}, {OLD}"))).expect("valid"), Some(wanted));
        for (args, variable, said, setting) in [
            (args(url, None), None, "set PARKADE_WEBHOOK_SECRET", "webhook-url"),
            (args(None, None), Some(NEW), "give --webhook-url", "webhook-secret-file"),
            (args(url, Some(path)), Some(NEW), "leave one of them out", "webhook-secret-file"),
            (args(url, Some("/nowhere/x".into())), None, "/nowhere/x", "webhook-secret-file"),
            (args(Some("hooks.example"), None), Some(NEW), "webhook-url: it is no URL", "webhook-url"),
            (args(url, None), Some("hunter2"), "the webhook's secret: ", "webhook-secret-file"),
        ] {
            let error = read(args, variable).expect_err(said);
            assert!(error.to_string().contains(said) && !error.to_string().contains("hunter2"), "{error}");
            assert_eq!(error.setting(), setting, "{error}");
        }
    }
}
