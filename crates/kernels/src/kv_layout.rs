//! Which layers' keys and values share a block, and what a block takes.

use std::fmt;

use crate::kv_shape::{KvShape, KvType};

/// Keys that share one rescaling of the online softmax: they are read together.
pub(crate) const CHUNK: usize = 64;

/// One layer of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvLayer {
    /// Its heads.
    pub shape: KvShape,
    /// How many keys up to its own a row reads at most, that included; `None`: all.
    pub reach: Option<usize>,
}

/// The layers of a cache in groups of one reach, so that a group whose rows read only the last tokens can give back the blocks of those before.
///
/// All groups have the same number of layers, or fewer, and so all blocks one size: what one group gives back any other can take. A block
/// holds some tokens of one group, and a text has a block of each group for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvLayout {
    places: Vec<GroupPlace>,
    /// By group.
    reaches: Vec<Option<usize>>,
}

/// Where a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupPlace {
    pub(crate) shape: KvShape,
    pub(crate) group: usize,
    /// Its number within the group.
    pub(crate) rank: usize,
}

/// More groups cost more to keep track of than they spare.
const MOST_GROUPS: usize = 16;

impl KvLayout {
    /// Keys are read in runs of so many tokens, which begin at multiples of it.
    pub const CHUNK: usize = CHUNK;

    /// Groups the layers. What the first group holds is kept to the end of a text: that of the layers that read all, or of those that reach furthest.
    pub fn new(layers: &[KvLayer]) -> KvLayout {
        let mut reaches: Vec<Option<usize>> = layers.iter().map(|layer| layer.reach).collect();
        // Those that read all come first, then the furthest.
        reaches.sort_by_key(|reach| std::cmp::Reverse(reach.unwrap_or(usize::MAX)));
        reaches.dedup();
        if reaches.len() > MOST_GROUPS {
            return KvLayout::new(&layers.iter().map(|layer| KvLayer { reach: None, ..*layer }).collect::<Vec<_>>());
        }
        let count = |reach: &Option<usize>| layers.iter().filter(|layer| layer.reach == *reach).count();
        let counts: Vec<usize> = reaches.iter().map(count).collect();
        let len = group_len(&counts);
        let mut layout = KvLayout { places: Vec::with_capacity(layers.len()), reaches: Vec::new() };
        // The first group of each reach.
        let mut first = Vec::with_capacity(reaches.len());
        for (&reach, count) in reaches.iter().zip(&counts) {
            first.push(layout.reaches.len());
            layout.reaches.resize(layout.reaches.len() + count.div_ceil(len), reach);
        }
        let mut placed = vec![0; reaches.len()];
        for &KvLayer { shape, reach } in layers {
            let kind = reaches.iter().position(|other| *other == reach).expect("each reach is listed");
            let (group, rank) = (first[kind] + placed[kind] / len, placed[kind] % len);
            placed[kind] += 1;
            layout.places.push(GroupPlace { shape, group, rank });
        }
        match layout.reaches.first_mut() {
            Some(first) => *first = None,
            // Without layers there are tokens to be counted all the same.
            None => layout.reaches.push(None),
        }
        layout
    }

    /// Layers of these shapes that read all keys: one group.
    pub fn reading_all(shapes: &[KvShape]) -> KvLayout {
        KvLayout::new(&shapes.iter().map(|&shape| KvLayer { shape, reach: None }).collect::<Vec<_>>())
    }

    /// How many blocks a text has for the same tokens: one for each group.
    pub fn groups(&self) -> usize {
        self.reaches.len()
    }

    /// By group, how many keys up to its own a row reads at most; `None`: all, as always of the first.
    pub fn reaches(&self) -> &[Option<usize>] {
        &self.reaches
    }

    /// Bytes that a block takes; `None` on overflow.
    pub fn bytes_per_block(&self, block_len: usize, ty: KvType) -> Option<usize> {
        self.ranks(block_len, ty)?
            .into_iter()
            .try_fold(0usize, |sum, (keys, values)| sum.checked_add(keys)?.checked_add(values))
    }

    pub(crate) fn places(&self) -> &[GroupPlace] {
        &self.places
    }

    /// By rank, the bytes that the keys and the values of a block take: as much as the largest layer of this rank needs.
    pub(crate) fn ranks(&self, block_len: usize, ty: KvType) -> Option<Vec<(usize, usize)>> {
        let mut ranks = Vec::new();
        for place in &self.places {
            let (keys, values) = place.shape.bytes(block_len, ty)?;
            if ranks.len() <= place.rank {
                ranks.resize(place.rank + 1, (0, 0));
            }
            let rank = &mut ranks[place.rank];
            *rank = (rank.0.max(keys), rank.1.max(values));
        }
        Some(ranks)
    }

