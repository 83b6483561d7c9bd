//! Masks have what may be taken, and nothing else, whether or not they were found again.

use std::sync::Arc;
use std::time::Duration;

use crate::bytes::has;
use crate::words::{END, Words};
use parkade_grammar::{Format, Grammars, Limits, Tokens};
use serde_json::json;

#[test]
fn a_mask_has_what_may_come_next_and_nothing_else() {
    let vocabulary = Arc::new(Words::new(4_000));
    let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
    let grammars = Grammars::with_limits(Arc::clone(&vocabulary) as Arc<dyn Tokens>, limits);
    let schema = json!({
        "type": "object",
        "properties": {
            "path": { "type": "string", "pattern": "^[a-z/]+\\.rs$" },
            "words": { "type": "array", "items": { "type": "string", "pattern": "^[a-z ]{2,40}$" } },
            "note": { "type": "string", "maxLength": 40 },
        },
        "required": ["path", "words", "note"],
    });
    for format in [
        Format::Regex("[a-z]+( [a-z]+){2,9}, [0-9]{4}|x".to_owned()),
        Format::JsonSchema { schema, strict: true },
        Format::Lark("start: WORD (\",\" WORD)* \".\"\nWORD: /[a-z]+/".to_owned()),
    ] {
        let mut matcher = grammars.compile(&format).unwrap().matcher();
        let (mut random, mut mask) = (7u64, Vec::new());
        let mut below = |most: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % most
        };
        for _ in 0..25 {
            matcher.take_forced().unwrap();
            if matcher.is_complete() {
                break;
            }
            matcher.mask(&mut mask).unwrap();
            let ids = || 0..vocabulary.count() as u32;
            for id in ids().filter(|&id| id as usize != END) {
                let fits = matcher.clone().accept(id).is_ok();
                assert_eq!(has(&mask, id), fits, "{format:?}: {:?}", String::from_utf8_lossy(vocabulary.bytes(id)));
            }
            let words: Vec<u32> = ids().filter(|&id| has(&mask, id) && id as usize != END).collect();
            if words.is_empty() {
                break;
            }
            matcher.accept(words[below(words.len())]).unwrap();
        }
    }
}
