//! One answer's place in a grammar.

use crate::vocabulary::Tokens;
use std::sync::Arc;

/// One answer's place in a grammar. Clones go on by themselves; they share what the lexer has found out.
#[derive(Clone)]
pub struct Matcher {
    inner: llguidance::Matcher,
    tokens: Arc<dyn Tokens>,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("stop_reason", &self.inner.stop_reason()).finish()
    }
}

/// A text cannot go on: a token does not fit, or to find out what may come next costs more than the limits allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MatcherError(String);

impl Matcher {
    pub(crate) fn new(inner: llguidance::Matcher, tokens: Arc<dyn Tokens>) -> Self {
        Matcher { inner, tokens }
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
        let allowed = self.inner.compute_mask().map_err(failed)?;
        mask.extend_from_slice(allowed.as_slice());
        Ok(())
    }

    /// The tokens that must come next, and takes them; none if there is a choice. They are the usual tokens of the text that is forced.
    ///
    /// # Errors
    /// If it costs too much.
    pub fn take_forced(&mut self) -> Result<Vec<u32>, MatcherError> {
        let mut forced = Vec::new();
        while !self.is_complete() {
            let more = self.inner.compute_ff_tokens();
            if self.inner.is_error() {
                return Err(MatcherError(self.inner.get_error().map_or_else(String::new, |error| reason(&error))));
            }
            if more.is_empty() {
                break;
            }
            self.inner.consume_tokens(&more).map_err(failed)?;
            forced.extend(more);
        }
        Ok(forced)
    }

    /// Takes the next token.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn accept(&mut self, id: u32) -> Result<(), MatcherError> {
        self.inner.consume_token(id).map_err(failed)
    }

    /// Takes the last `count` tokens back.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn roll_back(&mut self, count: usize) -> Result<(), MatcherError> {
        self.inner.rollback(count).map_err(failed)
    }

    /// Whether the text is whole and nothing more may come.
    pub fn is_complete(&self) -> bool {
        self.inner.is_stopped() && self.inner.stop_reason().is_ok()
    }

    /// Whether the text may end here.
    ///
    /// # Errors
    /// If it has failed before.
    pub fn may_end(&mut self) -> Result<bool, MatcherError> {
        Ok(self.is_complete() || self.inner.is_accepting().map_err(failed)?)
    }
}

fn failed(error: impl std::fmt::Display) -> MatcherError {
    MatcherError(reason(&error.to_string()))
}

/// The first line of what the parser says: the rest is about its inside.
fn reason(error: &str) -> String {
    error.lines().next().unwrap_or_default().to_owned()
}
