//! One answer in the making.

use std::sync::Arc;
use std::time::Instant;

use parkade_model::TokenId;

use crate::blocks::{BlockPool, BlockTable};
use crate::event::{EndToken, FinishReason, RequestError, TokenLogprob};
use crate::request::Request;
use crate::sampler::{Drawn, Sampler, Scratch, chance, logprob};
use crate::stop::{Scan, StopMatcher};
use crate::vocabulary::{Decoder, Vocabulary};

use super::structure::Structure;

/// A pass is cut in two for a snapshot that spares at least so many blocks.
const WORTH_A_PASS: usize = 4;

/// One answer: its tokens, how many of them the model has computed, and all that the next ones depend on.
///
/// There is no difference between a prompt and an answer that is resumed: both have tokens that are not computed yet. So chunked prompts,
/// prefix hits and parking are one mechanism.
pub(super) struct Sequence {
    pub(super) tokens: Vec<TokenId>,
    pub(super) prompt_len: usize,
    /// Of these the last ones, which a proposer has guessed and the model has not confirmed.
    pub(super) proposed: usize,
    /// Tokens whose keys and values are in the blocks of `table`.
    pub(super) computed: usize,
    pub(super) table: BlockTable,
    /// Where its tokens went on differently from those of a text that was seen before.
    pub(super) fork: usize,
    pub(super) stage: Stage,
    pub(super) sampler: Sampler,
    pub(super) stop: StopMatcher,
    /// Where it stands in its format, if it has one.
    pub(super) structure: Option<Structure>,
    pub(super) text: Box<dyn Decoder>,
    pub(super) last_token: Option<Instant>,
}

/// What one row of logits brought.
pub(super) struct Next {
    /// Whether a token was generated; an end-of-text token is one too, but says nothing.
    pub(super) generated: bool,
    pub(super) said: Option<Said>,
    pub(super) finish: Option<Finish>,
}

/// A token that is part of the answer.
pub(super) struct Said {
    pub(super) id: TokenId,
    pub(super) text: String,
    pub(super) logprob: Option<TokenLogprob>,
}

/// The end of an answer.
pub(super) struct Finish {
    pub(super) reason: FinishReason,
    pub(super) text: String,
    pub(super) stop_string: Option<String>,
    /// The token that ended it.
    pub(super) end_token: Option<EndToken>,
}

/// Whether a sequence computes for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits for the request's first live sequence to compute the prompt, and shares its blocks then.
    Following,
    /// Takes part in the steps.
    Live,
    /// Has its finish reason.
    Finished,
}

/// What stays the same from the first token to the last.
pub(super) struct Settings {
    pub(super) answer: usize,
    /// Nothing but that and a format's end ends an answer before it has so many tokens.
    pub(super) least: usize,
    pub(super) stop_tokens: Vec<TokenId>,
    pub(super) keep_stop: bool,
    pub(super) ignore_eos: bool,
    pub(super) spell_control: bool,
    pub(super) logprobs: Option<usize>,
    pub(super) sampled_logprobs: bool,
    pub(super) prompt_logprobs: Option<usize>,
}

impl Settings {
    /// Those of a request whose answers have at most `answer` tokens.
    pub(super) fn of(request: &Request, answer: usize) -> Self {
        Settings {
            answer,
            least: request.min_tokens,
            stop_tokens: request.stop_tokens.clone(),
            keep_stop: request.keep_stop,
            ignore_eos: request.ignore_eos,
            spell_control: request.spell_control,
            logprobs: request.logprobs,
            sampled_logprobs: request.sampled_logprobs,
            prompt_logprobs: request.prompt_logprobs,
        }
    }
}

impl Sequence {
    pub(super) fn new(
        request: &Request,
        choice: usize,
        sampler: Sampler,
        vocabulary: &Arc<dyn Vocabulary>,
        stop: &StopMatcher,
        structure: Option<Structure>,
    ) -> Self {
        Sequence {
            tokens: request.prompt.clone(),
            prompt_len: request.prompt.len(),
            proposed: 0,
            computed: 0,
            table: BlockTable::new(),
            fork: 0,
            stage: if choice == 0 { Stage::Live } else { Stage::Following },
            sampler,
            stop: stop.clone(),
            structure,
            text: Arc::clone(vocabulary).decoder(),
            last_token: None,
        }
    }

