//! How long answers were lately.

use std::collections::{HashMap, VecDeque};

use super::types::HistoryScope;

/// What is expected while nothing is known, in tokens.
const PRIOR: usize = 256;
/// Answers that a prediction needs.
const ENOUGH: usize = 8;
/// Answers that are remembered for a tenant, and for all of them together.
const OF_TENANT: usize = 64;
const OF_ALL: usize = 256;
/// Tenants that are remembered; when there are more, all are forgotten and learnt again.
const MOST_TENANTS: usize = 1024;
/// Of a hundred answers, so many should not be longer than predicted: a prediction that is too short parks somebody, one that is
/// too long keeps somebody waiting.
const PERCENTILE: usize = 75;

/// The lengths of recent answers, by tenant and over all.
#[derive(Debug, Default)]
pub(super) struct AnswerHistory {
    pub(super) scope: HistoryScope,
    all: Recent,
    tenants: HashMap<String, Recent>,
}

impl AnswerHistory {
    /// Notes an answer that came to its natural end.
    pub(super) fn note(&mut self, tenant: &str, tokens: usize) {
        self.all.push(tokens, OF_ALL);
        if let Some(recent) = self.tenants.get_mut(tenant) {
            return recent.push(tokens, OF_TENANT);
        }
        if self.tenants.len() >= MOST_TENANTS {
            self.tenants.clear();
        }
        let mut recent = Recent::default();
        recent.push(tokens, OF_TENANT);
        self.tenants.insert(tenant.to_owned(), recent);
    }

    /// How long an answer of this tenant will probably be, if it may have `most` tokens.
    pub(super) fn expect(&self, tenant: &str, most: usize) -> usize {
        let own = self.tenants.get(tenant).and_then(Recent::quantile);
        let known = match self.scope {
            HistoryScope::Everybody => own.or_else(|| self.all.quantile()),
            HistoryScope::Tenant => own,
        };
        known.unwrap_or(PRIOR).clamp(1, most.max(1))
    }
}

/// The last few lengths, with their quantile kept at hand: it is asked for at each submission, and changes at each answer.
#[derive(Debug, Default)]
struct Recent {
    lengths: VecDeque<usize>,
    sorted: Vec<usize>,
}

impl Recent {
    fn push(&mut self, length: usize, most: usize) {
        if self.lengths.len() == most
            && let Some(oldest) = self.lengths.pop_front()
            && let Ok(place) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(place);
        }
        self.lengths.push_back(length);
        let place = self.sorted.partition_point(|&other| other < length);
        self.sorted.insert(place, length);
    }

    fn quantile(&self) -> Option<usize> {
        let count = self.sorted.len();
        (count >= ENOUGH).then(|| self.sorted[(count * PERCENTILE / 100).min(count - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_judged_by_its_own_answers_once_there_are_enough() {
        let mut history = AnswerHistory::default();
        assert_eq!((history.expect("a", 1000), history.expect("a", 10)), (PRIOR, 10));
        (0..ENOUGH).for_each(|_| history.note("b", 40));
        assert_eq!(history.expect("a", 1000), 40, "all answers stand in for a tenant without history");
        (0..ENOUGH).for_each(|_| history.note("a", 500));
        assert_eq!((history.expect("a", 1000), history.expect("b", 1000)), (500, 40));
    }

    #[test]
    fn where_tenants_are_kept_apart_nothing_is_expected_from_the_answers_of_others() {
        let mut history = AnswerHistory { scope: HistoryScope::Tenant, ..AnswerHistory::default() };
        (0..OF_ALL).for_each(|_| history.note("b", 40));
        assert_eq!((history.expect("a", 1000), history.expect("b", 1000)), (PRIOR, 40));
    }

    #[test]
    fn old_answers_are_forgotten() {
        let mut history = AnswerHistory::default();
        (0..OF_TENANT).for_each(|_| history.note("a", 1000));
        (0..OF_TENANT).for_each(|_| history.note("a", 3));
        assert_eq!(history.expect("a", 5000), 3);
        assert_eq!(history.tenants["a"].sorted.len(), OF_TENANT);
    }

    #[test]
    fn the_memory_for_tenants_is_bounded() {
        let mut history = AnswerHistory::default();
        (0..10 * MOST_TENANTS).for_each(|tenant| history.note(&tenant.to_string(), 1));
        assert!(history.tenants.len() <= MOST_TENANTS);
    }
}
