//! The beginning of all answers by a format: a matcher whose lexer knows most of what it will be asked.

use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{TokTrie, TokenId};

use crate::closing::Closing;
use crate::masks::Masks;
use crate::vocabulary::Tokens;
use crate::{GrammarError, Matcher};

/// How many texts the lexer is warmed up with, how long they are, and what that may cost (about 20 ms).
const WARM_TEXTS: usize = 8;
const WARM_TOKENS: usize = 64;
const WARM_FUEL: u64 = 300_000;

/// The longest text that is looked for as the shortest of a format, in tokens.
const MOST_LEAST: usize = 4096;

/// The matcher at its beginning, once it is known that a text can begin at all; and the bytes of what its lexer knows. The format has so many bytes.
pub(crate) fn begin(
    factory: &ParserFactory,
    parsed: TopLevelGrammar,
    tokens: Arc<dyn Tokens>,
    mut closing: Closing,
    format_bytes: usize,
) -> Result<(Matcher, usize), GrammarError> {
    let mut parser = factory.create_parser(parsed).map_err(GrammarError::said)?;
    parser.start_without_prompt();
    // Clones share one lexer.
    let sharer = parser.clone();
    let mut matcher = Matcher::new(parser, Masks::eager(factory.slicer()), tokens, Arc::new(closing.clone()));
    let mut mask = Vec::new();
    matcher.mask(&mut mask).map_err(GrammarError::said)?;
    refuse_endless(&matcher)?;
    warm_up(&matcher, factory.tok_env().tok_trie());
    // Where the least text has what must be chosen, an answer has to choose before it can be closed.
    if let Some(least) = matcher.least(MOST_LEAST) {
        closing.note(least, format_bytes);
        matcher.set_closing(closing);
    }
    let bytes = sharer.parser.lexer_stats().num_bytes + matcher.mask_bytes();
    Ok((matcher, bytes))
}

/// Refuses a format that forces a text without an end: all of it would be computed at once, for each answer again.
fn refuse_endless(matcher: &Matcher) -> Result<(), GrammarError> {
    let endless = |_| GrammarError::new("each text of this format begins with one that has no end, or is too long");
    matcher.apart().take_forced().map(|_| ()).map_err(endless)
}

/// Draws some texts, so that the lexer knows most states before the first answer comes to them. The same format is always drawn the same texts.
fn warm_up(matcher: &Matcher, trie: &TokTrie) {
    let byte = |byte: u8| trie.token_id_at_bytes(&[byte]);
    let endings: Vec<TokenId> = b"\",}]:".iter().filter_map(|&ending| byte(ending)).collect();
    let bytes: Vec<TokenId> = (0..=255).filter_map(byte).collect();
    let (mut random, mut fuel) = (1u64, 0);
    let mut below = |most: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % most
    };
    let mut mask = Vec::new();
    for _ in 0..WARM_TEXTS {
        let mut matcher = matcher.clone();
        for _ in 0..WARM_TOKENS {
            if matcher.take_forced().is_err() || matcher.is_complete() || matcher.mask(&mut mask).is_err() {
                break;
            }
            fuel += matcher.mask_cost();
            let is_allowed = |id: &TokenId| mask[*id as usize / 32] >> (id % 32) & 1 == 1;
            let among = |ids: &[TokenId]| ids.iter().copied().filter(is_allowed).collect::<Vec<_>>();
            let mut allowed = if below(2) == 0 { among(&endings) } else { Vec::new() };
            if allowed.is_empty() {
                allowed = among(&bytes);
            }
            if allowed.is_empty() || fuel > WARM_FUEL || matcher.accept(allowed[below(allowed.len())]).is_err() {
                break;
            }
        }
    }
}
