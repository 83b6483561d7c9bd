//! A machine that costs virtual time and finds wrong blocks: the logits after a text are a hash of it, which is carried from block to block. A
//! wrong table, a stale block or a block that two write to shows as wrong tokens. If it keeps states, that hash is the state too, and must be
//! the one in the blocks.

use std::sync::Arc;
use std::time::Duration;

use parkade_core::{
    Backend, BackendError, Batch, Decoder, KvGroups, Pass, SlotPair, Span, TokenId, Tokens, Vocabulary,
};
use parkade_sync::Mutex;

use crate::world::{Fault, World};

/// Ends a text.
pub const END: TokenId = 0;
/// It has no text: an error of one request.
pub const MUTE: TokenId = 1;
/// To turn it into text panics.
pub const PANICS: TokenId = 2;
/// A prompt with it gets logits that are not numbers.
pub const POISON: TokenId = 3;
/// All from here on are plain.
pub const FIRST_PLAIN: TokenId = 4;
pub const VOCAB: usize = 12;

/// What is known of a text: a hash of its tokens, and in the lowest bit whether it is poisoned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text(u64);

impl Text {
    pub fn then(self, token: TokenId) -> Text {
        Text(mix(self.0 ^ (u64::from(token) << 8)) & !1 | self.0 & 1 | u64::from(token == POISON))
    }

    pub fn of(tokens: &[TokenId]) -> Text {
        tokens.iter().fold(Text::default(), |text, &token| text.then(token))
    }

    /// The likeliest token after it; `None` if there are no numbers.
    pub fn next(self) -> Option<TokenId> {
        (self.0 & 1 == 0).then(|| match mix(self.0) % 10_000 {
            0 => MUTE,
            1 => PANICS,
            2..400 => END,
            other => FIRST_PLAIN + (other % (VOCAB as u64 - u64::from(FIRST_PLAIN))) as TokenId,
        })
    }

    fn logits(self) -> [f32; VOCAB] {
        let likeliest = self.next();
        std::array::from_fn(|id| match likeliest {
            None => f32::NAN,
            Some(likeliest) if likeliest as usize == id => 9.0,
            Some(_) => 0.0,
        })
    }
}

pub fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The text up to a position, as it stands in a block.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Slot {
    position: usize,
    group: usize,
    text: Text,
}

const EMPTY: Slot = Slot { position: usize::MAX, group: 0, text: Text(0) };
/// What is read where something else should stand.
const GARBAGE: Text = Text(0x5bad_5bad_5bad_5bac);

pub struct Machine {
    blocks: Vec<Vec<Slot>>,
    /// By group behind the first, how many tokens up to its own a row reads.
    windows: Vec<usize>,
    block_len: usize,
    context_length: usize,
    world: Arc<Mutex<World>>,
    /// The states of sequences.
    states: Vec<Text>,
    /// Layers that are still to do of the passes that were left.
    left: Vec<u32>,
}

const LAYERS: u32 = 4;

impl Machine {
    pub fn new(
        blocks: usize,
        windows: &[usize],
        states: usize,
        block_len: usize,
        context_length: usize,
        world: Arc<Mutex<World>>,
    ) -> Self {
        let (blocks, windows) = (vec![vec![EMPTY; block_len]; blocks], windows.to_vec());
        Machine { blocks, windows, block_len, context_length, world, states: vec![GARBAGE; states], left: Vec::new() }
    }

    /// What a group has at a position.
    fn slot(&mut self, span: &Span<'_>, position: usize, group: usize) -> &mut Slot {
        let block = span.blocks[position / self.block_len * (1 + self.windows.len()) + group] as usize;
        &mut self.blocks[block][position % self.block_len]
    }

    fn text_at(&mut self, span: &Span<'_>, position: usize) -> Text {
        let slot = *self.slot(span, position, 0);
        if (slot.position, slot.group) == (position, 0) { slot.text } else { GARBAGE }
    }

    /// Whether the groups with windows have what the first has, where they read it.
    fn agrees(&mut self, span: &Span<'_>, last: usize) -> bool {
        (1..).zip(self.windows.clone()).all(|(group, window)| {
            ((last + 1).saturating_sub(window)..=last).all(|position| {
                let text = self.slot(span, position, 0).text;
                *self.slot(span, position, group) == Slot { position, group, text }
            })
        })
    }

