//! Token buckets: how many requests and tokens a tenant may have per minute.
//!
//! A bucket holds at most a minute's worth and fills evenly. A request is charged before it is handed to the engine with
//! its prompt and the answer that is expected of it, and settled with what it really used: the difference is given
//! back, or owed. No clock in here: `now` is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parkade_sync::Mutex;

use super::standing::{Meter, Standing};

/// The most tenants whose buckets are remembered. Full buckets are forgotten without a loss, and when that is not
/// enough the one that was used least recently is.
const MOST_TENANTS: usize = 4096;

const MINUTE: f64 = 60.0;

/// What a tenant may have per minute; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Prompt and answer tokens.
    pub tokens_per_minute: Option<u64>,
    /// Requests.
    pub requests_per_minute: Option<u64>,
}

impl Rates {
    /// Whether there is no limit at all.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
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
    fn new(rates: Rates, now: Instant) -> Self {
        let full = |limit: Option<u64>| Bucket { left: limit.unwrap_or(0) as f64, limit };
        Self { requests: full(rates.requests_per_minute), tokens: full(rates.tokens_per_minute), seen: now }
    }

    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.seen);
        self.requests.fill(elapsed);
        self.tokens.fill(elapsed);
        self.seen = self.seen.max(now);
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

    /// Charges a request that needs `prompt` tokens and probably `answer` more, and says where the tenant stands then
    /// and how many tokens were charged. An answer that would not fit into any bucket is charged as far as it does.
    ///
    /// # Errors
    /// If it is over a limit; then nothing is charged.
    pub fn charge(
        &self,
        tenant: &str,
        rates: Rates,
        prompt: u64,
        answer: u64,
        now: Instant,
    ) -> Result<(Standing, u64), OverLimit> {
        let mut accounts = self.accounts.lock();
        if !accounts.contains_key(tenant) {
            self.make_room(&mut accounts, now);
            accounts.insert(tenant.to_owned(), Account::new(rates, now));
        }
        let account = accounts.get_mut(tenant).expect("it was put there if it was not");
        account.requests.limit_to(rates.requests_per_minute);
        account.tokens.limit_to(rates.tokens_per_minute);
        account.advance(now);

        let over = |unit, limit, retry_after| OverLimit { unit, limit, retry_after, standing: account.standing() };
        let mut tokens = prompt.saturating_add(answer);
        if let Some(limit) = rates.tokens_per_minute {
            if prompt > limit {
                return Err(over("tokens per minute", limit, None));
            }
            tokens = tokens.min(limit);
        }
        for (unit, bucket, amount) in
            [("requests per minute", account.requests, 1.0), ("tokens per minute", account.tokens, tokens as f64)]
        {
            match bucket.limit {
                // A part in a million: what rounding may have left out.
                Some(limit) if bucket.left + 1e-6 < amount => {
                    return Err(over(unit, limit, Some(bucket.wait_for(amount))));
                }
                _ => {}
            }
        }
        account.requests.left -= 1.0;
        account.tokens.left -= tokens as f64;
        Ok((account.standing(), tokens))
    }

    /// Settles a request that was charged with what it used.
    pub fn settle(&self, tenant: &str, charged: u64, used: u64, now: Instant) {
        let mut accounts = self.accounts.lock();
        // An account that was forgotten meanwhile is a full one.
        if let Some(account) = accounts.get_mut(tenant) {
            account.advance(now);
            if let Some(limit) = account.tokens.limit {
                account.tokens.left = (account.tokens.left + charged as f64 - used as f64).min(limit as f64);
            }
        }
    }

    /// Gives a request back that was charged and then refused: neither it nor its tokens count. Says where the tenant stands then, if it is still
    /// known.
    pub fn refund(&self, tenant: &str, charged: u64, now: Instant) -> Option<Standing> {
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
            account.advance(now);
            !(account.requests.is_full() && account.tokens.is_full())
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

    const PER_MINUTE: Rates = Rates { tokens_per_minute: Some(600), requests_per_minute: Some(60) };

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_minutes_worth_comes_at_once_and_then_evenly() {
        let limits = RateLimits::default();
        let start = Instant::now();
        for left in (0..60).rev() {
            let (standing, _) = limits.charge("a", PER_MINUTE, 1, 0, start).expect("within the limit");
            assert_eq!(standing.requests.expect("a limit").remaining, left);
        }
        let over = limits.charge("a", PER_MINUTE, 1, 0, start).expect_err("over the limit");
        assert_eq!((over.unit, over.limit), ("requests per minute", 60));
        assert_eq!(over.retry_after, Some(Duration::from_secs(1)));
        assert_eq!(over.standing.requests.expect("a limit").reset, Duration::from_secs(60));
        assert!(limits.charge("a", PER_MINUTE, 1, 0, after(start, 0.9)).is_err());
        assert!(limits.charge("a", PER_MINUTE, 1, 0, after(start, 1.0)).is_ok());
        assert!(limits.charge("b", PER_MINUTE, 1, 0, start).is_ok(), "another tenant has its own");
    }

    #[test]
    fn tokens_are_charged_as_expected_and_settled_as_used() {
        let limits = RateLimits::default();
        let start = Instant::now();
        let (standing, charged) = limits.charge("a", PER_MINUTE, 100, 400, start).expect("within the limit");
        assert_eq!((charged, standing.tokens.expect("a limit").remaining), (500, 100));
        assert_eq!(standing.tokens.expect("a limit").reset, Duration::from_secs(50));
        let over = limits.charge("a", PER_MINUTE, 100, 50, start).expect_err("over the limit");
        assert_eq!((over.unit, over.retry_after), ("tokens per minute", Some(Duration::from_secs(5))));
        limits.settle("a", charged, 110, start);
        let (standing, _) = limits.charge("a", PER_MINUTE, 100, 50, start).expect("the rest was given back");
        assert_eq!(standing.tokens.expect("a limit").remaining, 600 - 110 - 150);
        limits.settle("a", 150, 940, start);
        let over = limits.charge("a", PER_MINUTE, 1, 0, start).expect_err("the rest is owed");
        assert_eq!(over.standing.tokens.expect("a limit").remaining, 0);
        assert_eq!(
            over.retry_after,
            Some(Duration::from_secs_f64(45.1)),
            "450 are owed and 1 is needed, at 10 a second"
        );
    }

    #[test]
    fn a_prompt_over_the_whole_limit_never_fits_and_a_long_answer_is_charged_as_far_as_it_does() {
        let limits = RateLimits::default();
        let now = Instant::now();
        assert_eq!(limits.charge("a", PER_MINUTE, 601, 0, now).expect_err("too long").retry_after, None);
        let (standing, charged) = limits.charge("a", PER_MINUTE, 10, 100_000, now).expect("an empty account");
        assert_eq!((charged, standing.tokens.expect("a limit").remaining), (600, 0));
    }

    #[test]
    fn a_refund_leaves_no_trace() {
        let limits = RateLimits::default();
        let now = Instant::now();
        let (_, charged) = limits.charge("a", PER_MINUTE, 10, 10, now).expect("within the limit");
        limits.refund("a", charged, now);
        let (standing, _) = limits.charge("a", PER_MINUTE, 0, 0, now).expect("within the limit");
        assert_eq!(standing.requests.expect("a limit").remaining, 59);
        assert_eq!(standing.tokens.expect("a limit").remaining, 600);
    }

    #[test]
    fn a_new_limit_holds_at_once_and_forgives_nothing() {
        let limits = RateLimits::default();
        let now = Instant::now();
        limits.charge("a", PER_MINUTE, 500, 0, now).expect("within the limit");
        let raised = Rates { tokens_per_minute: Some(1000), ..PER_MINUTE };
        let (standing, _) = limits.charge("a", raised, 100, 0, now).expect("within the new limit");
        assert_eq!(standing.tokens.expect("a limit").remaining, 400);
        let lowered = Rates { tokens_per_minute: Some(100), ..PER_MINUTE };
        assert!(limits.charge("a", lowered, 1, 0, now).is_err());
    }

    #[test]
    fn memory_is_bounded_however_many_tenants_there_are() {
        let limits = RateLimits::with_room_for(8);
        let start = Instant::now();
        limits.charge("busy", PER_MINUTE, 600, 0, after(start, 99.0)).expect("within the limit");
        for number in 0..100 {
            let now = after(start, f64::from(number));
            limits.charge(&format!("t{number}"), PER_MINUTE, 1, 0, now).expect("within the limit");
            assert!(limits.accounts.lock().len() <= 8);
        }
        assert!(limits.charge("busy", PER_MINUTE, 100, 0, after(start, 99.0)).is_err(), "who used it lately is known");
    }
}
