//! Guesses at how an answer goes on, computed in the same pass as its next token.
//!
//! A proposal changes how soon tokens are there, and nothing else. The model looks at all of them in one pass; then tokens are chosen from
//! its rows as ever, one after the other, and as long as the one that is chosen is the one that was proposed, the next row counts too. What
//! was computed for the others is rolled back: the table's blocks are kept, to be written again, and the prefix cache never learns of it.
//! So each choice is made once, by the same generator in the same order as without proposals.
//!
//! A state cannot be rolled back: a pass with proposals leaves it in another slot, which counts if all are accepted. Else the sequence goes on from
//! the one before, and computes again what was accepted.
//!
//! What a format forces is proposed too; it is certain, so it needs neither a choice nor logits.
//!
//! A sequence proposes only what fits into the blocks that its next token needs anyway, so no policy has to know.

use parkade_model::TokenId;
use parkade_pool::TaskId;

use super::Stepper;

/// Guesses how a text goes on.
pub(crate) trait Proposer: Send {
    /// At most `most` tokens after `tokens`; none is an answer too.
    fn propose(&mut self, tokens: &[TokenId], most: usize) -> Vec<TokenId>;
}

impl Stepper {
    /// Lets a sequence that is about to compute its next token compute guesses behind it.
    pub(super) fn propose(&mut self, (key, choice): (TaskId, usize)) {
        let active = self.requests.get_mut(&key).expect("only who is here takes part");
        if self.proposer.is_none() && active.seqs[choice].structure.is_none() {
            return;
        }
        let room = active.outlet.room().saturating_sub(active.events_per_step());
        let seq = &mut active.seqs[choice];
        if !self.pool.can_keep_state(&seq.table) {
            // If not all are chosen, the sequence goes on from the state before them.
            return;
        }
        if seq.computed < seq.prompt_len {
            // Other answers are about to share the prompt's last block, and each writes behind it for itself.
            return;
        }
        let places = seq.table.len().max(self.pool.groups().places(seq.tokens.len()));
        let most = (places * self.pool.block_len() - seq.tokens.len())
            // One token comes without any proposal.
            .min(active.settings.answer.saturating_sub(seq.generated() + 1))
            .min(room);
        if most > 0 {
            let mut proposals = match (&seq.structure, &mut self.proposer) {
                (Some(structure), _) => structure.forced(most),
                (None, Some(proposer)) => proposer.propose(&seq.tokens, most),
                (None, None) => Vec::new(),
            };
            proposals.truncate(most);
            seq.propose(&proposals);
        }
    }
}
