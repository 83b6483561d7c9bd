//! What a user may be called, whoever names one: a body, or a gateway.

/// The longest name of a tenant that the server was not told of, in bytes.
pub(crate) const MAX_USER_BYTES: usize = 256;

/// Whether a tenant can have this name: at most 256 bytes without control characters.
#[must_use]
pub fn is_user(name: &str) -> bool {
    name.len() <= MAX_USER_BYTES && !name.chars().any(char::is_control)
}
