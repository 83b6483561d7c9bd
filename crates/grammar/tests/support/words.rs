//! A vocabulary as large as those of models.

use parkade_grammar::Tokens;

/// All bytes, an end, and as many further tokens as vocabularies have: words of up to eight letters, some with a space before them.
pub struct Words(Vec<Vec<u8>>);

pub const END: usize = 256;

impl Words {
    /// So many tokens.
    pub fn new(count: usize) -> Self {
        let mut random = 1u64;
        let mut below = |most: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % most
        };
        let mut words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).chain([b"<end>".to_vec()]).collect();
        words.extend(["{\"", "\":", "\",\"", "\":\"", "\"}", "},{\"", "[\"", "\"]", "true", "false"].map(Into::into));
        while words.len() < count {
            let mut word = b" "[..below(2)].to_vec();
            word.extend((0..2 + below(7)).map(|_| b"etaoinshrdlucmfwypvbgk"[below(22)]));
            words.push(word);
        }
        Words(words)
    }
}

impl Tokens for Words {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self, id: u32) -> &[u8] {
        self.0.get(id as usize).map_or(&[], Vec::as_slice)
    }

    fn is_special(&self, id: u32) -> bool {
        id as usize == END
    }

    fn is_end(&self, id: u32) -> bool {
        id as usize == END
    }

    fn encode(&self, text: &str) -> Option<Vec<u32>> {
        Some(text.bytes().map(u32::from).collect())
    }
}
