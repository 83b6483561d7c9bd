//! `--gateway-objectives`: what the objectives of an inference gateway mean.

use parkade_core::Class;

/// The classes that requests may ask for.
const CLASSES: [Class; 3] = [Class::Low, Class::Normal, Class::High];

/// The longest name that Kubernetes gives to an object.
const LONGEST_NAME: usize = 253;

/// Takes `NAME=CLASS`.
///
/// # Errors
/// What is taken.
pub fn parse(text: &str) -> Result<(String, Class), String> {
    let readable = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let is_name = |name: &str| (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(readable);
    let pair = text.split_once('=').filter(|(name, _)| is_name(name));
    let named = pair.and_then(|(name, class)| Some((name, CLASSES.into_iter().find(|known| known.name() == class)?)));
    let (name, class) =
        named.ok_or("give NAME=CLASS: an objective's name, as Kubernetes has it, and low, normal or high")?;
    Ok((name.to_owned(), class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_has_a_name_of_kubernetes_and_a_class_that_can_be_asked_for() {
        assert_eq!(parse("premium-1.eu=high"), Ok(("premium-1.eu".to_owned(), Class::High)));
        for bad in ["", "premium", "=low", "premium=", "premium=critical", "Premium=low", "a b=low", "a=b=low"] {
            assert!(parse(bad).expect_err(bad).starts_with("give NAME=CLASS"), "{bad}");
        }
    }
}
