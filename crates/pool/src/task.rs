//! What a caller says about a task: who sent it, how urgent it is, what it costs.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Time, Units};

/// Names one task for as long as it lives; a later task never has the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl TaskId {
    /// The first task in this place: for tests and simulations that have no policy which would name it.
    pub fn first_in(place: u32) -> TaskId {
        TaskId { index: place, generation: 0 }
    }

    /// The place in the lot's table: small, and used again by a later task when this one has ended.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

/// Priority class. The parking lot gives each its share by weight, in which a higher one goes first; [`Fifo`](crate::Fifo) serves all alike.
/// In files it is written in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Work that can wait.
    Low,
    /// What a task has if nobody says otherwise.
    #[default]
    Normal,
    /// Somebody is waiting for it.
    High,
    /// The operator's own.
    Critical,
}

impl Class {
    /// How many classes there are.
    pub const COUNT: usize = 4;
    /// All classes, lowest first.
    pub const ALL: [Class; Class::COUNT] = [Class::Low, Class::Normal, Class::High, Class::Critical];

    /// The name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Class::Low => "low",
            Class::Normal => "normal",
            Class::High => "high",
            Class::Critical => "critical",
        }
    }
}

/// One value for each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerClass<T>([T; Class::COUNT]);

impl<T: Serialize> Serialize for PerClass<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<T> PerClass<T> {
    /// The values for low, normal, high and critical.
    pub const fn new(low: T, normal: T, high: T, critical: T) -> Self {
        PerClass([low, normal, high, critical])
    }

    /// A value made for each class.
    pub fn from_fn(mut make: impl FnMut(Class) -> T) -> Self {
        PerClass(Class::ALL.map(&mut make))
    }

    /// These values, but for the classes that a table names.
    pub(crate) fn with<'de, D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Self, D::Error>
    where
        T: Deserialize<'de>,
    {
        for (class, value) in BTreeMap::<Class, T>::deserialize(deserializer)? {
            self[class] = value;
        }
        Ok(self)
    }

    /// Each class with its value, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Class, &T)> {
        Class::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Class> for PerClass<T> {
    type Output = T;
    fn index(&self, class: Class) -> &T {
        &self.0[class as usize]
    }
}

impl<T> IndexMut<Class> for PerClass<T> {
    fn index_mut(&mut self, class: Class) -> &mut T {
        &mut self.0[class as usize]
    }
}

/// What a task takes from the lot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// What it needs in order to start.
    pub now: Units,
    /// What it will probably need on top while it runs.
    pub expected_growth: Units,
    /// The most that it can need on top. Below `expected_growth` it is taken as `expected_growth`.
    pub worst_growth: Units,
}

impl Cost {
    /// A task that keeps what it starts with.
    pub fn fixed(now: Units) -> Cost {
        Cost { now, ..Cost::default() }
    }

    /// A task that starts with `now` and grows.
    pub fn growing(now: Units, expected_growth: Units, worst_growth: Units) -> Cost {
        Cost { now, expected_growth, worst_growth }
    }
}

/// How much there is to do, in tokens: what estimates, fair shares and token limits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Prompt tokens still to be computed (a prefix-cache hit is already deducted).
    pub prefill: u64,
    /// Answer tokens that are expected. Zero: the length is not known.
    pub decode: u64,
}

impl Work {
    /// This many prompt tokens and expected answer tokens.
    pub fn new(prefill: u64, decode: u64) -> Work {
        Work { prefill, decode }
    }

    /// Both together.
    pub fn total(self) -> u64 {
        self.prefill.saturating_add(self.decode)
    }

    /// The sum, at most `u64::MAX` of each kind.
    pub(crate) fn plus(self, other: Work) -> Work {
        Work::new(self.prefill.saturating_add(other.prefill), self.decode.saturating_add(other.decode))
    }

    /// The difference, at least zero of each kind.
    #[cfg(feature = "parking-lot-scheduler")]
    pub(crate) fn minus(self, other: Work) -> Work {
        Work::new(self.prefill.saturating_sub(other.prefill), self.decode.saturating_sub(other.decode))
    }
}

/// Everything that the lot is told about a task. Start from [`TaskSpec::new`] and set what differs.
///
/// ```
/// use parkade_pool::{Class, Cost, TaskSpec, Units, Work};
/// let spec = TaskSpec {
///     class: Class::High,
///     work: Work::new(120, 200),
///     ..TaskSpec::new("alice", Cost::growing(Units::from([8, 1]), Units::from([13]), Units::from([64])))
/// };
/// assert_eq!(spec.rank, 0);
/// ```
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// Who sent it; tenants of one class share fairly.
    pub tenant: Arc<str>,
    /// Its priority class.
    pub class: Class,
    /// Order inside a tenant among equal deadlines: lower first.
    pub rank: i64,
    /// When the whole of it must be done. It is never started after that, and is stopped if it still runs.
    pub deadline: Option<Time>,
    /// When its first token must be there. It is never started after that.
    pub first_token_deadline: Option<Time>,
    /// What it takes.
    pub cost: Cost,
    /// What it has to do.
    pub work: Work,
    /// Whether it can be parked while it runs. One that cannot is always reserved in full.
    pub parkable: bool,
}

impl TaskSpec {
    /// A parkable task of the normal class without deadlines.
    pub fn new(tenant: impl Into<Arc<str>>, cost: Cost) -> TaskSpec {
        TaskSpec {
            tenant: tenant.into(),
            class: Class::Normal,
            rank: 0,
            deadline: None,
            first_token_deadline: None,
            cost,
            work: Work::default(),
            parkable: true,
        }
    }
}
