//! Who may ask, for what, and how much: API keys, tenants' limits, token buckets.
//!
//! | file | subject |
//! | --- | --- |
//! | `entrance.rs` | what each request must pass before it meets a handler |
//! | `hosts.rs` | the host names that the server answers for: [`Hosts`] |
//! | `origins.rs` | the web pages that may change something |
//! | `keys.rs` | the keys file: from TOML to [`ApiKeys`] |
//! | `identity.rs` | who is asking, and what they may ask for |
//! | `gateway.rs` | what an inference gateway says of a request |
//! | `rates.rs` | tokens and requests per minute: [`RateLimits`] |
//! | `rate_limit_headers.rs` | how a tenant stands with its limits, as OpenAI's `x-ratelimit-*` headers say it |
//! | `open_requests.rs` | how many requests one key may have open at the door |
//! | `state.rs` | the policy in force, and what has been used of it |
//! | `webhook.rs` | where events are sent, and what signs them: [`Webhook`] |
//! | `public_address.rs` | which addresses are of the public internet |
//! | `user.rs` | what a user may be called |
//! | `policy.rs` | [`Policy`]: keys, rates and weights together, as they are replaced at run time |

pub(crate) mod entrance;
pub(crate) mod gateway;
mod hosts;
mod identity;
mod keys;
mod open_requests;
mod origins;
mod policy;
pub(crate) mod public_address;
mod rate_limit_headers;
mod rates;
mod state;
mod text;
mod user;
mod webhook;

pub(crate) use hosts::Hosts;
pub(crate) use identity::Identity;
pub use keys::{ApiKey, ApiKeys, KeysError, hash_key};
pub use policy::{Policy, PolicyError};
pub(crate) use rate_limit_headers::rate_limit_header_names;
pub use rate_limit_headers::{Meter, Standing};
pub use rates::{Advance, Demand, OverLimit, RateLimits};
pub(crate) use state::AccessState;
pub use text::{in_plain_words, read_text};
pub(crate) use user::MAX_USER_BYTES;
pub use user::is_user;
pub use webhook::{Webhook, WebhookError};
