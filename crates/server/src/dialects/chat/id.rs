//! Names of calls and of parts of an answer: the same whoever reads along.

use parkade_calls::Style;
use sha2::{Digest, Sha256};

use super::Form;

/// The name of a call, by the answer's name, the choice and the call's place in it. Mistral's templates want nine letters and digits.
pub(crate) fn call_id(form: &Form, answer: &str, place: (usize, usize)) -> String {
    match form.reading.style {
        Some(Style::Mistral | Style::MistralNamed) => part_id("", answer, place, 9),
        _ => part_id("call_", answer, place, 24),
    }
}

/// A name for a part of an answer, made of the answer's name and the part's place: `prefix` and as many letters and digits as asked for.
pub(crate) fn part_id(prefix: &str, answer: &str, place: (usize, usize), length: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let digest = Sha256::digest(format!("{prefix} {answer} {} {}", place.0, place.1).as_bytes());
    let mut id = prefix.to_owned();
    id.extend(digest.iter().cycle().take(length).map(|byte| char::from(DIGITS[usize::from(*byte) % 62])));
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_one_name_and_each_its_own() {
        assert_eq!(part_id("call_", "a", (0, 1), 24), part_id("call_", "a", (0, 1), 24));
        assert_ne!(part_id("call_", "a", (0, 1), 24), part_id("call_", "a", (1, 0), 24));
        assert_ne!(part_id("call_", "a", (0, 1), 24), part_id("call_", "b", (0, 1), 24));
        let short = part_id("", "a", (0, 1), 9);
        assert!(short.len() == 9 && short.chars().all(|c| c.is_ascii_alphanumeric()), "{short}");
    }
}
