//! A model that is quick, exact and unforgiving: its logits are a hash of the tokens that it really finds in its KV blocks.
//!
//! A wrong block table, a stale block, a wrong number of past tokens or a block that two sequences write to shows as wrong tokens.
//! If it keeps states, each is the hash of the tokens that it has come from; one that is not that of the tokens in the blocks shows too.

#![allow(dead_code)] // Each test takes what it needs of this.

pub mod engines;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use parkade_core::{
    Backend, BackendError, Batch, Decoder, Event, FinishReason, KvGroups, Pass, RequestStream, SlotPair, Span, TokenId,
    Vocabulary,
};

/// Ends a text.
pub const END: TokenId = 0;
/// A prompt with this token gets logits that are not numbers.
pub const POISON: TokenId = 1;
/// This token has no text.
pub const MUTE: TokenId = 2;
/// All tokens from here on are plain letters.
pub const FIRST_LETTER: TokenId = 3;
pub const VOCAB: usize = 40;

/// The state before all tokens.
const START: u64 = 0x9e37_79b9_7f4a_7c15;

/// The state after some more.
fn state_after(state: u64, tokens: &[TokenId]) -> u64 {
    tokens.iter().fold(state, |state, &token| mix(state ^ u64::from(token)))
}

/// The logits after `tokens`.
pub fn logits_after(tokens: &[TokenId]) -> Vec<f32> {
    let state = state_after(START, tokens);
    let poisoned = tokens.contains(&POISON);
    (0..VOCAB as u64)
        .map(|id| match id as TokenId {
            _ if poisoned => f32::NAN,
            // Only asked for by a logit bias.
            POISON | MUTE => -60.0,
            _ => (mix(state ^ (id << 32)) >> 40) as f32 / (1u64 << 22) as f32,
        })
        .collect()
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a test can do to a running backend, and see of it.
#[derive(Default)]
pub struct Controls {
    pub fail_next: AtomicBool,
    pub panic_next: AtomicBool,
    pub passes: AtomicUsize,
    pub rows: AtomicUsize,
    pub most_rows: AtomicUsize,
    /// The most sequences in one pass since the test has set it to 0.
    pub most_spans: AtomicUsize,
    /// Microseconds that a pass takes, at least.
    pub pass_us: AtomicU32,
    /// Passes wait while this is set.
    pub hold: AtomicBool,
    /// If this is not 0, passes from this number on wait too.
    pub hold_from: AtomicUsize,
    /// Whether one waits now.
    pub is_holding: AtomicBool,
}

impl Controls {
    fn holds(&self, pass: usize) -> bool {
        let from = self.hold_from.load(Ordering::SeqCst);
        self.hold.load(Ordering::SeqCst) || (from != 0 && pass >= from)
    }

    /// Lets all passes go on.
    pub fn let_go(&self) {
        self.hold_from.store(0, Ordering::SeqCst);
        self.hold.store(false, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Slot {
    token: TokenId,
    position: usize,
    group: usize,
}

pub struct FakeBackend {
    blocks: Vec<Vec<Option<Slot>>>,
    groups: KvGroups,
    /// By group behind the first, how many tokens up to its own a row reads.
    windows: Vec<usize>,
    context_length: usize,
    block_len: usize,
    /// The states of sequences.
    slots: Vec<u64>,
    /// The rows of passes that were left, and what becomes of their states: by the slot that each is left in, the state before.
    left: Vec<(Vec<TokenId>, BTreeMap<u32, u64>)>,
    pub controls: Arc<Controls>,
}

impl FakeBackend {
    pub fn new(blocks: usize, block_len: usize, context_length: usize) -> Self {
        let blocks = vec![vec![None; block_len]; blocks];
        FakeBackend {
            blocks,
            groups: KvGroups::new(&[None], block_len),
            windows: Vec::new(),
            context_length,
            block_len,
            slots: Vec::new(),
            left: Vec::new(),
            controls: Arc::default(),
        }
    }

    /// One with groups of layers that read only so many tokens, from multiples of `chunk` on, and in a pass of at most `rows` rows.
    pub fn with_windows(self, windows: &[usize], chunk: usize, rows: usize) -> Self {
        let reaches: Vec<Option<usize>> = std::iter::once(None).chain(windows.iter().copied().map(Some)).collect();
        let groups = KvGroups::new(&reaches, self.block_len).in_steps_of(chunk, rows);
        FakeBackend { groups, windows: windows.to_vec(), ..self }
    }

    /// One that keeps states, in so many slots.
    pub fn with_states(self, slots: usize) -> Self {
        FakeBackend { slots: vec![RUBBISH; slots], ..self }
    }
}

/// No state of any text.
const RUBBISH: u64 = 12345;

impl FakeBackend {
    /// What a group has at a position.
    fn slot(&mut self, span: &Span<'_>, position: usize, group: usize) -> &mut Option<Slot> {
        let block = span.blocks[position / self.block_len * self.groups.count() + group] as usize;
        &mut self.blocks[block][position % self.block_len]
    }

    fn store(&mut self, batch: &Batch<'_>, wanted: impl Fn(usize) -> bool) {
        for span in batch.spans {
            for row in (0..span.rows).filter(|row| wanted(span.first_row + row)) {
                let (token, position) = (batch.tokens[span.first_row + row], span.past + row);
                for group in 0..self.groups.count() {
                    *self.slot(span, position, group) = Some(Slot { token, position, group });
                }
            }
        }
    }

    /// The tokens up to a position, as the first group has them, and a sign if another group does not have the same where it reads.
    fn found(&mut self, span: &Span<'_>, last: usize) -> Vec<TokenId> {
        let mut found = Vec::new();
        for position in 0..=last {
            found.push(match *self.slot(span, position, 0) {
                Some(slot) if (slot.position, slot.group) == (position, 0) => slot.token,
                Some(slot) => slot.token + 1000,
                None => 2000,
            });
        }
        for (group, window) in (1..).zip(self.windows.clone()) {
            for position in (last + 1).saturating_sub(window)..=last {
                let expected = Some(Slot { token: found[position], position, group });
                if *self.slot(span, position, group) != expected {
                    found.push(4000);
                }
            }
        }
        found
    }

    /// Checks the slots of a pass and spoils those that it writes. Returns the states that the spans begin with.
    fn begin_states(&mut self, batch: &Batch<'_>) -> BTreeMap<u32, u64> {
        assert_eq!(batch.states.len(), if self.slots.is_empty() { 0 } else { batch.spans.len() });
        for (span, pair) in batch.spans.iter().zip(batch.states) {
            assert_eq!(pair.from.is_none(), span.past == 0, "only a text's beginning has no state before it");
        }
        SlotPair::check(batch.states, self.slots.len()).expect("each slot that is written is nobody else's");
        let before = |pair: &SlotPair| (pair.to, pair.from.map_or(START, |slot| self.slots[slot as usize]));
        let begun: BTreeMap<u32, u64> = batch.states.iter().map(before).collect();
        begun.keys().for_each(|&slot| self.slots[slot as usize] = RUBBISH);
        begun
    }

    /// The second half of a pass, unless it is left.
    fn go_on(
        &mut self,
        begun: BTreeMap<u32, u64>,
        batch: &Batch<'_>,
        logits: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        if stop() {
            self.left.push((batch.tokens.to_vec(), begun));
            return Ok(Pass::Left);
        }
        self.store(batch, |_| true);
        for (span, pair) in batch.spans.iter().zip(batch.states) {
            let tokens = &batch.tokens[span.first_row..][..span.rows];
            self.slots[pair.to as usize] = state_after(begun[&pair.to], tokens);
        }
        logits.clear();
        for &row in batch.outputs.rows() {
            let Some(place) =
                batch.spans.iter().position(|span| (span.first_row..span.first_row + span.rows).contains(&row))
            else {
                // Its sequence is gone; nobody may look at this.
                logits.extend([f32::NAN; VOCAB]);
                continue;
            };
            let span = &batch.spans[place];
            let mut found = self.found(span, span.past + row - span.first_row);
            let state = batch.states.get(place).map(|pair| begun[&pair.to]);
            if state.is_some_and(|state| state != state_after(START, &found[..span.past])) {
                found.push(3000);
            }
            logits.extend(logits_after(&found));
        }
        Ok(Pass::Done)
    }
}

impl Backend for FakeBackend {
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
        self.groups.clone()
    }

    fn state_slots(&self) -> usize {
        self.slots.len()
    }

    fn state_bytes(&self) -> usize {
        if self.slots.is_empty() { 0 } else { size_of::<u64>() }
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
        let controls = &self.controls;
        let pass = 1 + controls.passes.fetch_add(1, Ordering::SeqCst);
        controls.rows.fetch_add(batch.tokens.len(), Ordering::SeqCst);
        controls.most_rows.fetch_max(batch.tokens.len(), Ordering::SeqCst);
        controls.most_spans.fetch_max(batch.spans.len(), Ordering::SeqCst);
        while controls.holds(pass) && !stop() {
            controls.is_holding.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_micros(50));
        }
        controls.is_holding.store(false, Ordering::SeqCst);
        match controls.pass_us.load(Ordering::SeqCst) {
            0 => {}
            us => std::thread::sleep(Duration::from_micros(us.into())),
        }
        let mut next_row = 0;
        let mut written = vec![false; self.blocks.len()];
        for span in batch.spans {
            assert_eq!(span.first_row, next_row, "spans follow each other");
            assert!(span.rows > 0 && span.past + span.rows <= self.context_length);
            next_row += span.rows;
            let (places, groups) = ((span.past + span.rows).div_ceil(self.block_len), self.groups.count());
            for place in span.past / self.block_len..places {
                for &block in &span.blocks[place * groups..][..groups] {
                    let written = std::mem::replace(&mut written[block as usize], true);
                    assert!(!written, "block {block} is written by two sequences");
                }
            }
            for group in 1..groups {
                let mut read = self.groups.first_place(group, span.past)..places;
                assert!(read.all(|place| (span.blocks[place * groups + group] as usize) < self.blocks.len()));
            }
        }
        assert_eq!(next_row, batch.tokens.len(), "the spans cover all rows");
        if controls.fail_next.swap(false, Ordering::SeqCst) {
            return Err(BackendError("asked to fail".to_owned()));
        }
        assert!(!controls.panic_next.swap(false, Ordering::SeqCst), "asked to panic");
        // The first half of a pass that is left: every other row is stored.
        self.store(batch, |row| row % 2 == 0);
        let begun = self.begin_states(batch);
        self.go_on(begun, batch, logits, stop)
    }

    fn resume(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Pass, BackendError> {
        let (tokens, begun) = self.left.pop().expect("there is a pass to go on with");
        assert_eq!(batch.tokens, tokens, "it goes on with the rows that it began with");
        for span in batch.spans {
            for row in (0..span.rows).filter(|row| (span.first_row + row) % 2 == 0) {
                let (token, position) = (batch.tokens[span.first_row + row], span.past + row);
                for group in 0..self.groups.count() {
                    let slot = Some(Slot { token, position, group });
                    assert!(
                        *self.slot(span, position, group) == slot,
                        "somebody wrote to a block of a pass that was left"
                    );
                }
            }
        }
        for pair in batch.states {
            assert_eq!(self.slots[pair.to as usize], RUBBISH, "somebody wrote to a slot of a pass that was left");
            if let Some(from) = pair.from.filter(|&from| from != pair.to) {
                assert_eq!(self.slots[from as usize], begun[&pair.to], "the state before a pass stays until it ends");
            }
        }
        self.go_on(begun, batch, logits, stop)
    }

    fn abandon(&mut self) {
        self.left.pop().expect("there is a pass to give up");
    }

    fn copy_block(&mut self, from: u32, to: u32) {
        self.blocks[to as usize] = self.blocks[from as usize].clone();
    }
}

/// One letter for each token; every fifth comes in two halves, so that some tokens have no text of their own.
pub struct Letters;

impl Vocabulary for Letters {
    fn is_end(&self, id: TokenId) -> bool {
        id == END
    }

    fn spelling(&self, id: TokenId) -> Option<&str> {
        (id == MUTE).then_some("<mute>")
    }

    fn decoder(self: Arc<Self>) -> Box<dyn Decoder> {
        Box::new(LetterDecoder { held: String::new() })
    }
}

struct LetterDecoder {
    held: String,
}

impl Decoder for LetterDecoder {
    fn push(&mut self, id: TokenId) -> Result<String, String> {
        if id == MUTE {
            return Err("it is mute".to_owned());
        }
        self.held.push(letter(id));
        if id % 5 == 4 {
            return Ok(String::new());
        }
        Ok(std::mem::take(&mut self.held))
    }

    fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

pub fn letter(id: TokenId) -> char {
    if id == END { '.' } else { char::from(b'a' + (id % 6) as u8) }
}

/// How a token reads where control tokens are spelled.
pub fn spelled(id: TokenId) -> String {
    if id == MUTE { "<mute>".to_owned() } else { letter(id).to_string() }
}

/// What a stream brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub tokens: Vec<TokenId>,
    pub text: String,
    pub reason: Option<FinishReason>,
    pub stop_string: Option<String>,
}

/// All answers of a stream, and its last event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    pub answers: BTreeMap<usize, Answer>,
    pub events: Vec<Event>,
    pub last: Option<Event>,
}

impl Collected {
    /// Takes one more event.
    pub fn take(&mut self, event: Event) {
        assert_eq!(self.last, None, "nothing comes after the last event");
        match &event {
            Event::Token { index, id, text, .. } => {
                let answer = self.answers.entry(*index).or_default();
                assert_eq!(answer.reason, None, "nothing comes after the finish");
                answer.tokens.push(*id);
                answer.text += text;
            }
            Event::Finished { index, reason, text, stop_string, .. } => {
                let answer = self.answers.entry(*index).or_default();
                assert_eq!(answer.reason, None, "an answer finishes once");
                answer.text += text;
                (answer.reason, answer.stop_string) = (Some(*reason), stop_string.clone());
            }
            Event::PromptLogprobs(_) | Event::PromptProgress(_) => {
                assert!(self.answers.is_empty(), "the prompt comes first: {event:?}");
            }
            last => self.last = Some(last.clone()),
        }
        self.events.push(event);
    }

    /// Reads a stream to its end.
    pub fn all(stream: &mut RequestStream) -> Self {
        let mut collected = Collected::default();
        while let Some(event) = stream.blocking_next() {
            collected.take(event);
        }
        assert!(collected.last.is_some(), "a stream ends with a last event");
        collected
    }

    /// Reads what is there.
    pub fn drain(&mut self, stream: &mut RequestStream, most: usize) {
        for _ in 0..most {
            match stream.try_next() {
                Some(event) => self.take(event),
                None => return,
            }
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.last, Some(Event::Done(_)))
    }
}

/// The default model, where the set-up puts it.
pub fn default_model() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = variable("PARKADE_HOME")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("parkade")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/parkade")))
        .expect("a home directory");
    let path = data.join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}
