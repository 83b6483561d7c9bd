//! How a text can be brought to an end: for answers that come to their limit.
//!
//! The way is looked for lexeme by lexeme. Of each the shortest text that ends it is exact, by a search through the lexer's states; of the
//! lexemes that may come next one is taken that closes something, if there is one. That is no shortest way through every grammar, but it is one where
//! nesting is closed by what follows it, as in JSON. What is found has been parsed: it is valid.

use std::collections::HashSet;

use llguidance::TokenParser;
use llguidance::derivre::StateID;
use llguidance::earley::ParserRecognizer;
use llguidance::toktrie::{Recognizer, TokTrie, TokenId};

use crate::vocabulary::Tokens;

/// Bytes by which a lexeme rather ends than by others, and the next one rather begins: what closes, then short values, and what opens last.
const ENDING: &[u8] =
    b"}])>\"'`\n;.!?0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-+_=*/|&%$#@~^ :\t,<([{\\";

/// Bytes by which a lexeme rather goes on.
const FILLING: &[u8] =
    b"a0A-_ ./:bcdefghijklmnopqrstuvwxyz123456789BCDEFGHIJKLMNOPQRSTUVWXYZ+*=,;!?@#$%&|~^'\"()[]{}<>`\n\t\\";

/// How many states of the lexer are looked at for one lexeme.
const MOST_STATES: usize = 2_000;

/// Lexemes that close something wherever they stand; all others may lead round in a circle.
const CLOSING: [&[u8]; 4] = [b"}", b"]", b")", b">"];

/// How many bytes longer a lexeme may be that is taken instead of one that was used already: of names and of punctuation, which is shorter.
const NAME: usize = 3;
const DETOUR: [usize; 2] = [32, 2];

/// How many lexemes and forced texts a way has at most: a text without an end is noticed by that.
const MOST_STEPS: usize = 1_000;

/// How much one token can put off the end of a text, in tokens; larger formats count as this.
const MOST_STEP: usize = 256;

/// What is known of a grammar's ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closing {
    /// Special tokens that the grammar names.
    special: Vec<TokenId>,
    /// Texts that no way has in it.
    chosen: Vec<String>,
    nearness: Option<Nearness>,
}

/// From where on the end of a text must be looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearness {
    /// Tokens of the shortest whole text that was found.
    pub least: usize,
    /// About how many tokens one token can put off the end: what it opens has to be closed.
    pub step: usize,
}

impl Closing {
    /// `lark` is the grammar's text, if it has one.
    pub(crate) fn new(lark: Option<&str>, chosen: &[String]) -> Self {
        Closing { special: lark.map_or_else(Vec::new, special_tokens), chosen: chosen.to_vec(), nearness: None }
    }

    pub(crate) fn nearness(&self) -> Option<Nearness> {
        self.nearness
    }

    /// Notes the length of the shortest text, and of the format: all its names can have to be written before an end.
    pub(crate) fn note(&mut self, least: usize, format_bytes: usize) {
        self.nearness = Some(Nearness { least, step: (format_bytes / 4 + 8).min(MOST_STEP) });
    }

    /// A way to the end from where the parser stands, of at most so many tokens and without what the model must choose.
    pub(crate) fn way(&self, parser: &mut TokenParser, tokens: &dyn Tokens, most: usize) -> Option<Vec<TokenId>> {
        let way = self.any_way(parser, tokens, most)?;
        let text: Vec<u8> = way.iter().flat_map(|&id| tokens.bytes(id)).copied().collect();
        let has = |part: &String| !part.is_empty() && text.windows(part.len()).any(|window| window == part.as_bytes());
        Some(way).filter(|_| !self.chosen.iter().any(has))
    }

    /// A way to the end from where the parser stands, of at most so many tokens.
    pub(crate) fn any_way(&self, parser: &mut TokenParser, tokens: &dyn Tokens, most: usize) -> Option<Vec<TokenId>> {
        let mut way = Vec::new();
        let start = parser.clone();
        let (mut steps, mut used) = (0, HashSet::new());
        while !parser.is_accepting() {
            steps += 1;
            let step = self.step(parser, &mut used).filter(|_| steps <= MOST_STEPS)?;
            for id in step {
                parser.consume_token(id).ok()?;
                way.push(id);
            }
        }
        let short = shorten(start, &way, tokens);
        Some(short).filter(|way| way.len() <= most)
    }

    /// The next tokens of a way. Lexemes that were `used` on it are rather not taken again: of alternatives some lead round in a circle.
    fn step(&self, parser: &mut TokenParser, used: &mut HashSet<Vec<u8>>) -> Option<Vec<TokenId>> {
        let forced = parser.compute_ff_tokens();
        if !forced.is_empty() {
            return Some(forced);
        }
        let env = parser.token_env.clone();
        let trie = env.tok_trie();
        let pending = parser.parser.currently_forced_bytes();
        if !pending.is_empty() {
            return bytewise(trie, pending);
        }
        if let Some(id) = self.special_token(parser) {
            return Some(vec![id]);
        }
        let bytes = parser.parser.with_recognizer(|lexer| next_lexeme(lexer).or_else(|| lexeme_end(lexer, used)))?;
        let tokens = bytewise(trie, &bytes);
        if !CLOSING.contains(&&bytes[..]) {
            used.insert(bytes);
        }
        tokens
    }

