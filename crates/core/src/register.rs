//! The requests that are here, and what became of all that were: by tenant, so that each can be told of its own and of nobody else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parkade_sync::Mutex;

use crate::engine::{ClassFigures, EngineSnapshot, TenantFigures, Totals};
use crate::event::{RequestError, Usage};
use crate::record::{End, RequestRecord, RequestState};
use crate::request::{Priority, Request};

/// Tenants whose sums are remembered. Names cost nothing to invent where there are no keys; when there are more, the sums of the one that has
/// been gone longest are forgotten.
const MOST_TENANTS: usize = 4096;

/// All requests that were taken and have not ended, and each tenant's sums.
#[derive(Debug)]
pub(crate) struct Register {
    pages: Mutex<Pages>,
    most: usize,
}

#[derive(Debug, Default)]
struct Pages {
    /// By the order of their coming.
    live: HashMap<u64, Arc<RequestRecord>>,
    sums: HashMap<String, Sum>,
    /// Numbers requests and other moments that must be told apart.
    moment: u64,
}

#[derive(Debug, Default)]
struct Sum {
    totals: Totals,
    live: usize,
    /// When something of it was counted last.
    touched: u64,
}

/// A request in the register. It ends when this says so, or at the latest when this is dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    register: Arc<Register>,
    number: u64,
    record: Arc<RequestRecord>,
}

/// What one tenant has and has had: its own requests and nobody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnFigures {
    /// By class, lowest first.
    classes: [ClassFigures; 4],
    paused: usize,
    running_seqs: usize,
    /// KV blocks that its running requests were granted; shared ones count for each.
    blocks: usize,
    totals: Totals,
}

impl OwnFigures {
    fn new(totals: Totals) -> Self {
        let classes = Priority::ALL.map(ClassFigures::new);
        OwnFigures { classes, paused: 0, running_seqs: 0, blocks: 0, totals }
    }

    /// The engine's figures with the tenant's own in place of everybody's.
    pub(crate) fn among(self, tenant: &str, engine: EngineSnapshot) -> EngineSnapshot {
        let sum = |count: fn(&ClassFigures) -> usize| self.classes.iter().map(count).sum::<usize>();
        let (waiting, running, parked) = (sum(|it| it.waiting), sum(|it| it.running), sum(|it| it.parked));
        let own = TenantFigures {
            waiting,
            waiting_tokens: self.classes.iter().map(|class| class.waiting_tokens).sum(),
            active: running + parked,
            ..TenantFigures::new(tenant)
        };
        EngineSnapshot {
            waiting,
            running,
            paused: self.paused,
            parked,
            running_seqs: self.running_seqs,
            blocks_used: self.blocks,
            blocks_cached: 0,
            blocks_free: engine.blocks_total.saturating_sub(self.blocks),
            blocks_available: engine.blocks_total.saturating_sub(self.blocks),
            blocks_promised: self.blocks,
            prefill_rate: 0.0,
            decode_rate: 0.0,
            classes: if engine.classes.is_empty() { Vec::new() } else { self.classes.to_vec() },
            tenants: if waiting + running + parked == 0 { Vec::new() } else { vec![own] },
            totals: Some(self.totals),
            // The machine's and the configuration's.
            scheduler: engine.scheduler,
            active_workers: engine.active_workers,
            max_seqs: engine.max_seqs,
            max_queue_depth: engine.max_queue_depth,
            block_len: engine.block_len,
            blocks_total: engine.blocks_total,
            draining: engine.draining,
        }
    }
}

impl Default for Register {
    fn default() -> Self {
        Self::with_room_for(MOST_TENANTS)
    }
}

impl Register {
    fn with_room_for(most: usize) -> Self {
        Register { pages: Mutex::new("engine.register", Pages::default()), most }
    }

