//! Token buckets: how many requests and tokens a tenant may have per minute.
//!
//! A bucket holds at most a minute's worth and fills evenly. A request is charged with the most that it can use before it
//! is handed to the engine, and settled with what it really used: the rest is given back. So what runs can never use more
//! than there is, however many come at once.
//!
//! One request at a time is let in on what it will *likely* use, and takes all that is left: without that a request whose
//! longest answer is larger than the limit could never run, and one that states no limit would wait for a full bucket.
//! What it uses above its charge is owed. No clock in here: `now` is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parkade_core::TenantPolicy;
use parkade_sync::Mutex;

use super::rate_limit_headers::{Meter, Standing};

/// The most tenants whose buckets are remembered. Full buckets are forgotten without a loss, and when that is not
/// enough the one that was used least recently is.
const MOST_TENANTS: usize = 4096;

const MINUTE: f64 = 60.0;

/// How many tokens a request takes. Each number includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// Those of its prompt.
    pub prompt: u64,
    /// With the answer that is expected of it.
    pub likely: u64,
    /// With the longest answer that it can have.
    pub most: u64,
}

/// What a request was charged before it ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Advance {
    tokens: u64,
    /// It may use more than that.
    is_open: bool,
}

/// A request is over a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverLimit {
    /// What is limited: `requests per minute` or `tokens per minute`.
    pub unit: &'static str,
    /// The limit.
    pub limit: u64,
    /// When it will fit; `None` if it is larger than the limit itself and never will.
    pub retry_after: Option<Duration>,
    /// Where the tenant stands.
    pub standing: Standing,
}

/// The buckets of all tenants.
#[derive(Debug)]
pub struct RateLimits {
    accounts: Mutex<HashMap<String, Account>>,
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    requests: Bucket,
    tokens: Bucket,
    /// A request runs that may use more than it was charged.
    has_open: bool,
    seen: Instant,
}

/// What is left. Below zero: more was used than had been charged.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    left: f64,
    limit: Option<u64>,
}

impl Bucket {
    /// Takes the limit that holds now; what was used stays used.
    fn limit_to(&mut self, limit: Option<u64>) {
        let used = self.limit.map_or(0.0, |old| old as f64 - self.left);
        self.limit = limit;
        self.left = limit.map_or(0.0, |limit| limit as f64 - used);
    }

    fn fill(&mut self, elapsed: Duration) {
        if let Some(limit) = self.limit {
            let limit = limit as f64;
            self.left = (self.left + elapsed.as_secs_f64() * limit / MINUTE).min(limit);
        }
    }

    /// Whether `amount` is there.
    fn covers(&self, amount: u64) -> bool {
        // A part in a million: what rounding may have left out.
        self.limit.is_none() || self.left + 1e-6 >= amount as f64
    }

    /// How long until `amount` is there.
    fn wait_for(&self, amount: f64) -> Duration {
        match self.limit {
            Some(limit) if amount > self.left => {
                Duration::try_from_secs_f64((amount - self.left) * MINUTE / limit as f64).unwrap_or(Duration::MAX)
            }
            _ => Duration::ZERO,
        }
    }

    fn meter(&self) -> Option<Meter> {
        let limit = self.limit?;
        Some(Meter { limit, remaining: self.left.max(0.0) as u64, reset: self.wait_for(limit as f64) })
    }

    fn is_full(&self) -> bool {
        self.limit.is_none_or(|limit| self.left >= limit as f64)
    }
}

impl Account {
    fn new(rates: &TenantPolicy, now: Instant) -> Self {
        let full = |limit: Option<u64>| Bucket { left: limit.unwrap_or(0) as f64, limit };
        let (requests, tokens) = (full(rates.requests_per_minute), full(rates.tokens_per_minute));
        Self { requests, tokens, has_open: false, seen: now }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.seen);
        self.requests.fill(elapsed);
        self.tokens.fill(elapsed);
        self.seen = self.seen.max(now);
    }

    /// What a request is charged, or how long it has to wait: for all that it can use, or, if nobody else is in on that, for
    /// what it will likely use.
    fn advance_for(&self, demand: Demand) -> Result<Advance, Duration> {
        if self.tokens.covers(demand.most) {
            return Ok(Advance { tokens: demand.most, is_open: false });
        }
        let limit = self.tokens.limit.unwrap_or(u64::MAX);
        let needed = if self.has_open { demand.most } else { demand.likely }.min(limit);
        if !self.has_open && self.tokens.covers(needed) {
            // Not less than it needs: what rounding has left out is there.
            return Ok(Advance { tokens: (self.tokens.left as u64).max(needed), is_open: true });
        }
        Err(self.tokens.wait_for(needed as f64))
    }

    fn standing(&self) -> Standing {
        Standing { requests: self.requests.meter(), tokens: self.tokens.meter() }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self::with_room_for(MOST_TENANTS)
    }
}

