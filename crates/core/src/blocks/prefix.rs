//! Which full blocks hold which tokens after which other tokens.

use std::collections::HashMap;
use std::sync::Arc;

use parkade_model::TokenId;

use super::block::BlockId;
use super::directory::{Before, ChainHash, PrefixDirectory};
use crate::kv_groups::KvGroups;
use crate::request::CacheScope;

/// Full blocks by their chained hashes. A hash only finds the place to look: tokens and what is before them are compared too, so that equal
/// hashes of different texts or scopes (by chance or by malice) cost a cache miss, and never a wrong text or somebody else's.
#[derive(Debug)]
pub(super) struct PrefixIndex {
    entries: HashMap<ChainHash, Entry>,
    /// By block: where it is in `entries`.
    places: Vec<Option<ChainHash>>,
    /// By block: how many entries name it as the one before.
    children: Vec<u32>,
    directory: Arc<PrefixDirectory>,
}

#[derive(Debug)]
struct Entry {
    block: BlockId,
    before: Before<CacheScope, BlockId>,
    tokens: Box<[TokenId]>,
}

/// A place in a text where a block may be looked for.
pub(super) type Place<'a> = Before<&'a CacheScope, BlockId>;

impl Entry {
    fn is(&self, before: Place<'_>, tokens: &[TokenId]) -> bool {
        let follows = match (&self.before, before) {
            (Before::Start(scope), Before::Start(other)) => scope == other,
            (Before::After(block), Before::After(other)) => *block == other,
            _ => false,
        };
        follows && *self.tokens == *tokens
    }
}

/// What became of a block that was offered to the index.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Insertion {
    /// It is there now.
    Added,
    /// The same text is there already, in this block.
    Known(BlockId),
    /// Another text with the same hash has the place.
    Taken,
}