    /// Enters a request that waits from now on. `expected_tokens` are those of its prompt and its probable answers.
    pub(crate) fn enter(self: &Arc<Self>, request: &Request, expected_tokens: u64) -> Registered {
        let record = Arc::new(RequestRecord::new(request, expected_tokens));
        let mut pages = self.pages.lock();
        let sum = pages.sum(&request.tenant, self.most);
        sum.totals.submitted += 1;
        sum.live += 1;
        let number = pages.moment;
        pages.live.insert(number, Arc::clone(&record));
        Registered { register: Arc::clone(self), number, record }
    }

    /// Counts something of a tenant's.
    pub(crate) fn count(&self, tenant: &str, count: impl FnOnce(&mut Totals)) {
        count(&mut self.pages.lock().sum(tenant, self.most).totals);
    }

    /// One tenant's own figures.
    pub(crate) fn own_figures(&self, tenant: &str) -> OwnFigures {
        let pages = self.pages.lock();
        let mut figures = OwnFigures::new(pages.sums.get(tenant).map(|sum| sum.totals).unwrap_or_default());
        for record in pages.live.values().filter(|record| record.tenant == tenant) {
            let class = &mut figures.classes[record.class as usize];
            match record.state() {
                RequestState::Waiting => {
                    class.waiting += 1;
                    class.waiting_tokens += record.expected_tokens;
                }
                RequestState::Parked => class.parked += 1,
                // One that has ended a moment ago is still being taken off.
                RequestState::Running | RequestState::Ended => {
                    class.running += 1;
                    figures.running_seqs += record.answers;
                    figures.blocks += record.blocks();
                    // Relaxed: a number for those who ask.
                    figures.paused += usize::from(record.paused.load(Ordering::Relaxed));
                }
            }
        }
        figures
    }

    /// Every tenant that has requests, by name.
    pub(crate) fn tenants(&self) -> Vec<TenantFigures> {
        let pages = self.pages.lock();
        let mut tenants: HashMap<&str, TenantFigures> = HashMap::new();
        for record in pages.live.values() {
            let figures = tenants.entry(&record.tenant).or_insert_with(|| TenantFigures::new(&record.tenant));
            if record.state() == RequestState::Waiting {
                figures.waiting += 1;
                figures.waiting_tokens += record.expected_tokens;
            } else {
                figures.active += 1;
            }
        }
        let mut tenants: Vec<TenantFigures> = tenants.into_values().collect();
        tenants.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        tenants
    }
}

impl Pages {
    /// A tenant's sum, which is about to be changed.
    fn sum(&mut self, tenant: &str, most: usize) -> &mut Sum {
        self.moment += 1;
        if !self.sums.contains_key(tenant) {
            if self.sums.len() >= most {
                let gone = self.sums.iter().filter(|(_, sum)| sum.live == 0);
                let longest = gone.min_by_key(|(_, sum)| sum.touched).map(|(name, _)| name.clone());
                longest.map(|name| self.sums.remove(&name));
            }
            self.sums.insert(tenant.to_owned(), Sum::default());
        }
        let sum = self.sums.get_mut(tenant).expect("it was put there if it was not");
        sum.touched = self.moment;
        sum
    }
}

impl Registered {
    pub(crate) fn record(&self) -> &Arc<RequestRecord> {
        &self.record
    }

    /// Notes how the request ended.
    pub(crate) fn end(&self, error: Option<RequestError>, usage: Usage) {
        self.close(End { usage, error }, |totals, end| match &end.error {
            None => totals.completed += 1,
            Some(RequestError::Cancelled) => totals.cancelled += 1,
            Some(RequestError::Deadline { .. }) => totals.expired += 1,
            Some(_) => totals.failed += 1,
        });
    }

    /// The request was refused after all.
    pub(crate) fn refuse(&self) {
        let end = End { usage: Usage::default(), error: Some(RequestError::Stopped) };
        self.close(end, |totals, _| totals.refused += 1);
    }

