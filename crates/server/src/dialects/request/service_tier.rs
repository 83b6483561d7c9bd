//! OpenAI's `service_tier`: the classes of requests by its words.

use parkade_core::Class;

/// The words that a request may use. `auto` is what its sender has by default; `critical` cannot be asked for.
pub(crate) const WORDS: &[(&str, Option<Class>)] =
    &[("auto", None), ("default", Some(Class::Normal)), ("flex", Some(Class::Low)), ("priority", Some(Class::High))];

/// The tier that requests of a class are served with: a scheduler without classes serves all alike.
pub(crate) fn served(class: Class, has_classes: bool) -> &'static str {
    match class {
        _ if !has_classes => "default",
        Class::Low => "flex",
        Class::Normal => "default",
        Class::High | Class::Critical => "priority",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Identity;

    #[test]
    fn a_tier_is_reported_as_it_was_served() {
        for (asked, reported) in
            [("auto", "default"), ("default", "default"), ("flex", "flex"), ("priority", "priority")]
        {
            let (_, class) = WORDS.iter().find(|(word, _)| *word == asked).expect("a known word");
            let class = Identity::ANONYMOUS.class(*class);
            assert_eq!(served(class, true), reported);
            assert_eq!(served(class, false), "default");
        }
    }
}