impl PrefixIndex {
    pub(super) fn new(blocks: usize, groups: &KvGroups, needs_state: bool) -> Self {
        PrefixIndex {
            entries: HashMap::new(),
            places: vec![None; blocks],
            children: vec![0; blocks],
            directory: Arc::new(PrefixDirectory::new(groups.clone(), needs_state)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains(&self, block: BlockId) -> bool {
        self.places[block.index()].is_some()
    }

    /// The part of the index that others can read.
    pub(super) fn directory(&self) -> &Arc<PrefixDirectory> {
        &self.directory
    }

    /// Notes that an indexed block has got its first holder, or has lost its last one.
    pub(super) fn set_held(&self, block: BlockId, is_held: bool) {
        if let Some(hash) = self.places[block.index()] {
            self.directory.set_held(hash, is_held);
        }
    }

    /// Notes that there is a snapshot of the state after an indexed block, or is no longer.
    pub(super) fn set_state(&self, block: BlockId, has_state: bool) {
        if let Some(hash) = self.places[block.index()] {
            self.directory.set_state(hash, has_state);
        }
    }

    /// Notes of which groups with windows there is a block beside an indexed one, and which of these tables hold.
    pub(super) fn set_windows(&self, block: BlockId, windows: u32, held_windows: u32) {
        if let Some(hash) = self.places[block.index()] {
            self.directory.set_windows(hash, windows, held_windows);
        }
    }

    /// The hash of a chain that ends with `tokens`. What they come after must itself be indexed.
    fn hash(&self, before: Place<'_>, tokens: &[TokenId]) -> ChainHash {
        let before = match before {
            Before::Start(scope) => Before::Start(scope),
            Before::After(block) => Before::After(
                self.places[block.index()].expect("the block before is indexed as long as another follows"),
            ),
        };
        self.directory.hash(before, tokens)
    }

    /// The block that holds `tokens` at this place.
    pub(super) fn find(&self, before: Place<'_>, tokens: &[TokenId]) -> Option<BlockId> {
        self.find_at(self.hash(before, tokens), before, tokens)
    }

    fn find_at(&self, hash: ChainHash, before: Place<'_>, tokens: &[TokenId]) -> Option<BlockId> {
        self.entries.get(&hash).filter(|entry| entry.is(before, tokens)).map(|entry| entry.block)
    }

    /// Notes that `block` holds `tokens` at this place. What they come after must itself be indexed.
    pub(super) fn insert(&mut self, block: BlockId, before: Place<'_>, tokens: &[TokenId]) -> Insertion {
        debug_assert!(!self.contains(block), "{block:?} is indexed twice");
        self.insert_at(self.hash(before, tokens), block, before, tokens)
    }

    fn insert_at(&mut self, hash: ChainHash, block: BlockId, before: Place<'_>, tokens: &[TokenId]) -> Insertion {
        if self.entries.contains_key(&hash) {
            return self.find_at(hash, before, tokens).map_or(Insertion::Taken, Insertion::Known);
        }
        let before = match before {
            Before::Start(scope) => Before::Start(scope.clone()),
            Before::After(block) => {
                self.children[block.index()] += 1;
                Before::After(block)
            }
        };
        self.entries.insert(hash, Entry { block, before, tokens: tokens.into() });
        self.places[block.index()] = Some(hash);
        self.directory.add(hash);
        Insertion::Added
    }

    /// Forgets a block. No other may come after it: an entry would point to a block that holds something else by then.
    pub(super) fn remove(&mut self, block: BlockId) {
        assert_eq!(self.children[block.index()], 0, "{block:?} is given up before the blocks that continue it");
        let hash = self.places[block.index()].take().expect("only indexed blocks are removed");
        let entry = self.entries.remove(&hash).expect("each place has its entry");
        self.directory.remove(hash);
        if let Before::After(before) = entry.before {
            self.children[before.index()] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_equal_hashes_are_never_taken_for_each_other() {
        let mut index = PrefixIndex::new(4, &KvGroups::new(&[None], 2), false);
        let (first, second, third) = (BlockId(0), BlockId(1), BlockId(2));
        let everybody = CacheScope::default();
        let start = Before::Start(&everybody);
        let place = index.hash(start, &[1, 2]);
        assert_eq!(index.insert_at(place, first, start, &[1, 2]), Insertion::Added);
        assert_eq!(index.insert_at(place, second, start, &[3, 4]), Insertion::Taken);
        assert_eq!(index.insert_at(place, second, start, &[1, 2]), Insertion::Known(first));
        assert_eq!(index.find_at(place, start, &[3, 4]), None);
        assert_eq!(index.find_at(place, Before::After(third), &[1, 2]), None, "the same tokens after another text");
        assert_eq!(index.find_at(place, start, &[1, 2]), Some(first));
        index.remove(first);
        assert_eq!(index.insert_at(place, second, start, &[3, 4]), Insertion::Added);
        assert_eq!((index.find_at(place, start, &[3, 4]), index.len()), (Some(second), 1));
    }

    #[test]
    fn equal_texts_of_two_scopes_are_never_taken_for_each_other_even_if_their_hashes_are_equal() {
        let mut index = PrefixIndex::new(4, &KvGroups::new(&[None], 2), false);
        let (first, second) = (BlockId(0), BlockId(1));
        let (ada, bob) = (CacheScope::default().within("key", "ada"), CacheScope::default().within("key", "bob"));
        assert_ne!(index.hash(Before::Start(&ada), &[1, 2]), index.hash(Before::Start(&bob), &[1, 2]));
        let place = index.hash(Before::Start(&ada), &[1, 2]);
        assert_eq!(index.insert_at(place, first, Before::Start(&ada), &[1, 2]), Insertion::Added);
        assert_eq!(index.insert_at(place, second, Before::Start(&bob), &[1, 2]), Insertion::Taken);
        assert_eq!(index.find_at(place, Before::Start(&bob), &[1, 2]), None);
        assert_eq!(index.find_at(place, Before::Start(&ada), &[1, 2]), Some(first));
    }
}