    fn write(&mut self, batch: &Batch<'_>) {
        SlotPair::check(batch.states, self.states.len()).unwrap();
        assert_eq!(batch.states.len(), if self.states.is_empty() { 0 } else { batch.spans.len() });
        for (at, span) in batch.spans.iter().enumerate() {
            assert!(span.rows > 0 && span.past + span.rows <= self.context_length);
            let mut text = if span.past == 0 { Text::default() } else { self.text_at(span, span.past - 1) };
            if let Some(pair) = batch.states.get(at)
                && pair.from.map_or(Text::default(), |slot| self.states[slot as usize]) != text
            {
                text = GARBAGE;
            }
            for row in 0..span.rows {
                text = text.then(batch.tokens[span.first_row + row]);
                let position = span.past + row;
                for group in 0..=self.windows.len() {
                    *self.slot(span, position, group) = Slot { position, group, text };
                }
            }
            if let Some(pair) = batch.states.get(at) {
                self.states[pair.to as usize] = text;
            }
        }
    }

    /// The layers that are left to do, in time; then the logits.
    fn go_on(&mut self, layers: u32, batch: &Batch<'_>, logits: &mut Vec<f32>, stop: &dyn Fn() -> bool) -> Pass {
        let cost = Duration::from_micros(1_000 + 60 * batch.tokens.len() as u64) / LAYERS;
        for layer in (0..layers).rev() {
            World::works(&self.world, cost);
            if layer > 0 && stop() {
                self.left.push(layer);
                return Pass::Left;
            }
        }
        logits.clear();
        for &row in batch.outputs.rows() {
            let span = batch.spans.iter().find(|span| (span.first_row..span.first_row + span.rows).contains(&row));
            // The sequence may be gone; nobody may look at its logits then.
            let text = span.map(|span| {
                let position = span.past + row - span.first_row;
                if self.agrees(span, position) { self.text_at(span, position) } else { GARBAGE }
            });
            logits.extend(text.map_or([f32::NAN; VOCAB], Text::logits));
        }
        Pass::Done
    }
}

impl Backend for Machine {
    fn vocab(&self) -> usize {
        VOCAB
    }

    fn context_length(&self) -> usize {
        self.context_length
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn block_len(&self) -> usize {
        self.block_len
    }

    fn kv_groups(&self) -> KvGroups {
        let reaches: Vec<Option<usize>> = std::iter::once(None).chain(self.windows.iter().copied().map(Some)).collect();
        KvGroups::new(&reaches, self.block_len).in_steps_of(4, 16)
    }

    fn state_slots(&self) -> usize {
        self.states.len()
    }

    fn state_bytes(&self) -> usize {
        if self.states.is_empty() { 0 } else { size_of::<Text>() }
    }

    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Vec<f32>) -> Result<(), BackendError> {
        self.forward_until(batch, logits, &|| false).map(|pass| assert_eq!(pass, Pass::Done))
    }

    fn forward_until(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        self.write(batch);
        let fault = self.world.lock().fault();
        match fault {
            None => Ok(self.go_on(LAYERS, batch, logits, stop)),
            Some(Fault::Error) => Err(BackendError("the simulation wants it so".to_owned())),
            Some(Fault::Panic) => panic!("the simulation wants it so"),
        }
    }

    fn resume(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        let layers = self.left.pop().expect("there is a pass to go on with");
        Ok(self.go_on(layers, batch, logits, stop))
    }

    fn abandon(&mut self) {
        self.left.pop().expect("there is a pass to give up");
    }

    fn copy_block(&mut self, from: u32, to: u32) {
        self.blocks[to as usize] = self.blocks[from as usize].clone();
    }
}

/// One syllable for each token.
pub struct Syllables;

impl Vocabulary for Syllables {
    fn is_end(&self, id: TokenId) -> bool {
        id == END
    }

    fn decoder(self: Arc<Self>) -> Box<dyn Decoder> {
        Box::new(Syllables)
    }

    fn tokens(self: Arc<Self>) -> Option<Arc<dyn Tokens>> {
        Some(self)
    }
}

impl Decoder for Syllables {
    fn push(&mut self, id: TokenId) -> Result<String, String> {
        match id {
            MUTE => Err("it is mute".to_owned()),
            PANICS => panic!("the simulation wants it so"),
            _ => Ok("la".to_owned()),
        }
    }

    fn finish(&mut self) -> String {
        String::new()
    }
}

/// The panics that are part of the simulation are told to nobody.
pub fn silence_its_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload().downcast_ref::<&str>().copied().unwrap_or_default();
        if message != "the simulation wants it so" {
            usual(info);
        }
    }));
}
