//! What can go wrong with a hub.

/// Why the hub gave no answer that can be used. Addresses stand in it without their queries.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// HF_ENDPOINT is no address.
    #[error(
        "the environment variable HF_ENDPOINT is '{url}'; give the hub's address, such as https://huggingface.co, without a query and without a password (HF_TOKEN is the place for a secret)"
    )]
    Endpoint {
        /// What it is.
        url: String,
    },
    /// 404.
    #[error("{url}: not found on the hub; check the name of the repository and of the file")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// 401 or 403.
    #[error("{url}: the hub refuses access ({status}); the repository does not exist, is private, or its licence must be accepted first. {}",
        if *.with_token { "HF_TOKEN was sent: check that it is valid and may read this repository" } else { "Set HF_TOKEN to an access token if it should be yours to read" })]
    Denied {
        /// What was asked for.
        url: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// Any other status.
    #[error("{url}: the hub answered with status {status}; try again later")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// No answer.
    #[error("{url}: {message}; check the connection (HF_ENDPOINT names another hub), then try again")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        message: String,
    },
    /// An answer that makes no sense.
    #[error("{url}: the hub's answer cannot be used: {message}")]
    Nonsense {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        message: String,
    },
}
