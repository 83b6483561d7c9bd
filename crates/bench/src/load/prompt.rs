//! Synthetic prompts of a wanted length.

use crate::random::Random;

/// Common English words, each of which is one token (with the space before it) in the usual vocabularies.
const WORDS: [&str; 160] = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "problem",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "program",
    "question",
    "work",
    "government",
    "number",
    "night",
    "point",
    "home",
    "water",
    "room",
    "mother",
    "area",
    "money",
    "story",
    "fact",
    "month",
    "lot",
    "right",
    "study",
    "book",
    "eye",
    "job",
    "word",
    "business",
    "issue",
    "side",
    "kind",
    "head",
    "house",
    "service",
    "friend",
    "father",
    "power",
    "hour",
    "game",
    "line",
    "end",
    "member",
    "law",
    "car",
    "city",
    "community",
    "name",
    "president",
    "team",
    "minute",
    "idea",
    "kid",
    "body",
    "information",
    "back",
    "parent",
    "face",
    "others",
    "level",
    "office",
    "door",
    "health",
    "person",
    "art",
    "war",
    "history",
    "party",
    "result",
    "change",
    "morning",
    "reason",
    "research",
    "girl",
    "guy",
    "moment",
    "air",
    "teacher",
    "force",
    "education",
    "good",
    "new",
    "first",
    "last",
    "long",
    "great",
    "little",
    "own",
    "other",
    "old",
    "big",
    "high",
    "different",
    "small",
    "large",
    "next",
    "early",
    "young",
    "important",
    "few",
    "public",
    "bad",
    "same",
    "able",
    "find",
    "give",
    "tell",
    "ask",
    "seem",
    "feel",
    "try",
    "leave",
    "call",
    "need",
    "become",
    "put",
    "mean",
    "keep",
    "let",
    "begin",
    "help",
    "talk",
    "turn",
    "start",
    "show",
    "hear",
    "play",
    "run",
    "move",
    "like",
    "live",
    "believe",
    "hold",
    "bring",
    "happen",
    "write",
    "provide",
    "sit",
    "stand",
    "lose",
];

/// `count` words drawn at random: no two prompts begin alike, so that no prefix cache can answer for the model.
pub(super) fn words(random: &mut Random, count: usize) -> String {
    let mut out = String::with_capacity(count * 7);
    for index in 0..count {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(WORDS[random.below(WORDS.len())]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{WORDS, words};
    use crate::random::Random;
    use std::collections::HashSet;

    #[test]
    fn prompts_have_their_length_and_begin_differently() {
        let prompt = words(&mut Random::new(1, 0), 50);
        assert_eq!(prompt.split(' ').count(), 50);
        let starts: HashSet<String> = (0..2_000).map(|stream| words(&mut Random::new(1, stream), 6)).collect();
        assert_eq!(starts.len(), 2_000);
        assert_eq!(words(&mut Random::new(1, 0), 0), "");
    }

    #[test]
    fn no_word_is_there_twice() {
        assert_eq!(WORDS.iter().collect::<HashSet<_>>().len(), WORDS.len());
    }
}
