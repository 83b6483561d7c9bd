//! Which texts the prefix cache has, for those who are not on the worker's thread.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parkade_model::TokenId;
use parkade_sync::Mutex;

use crate::request::CacheScope;

/// What the prefix index has for a text, up to where the text can be gone on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// Blocks from the first on that are there.
    pub blocks: usize,
    /// Of these, the ones that no table holds: taking them takes from what is available.
    pub idle: usize,
}

/// The hash of a block's tokens, of all tokens before it, and of the scope that they belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ChainHash(pub(super) u64);

/// What a block's tokens come after. A chain begins in a scope, so that all blocks of a chain belong to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Before<C, B> {
    /// Nothing: they are the first of a text in this scope.
    Start(C),
    /// The tokens of this block, and all before it.
    After(B),
}

/// What is known of an indexed block.
#[derive(Clone, Copy, Debug)]
struct Listed {
    /// Whether any table holds it.
    is_held: bool,
    /// Whether a text can go on after it: always, unless the model keeps a state and there is none for it.
    goes_on: bool,
}

/// The chained hashes of all indexed blocks, and whether a table holds each. Prices are read off it: unlike the index it does not
/// compare tokens, so that texts with equal hashes would be priced wrongly, but never answered wrongly.
#[derive(Debug)]
pub struct PrefixDirectory {
    block_len: usize,
    hasher: RandomState,
    /// Whether the model keeps a state.
    needs_state: bool,
    listed: Mutex<HashMap<ChainHash, Listed>>,
}

impl PrefixDirectory {
    pub(super) fn new(block_len: usize, needs_state: bool) -> Self {
        let listed = Mutex::new("blocks.directory", HashMap::new());
        PrefixDirectory { block_len, hasher: RandomState::new(), needs_state, listed }
    }

    /// What the prefix cache has in a scope for the first `limit` of `tokens`, in whole blocks, as of the worker's last look.
    pub fn look_up(&self, scope: &CacheScope, tokens: &[TokenId], limit: usize) -> Hit {
        let (mut hit, mut known) = (Hit::default(), Hit::default());
        let mut before = Before::Start(scope);
        for chunk in tokens[..limit.min(tokens.len())].chunks_exact(self.block_len) {
            let hash = self.hash(before, chunk);
            // One short lock for each block: a long prompt does not keep the worker waiting.
            let Some(&Listed { is_held, goes_on }) = self.listed.lock().get(&hash) else { break };
            known.blocks += 1;
            known.idle += usize::from(!is_held);
            if goes_on {
                hit = known;
            }
            before = Before::After(hash);
        }
        hit
    }

    /// The hash of a chain that ends with `tokens`.
    pub(super) fn hash(&self, before: Before<&CacheScope, ChainHash>, tokens: &[TokenId]) -> ChainHash {
        ChainHash(self.hasher.hash_one((before, tokens)))
    }

    pub(super) fn add(&self, hash: ChainHash) {
        self.listed.lock().insert(hash, Listed { is_held: true, goes_on: !self.needs_state });
    }

    pub(super) fn remove(&self, hash: ChainHash) {
        self.listed.lock().remove(&hash);
    }

    /// Notes whether any table holds the block of `hash`.
    pub(super) fn set_held(&self, hash: ChainHash, is_held: bool) {
        self.listed.lock().entry(hash).and_modify(|listed| listed.is_held = is_held);
    }

    /// Notes whether there is a snapshot of the state after the block of `hash`.
    pub(super) fn set_state(&self, hash: ChainHash, has_state: bool) {
        self.listed.lock().entry(hash).and_modify(|listed| listed.goes_on = has_state);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.listed.lock().len()
    }
}
