//! What each tenant has and has had, so that each can be told of its own and of nobody else's.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use parkade_pool::Class;

use crate::figures::{
    BlockFigures, ClassFigures, EngineSnapshot, RateFigures, RequestFigures, SequenceFigures, StateFigures,
    TenantFigures, Totals,
};

use super::{LiveRequest, RequestState};

/// Tenants whose sums are remembered. Names cost nothing to invent where there are no keys; when there are more, the sums of the one that has
/// been gone longest are forgotten.
const MOST_TENANTS: usize = 4096;

/// Each tenant's sums.
#[derive(Debug, Default)]
pub(super) struct Sums {
    by_tenant: HashMap<String, Sum>,
    /// Tells moments apart.
    moment: u64,
    /// Another number of tenants to remember, for tests.
    #[cfg(test)]
    pub(super) most: Option<usize>,
}

#[derive(Debug, Default)]
struct Sum {
    totals: Totals,
    live: usize,
    /// When something of it was counted last.
    touched: u64,
}

impl Sums {
    /// A request of this tenant's has come.
    pub(super) fn enter(&mut self, tenant: &str) {
        let sum = self.sum(tenant);
        sum.totals.submitted += 1;
        sum.live += 1;
    }

    /// One of its requests has ended.
    pub(super) fn end(&mut self, tenant: &str, count: impl FnOnce(&mut Totals)) {
        let sum = self.sum(tenant);
        sum.live -= 1;
        count(&mut sum.totals);
    }

    /// A tenant's sums, which are about to be changed.
    pub(super) fn of(&mut self, tenant: &str) -> &mut Totals {
        &mut self.sum(tenant).totals
    }

    pub(super) fn totals(&self, tenant: &str) -> Totals {
        self.by_tenant.get(tenant).map(|sum| sum.totals).unwrap_or_default()
    }

    fn most(&self) -> usize {
        #[cfg(test)]
        if let Some(most) = self.most {
            return most;
        }
        MOST_TENANTS
    }

    fn sum(&mut self, tenant: &str) -> &mut Sum {
        self.moment += 1;
        if !self.by_tenant.contains_key(tenant) {
            if self.by_tenant.len() >= self.most() {
                let gone = self.by_tenant.iter().filter(|(_, sum)| sum.live == 0);
                let longest = gone.min_by_key(|(_, sum)| sum.touched).map(|(name, _)| name.clone());
                longest.map(|name| self.by_tenant.remove(&name));
            }
            self.by_tenant.insert(tenant.to_owned(), Sum::default());
        }
        let sum = self.by_tenant.get_mut(tenant).expect("it was put there if it was not");
        sum.touched = self.moment;
        sum
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_tenant.len()
    }
}

/// Every tenant that has requests, by name.
pub(super) fn figures<'a>(live: impl Iterator<Item = &'a LiveRequest>) -> Vec<TenantFigures> {
    let mut tenants: HashMap<&str, TenantFigures> = HashMap::new();
    for request in live {
        let name = request.tenant();
        let figures = tenants.entry(name).or_insert_with(|| TenantFigures::new(name));
        if request.state() == RequestState::Waiting {
            figures.waiting += 1;
            figures.waiting_tokens += request.expected_tokens();
        } else {
            figures.active += 1;
        }
    }
    let mut tenants: Vec<TenantFigures> = tenants.into_values().collect();
    tenants.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    tenants
}

/// What one tenant has and has had: its own requests and nobody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnFigures {
    /// By class, lowest first.
    pub(super) classes: [ClassFigures; 4],
    pub(super) paused: usize,
    pub(super) running_seqs: usize,
    /// KV blocks that its running requests were granted; shared ones count for each.
    pub(super) blocks: usize,
    pub(super) totals: Totals,
}

impl OwnFigures {
    pub(super) fn new<'a>(totals: Totals, live: impl Iterator<Item = &'a LiveRequest>) -> Self {
        let classes = Class::ALL.map(ClassFigures::new);
        let mut figures = OwnFigures { classes, paused: 0, running_seqs: 0, blocks: 0, totals };
        live.for_each(|request| figures.add(request));
        figures
    }

    fn add(&mut self, request: &LiveRequest) {
        let class = &mut self.classes[request.metadata.class as usize];
        match request.state() {
            RequestState::Waiting => {
                class.waiting += 1;
                class.waiting_tokens += request.expected_tokens();
            }
            RequestState::Parked => class.parked += 1,
            RequestState::Running | RequestState::Ended => {
                class.running += 1;
                self.running_seqs += request.answers;
                self.blocks += request.blocks();
                // Relaxed: a number for those who ask.
                self.paused += usize::from(request.paused.load(Ordering::Relaxed));
            }
        }
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
        let total = engine.kv_blocks.total;
        let free = total.saturating_sub(self.blocks);
        EngineSnapshot {
            kv_cache_usage_perc: self.blocks as f64 / total.max(1) as f64,
            requests: RequestFigures { waiting, running, parked, paused: self.paused },
            sequences: SequenceFigures { running: self.running_seqs, ..engine.sequences },
            kv_blocks: BlockFigures {
                used: self.blocks,
                cached: 0,
                free,
                available: free,
                promised: self.blocks,
                ..engine.kv_blocks
            },
            // One for each sequence; what is cached is nobody's.
            state_slots: match engine.state_slots.total {
                0 => StateFigures::default(),
                total => StateFigures {
                    used: self.running_seqs,
                    cached: 0,
                    free: total.saturating_sub(self.running_seqs),
                    ..engine.state_slots
                },
            },
            rates: RateFigures::default(),
            classes: if engine.classes.is_empty() { Vec::new() } else { self.classes.to_vec() },
            tenants: if waiting + running + parked == 0 { Vec::new() } else { vec![own] },
            totals: self.totals,
            work: None,
            // The machine's and the configuration's.
            scheduler: engine.scheduler,
            active_workers: engine.active_workers,
            max_queue_depth: engine.max_queue_depth,
            draining: engine.draining,
        }
    }
}
