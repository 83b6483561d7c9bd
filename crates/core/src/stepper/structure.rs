//! Where an answer with a format stands: what must come next, and what may.
//!
//! The matcher is always ahead of the answer by the tokens that are forced: they are taken as soon as they are known, and wait here until the answer
//! has them. So nothing is ever taken back, and the mask that is needed next can be made while the forced tokens are computed.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parkade_grammar::{Matcher, MatcherError};
use parkade_model::TokenId;

use crate::event::{FinishReason, RequestError};

use super::closing::Closing;

/// How often an answer may have the same piece, which is a call: a small model that must call something goes on with it for ever.
const MOST_ALIKE: usize = 4;

/// The longest way to the end of an answer whose pieces repeat, in tokens.
const MOST_TO_END: usize = 64;

pub(super) struct Structure {
    /// Nothing while its mask is made elsewhere.
    place: Option<Place>,
    /// How it comes back.
    back: (SyncSender<Place>, Receiver<Place>),
    /// Tokens that come next whatever the model would say.
    forced: VecDeque<TokenId>,
    /// The text is whole with what is forced.
    is_whole: bool,
    /// How many pieces of it were looked at.
    pieces: usize,
    /// How it can be brought to an end.
    closing: Closing,
    /// It is being brought to an end, because its limit is near.
    is_cut: bool,
}

/// A matcher, and the mask of what may come next.
pub(super) struct Place {
    matcher: Matcher,
    mask: Vec<u32>,
    /// Whether the mask is the one of this place, or why there is none.
    masked: Option<Result<(), MatcherError>>,
}

impl Place {
    pub(super) fn make_mask(&mut self) {
        self.masked = Some(self.matcher.mask(&mut self.mask));
    }
}

impl Structure {
    pub(super) fn new(matcher: Matcher) -> Self {
        let mut structure = Structure {
            closing: Closing::new(&matcher),
            is_cut: false,
            pieces: 0,
            place: Some(Place { matcher, mask: Vec::new(), masked: None }),
            back: sync_channel(1),
            forced: VecDeque::new(),
            is_whole: false,
        };
        structure.look_ahead();
        structure
    }

    /// What is forced, at most so many tokens of it.
    pub(super) fn forced(&self, most: usize) -> Vec<TokenId> {
        self.forced.iter().take(most).copied().collect()
    }

    /// Takes the next token that is forced, if one is.
    pub(super) fn take_forced(&mut self) -> Option<TokenId> {
        self.forced.pop_front()
    }

    /// Why nothing more may come, if that is so.
    pub(super) fn over(&self) -> Option<FinishReason> {
        let reason = if self.is_cut { FinishReason::Length } else { FinishReason::Stop };
        (self.is_whole && self.forced.is_empty()).then_some(reason)
    }

    /// The place, to make the mask that will be asked for, and where it goes then; nothing, if it is there or under way.
    pub(super) fn lend(&mut self) -> Option<(Place, SyncSender<Place>)> {
        let place = self.place.take_if(|place| place.masked.is_none() && !self.is_whole)?;
        Some((place, self.back.0.clone()))
    }

    /// Which tokens may come next. Waits for the mask if it is being made.
    pub(super) fn mask(&mut self) -> Result<&[u32], RequestError> {
        if self.place.is_none() {
            self.place = self.back.1.recv().ok();
        }
        let Some(place) = &mut self.place else { return Err(failed("the mask was lost")) };
        if place.masked.is_none() {
            place.make_mask();
        }
        match &place.masked {
            Some(Err(error)) => Err(failed(error)),
            _ => Ok(&place.mask),
        }
    }

    /// The answer gets the token that was chosen by the mask, or another one if it must be brought to its end: it has room for `room` tokens, with
    /// this one. Nothing, if it ends without one.
    pub(super) fn accept(&mut self, id: TokenId, room: usize) -> Result<Option<TokenId>, RequestError> {
        let place = self.place.as_mut().ok_or_else(|| failed("there was no mask"))?;
        place.masked = None;
        if let Some(way) = self.closing.instead_of(id, room, &mut place.matcher) {
            self.forced.extend(way);
            (self.is_whole, self.is_cut) = (true, true);
            return Ok(self.forced.pop_front());
        }
        place.matcher.accept(id).map_err(failed)?;
        self.look_ahead();
        self.closing.pass(self.forced.make_contiguous());
        self.end_repetition();
        Ok(Some(id))
    }

    /// Brings the answer to an end if it has the same piece too often.
    fn end_repetition(&mut self) {
        let Some(place) = self.place.as_ref().filter(|_| !self.is_whole) else { return };
        let (pieces, alike) = place.matcher.pieces();
        if std::mem::replace(&mut self.pieces, pieces) == pieces || alike < MOST_ALIKE {
            return;
        }
        if let Some(way) = place.matcher.way_to_end(&[], MOST_TO_END) {
            self.forced.extend(way);
            self.is_whole = true;
        }
    }

    /// Takes what is forced now. An error comes again where the mask is asked for.
    fn look_ahead(&mut self) {
        let Some(place) = &mut self.place else { return };
        match place.matcher.take_forced() {
            Ok(forced) => self.forced.extend(forced),
            Err(error) => place.masked = Some(Err(error)),
        }
        self.is_whole = place.matcher.is_complete();
    }
}

fn failed(error: impl ToString) -> RequestError {
    RequestError::Format { message: error.to_string() }
}