    /// The first token that is still read of a group once all before `position` are computed. The blocks before it can be given back.
    pub fn first_read(reach: Option<usize>, position: usize) -> usize {
        let seen = (position + 1).saturating_sub(reach.unwrap_or(usize::MAX).max(1));
        // Keys are read in chunks, though those before the window count for nothing.
        seen / CHUNK * CHUNK
    }
}

impl fmt::Display for KvLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} layers", self.places.len())?;
        if let Some(KvShape { heads, dim, .. }) = self.places.first().map(|place| place.shape) {
            write!(f, ", the first with {heads} heads of {dim}")?;
        }
        if self.groups() > 1 { write!(f, ", in {} groups", self.groups()) } else { Ok(()) }
    }
}

/// Layers of a group: few groups, and few places in them that stay empty.
fn group_len(counts: &[usize]) -> usize {
    let groups = |len: usize| counts.iter().map(|count| count.div_ceil(len)).sum::<usize>();
    let most = counts.iter().copied().max().unwrap_or(1);
    let lens = (1..=most).filter(|&len| groups(len) <= MOST_GROUPS);
    // A group costs about as much as half a layer that is not there.
    lens.min_by_key(|&len| 2 * groups(len) * len + groups(len)).unwrap_or(most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(reaches: &[Option<usize>]) -> KvLayout {
        let shape = KvShape { heads: 1, dim: 16, latent: None };
        KvLayout::new(&reaches.iter().map(|&reach| KvLayer { shape, reach }).collect::<Vec<_>>())
    }

    fn alternating(layers: usize, period: usize) -> Vec<Option<usize>> {
        (0..layers).map(|layer| ((layer + 1) % period != 0).then_some(512)).collect()
    }

    #[test]
    fn layers_of_one_reach_share_groups() {
        for (layers, period, groups, ranks) in
            [(18, 6, 6, 3), (26, 6, 7, 4), (24, 2, 2, 12), (34, 6, 7, 5), (62, 6, 5, 13), (1, 2, 1, 1)]
        {
            let layout = layout(&alternating(layers, period));
            assert_eq!(layout.groups(), groups, "{layers} layers");
            assert_eq!(layout.ranks(16, KvType::F16).unwrap().len(), ranks, "{layers} layers");
            assert_eq!(layout.reaches[0], None);
            assert!(layout.reaches[1..].iter().all(|reach| *reach == Some(512)));
            for (layer, place) in layout.places.iter().enumerate() {
                let reads_all = (layer + 1) % period == 0 || layers == 1;
                assert_eq!(layout.reaches[place.group].is_none(), reads_all, "layer {layer}");
            }
            let mut taken: Vec<_> = layout.places.iter().map(|place| (place.group, place.rank)).collect();
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(taken.len(), layers, "each layer has a place of its own");
        }
    }

    #[test]
    fn one_reach_is_one_group_and_is_kept() {
        for reaches in [vec![None; 5], vec![Some(64); 5], vec![]] {
            let layout = layout(&reaches);
            assert_eq!((layout.groups(), layout.reaches()), (1, &[None][..]));
        }
        let furthest = layout(&[Some(8), Some(64), Some(8)]);
        assert_eq!(furthest.reaches()[0], None, "what reaches furthest is kept");
        assert!(furthest.places[1].group == 0 && furthest.reaches()[1..].iter().all(|reach| *reach == Some(8)));
    }

    #[test]
    fn many_layers_beside_one_that_reads_all_make_no_crowd_of_groups() {
        let mut reaches = vec![Some(512); 60];
        reaches[59] = None;
        assert!(layout(&reaches).groups() <= MOST_GROUPS);
        let all_differ = (1..=40).map(Some).collect::<Vec<_>>();
        assert_eq!(layout(&all_differ).groups(), 1, "more kinds than groups");
    }

    #[test]
    fn a_block_is_as_large_as_the_largest_layers_of_its_ranks() {
        let layer = |heads, reach| KvLayer { shape: KvShape { heads, dim: 16, latent: None }, reach };
        let one = |heads| KvLayout::new(&[layer(heads, None)]).bytes_per_block(16, KvType::F16).unwrap();
        let both = KvLayout::new(&[layer(2, Some(5)), layer(3, None)]);
        assert_eq!((both.groups(), both.bytes_per_block(16, KvType::F16)), (2, Some(one(3))));
        assert_eq!(layout(&[]).bytes_per_block(16, KvType::F16), Some(0));
        assert_eq!(KvLayout::new(&[layer(usize::MAX, None)]).bytes_per_block(16, KvType::F16), None);
    }

    #[test]
    fn what_is_still_read_ends_with_a_chunk() {
        assert_eq!(KvLayout::first_read(None, 10_000), 0);
        assert_eq!(KvLayout::first_read(Some(100), 99), 0);
        assert_eq!(KvLayout::first_read(Some(100), 162), 0);
        assert_eq!(KvLayout::first_read(Some(100), 163), 64);
        assert_eq!(KvLayout::first_read(Some(0), 64), 64, "a row always sees itself");
    }
}
