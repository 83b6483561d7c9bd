//! Answers with a format that come to their limit are brought to an end in time, so that what was cut is in its form too.
//!
//! Near the limit a way to the end is always known that fits into the tokens that are left. Before a token is taken that was chosen, a way behind it is
//! looked for; if there is none that fits, the known way is taken instead. Which way that is depends on the answer's own tokens alone.

use parkade_grammar::{Matcher, Nearness};
use parkade_model::TokenId;

/// What is known of the end of an answer.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// What one token can put off; nothing, if there is no way to an end.
    nearness: Option<Nearness>,
    /// It is looked after when the answer has room for so many tokens or fewer.
    from: usize,
    /// A way to the end from here.
    way: Option<Vec<TokenId>>,
}

/// After no way was found the next one is looked for when there is less room by this part.
const LATER: usize = 8;

impl Closing {
    pub(super) fn new(matcher: &Matcher) -> Self {
        let nearness = matcher.nearness();
        let from = nearness.map_or(0, |nearness| nearness.least + 2 * nearness.step);
        Closing { nearness, from, way: None }
    }

    /// The way to the end that must be taken now, if a chosen token would lead too far; the answer has room for `room` tokens, with that one.
    pub(super) fn instead_of(&mut self, id: TokenId, room: usize, matcher: &mut Matcher) -> Option<Vec<TokenId>> {
        let nearness = self.nearness?;
        let known = self.way.take();
        if room > self.from {
            return None;
        }
        let Some(known) = known.or_else(|| matcher.way_to_end(&[], room)) else {
            // It is too late, or what comes next is for the model to write.
            self.from = room - room.div_ceil(LATER);
            return None;
        };
        let rest = room.saturating_sub(1);
        let goes_on = || [&[id], &known[..]].concat();
        let behind = match known.split_first() {
            Some((&first, way)) if first == id => Some(way.to_vec()),
            _ if known.len() <= rest && matcher.ends_with(&goes_on()) => Some(known.clone()),
            _ => matcher.way_to_end(&[id], rest),
        };
        match behind {
            Some(way) => {
                self.from = way.len() + nearness.step;
                self.way = Some(way);
                None
            }
            None => Some(known),
        }
    }

    /// The answer will have these tokens, which are forced.
    pub(super) fn pass(&mut self, forced: &[TokenId]) {
        self.way = self.way.take().and_then(|way| way.strip_prefix(forced).map(<[TokenId]>::to_vec));
    }
}
