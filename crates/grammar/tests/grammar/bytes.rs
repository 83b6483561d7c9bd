//! A vocabulary of bytes: what a grammar takes is then a question about texts.

use std::sync::Arc;
use std::time::Duration;

use parkade_grammar::{Grammar, Grammars, Limits, Tokens};

/// Each byte is a token, and 256 ends the text.
struct Bytes(Vec<[u8; 1]>);

pub const END: u32 = 256;

impl Tokens for Bytes {
    fn count(&self) -> usize {
        257
    }

    fn bytes(&self, id: u32) -> &[u8] {
        self.0.get(id as usize).map_or(b"<end>", |byte| byte)
    }

    fn is_special(&self, id: u32) -> bool {
        id == END
    }

    fn is_end(&self, id: u32) -> bool {
        id == END
    }

    fn encode(&self, text: &str) -> Option<Vec<u32>> {
        Some(text.bytes().map(u32::from).collect())
    }
}

pub fn grammars() -> Grammars {
    // A loaded machine is slow; what is to end by its own limits may take longer.
    let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
    Grammars::with_limits(Arc::new(Bytes((0..=255).map(|byte| [byte]).collect())), limits)
}

/// Whether a mask has a token.
pub fn has(mask: &[u32], id: u32) -> bool {
    mask[id as usize / 32] >> (id % 32) & 1 == 1
}

/// Whether a text is one of the grammar's, by the masks alone.
pub fn accepts(grammar: &Grammar, text: &str) -> bool {
    let mut matcher = grammar.matcher();
    let mut mask = Vec::new();
    for id in text.bytes().map(u32::from).chain([END]) {
        matcher.mask(&mut mask).expect("it goes on");
        if !has(&mask, id) {
            return false;
        }
        if id != END {
            matcher.accept(id).expect("the mask has it");
        }
    }
    true
}