    /// A special token that may come next; of several rather one behind which the text may end, or the one that the grammar names last.
    fn special_token(&self, parser: &mut TokenParser) -> Option<TokenId> {
        let mut fitting = self.special.clone();
        fitting.retain(|&id| parser.validate_token(id).unwrap_or(false));
        let ends = |id: &&TokenId| {
            let mut behind = parser.clone();
            behind.consume_token(**id).is_ok() && behind.is_accepting()
        };
        match fitting.len() {
            0 | 1 => fitting.first().copied(),
            _ => fitting.iter().find(ends).or(fitting.last()).copied(),
        }
    }
}

/// Bytes as tokens of one byte.
fn bytewise(trie: &TokTrie, bytes: &[u8]) -> Option<Vec<TokenId>> {
    bytes.iter().map(|&byte| trie.token_id_at_bytes(&[byte])).collect()
}

/// The same text in fewer tokens, if they fit too.
fn shorten(mut start: TokenParser, way: &[TokenId], tokens: &dyn Tokens) -> Vec<TokenId> {
    let env = start.token_env.clone();
    let mut short = Vec::new();
    for run in way.chunk_by(|&one, &other| tokens.is_special(one) == tokens.is_special(other)) {
        if run.first().is_some_and(|&id| tokens.is_special(id)) {
            short.extend_from_slice(run);
        } else {
            let text: Vec<u8> = run.iter().flat_map(|&id| tokens.bytes(id)).copied().collect();
            short.extend(env.tokenize_bytes(&text));
        }
    }
    let fits = start.validate_tokens_raw(&short).is_ok_and(|fitting| fitting == short.len());
    if fits && short.len() < way.len() { short } else { way.to_vec() }
}

/// The shortest text that ends the lexeme in which the lexer is, if it does not end here.
fn lexeme_end(lexer: &mut ParserRecognizer<'_>, used: &HashSet<Vec<u8>>) -> Option<Vec<u8>> {
    let start = lexer.lexer_state();
    if start.is_dead() {
        return None;
    }
    // Rather nothing is opened, for it would have to be closed, and rather there are no escapes and no white space.
    let without = |avoided: &[u8], bytes: &[u8]| -> Vec<u8> {
        bytes.iter().copied().filter(|byte| !avoided.contains(byte)).collect()
    };
    let all = || ENDING.iter().copied().chain((0..0xf5).filter(|byte| !ENDING.contains(byte))).collect::<Vec<u8>>();
    let filling = without(b"\\ \t", FILLING);
    shortest(lexer, start, [&without(b"\\ \t([{<", ENDING), &filling], used)
        .or_else(|| shortest(lexer, start, [&without(b"\\ \t", ENDING), &filling], used))
        .or_else(|| shortest(lexer, start, [&all(), &all()], used))
}

/// Searches breadth first for the end of a lexeme: by the bytes `ending` at last, and by `filling` before.
fn shortest(
    lexer: &mut ParserRecognizer<'_>,
    start: StateID,
    [ending, filling]: [&[u8]; 2],
    used: &HashSet<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut seen = HashSet::from([start]);
    // States, each with the one before it, the byte between them, and how far it is.
    let mut states = vec![(start, 0, 0, 0)];
    let mut found: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(&(state, _, _, far)) = states.get(at).filter(|_| states.len() < MOST_STATES) {
        let detour = |found: &Vec<u8>| DETOUR[usize::from(found.len() < NAME)];
        if found.as_ref().is_some_and(|found| far >= found.len() + detour(found)) {
            break;
        }
        let follow =
            |lexer: &mut ParserRecognizer<'_>, byte| lexer.lexer_mut().transition_start_state(state, Some(byte), &None);
        for &byte in ending {
            let next = follow(lexer, byte);
            if next.is_dead() || !is_end(lexer, next) || !seen.insert(next) {
                continue;
            }
            let mut bytes = text_to(&states, at);
            bytes.push(byte);
            if !used.contains(&bytes) {
                return Some(bytes);
            }
            found.get_or_insert(bytes);
        }
        for &byte in filling {
            let next = follow(lexer, byte);
            if !next.is_dead() && seen.insert(next) {
                states.push((next, at, byte, far + 1));
            }
        }
        at += 1;
    }
    found
}

/// The bytes that lead to a state.
fn text_to(states: &[(StateID, usize, u8, usize)], mut at: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(&(_, before, byte, _)) = states.get(at).filter(|_| at > 0) {
        bytes.push(byte);
        at = before;
    }
    bytes.reverse();
    bytes
}

/// Whether a lexeme may end in a state.
fn is_end(lexer: &mut ParserRecognizer<'_>, state: StateID) -> bool {
    state.has_lowest_match() || !lexer.lexer_mut().try_lexeme_end(state).is_error()
}

/// The first byte of another lexeme, if the one in which the lexer is may end here.
fn next_lexeme(lexer: &mut ParserRecognizer<'_>) -> Option<Vec<u8>> {
    let state = lexer.lexer_state();
    if state.is_dead() || !is_end(lexer, state) {
        return None;
    }
    lexer.trie_started("closing");
    let found = ENDING.iter().copied().chain(0..0xf5).find(|&byte| {
        let leaves = lexer.lexer_mut().transition_start_state(state, Some(byte), &None).is_dead();
        let fits = leaves && lexer.try_push_byte(byte);
        if fits {
            lexer.pop_bytes(1);
        }
        fits
    });
    lexer.trie_finished();
    found.map(|byte| vec![byte])
}

/// The special tokens that a grammar in Lark names by their numbers.
fn special_tokens(lark: &str) -> Vec<TokenId> {
    let numbers = lark.split("<[").skip(1).filter_map(|rest| rest.split_once("]>")?.0.parse().ok());
    let mut seen = HashSet::new();
    numbers.filter(|&id| seen.insert(id)).collect()
}
