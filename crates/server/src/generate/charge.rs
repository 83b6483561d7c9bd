//! What a request is charged on its tenant's rate limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_core::parking_lot::PricedRequest;
use parkade_core::{Engine, Refusal, TenantPolicy};

use crate::access::{Advance, Demand, Identity, OverLimit};
use crate::generate::{AppState, ModelEntry};
use crate::http::{ApiError, RequestLog, Retry};

/// Tokens that were charged before they are used. To be settled once, or given back.
pub(crate) struct Charge {
    state: AppState,
    tenant: String,
    rates: TenantPolicy,
    advance: Advance,
}

impl Charge {
    /// Charges the requests of one HTTP request as one request. The response says where the tenant stands then.
    ///
    /// # Errors
    /// 429 if the tenant is over a limit.
    pub fn take(
        state: &AppState,
        model: &ModelEntry,
        requests: &[PricedRequest],
        identity: &Identity,
        log: &Arc<RequestLog>,
    ) -> Result<Self, ApiError> {
        let tenant = requests.first().map(|priced| priced.request().tenant.clone()).unwrap_or_default();
        let rates = match identity.key() {
            Some(key) => key.policy,
            None => *state.access().policy().user(&tenant),
        };
        let mut charge = Self { state: state.clone(), tenant, rates, advance: Advance::default() };
        if !rates.has_rates() {
            return Ok(charge);
        }
        let demand = demand(requests);
        match state.access().rates.charge(&charge.tenant, &rates, demand, Instant::now()) {
            Ok((standing, advance)) => {
                log.set_headers(|headers| standing.write(headers));
                charge.advance = advance;
                Ok(charge)
            }
            Err(over) => {
                log.set_headers(|headers| over.standing.write(headers));
                Err(refused(over, charge.tenant, &model.engine, demand.prompt))
            }
        }
    }

    /// The requests have ended and used this many tokens.
    pub fn settle(&self, used: u64) {
        if self.rates.has_rates() {
            self.state.access().rates.settle(&self.tenant, self.advance, used, Instant::now());
        }
    }

    /// The requests were refused by the engine.
    pub fn refund(self, log: &RequestLog) {
        if self.rates.has_rates()
            && let Some(standing) = self.state.access().rates.refund(&self.tenant, self.advance, Instant::now())
        {
            log.set_headers(|headers| standing.write(headers));
        }
    }
}

fn refused(over: OverLimit, tenant: String, engine: &Engine, prompt: u64) -> ApiError {
    let OverLimit { unit, limit, retry_after, .. } = over;
    let refusal = Refusal::RateLimited { tenant, unit, limit, retry_after: retry_after.unwrap_or(Duration::ZERO) };
    engine.note_refusal(&refusal);
    if retry_after.is_some() {
        return ApiError::from_refusal(refusal, "prompt");
    }
    let message = format!("the prompt has {prompt} tokens, and this tenant may use {limit} {unit}; shorten it");
    ApiError::over_limit("rate_limit_exceeded", message, Retry::Never)
}

/// What the requests take together.
fn demand(requests: &[PricedRequest]) -> Demand {
    let sum = |tokens: fn(&PricedRequest) -> u64| requests.iter().map(tokens).fold(0, u64::saturating_add);
    let most = sum(PricedRequest::most_tokens);
    Demand { prompt: sum(|priced| priced.request().prompt.len() as u64), likely: sum(likely_tokens).min(most), most }
}

/// How many tokens a request will probably use, by what the engine has learnt of its tenant's answers.
fn likely_tokens(priced: &PricedRequest) -> u64 {
    let request = priced.request();
    if request.ignore_eos {
        return priced.most_tokens();
    }
    (request.prompt.len() as u64).saturating_add(priced.cost().expected_tokens)
}
