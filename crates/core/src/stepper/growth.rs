//! Who may have more memory: asked by the stepper, answered by a policy.

use crate::blocks::BlockCounts;
use crate::request::RequestKey;

/// A request wants more blocks for its part in the next step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) key: RequestKey,
    /// How many more, all of which would be taken from the available ones.
    pub(crate) blocks: usize,
    /// The pool as it is now.
    pub(crate) counts: BlockCounts,
}

/// What a policy answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It may take them. They must be available.
    Yes,
    /// Park these requests and ask again. The one that asks may be among them.
    Park(Vec<RequestKey>),
    /// It sits this step out and keeps what it has.
    No,
}

/// Decides about growth. The default scheduler has reserved everything before and always says yes.
pub(crate) trait Growth {
    fn ask(&mut self, ask: &Ask) -> Grant;
}

/// Everything was reserved at admission: growth cannot fail.
pub(crate) struct Reserved;

impl Growth for Reserved {
    fn ask(&mut self, ask: &Ask) -> Grant {
        debug_assert!(ask.blocks <= ask.counts.available(), "{ask:?} was reserved");
        Grant::Yes
    }
}
