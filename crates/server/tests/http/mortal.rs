//! An engine whose steps wait as long as a test wants, and whose worker a test can kill.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parkade_core::{Backend, BackendError, Engine, EngineConfig, LoadOptions};
use parkade_model::Batch;
use parkade_server::{AppState, ModelEntry, ServerConfig};

/// What is to happen to the engine.
struct Fate {
    /// How many steps it may still make; `usize::MAX` is as many as it likes.
    steps: AtomicUsize,
    /// A step waits for leave.
    waits: AtomicBool,
    dies: AtomicBool,
}

impl Fate {
    fn wait_for_a_step(&self) {
        let take = |steps| match steps {
            0 => None,
            usize::MAX => Some(usize::MAX),
            steps => Some(steps - 1),
        };
        while !self.dies.load(Ordering::SeqCst)
            && self.steps.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err()
        {
            self.waits.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.waits.store(false, Ordering::SeqCst);
    }
}

/// What a test does to the engine.
pub struct Control(Arc<Fate>);

impl Control {
    /// Lets the engine make so many steps more.
    pub fn allow(&self, steps: usize) {
        self.0.steps.store(steps, Ordering::SeqCst);
    }

    /// Whether a step has begun that must wait: who comes now is not part of it.
    pub fn holds_a_step(&self) -> bool {
        self.0.waits.load(Ordering::SeqCst)
    }

    /// Lets the engine go on for ever.
    pub fn release(&self) {
        self.allow(usize::MAX);
    }

    /// The worker panics in its next step, where nothing catches it.
    pub fn kill(&self) {
        self.0.dies.store(true, Ordering::SeqCst);
    }
}

struct Mortal {
    vocab: usize,
    fate: Arc<Fate>,
    /// A panic of the pass itself ends that step's requests only. So the engine dies when it asks for the size of the
    /// vocabulary once more: not with the pass, but when it goes on with what the pass has given.
    questions_left: Cell<Option<usize>>,
}

impl Backend for Mortal {
    fn vocab(&self) -> usize {
        if let Some(left) = self.questions_left.get() {
            self.questions_left.set(left.checked_sub(1));
            if left == 0 {
                self.fate.dies.store(false, Ordering::SeqCst);
                panic!("killed by the test");
            }
        }
        self.vocab
    }

    fn context_length(&self) -> usize {
        512
    }

    fn blocks(&self) -> usize {
        1024
    }

    fn block_len(&self) -> usize {
        16
    }

    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Vec<f32>) -> Result<(), BackendError> {
        self.fate.wait_for_a_step();
        if self.fate.dies.load(Ordering::SeqCst) {
            self.questions_left.set(Some(1));
        }
        logits.clear();
        logits.resize(batch.outputs.rows().len() * self.vocab, 0.0);
        Ok(())
    }

    fn copy_block(&mut self, _: u32, _: u32) {}
}

/// A test that ends lets its engine end.
impl Drop for Control {
    fn drop(&mut self) {
        self.release();
    }
}

/// The tiny model's vocabulary over such an engine.
pub fn state_over(config: ServerConfig, engine: EngineConfig) -> (AppState, Engine, Control) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-F32.gguf");
    let options = LoadOptions { threads: Some(1), kv_cache_bytes: Some(1 << 20), ..LoadOptions::default() };
    let tiny = parkade_core::load(Path::new(path), &options).expect("the tiny model");
    let fate = Arc::new(Fate {
        steps: AtomicUsize::new(usize::MAX),
        waits: AtomicBool::new(false),
        dies: AtomicBool::new(false),
    });
    let backend = Mortal { vocab: tiny.config.vocab, fate: fate.clone(), questions_left: Cell::new(None) };
    let engine = Engine::start(Box::new(backend), tiny.tokenizer.clone(), engine).expect("an engine");
    let state = AppState::new(config).expect("valid limits");
    state.set_model(ModelEntry::new("tiny", engine.clone(), tiny.tokenizer, tiny.template, tiny.config));
    (state, engine, Control(fate))
}
