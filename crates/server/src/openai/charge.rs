//! What a request is charged on its tenant's rate limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use parkade_core::{Engine, Refusal, Request};

use crate::access::{OverLimit, Rates};
use crate::errors::{ApiError, ErrorType, Retry};
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::state::{AppState, ModelEntry};

/// Tokens that were charged before they are used. To be settled once, or given back.
pub(crate) struct Charge {
    state: AppState,
    tenant: String,
    rates: Rates,
    tokens: u64,
}

impl Charge {
    /// Charges the requests of one HTTP request as one request. The exchange learns where the tenant stands then.
    ///
    /// # Errors
    /// 429 if the tenant is over a limit.
    pub fn take(
        state: &AppState,
        model: &ModelEntry,
        requests: &[Request],
        identity: &Identity,
        exchange: &Arc<Exchange>,
    ) -> Result<Self, ApiError> {
        let tenant = requests.first().map(|request| request.tenant.clone()).unwrap_or_default();
        let rates = match identity {
            Identity::Key(key) => key.limits.rates,
            Identity::Anonymous => state.policy().rates(&tenant),
        };
        let mut charge = Self { state: state.clone(), tenant, rates, tokens: 0 };
        if rates.is_unlimited() {
            return Ok(charge);
        }
        let prompts = requests.iter().map(|request| request.prompt.len() as u64).sum();
        let answers = match rates.tokens_per_minute {
            Some(_) => requests.iter().map(|request| expected_tokens(model, request)).fold(0, u64::saturating_add),
            None => 0,
        };
        match state.rates().charge(&charge.tenant, rates, prompts, answers, Instant::now()) {
            Ok((standing, tokens)) => {
                exchange.stands(standing);
                charge.tokens = tokens;
                Ok(charge)
            }
            Err(over) => {
                exchange.stands(over.standing);
                Err(refused(over, charge.tenant, &model.engine, prompts))
            }
        }
    }

    /// The requests have ended and used this many tokens.
    pub fn settle(&self, used: u64) {
        if !self.rates.is_unlimited() {
            self.state.rates().settle(&self.tenant, self.tokens, used, Instant::now());
        }
    }

    /// The requests were refused by the engine.
    pub fn refund(self, exchange: &Exchange) {
        if !self.rates.is_unlimited()
            && let Some(standing) = self.state.rates().refund(&self.tenant, self.tokens, Instant::now())
        {
            exchange.stands(standing);
        }
    }
}

fn refused(over: OverLimit, tenant: String, engine: &Engine, prompts: u64) -> ApiError {
    let OverLimit { unit, limit, retry_after, .. } = over;
    let refusal = Refusal::RateLimited { tenant, unit, limit, retry_after: retry_after.unwrap_or(Duration::ZERO) };
    engine.note_refusal(&refusal);
    if retry_after.is_some() {
        return ApiError::from_refusal(refusal, "prompt");
    }
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        ErrorType::RateLimit,
        "rate_limit_exceeded",
        format!("the prompt has {prompts} tokens, and this tenant may use {limit} {unit}; shorten it"),
        Retry::Never,
    )
}

/// How many tokens the answers to a request will probably have: what the lot has learnt of the tenant's, else the most
/// that they can.
fn expected_tokens(model: &ModelEntry, request: &Request) -> u64 {
    #[cfg(feature = "parking-lot-scheduler")]
    if let Some(lot) = model.engine.parking_lot() {
        // What cannot be priced is refused by the engine in a moment.
        return lot.adapter().price(request).map_or(0, |price| price.expected_tokens);
    }
    let room = model.config.context_length.saturating_sub(request.prompt.len());
    let most = request.max_tokens.map_or(room, |most| most.min(room));
    (most as u64).saturating_mul(request.n as u64)
}
