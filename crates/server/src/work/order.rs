//! The order in which the lines of a batch are run: those that begin alike one after the other, so that the prefix cache has what they
//! have in common.
//!
//! A text's beginnings of 64, 128, 256 … bytes are hashed. Sorted by these hashes, lines with a long common beginning stand together, inside
//! of those with a shorter one, whatever the order of the groups. It takes 40 bytes a line instead of the texts.

use std::hash::{DefaultHasher, Hasher};

use serde_json::{Map, Value};

/// How many beginnings are looked at: up to 32 KiB.
const BEGINNINGS: usize = 10;
const SHORTEST: usize = 64;

/// What the members of a body that become its prompt begin with, in the order in which templates write them.
const OF_PROMPT: [&str; 6] = ["model", "tools", "instructions", "messages", "prompt", "input"];

/// The hashes of the beginnings of one line.
pub(super) type Beginnings = [u32; BEGINNINGS];

/// The beginnings of the prompt of a body.
pub(super) fn beginnings(body: &Map<String, Value>) -> Beginnings {
    let mut text = String::new();
    for name in OF_PROMPT {
        if let Some(value) = body.get(name) {
            text.push_str(name);
            text.push_str(&value.to_string());
        }
        if text.len() > SHORTEST << BEGINNINGS {
            break;
        }
    }
    let mut hasher = DefaultHasher::new();
    let (mut hashes, mut from) = ([0; BEGINNINGS], 0);
    for (place, hash) in hashes.iter_mut().enumerate() {
        let to = (SHORTEST << place).min(text.len());
        hasher.write(&text.as_bytes()[from..to]);
        from = to;
        // Its low half is as good as the whole: two groups that meet by chance run one after the other.
        *hash = hasher.finish() as u32;
    }
    hashes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_with_the_same_beginning_stand_together() {
        let system = |name: &str| format!("You are {name}. {}", "Be kind. ".repeat(200));
        let mut lines: Vec<_> = (0..60)
            .map(|number| {
                let who = ["Ada", "Bob", "Cat"][number % 3];
                let body = json!({"messages": [{"role": "system", "content": system(who)}, {"role": "user", "content": number.to_string()}]});
                (beginnings(body.as_object().expect("an object")), who)
            })
            .collect();
        lines.sort_by_key(|(hashes, _)| *hashes);
        let changes = lines.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        assert_eq!(changes, 2);
    }
}
