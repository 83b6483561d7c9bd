//! Who may have more memory: asked by the stepper, answered by a policy.

use parkade_pool::TaskId;

/// A request wants more blocks for its part in the next step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) key: TaskId,
    /// How many it wants that were not granted yet, all of which would be taken from the available ones.
    pub(crate) short: usize,
    /// What could be given out now.
    pub(crate) free: Free,
}

/// What could be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Free {
    /// Blocks that are available and were granted to nobody.
    pub(crate) blocks: usize,
    /// Sequences.
    pub(crate) seqs: usize,
}

/// What a policy answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It may take them, what was short is granted. They must be available.
    Yes,
    /// Park these requests and ask again. The one that asks may be among them.
    Park(Vec<TaskId>),
    /// It can never have them: the request fails.
    Never,
}

/// Decides about memory and time of the requests that run.
pub(crate) trait MemoryPolicy {
    /// Whether a request may have more blocks.
    fn ask(&mut self, ask: &Ask) -> Grant;

    /// A request does without so many of the blocks that were granted to it, until it asks for them again. False if they stay set aside for it.
    fn lend(&mut self, _key: TaskId, _blocks: usize) -> bool {
        false
    }

    /// Whether a request leaves this step to others, and keeps what it has.
    fn sits_out(&self, _key: TaskId) -> bool {
        false
    }

    /// How urgent the first tokens are that requests wait for: more means that a higher class waits, 0 that nobody goes before others.
    fn urgency(&self) -> u8 {
        0
    }

    /// Whether something more urgent has come since the step began, so that its pass should be left in the middle.
    fn interrupts(&self) -> bool {
        false
    }
}