impl RateLimits {
    fn with_room_for(most: usize) -> Self {
        Self { accounts: Mutex::new("server.rates", HashMap::new()), most }
    }

    /// Charges a request, and says where the tenant stands then and what was charged.
    ///
    /// # Errors
    /// If it is over a limit; then nothing is charged.
    pub fn charge(
        &self,
        tenant: &str,
        rates: &TenantPolicy,
        demand: Demand,
        now: Instant,
    ) -> Result<(Standing, Advance), OverLimit> {
        let mut accounts = self.accounts.lock();
        if !accounts.contains_key(tenant) {
            self.make_room(&mut accounts, now);
            accounts.insert(tenant.to_owned(), Account::new(rates, now));
        }
        let account = accounts.get_mut(tenant).expect("it was put there if it was not");
        account.requests.limit_to(rates.requests_per_minute);
        account.tokens.limit_to(rates.tokens_per_minute);
        account.fill(now);

        let over = |unit, limit, retry_after| OverLimit { unit, limit, retry_after, standing: account.standing() };
        if let Some(limit) = account.tokens.limit.filter(|limit| demand.prompt > *limit) {
            return Err(over("tokens per minute", limit, None));
        }
        if let Some(limit) = account.requests.limit.filter(|_| !account.requests.covers(1)) {
            return Err(over("requests per minute", limit, Some(account.requests.wait_for(1.0))));
        }
        let advance = account.advance_for(demand).map_err(|wait| {
            let limit = account.tokens.limit.unwrap_or_default();
            over("tokens per minute", limit, Some(wait))
        })?;
        account.requests.left -= 1.0;
        account.tokens.left -= advance.tokens as f64;
        account.has_open |= advance.is_open;
        Ok((account.standing(), advance))
    }

    /// Settles a request that was charged with what it used.
    pub fn settle(&self, tenant: &str, charged: Advance, used: u64, now: Instant) {
        let mut accounts = self.accounts.lock();
        // An account that was forgotten meanwhile is a full one.
        if let Some(account) = accounts.get_mut(tenant) {
            account.fill(now);
            account.has_open &= !charged.is_open;
            if let Some(limit) = account.tokens.limit {
                account.tokens.left = (account.tokens.left + charged.tokens as f64 - used as f64).min(limit as f64);
            }
        }
    }

    /// Gives a request back that was charged and then refused: neither it nor its tokens count. Says where the tenant stands then, if it is still
    /// known.
    pub fn refund(&self, tenant: &str, charged: Advance, now: Instant) -> Option<Standing> {
        self.settle(tenant, charged, 0, now);
        let mut accounts = self.accounts.lock();
        let account = accounts.get_mut(tenant)?;
        if let Some(limit) = account.requests.limit {
            account.requests.left = (account.requests.left + 1.0).min(limit as f64);
        }
        Some(account.standing())
    }

