//! What the reader of TOML says of a value, in plain words.

/// Puts what is said in Rust's terms into those of whoever wrote the file.
///
/// ```
/// use parkade_server::in_plain_words;
///
/// let message = "invalid value: integer `-1`, expected u32";
/// assert_eq!(in_plain_words(message), "invalid value: integer `-1`, expected a whole number from 0 to 4294967295");
/// ```
#[must_use]
pub fn in_plain_words(message: &str) -> String {
    // What no 64 bits hold is no integer to the reader.
    let too_large = ["` as i128, ", "` as u128, ", "any valid TOML value"].iter().any(|mark| message.contains(mark));
    let number = message.strip_prefix("invalid type: integer `").filter(|_| too_large);
    if let Some((literal, _)) = number.and_then(|rest| rest.split_once('`')) {
        return format!("the number {literal} is larger than any that is allowed");
    }
    message
        .replace("expected u32", "expected a whole number from 0 to 4294967295")
        .replace("expected u64", "expected a whole number, 0 or more")
}
