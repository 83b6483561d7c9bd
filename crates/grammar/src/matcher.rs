//! One answer's place in a grammar.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use llguidance::earley::BiasComputer;
use llguidance::{TokenParser, panic_utils};

use crate::closing::{Closing, Nearness};
use crate::masks::Masks;
use crate::vocabulary::Tokens;

/// The name under which rules of a grammar in Lark capture the pieces of a text that are told from each other: `rule[capture="…"]: …`.
/// Names that begin like this have all captures kept, also those that are alike.
pub const PIECE: &str = "__LIST_APPEND:piece";

/// One answer's place in a grammar. Clones go on by themselves; they share what the lexer has found out.
#[derive(Clone)]
pub struct Matcher {
    parser: TokenParser,
    /// Those that the parser makes masks by.
    masks: Arc<Masks>,
    /// Why it cannot go on.
    failure: Option<MatcherError>,
    tokens: Arc<dyn Tokens>,
    closing: Arc<Closing>,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher")
            .field("stop_reason", &self.parser.stop_reason())
            .field("failure", &self.failure)
            .finish()
    }
}

/// A text cannot go on: a token does not fit, or to find out what may come next costs more than the limits allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MatcherError(String);

impl Matcher {
    /// A matcher at the place where a parser stands that has begun.
    pub(crate) fn new(mut parser: TokenParser, masks: Masks, tokens: Arc<dyn Tokens>, closing: Arc<Closing>) -> Self {
        let masks = Arc::new(masks);
        parser.bias_computer = Arc::clone(&masks) as Arc<dyn BiasComputer>;
        Matcher { parser, masks, failure: None, tokens, closing }
    }

    /// A copy that shares nothing with this one.
    pub(crate) fn apart(&self) -> Self {
        let copy = Matcher::new(
            self.parser.deep_clone(),
            self.masks.apart(),
            Arc::clone(&self.tokens),
            Arc::clone(&self.closing),
        );
        Matcher { failure: self.failure.clone(), ..copy }
    }

    pub(crate) fn set_closing(&mut self, closing: Closing) {
        self.closing = Arc::new(closing);
    }

    /// Which tokens may come next, a bit for each, 32 in a word. End-of-text tokens are among them where the text may end.
    ///
    /// # Errors
    /// If it costs too much, or nothing may come next.
    pub fn mask(&mut self, mask: &mut Vec<u32>) -> Result<(), MatcherError> {
        mask.clear();
        if self.is_complete() {
            mask.resize(self.tokens.count().div_ceil(32), 0);
            for id in (0..self.tokens.count()).filter(|&id| self.tokens.is_end(id as u32)) {
                mask[id / 32] |= 1 << (id % 32);
            }
            return Ok(());
        }
        let allowed = self.run(TokenParser::compute_mask)?;
        mask.extend_from_slice(allowed.as_slice());
        Ok(())
    }

    /// Bytes of the masks that are kept.
    pub(crate) fn mask_bytes(&self) -> usize {
        self.masks.bytes()
    }

    /// What the lexer had to do for the last mask, in its steps.
    pub(crate) fn mask_cost(&self) -> u64 {
        self.parser.last_step_stats().lexer_cost
    }

    /// The tokens that must come next, and takes them; none if there is a choice. They are the usual tokens of the text that is forced.
    ///
    /// # Errors
    /// If it costs too much.
    pub fn take_forced(&mut self) -> Result<Vec<u32>, MatcherError> {
        let mut forced = Vec::new();
        while !self.is_complete() {
            let more = self.run(|parser| Ok::<_, MatcherError>(parser.compute_ff_tokens()))?;
            if more.is_empty() {
                break;
            }
            self.accept_all(&more)?;
            forced.extend(more);
        }
        Ok(forced)
    }