    fn close(&self, end: End, count: impl FnOnce(&mut Totals, &End)) {
        // Off the page and into the sums at once, so that the sums are right at any time.
        let mut pages = self.register.pages.lock();
        if pages.live.remove(&self.number).is_none() {
            return;
        }
        let sum = pages.sum(&self.record.tenant, self.register.most);
        sum.live -= 1;
        count(&mut sum.totals, &end);
        drop(pages);
        let is_first = self.record.set_end(end);
        debug_assert!(is_first, "a request ends once");
    }
}

impl Drop for Registered {
    /// Whoever had it is gone without a word: the worker died.
    fn drop(&mut self) {
        if self.record.end().is_none() {
            self.end(Some(RequestError::Stopped), self.record.usage());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(tenant: &str) -> Request {
        Request { tenant: tenant.to_owned(), n: 2, ..Request::new("r", vec![1; 5]) }
    }

    #[test]
    fn each_tenant_has_its_own_figures_and_they_add_up() {
        let register = Arc::new(Register::default());
        let deadline = RequestError::Deadline { allowed: std::time::Duration::ZERO };
        let ends = [None, Some(RequestError::Cancelled), Some(deadline), Some(RequestError::NoRoom)];
        for end in ends {
            register.enter(&request("ada"), 9).end(end, Usage::default());
        }
        register.enter(&request("ada"), 9).refuse();
        drop(register.enter(&request("ada"), 9));
        let live = [(); 3].map(|()| register.enter(&request("ada"), 9));
        live[1].record().set_state(RequestState::Running);
        live[1].record().set_blocks(7);
        live[2].record().set_state(RequestState::Parked);
        let hers = register.own_figures("ada");
        let expected =
            Totals { submitted: 9, refused: 1, completed: 1, cancelled: 1, expired: 1, failed: 2, ..Totals::default() };
        assert_eq!(hers.totals, expected);
        let normal = ClassFigures { waiting: 1, waiting_tokens: 9, running: 1, parked: 1, ..hers.classes[1] };
        assert_eq!((hers.classes[1], hers.running_seqs, hers.blocks), (normal, 2, 7));
        assert_eq!(register.own_figures("bob"), Register::default().own_figures("bob"), "he is told of nothing");
        let one = TenantFigures { waiting: 1, waiting_tokens: 9, active: 2, ..TenantFigures::new("ada") };
        assert_eq!(register.tenants(), [one]);
        drop(live);
        assert_eq!(register.tenants(), []);
        assert_eq!(register.own_figures("ada").totals.failed, 5);
    }

    #[test]
    fn a_request_ends_once_and_with_what_it_had_done_if_it_is_just_dropped() {
        let register = Arc::new(Register::default());
        let registered = register.enter(&request("ada"), 9);
        let record = Arc::clone(registered.record());
        assert_eq!((record.usage().prompt_tokens, record.end()), (0, None), "it has not run");
        record.set_state(RequestState::Running);
        record.set_generated(3);
        drop(registered);
        let end = record.end().unwrap();
        assert_eq!((end.usage.prompt_tokens, end.usage.completion_tokens), (5, 3));
        assert_eq!((&end.error, record.state()), (&Some(RequestError::Stopped), RequestState::Ended));
        let twice = register.enter(&request("ada"), 9);
        twice.end(None, Usage::default());
        drop(twice);
        assert_eq!((register.own_figures("ada").totals.completed, register.own_figures("ada").totals.failed), (1, 1));
    }

    #[test]
    fn the_memory_for_tenants_is_bounded_and_those_who_are_here_are_not_forgotten() {
        let register = Arc::new(Register::with_room_for(8));
        let _here = register.enter(&request("busy"), 1);
        for number in 0..100 {
            register.enter(&request(&number.to_string()), 1).end(None, Usage::default());
            assert!(register.pages.lock().sums.len() <= 8);
        }
        assert_eq!(
            (register.own_figures("busy").totals.submitted, register.own_figures("99").totals.completed),
            (1, 1)
        );
        assert_eq!(register.own_figures("0").totals, Totals::default());
    }
}
