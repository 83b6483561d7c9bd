//! The simulated machine: blocks, slots and sequences, and nothing that decides.

use parkade_pool::{Class, TaskId, Time, Units};

pub const BLOCK_LEN: u64 = 4;

/// One request's state.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub class: Class,
    pub tenant: usize,
    pub start_deadline: Time,
    pub prompt: u64,
    /// How long the answer really becomes.
    pub answer: u64,
    pub produced: u64,
    /// Tokens whose keys and values are there.
    pub computed: u64,
    pub blocks: u64,
    pub running: bool,
    pub parkable: bool,
}

/// Who is where.
pub struct Machine {
    total: Units,
    used: Units,
    pub hidden: u64,
    sequences: Vec<Option<(TaskId, Sequence)>>,
    running: Vec<TaskId>,
}

impl Machine {
    pub fn new(total: Units) -> Machine {
        Machine { total, used: Units::ZERO, hidden: 0, sequences: Vec::new(), running: Vec::new() }
    }

    pub fn used(&self) -> Units {
        self.used
    }

    pub fn free(&self) -> Units {
        self.total.saturating_sub(self.used).saturating_sub(Units::from([self.hidden]))
    }

    pub fn running(&self) -> Vec<TaskId> {
        self.running.clone()
    }

    pub fn is_running(&self, id: TaskId) -> bool {
        self.sequences[id.index()].as_ref().is_some_and(|(owner, sequence)| *owner == id && sequence.running)
    }

    pub fn sequence(&self, id: TaskId) -> &Sequence {
        let (owner, sequence) = self.sequences[id.index()].as_ref().expect("it is here");
        assert_eq!(*owner, id);
        sequence
    }

    pub fn sequence_mut(&mut self, id: TaskId) -> &mut Sequence {
        let (owner, sequence) = self.sequences[id.index()].as_mut().expect("it is here");
        assert_eq!(*owner, id);
        sequence
    }

    pub fn hand_over(&mut self, id: TaskId, sequence: Sequence) {
        if self.sequences.len() <= id.index() {
            self.sequences.resize_with(id.index() + 1, || None);
        }
        let before = self.sequences[id.index()].replace((id, sequence));
        assert!(before.is_none(), "the place was free");
    }

    pub fn admit(&mut self, id: TaskId) -> &Sequence {
        self.take(id);
        self.sequence(id)
    }

    pub fn resume(&mut self, id: TaskId) {
        self.sequence_mut(id).computed = 0;
        self.take(id);
    }

    fn take(&mut self, id: TaskId) {
        let sequence = self.sequence_mut(id);
        assert!(!sequence.running);
        sequence.running = true;
        let taken = Units::from([sequence.blocks, 1]);
        self.used = self.used.checked_add(taken).expect("small numbers");
        assert!(self.used.fits_in(self.total), "{id} takes {taken:?}: {:?} of {:?}", self.used, self.total);
        self.running.push(id);
    }

    pub fn park(&mut self, id: TaskId) {
        let sequence = self.sequence_mut(id);
        assert!(sequence.parkable, "{id} cannot be parked");
        self.give_back(id);
    }

    fn give_back(&mut self, id: TaskId) {
        let sequence = self.sequence_mut(id);
        assert!(sequence.running, "{id} gives back once");
        sequence.running = false;
        let given_back = Units::from([sequence.blocks, 1]);
        self.used = self.used.checked_sub(given_back).expect("it was taken");
        self.running.retain(|&other| other != id);
    }

    /// Ends a sequence that runs or is parked.
    pub fn drop(&mut self, id: TaskId) {
        if self.sequence(id).running {
            self.give_back(id);
        }
        self.sequences[id.index()] = None;
    }

    /// Ends one that never ran.
    pub fn forget(&mut self, id: TaskId) {
        assert!(!self.sequence(id).running);
        self.sequences[id.index()] = None;
    }

    /// Whether the next token needs a block more.
    pub fn needs_block(&self, id: TaskId) -> bool {
        let sequence = self.sequence(id);
        (sequence.prompt + sequence.produced + 1).div_ceil(BLOCK_LEN) > sequence.blocks
    }

    /// How many blocks it does not have yet that its whole answer needs.
    pub fn blocks_to_come(&self, id: TaskId) -> u64 {
        let sequence = self.sequence(id);
        (sequence.prompt + sequence.answer).div_ceil(BLOCK_LEN) - sequence.blocks
    }

    pub fn take_blocks(&mut self, id: TaskId, blocks: u64) {
        self.sequence_mut(id).blocks += blocks;
        self.used = self.used.checked_add(Units::from([blocks])).expect("small numbers");
        assert!(self.used.fits_in(self.total));
    }
}
