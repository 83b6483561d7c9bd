//! Which texts the prefix cache has, for those who are not on the worker's thread.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parkade_model::TokenId;
use parkade_sync::Mutex;

use super::hit::{Hit, Seen, Walk};
use crate::kv_groups::KvGroups;
use crate::request::CacheScope;

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

/// The chained hashes of all indexed blocks, and whether a table holds each. Prices are read off it: unlike the index it does not
/// compare tokens, so that texts with equal hashes would be priced wrongly, but never answered wrongly.
#[derive(Debug)]
pub struct PrefixDirectory {
    groups: KvGroups,
    hasher: RandomState,
    /// Whether the model keeps a state.
    needs_state: bool,
    listed: Mutex<HashMap<ChainHash, Seen>>,
}

impl PrefixDirectory {
    pub(super) fn new(groups: KvGroups, needs_state: bool) -> Self {
        let listed = Mutex::new("blocks.directory", HashMap::new());
        PrefixDirectory { groups, hasher: RandomState::new(), needs_state, listed }
    }

    /// What the prefix cache has in a scope for the first `limit` of `tokens`, in whole blocks, as of the worker's last look.
    pub fn look_up(&self, scope: &CacheScope, tokens: &[TokenId], limit: usize) -> Hit {
        let mut walk = Walk::new(&self.groups);
        let mut before = Before::Start(scope);
        for chunk in tokens[..limit.min(tokens.len())].chunks_exact(self.groups.block_len()) {
            let hash = self.hash(before, chunk);
            // One short lock for each block: a long prompt does not keep the worker waiting.
            let Some(&seen) = self.listed.lock().get(&hash) else { break };
            walk.push(seen);
            before = Before::After(hash);
        }
        walk.hit()
    }

    /// The hash of a chain that ends with `tokens`.
    pub(super) fn hash(&self, before: Before<&CacheScope, ChainHash>, tokens: &[TokenId]) -> ChainHash {
        ChainHash(self.hasher.hash_one((before, tokens)))
    }

    pub(super) fn add(&self, hash: ChainHash) {
        let seen = Seen { is_held: true, goes_on: !self.needs_state, windows: 0, held_windows: 0 };
        self.listed.lock().insert(hash, seen);
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

    /// Notes of which groups with windows there is a block beside that of `hash`, and which of these tables hold.
    pub(super) fn set_windows(&self, hash: ChainHash, windows: u32, held_windows: u32) {
        let set = |seen: &mut Seen| (seen.windows, seen.held_windows) = (windows, held_windows);
        self.listed.lock().entry(hash).and_modify(set);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.listed.lock().len()
    }
}
