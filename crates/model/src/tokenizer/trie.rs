//! Finds the tokens that a text begins with.

use std::collections::VecDeque;

use crate::TokenId;

/// Bytes that a text in a [`Trie`] may have: looking for tokens takes at most so many steps at each place. The longest of
/// published vocabularies have a hundred.
pub(super) const LONGEST: usize = 512;

/// The texts of tokens as a tree. The nodes are numbered level by level, so the children of one are neighbours.
#[derive(Debug)]
pub(super) struct Trie {
    /// The first child of each node, and the number of nodes at the end.
    children: Vec<u32>,
    /// The byte that leads to each node; the children of a node ascend by it.
    labels: Vec<u8>,
    /// The token that ends at each node.
    tokens: Vec<Option<TokenId>>,
}

impl Trie {
    /// Of two tokens with one text the later counts. Empty texts are left out.
    ///
    /// The texts have fewer than 2^32 bytes in all.
    pub(super) fn new(mut texts: Vec<(Vec<u8>, TokenId)>) -> Self {
        texts.retain(|(text, _)| !text.is_empty());
        texts.sort_by(|a, b| a.0.cmp(&b.0));
        texts.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = later.1;
            }
            same
        });
        let mut trie = Trie { children: Vec::new(), labels: vec![0], tokens: vec![None] };
        let mut queue = VecDeque::from([(0..texts.len(), 0)]);
        while let Some((mut range, depth)) = queue.pop_front() {
            let node = trie.children.len();
            trie.children.push(trie.labels.len() as u32);
            // Of the texts with this prefix, the prefix itself sorts first.
            if let Some((_, token)) = texts[range.clone()].first().filter(|(text, _)| text.len() == depth) {
                trie.tokens[node] = Some(*token);
                range.start += 1;
            }
            while let Some((text, _)) = texts[range.clone()].first() {
                let byte = text[depth];
                let end = range.start + texts[range.clone()].partition_point(|(text, _)| text[depth] == byte);
                trie.labels.push(byte);
                trie.tokens.push(None);
                queue.push_back((range.start..end, depth + 1));
                range.start = end;
            }
        }
        trie.children.push(trie.labels.len() as u32);
        trie
    }

    /// The tokens that `text` begins with and their lengths, the shortest first.
    pub(super) fn prefixes(&self, text: &[u8]) -> impl Iterator<Item = (usize, TokenId)> {
        let mut node = 0;
        let steps = text.iter().map_while(move |&byte| {
            node = self.child(node, byte)?;
            Some(self.tokens[node])
        });
        steps.zip(1..).filter_map(|(token, len)| Some((len, token?)))
    }

    fn child(&self, node: usize, byte: u8) -> Option<usize> {
        let (first, end) = (self.children[node] as usize, self.children[node + 1] as usize);
        Some(first + self.labels[first..end].binary_search(&byte).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_that_a_text_begins_with_come_from_the_shortest_to_the_longest() {
        let texts = ["a", "ab", "abcd", "b", "é", "", "ab"];
        let trie = Trie::new(texts.iter().zip(0..).map(|(text, id)| (text.as_bytes().to_vec(), id)).collect());
        let found = |text: &str| trie.prefixes(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(found("abcx"), [(1, 0), (2, 6)], "the later of two alike");
        assert_eq!(found("abcde"), [(1, 0), (2, 6), (4, 2)]);
        assert_eq!(found("éa"), [(2, 4)]);
        assert_eq!((found(""), found("x")), (vec![], vec![]));
    }

    #[test]
    fn a_trie_of_nothing_finds_nothing() {
        assert_eq!(Trie::new(vec![(Vec::new(), 0)]).prefixes(b"a").count(), 0);
    }
}
