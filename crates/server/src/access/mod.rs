//! Who may ask, for what, and how much: API keys, tenants' limits, token buckets.
//!
//! | file | subject |
//! | --- | --- |
//! | `hosts.rs` | the host names that the server answers for: [`Hosts`] |
//! | `origins.rs` | the web pages that may change something |
//! | `keys.rs` | the keys file: from TOML to [`ApiKeys`] |
//! | `rates.rs` | tokens and requests per minute: [`RateLimits`] |
//! | `standing.rs` | how a tenant stands with its limits, as OpenAI's `x-ratelimit-*` headers say it |
//! | `open_requests.rs` | how many requests one key may have open at the door |
//! | `policy.rs` | [`Policy`]: keys, rates and weights together, as they are replaced at run time |

pub(crate) mod hosts;
mod keys;
mod open_requests;
pub(crate) mod origins;
mod policy;
mod rates;
mod standing;
mod text;

pub(crate) use hosts::Hosts;
pub use keys::{ApiKey, ApiKeys, KeysError, TenantLimits, hash_key};
pub(crate) use open_requests::{OpenRequest, OpenRequests};
pub use policy::Policy;
pub use rates::{Advance, Demand, OverLimit, RateLimits, Rates};
pub(crate) use standing::header_names as standing_headers;
pub use standing::{Meter, Standing};
pub use text::{in_plain_words, read_text};
