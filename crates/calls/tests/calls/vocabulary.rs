//! A vocabulary of bytes and special tokens, and texts that a grammar lets through.

use std::sync::Arc;
use std::time::Duration;

use parkade_calls::CallGrammar;
use parkade_grammar::{Format, Grammar, Grammars, Limits, Tokens};

/// Each byte is a token, then come special ones, and last the end of the text.
pub struct Vocabulary {
    bytes: Vec<[u8; 1]>,
    special: Vec<&'static str>,
}

impl Vocabulary {
    fn end(&self) -> u32 {
        256 + self.special.len() as u32
    }

    /// The id of a text that is one special token.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.special.iter().position(|special| *special == text).map(|at| 256 + at as u32)
    }
}

impl Tokens for Vocabulary {
    fn count(&self) -> usize {
        257 + self.special.len()
    }

    fn bytes(&self, id: u32) -> &[u8] {
        match id {
            0..=255 => &self.bytes[id as usize],
            _ => self.special.get(id as usize - 256).map_or(b"<end>", |special| special.as_bytes()),
        }
    }

    fn is_special(&self, id: u32) -> bool {
        id >= 256
    }

    fn is_end(&self, id: u32) -> bool {
        id == self.end()
    }

    fn encode(&self, text: &str) -> Option<Vec<u32>> {
        Some(text.bytes().map(u32::from).collect())
    }
}

pub fn vocabulary(special: &[&'static str]) -> Arc<Vocabulary> {
    Arc::new(Vocabulary { bytes: (0..=255).map(|byte| [byte]).collect(), special: special.to_vec() })
}

/// Random numbers that are the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

/// What ends free texts, where that is text itself: a random text would hardly ever come to it.
const ENDS: &[&str] =
    &["\n</parameter>", "</parameter>", "</arg_value>", "</｜DSML｜parameter>", "<|\"|>", "<escape>", "</think>"];

/// A compiled grammar over a vocabulary.
pub struct Compiled {
    grammar: Arc<Grammar>,
    vocabulary: Arc<Vocabulary>,
}

impl Compiled {
    pub fn new(vocabulary: &Arc<Vocabulary>, grammar: &CallGrammar) -> Self {
        let format = Format::LarkWithJson {
            lark: grammar.lark.clone(),
            schemas: grammar.schemas.clone(),
            strict: grammar.strict,
            chosen: grammar.chosen.clone(),
        };
        Compiled::of(vocabulary, &format)
    }

    pub fn of(vocabulary: &Arc<Vocabulary>, format: &Format) -> Self {
        // A loaded machine is slow.
        let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
        let grammars = Grammars::with_limits(Arc::clone(vocabulary) as Arc<dyn Tokens>, limits);
        let grammar = grammars.compile(format).unwrap_or_else(|error| panic!("{error}\n{format:#?}"));
        Compiled { grammar, vocabulary: Arc::clone(vocabulary) }
    }

    /// The tokens of a text in which special ones are spelled.
    fn tokens(&self, mut text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        while let Some(first) = text.bytes().next() {
            let specials = self.vocabulary.special.iter().filter(|special| text.starts_with(**special));
            let special = specials.max_by_key(|special| special.len());
            match special {
                Some(special) => {
                    ids.extend(self.vocabulary.id(special));
                    text = &text[special.len()..];
                }
                None => {
                    let length = text.chars().next().map_or(1, char::len_utf8);
                    ids.push(u32::from(first));
                    ids.extend(text.as_bytes()[1..length].iter().map(|byte| u32::from(*byte)));
                    text = &text[length..];
                }
            }
        }
        ids
    }

    /// Whether a text, in which special tokens are spelled, may be written to its end.
    pub fn takes(&self, text: &str) -> bool {
        self.takes_tokens(&self.tokens(text))
    }

    /// Whether tokens may be written, and the text may end behind them.
    pub fn takes_tokens(&self, ids: &[u32]) -> bool {
        let mut matcher = self.grammar.matcher();
        let mut mask = Vec::new();
        for &id in ids {
            matcher.mask(&mut mask).expect("it goes on");
            if !has(&mask, id) {
                return false;
            }
            matcher.accept(id).expect("the mask has it");
        }
        matcher.mask(&mut mask).expect("it goes on");
        has(&mask, self.vocabulary.end())
    }

    /// The text of some tokens, with what is forced behind them, brought to an end, with special tokens spelled; `None` if there is no way.
    pub fn close(&self, ids: &[u32]) -> Option<String> {
        let mut matcher = self.grammar.matcher();
        ids.iter().for_each(|&id| matcher.accept(id).expect("it may be written"));
        let forced = matcher.take_forced().expect("it goes on");
        let way = matcher.way_to_end(&[], 1_000)?;
        let all = ids.iter().chain(&forced).chain(&way);
        let bytes: Vec<u8> = all.flat_map(|&id| self.vocabulary.bytes(id)).copied().collect();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A random text, with special tokens spelled, and its tokens; `None` if it would be longer than a few thousand tokens.
    pub fn sample(&self, random: &mut Random) -> Option<(String, Vec<u32>)> {
        let mut matcher = self.grammar.matcher();
        let (mut mask, mut bytes, mut written) = (Vec::new(), Vec::new(), Vec::new());
        let mut end: &[u8] = &[];
        for step in 0..4000 {
            matcher.mask(&mut mask).expect("it goes on");
            let allowed: Vec<u32> = (0..self.vocabulary.count() as u32).filter(|&id| has(&mask, id)).collect();
            let among = |wanted: &dyn Fn(u32) -> bool| allowed.iter().copied().filter(|&id| wanted(id)).collect();
            let is_ending = |id: u32| id >= 256 || b"\"}]<)>,'\n".contains(&(id as u8));
            let ids: Vec<u32> = match random.below(3) {
                _ if step > 400 => among(&is_ending),
                0 => among(&is_ending),
                1 => among(&|id| (32..127).contains(&id)),
                _ => Vec::new(),
            };
            let ids = if ids.is_empty() { allowed } else { ids };
            if end.is_empty() && random.below(8) == 0 {
                end = ENDS[random.below(ENDS.len())].as_bytes();
            }
            let id = match end.split_first() {
                Some((&first, rest)) if has(&mask, u32::from(first)) => {
                    end = rest;
                    u32::from(first)
                }
                _ => {
                    end = &[];
                    ids[random.below(ids.len())]
                }
            };
            if id == self.vocabulary.end() {
                // A budget may end inside of a character.
                return Some((String::from_utf8_lossy(&bytes).into_owned(), written));
            }
            bytes.extend(self.vocabulary.bytes(id));
            written.push(id);
            matcher.accept(id).expect("the mask has it");
        }
        None
    }
}

fn has(mask: &[u32], id: u32) -> bool {
    mask[id as usize / 32] >> (id % 32) & 1 == 1
}