    fn make_room(&self, accounts: &mut HashMap<String, Account>, now: Instant) {
        if accounts.len() < self.most {
            return;
        }
        accounts.retain(|_, account| {
            account.fill(now);
            account.has_open || !(account.requests.is_full() && account.tokens.is_full())
        });
        while accounts.len() >= self.most {
            let oldest = accounts.iter().min_by_key(|(_, account)| account.seen).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return };
            accounts.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_minute(tokens: u64, requests: Option<u64>) -> TenantPolicy {
        TenantPolicy { tokens_per_minute: Some(tokens), requests_per_minute: requests, ..TenantPolicy::default() }
    }

    /// A request whose answer cannot be longer than what is expected.
    fn exactly(prompt: u64, answer: u64) -> Demand {
        Demand { prompt, likely: prompt + answer, most: prompt + answer }
    }

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    /// How many tokens are left.
    fn left(standing: Standing) -> u64 {
        standing.tokens.expect("a limit").remaining
    }

    #[test]
    fn a_minutes_worth_comes_at_once_and_then_evenly() {
        let limits = RateLimits::default();
        let start = Instant::now();
        for left in (0..60).rev() {
            let (standing, _) =
                limits.charge("a", &per_minute(600, Some(60)), exactly(1, 0), start).expect("within the limit");
            assert_eq!(standing.requests.expect("a limit").remaining, left);
        }
        let over = limits.charge("a", &per_minute(600, Some(60)), exactly(1, 0), start).expect_err("over the limit");
        assert_eq!((over.unit, over.limit), ("requests per minute", 60));
        assert_eq!(over.retry_after, Some(Duration::from_secs(1)));
        assert_eq!(over.standing.requests.expect("a limit").reset, Duration::from_secs(60));
        assert!(limits.charge("a", &per_minute(600, Some(60)), exactly(1, 0), after(start, 0.9)).is_err());
        assert!(limits.charge("a", &per_minute(600, Some(60)), exactly(1, 0), after(start, 1.0)).is_ok());
        assert!(
            limits.charge("b", &per_minute(600, Some(60)), exactly(1, 0), start).is_ok(),
            "another tenant has its own"
        );
    }

    #[test]
    fn tokens_are_charged_as_they_can_be_used_and_settled_as_they_were() {
        let limits = RateLimits::default();
        let start = Instant::now();
        let (standing, charged) =
            limits.charge("a", &per_minute(600, Some(60)), exactly(100, 400), start).expect("within the limit");
        assert_eq!(left(standing), 100);
        assert_eq!(standing.tokens.expect("a limit").reset, Duration::from_secs(50));
        let over = limits.charge("a", &per_minute(600, Some(60)), exactly(100, 50), start).expect_err("over the limit");
        assert_eq!((over.unit, over.retry_after), ("tokens per minute", Some(Duration::from_secs(5))));
        limits.settle("a", charged, 110, start);
        let (standing, second) =
            limits.charge("a", &per_minute(600, Some(60)), exactly(100, 50), start).expect("the rest is back");
        assert_eq!(left(standing), 600 - 110 - 150);
        limits.settle("a", second, 940, start);
        let over = limits.charge("a", &per_minute(600, Some(60)), exactly(1, 0), start).expect_err("the rest is owed");
        assert_eq!(left(over.standing), 0);
        assert_eq!(
            over.retry_after,
            Some(Duration::from_secs_f64(45.1)),
            "450 are owed and 1 is needed, at 10 a second"
        );
    }

    #[test]
    fn those_that_run_at_once_pass_the_limit_by_no_more_than_one_request() {
        let now = Instant::now();
        for most in [1, 7, 50, 120, 299, 300, 599, 600, 601, 5000] {
            for likely in [1, most / 10 + 1, most] {
                let limits = RateLimits::default();
                let demand = Demand { prompt: 1, likely, most };
                let rates = &per_minute(600, None);
                let running: Vec<Advance> =
                    (0..1000).map_while(|_| Some(limits.charge("a", rates, demand, now).ok()?.1)).collect();
                assert!(!running.is_empty(), "{demand:?}");
                let can_be_used = running.len() as u64 * most;
                assert!(can_be_used < 600 + most, "{} of {demand:?} run at once", running.len());
                assert!(running.len() as u64 >= 600 / most, "as many as fit in any case: {demand:?}");
                // All of them use what they can. Nobody comes in before that is made up for.
                running.iter().for_each(|charged| limits.settle("a", *charged, most, now));
                let over = can_be_used.saturating_sub(600);
                let standing = limits.charge("a", rates, exactly(601, 0), now).expect_err("never").standing;
                let owed = standing.tokens.expect("a limit").reset.as_secs_f64() * 10.0;
                assert!((owed - (600 + over).min(can_be_used) as f64).abs() < 1.0, "{demand:?}: {owed}");
            }
        }
    }

    #[test]
    fn one_at_a_time_may_run_on_what_is_likely_and_takes_all_that_is_left() {
        let limits = RateLimits::default();
        let now = Instant::now();
        let unbounded = Demand { prompt: 10, likely: 60, most: 100_000 };
        let (standing, first) = limits.charge("a", &per_minute(600, Some(60)), unbounded, now).expect("a full account");
        assert_eq!(left(standing), 0);
        // What has come back meanwhile is for requests that it covers in full.
        let later = after(now, 20.0);
        let over = limits.charge("a", &per_minute(600, Some(60)), unbounded, later).expect_err("one may do that");
        assert_eq!(over.retry_after, Some(Duration::from_secs(40)), "when the account is full");
        let (_, covered) = limits.charge("a", &per_minute(600, Some(60)), exactly(50, 50), later).expect("it fits");
        limits.settle("a", covered, 100, later);
        limits.settle("a", first, 60, later);
        let (standing, _) =
            limits.charge("a", &per_minute(600, Some(60)), unbounded, later).expect("the first one has ended");
        assert_eq!(left(standing), 0);
    }

    #[test]
    fn a_prompt_over_the_whole_limit_never_fits_and_a_long_answer_does_when_all_is_there() {
        let limits = RateLimits::default();
        let now = Instant::now();
        assert_eq!(
            limits.charge("a", &per_minute(600, Some(60)), exactly(601, 0), now).expect_err("too long").retry_after,
            None
        );
        let (_, first) = limits.charge("a", &per_minute(600, Some(60)), exactly(10, 10), now).expect("a full account");
        let over = limits.charge("a", &per_minute(600, Some(60)), exactly(10, 100_000), now).expect_err("20 are gone");
        assert_eq!(over.retry_after, Some(Duration::from_secs(2)));
        limits.refund("a", first, now);
        let (standing, _) =
            limits.charge("a", &per_minute(600, Some(60)), exactly(10, 100_000), now).expect("a full account");
        assert_eq!(left(standing), 0);
    }

    #[test]
    fn a_refund_leaves_no_trace() {
        let limits = RateLimits::default();
        let now = Instant::now();
        for demand in [exactly(10, 10), exactly(10, 100_000)] {
            let (_, charged) = limits.charge("a", &per_minute(600, Some(60)), demand, now).expect("within the limit");
            limits.refund("a", charged, now);
        }
        let (standing, _) =
            limits.charge("a", &per_minute(600, Some(60)), exactly(0, 0), now).expect("within the limit");
        assert_eq!((standing.requests.expect("a limit").remaining, left(standing)), (59, 600));
        assert!(
            limits.charge("a", &per_minute(600, Some(60)), exactly(10, 100_000), now).is_ok(),
            "nobody else is in on that"
        );
    }

    #[test]
    fn a_new_limit_holds_at_once_and_forgives_nothing() {
        let limits = RateLimits::default();
        let now = Instant::now();
        limits.charge("a", &per_minute(600, Some(60)), exactly(500, 0), now).expect("within the limit");
        let raised = &per_minute(1000, Some(60));
        let (standing, _) = limits.charge("a", raised, exactly(100, 0), now).expect("within the new limit");
        assert_eq!(left(standing), 400);
        let lowered = &per_minute(100, Some(60));
        assert!(limits.charge("a", lowered, exactly(1, 0), now).is_err());
    }

    #[test]
    fn memory_is_bounded_however_many_tenants_there_are() {
        let limits = RateLimits::with_room_for(8);
        let start = Instant::now();
        limits
            .charge("busy", &per_minute(600, Some(60)), exactly(600, 0), after(start, 99.0))
            .expect("within the limit");
        for number in 0..100 {
            let now = after(start, f64::from(number));
            limits
                .charge(&format!("t{number}"), &per_minute(600, Some(60)), exactly(1, 0), now)
                .expect("within the limit");
            assert!(limits.accounts.lock().len() <= 8);
        }
        let busy = limits.charge("busy", &per_minute(600, Some(60)), exactly(100, 0), after(start, 99.0));
        assert!(busy.is_err(), "who used it lately is known");
    }
}