    /// Tokens that the model must still compute before it can give the next one; at least one while the sequence is live.
    pub(super) fn missing(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether all is computed but its last token, and what is proposed after that.
    pub(super) fn is_decoding(&self) -> bool {
        self.missing() == 1 + self.proposed
    }

    /// How many of the next `rows` tokens after `past` a pass should compute, if the model keeps a state: it ends where the state is worth keeping,
    /// or at a block's end if it does not compute all anyway.
    pub(super) fn rows_to_a_snapshot(&self, past: usize, rows: usize, fork: usize, block_len: usize) -> usize {
        let end = past + rows;
        let keep = [fork, self.prompt_keep(block_len)];
        let worth = keep.into_iter().filter(|&at| at >= past + WORTH_A_PASS * block_len && at < end).min();
        if let Some(at) = worth {
            return at - past;
        }
        let whole_blocks = end / block_len * block_len;
        if end < self.tokens.len() && whole_blocks > past { whole_blocks - past } else { rows }
    }

    /// Whether the state after what is computed is one for other texts to go on from, and not just for this one.
    pub(super) fn keeps_for_others(&self, block_len: usize) -> bool {
        self.computed == self.fork || self.computed == self.prompt_keep(block_len)
    }

    /// The last block's end before the end of the prompt: where the same prompt goes on that comes again, and a conversation.
    fn prompt_keep(&self, block_len: usize) -> usize {
        (self.prompt_len - 1) / block_len * block_len
    }

    /// Tokens of the answer so far.
    pub(super) fn generated(&self) -> usize {
        self.tokens.len() - self.proposed - self.prompt_len
    }

    /// Tokens that the next pass is to compute too, in case they are chosen.
    pub(super) fn propose(&mut self, tokens: &[TokenId]) {
        self.tokens.extend_from_slice(tokens);
        self.proposed += tokens.len();
    }

    /// Takes the proposals off again. What was computed for them counts for nothing until [`accept_computed`](Self::accept_computed).
    pub(super) fn roll_back(&mut self) -> Vec<TokenId> {
        let proposals = self.tokens.split_off(self.tokens.len() - std::mem::take(&mut self.proposed));
        self.computed = self.computed.min(self.tokens.len());
        proposals
    }

    /// Whether the token that was just accepted is the one that was proposed in its place; it has been computed then.
    pub(super) fn accept_computed(&mut self, proposal: TokenId) -> bool {
        let is_accepted = self.stage == Stage::Live && self.missing() == 1 && self.tokens.last() == Some(&proposal);
        self.computed += usize::from(is_accepted);
        is_accepted
    }

    /// Chooses the next token from the logits of the last one and accepts it.
    pub(super) fn next(
        &mut self,
        logits: &[f32],
        settings: &Settings,
        vocabulary: &dyn Vocabulary,
        scratch: &mut Scratch,
    ) -> Result<Next, RequestError> {
        if self.generated() >= settings.answer {
            // Only the prompt was wanted.
            return Ok(Next {
                generated: false,
                said: None,
                finish: Some(self.finish(FinishReason::Length, settings)),
            });
        }
        let Some(id) = self.choose(logits, settings, vocabulary, scratch)? else {
            return Ok(Next {
                generated: false,
                said: None,
                finish: Some(self.finish(FinishReason::Length, settings)),
            });
        };
        let logprob = settings.logprobs.map(|alternatives| match settings.sampled_logprobs {
            true => Ok(chance(id, alternatives, scratch)),
            false => logprob(logits, id, alternatives, scratch),
        });
        let logprob = logprob.transpose().map_err(|_| RequestError::NoLogits)?;
        self.accept(id, logprob, settings, vocabulary)
    }

    /// The next token: the one that is forced, or one of those that may come. Nothing is drawn for a token that is forced, so it needs no logits.
    /// None, if the answer must end here to be in its form.
    fn choose(
        &mut self,
        logits: &[f32],
        settings: &Settings,
        vocabulary: &dyn Vocabulary,
        scratch: &mut Scratch,
    ) -> Result<Option<TokenId>, RequestError> {
        let room = settings.answer - self.generated();
        let Some(structure) = &mut self.structure else {
            return self.sampler.choose(logits, None, scratch).map(Some).map_err(|_| RequestError::NoLogits);
        };
        if let Some(id) = structure.take_forced() {
            scratch.drawn = Drawn::Certain;
            return Ok(Some(id));
        }
        let mask = structure.mask()?;
        let id = self.sampler.choose(logits, Some(mask), scratch).map_err(|_| RequestError::NoLogits)?;
        if vocabulary.is_end(id) {
            return Ok(Some(id));
        }
        let accepted = structure.accept(id, room)?;
        if accepted != Some(id) {
            scratch.drawn = Drawn::Certain;
        }
        Ok(accepted)
    }

    /// Whether the pass that computes its next tokens is to leave logits for all that are proposed: not for those that are forced, if nobody asks.
    pub(super) fn wants_all_logits(&self, settings: &Settings) -> bool {
        self.structure.is_none() || settings.logprobs.is_some()
    }

    /// Adds a token to the answer, whoever chose it.
    fn accept(
        &mut self,
        id: TokenId,
        logprob: Option<TokenLogprob>,
        settings: &Settings,
        vocabulary: &dyn Vocabulary,
    ) -> Result<Next, RequestError> {
        self.sampler.accept(id);
        self.tokens.push(id);
        let is_stop = settings.stop_tokens.contains(&id) && self.may_stop(settings);
        let is_end = vocabulary.is_end(id) && (!settings.ignore_eos || self.structure.is_some());
        if is_end || (is_stop && !settings.keep_stop) {
            let finish = Finish {
                end_token: Some(EndToken { id, is_said: false }),
                ..self.finish(FinishReason::Stop, settings)
            };
            return Ok(Next { generated: true, said: None, finish: Some(finish) });
        }
        let piece = match vocabulary.spelling(id).filter(|_| settings.spell_control) {
            Some(name) => self.text.finish() + name,
            None => self.text.push(id).map_err(|message| RequestError::Text { id, message })?,
        };
        let (text, stopped) = match self.stop.push(&piece, self.may_stop(settings)) {
            Scan::Text(text) => (text, None),
            Scan::Stopped { before, stop } => {
                let text = if settings.keep_stop { before + &stop } else { before };
                let (reason, rest) = (FinishReason::Stop, String::new());
                (text, Some(Finish { reason, text: rest, stop_string: Some(stop), end_token: None }))
            }
        };
        let ended = match is_stop {
            true => Some(FinishReason::Stop),
            false => self.structure.as_ref().and_then(Structure::over),
        };
        let ended = ended.or((self.generated() >= settings.answer).then_some(FinishReason::Length));
        let end_token = is_stop.then_some(EndToken { id, is_said: true });
        let finish = || ended.map(|reason| Finish { end_token, ..self.finish(reason, settings) });
        let finish = stopped.or_else(finish);
        Ok(Next { generated: true, said: Some(Said { id, text, logprob }), finish })
    }

    /// Whether the answer is long enough to be ended by what its request names.
    fn may_stop(&self, settings: &Settings) -> bool {
        self.generated() >= settings.least
    }

    /// Ends the text: what was held back is delivered now, unless it has become a stop string at last.
    fn finish(&mut self, reason: FinishReason, settings: &Settings) -> Finish {
        let tail = self.text.finish();
        match self.stop.push(&tail, self.may_stop(settings)) {
            Scan::Text(text) => Finish { reason, text: text + &self.stop.finish(), stop_string: None, end_token: None },
            Scan::Stopped { before, stop } => Finish {
                reason: FinishReason::Stop,
                text: if settings.keep_stop { before + &stop } else { before },
                stop_string: Some(stop),
                end_token: None,
            },
        }
    }

    /// Gives all blocks back and forgets what was computed; everything else stays.
    pub(super) fn release(&mut self, pool: &mut BlockPool) {
        self.roll_back();
        pool.release(std::mem::take(&mut self.table));
        self.computed = 0;
    }
}
