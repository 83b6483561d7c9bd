//! What is said of a request beside the fields of OpenAI's API: its name, for whom it runs, and how soon.

use std::time::Duration;

use parkade_core::{Class, Request, RequestId};
use parkade_server::{ApiError, is_request_id, is_user};
use serde_json::{Map, Value};

/// Characters of a wrong value that an error shows.
const MOST_SHOWN: usize = 80;

/// How a request is scheduled; what is not said stays as it is.
pub(crate) struct Scheduling {
    id: Option<String>,
    tenant: Option<String>,
    class: Option<Class>,
    timeout: Option<Duration>,
    ttft_slo: Option<Duration>,
}

impl Scheduling {
    /// Takes its fields out of a body.
    ///
    /// # Errors
    /// The field that is at fault.
    pub fn take(body: &mut Map<String, Value>) -> Result<Scheduling, ApiError> {
        let name =
            |fits: fn(&str) -> bool| move |value: &Value| value.as_str().filter(|text| fits(text)).map(str::to_owned);
        // As the server takes them from `x-request-id` and `user`.
        let (id, tenant) = (name(is_request_id), name(|text| !text.is_empty() && is_user(text)));
        let class = |value: &Value| Class::ALL.into_iter().find(|class| value == class.name());
        let time = |value: &Value| Duration::try_from_secs_f64(value.as_f64()?).ok().filter(|time| !time.is_zero());
        Ok(Scheduling {
            id: take(body, "request_id", "1 to 128 visible characters of ASCII", id)?,
            tenant: take(body, "tenant", "1 to 256 bytes without control characters", tenant)?,
            class: take(body, "priority_class", "'low', 'normal', 'high' or 'critical'", class)?,
            timeout: take(body, "timeout", "seconds, more than 0", time)?,
            ttft_slo: take(body, "first_token_timeout", "seconds, more than 0", time)?,
        })
    }

    /// Puts them into a request.
    pub fn apply(&self, request: &mut Request) {
        if let Some(id) = &self.id {
            request.id = RequestId(id.clone());
        }
        if let Some(tenant) = &self.tenant {
            request.tenant.clone_from(tenant);
        }
        request.class = self.class.unwrap_or(request.class);
        request.timeout = self.timeout;
        request.ttft_slo = self.ttft_slo;
    }
}

/// A field's meaning; `null` counts as absent.
fn take<T>(
    body: &mut Map<String, Value>,
    field: &'static str,
    allowed: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    match body.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read(&value) {
            Some(meaning) => Ok(Some(meaning)),
            None => {
                let shown: String = value.to_string().chars().take(MOST_SHOWN).collect();
                Err(ApiError::invalid_value(field, format!("{field} is {shown}; allowed: {allowed}")))
            }
        },
    }
}