    /// Takes the next token.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn accept(&mut self, id: u32) -> Result<(), MatcherError> {
        self.accept_all(&[id])
    }

    fn accept_all(&mut self, ids: &[u32]) -> Result<(), MatcherError> {
        self.run(|parser| {
            for &id in ids {
                parser.consume_token(id)?;
            }
            parser.check_stop().map(|_| ())
        })
    }

    /// Takes the last `count` tokens back.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn roll_back(&mut self, count: usize) -> Result<(), MatcherError> {
        self.run(|parser| parser.rollback(count))
    }

    /// Whether the text is whole and nothing more may come.
    pub fn is_complete(&self) -> bool {
        self.failure.is_none() && self.parser.stopped() && self.parser.stop_reason().is_ok()
    }

    /// Whether the text may end here.
    ///
    /// # Errors
    /// If it has failed before.
    pub fn may_end(&mut self) -> Result<bool, MatcherError> {
        Ok(self.is_complete() || self.run(|parser| Ok::<_, MatcherError>(parser.is_accepting()))?)
    }

    /// How many pieces the text has, and how many of them are like the last one; see [`PIECE`].
    pub fn pieces(&self) -> (usize, usize) {
        let captures = self.parser.parser.captures();
        let pieces = captures.iter().filter(|(name, _)| name == PIECE);
        let last = captures.iter().rev().find(|(name, _)| name == PIECE);
        (pieces.clone().count(), pieces.filter(|piece| last == Some(piece)).count())
    }

    /// From where on the end of a text must be looked after that has a limit; `None` if no end is known of.
    pub fn nearness(&self) -> Option<Nearness> {
        self.closing.nearness()
    }

    /// A short way to an end of the text that has `after` next, without these tokens: at most `most` tokens. There may be shorter ways, and others
    /// where none is found. Nothing changes here.
    pub fn way_to_end(&self, after: &[u32], most: usize) -> Option<Vec<u32>> {
        self.search(after, |closing, parser, tokens| closing.way(parser, tokens, most))
    }

    /// How many tokens a short way to an end has, whatever must be chosen on it.
    pub(crate) fn least(&self, most: usize) -> Option<usize> {
        self.search(&[], |closing, parser, tokens| closing.any_way(parser, tokens, most)).map(|way| way.len())
    }

    /// Looks for a way to the end behind `after`, with a copy: what that finds out or uses up is nothing to this one.
    fn search(
        &self,
        after: &[u32],
        look: impl FnOnce(&Closing, &mut TokenParser, &dyn Tokens) -> Option<Vec<u32>>,
    ) -> Option<Vec<u32>> {
        if self.failure.is_some() {
            return None;
        }
        let mut trial = self.apart();
        trial.accept_all(after).ok()?;
        if trial.is_complete() {
            return Some(Vec::new());
        }
        let Matcher { parser, closing, tokens, .. } = &mut trial;
        panic_utils::catch_unwind(AssertUnwindSafe(|| Ok(look(closing, parser, &**tokens)))).ok()?
    }

    /// Whether these tokens may come next, and the text may end behind them. Nothing changes here.
    pub fn ends_with(&mut self, ids: &[u32]) -> bool {
        let end = self.parser.token_env.tok_trie().eos_token();
        if !self.tokens.is_end(end) {
            return false;
        }
        let ids: Vec<u32> = ids.iter().copied().chain([end]).collect();
        !self.is_complete()
            && self.run(|parser| parser.validate_tokens_raw(&ids)).is_ok_and(|fitting| fitting == ids.len())
    }

    /// Does something with the parser. After an error nothing more can be done with it.
    fn run<T, E: Display>(&mut self, work: impl FnOnce(&mut TokenParser) -> Result<T, E>) -> Result<T, MatcherError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let parser = &mut self.parser;
        let outcome =
            panic_utils::catch_unwind(AssertUnwindSafe(|| Ok(work(parser).map_err(|error| error.to_string()))));
        let said = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(panic) => panic.to_string(),
        };
        // The rest is about the parser's inside.
        let failure = MatcherError(said.lines().next().unwrap_or_default().to_owned());
        self.failure = Some(failure.clone());
        Err(failure)
    }
}
