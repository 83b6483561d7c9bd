//! What an inference gateway says of a request, in the headers of the Gateway API's inference extension.
//!
//! | header | what it says | what becomes of it |
//! | --- | --- | --- |
//! | `x-gateway-inference-fairness-id` | among whom the pool's time is shared fairly | the tenant, where no API key says it |
//! | `x-gateway-inference-objective` | the name of an `InferenceObjective`, which has a priority in the cluster | the class |
//!
//! The gateway looks priorities up in the cluster and sends their names alone, so a server is told by
//! [`ServerConfig::objectives`](crate::ServerConfig::objectives) what each name means. `low`, `normal` and `high` mean the
//! classes of these names. Another name is the class that the request would have without it, as for the gateway it is
//! the usual priority.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use parkade_core::Class;

use crate::access::user::{MAX_USER_BYTES, is_user};
use crate::http::{ApiError, quote};

pub(crate) const FAIRNESS_ID: &str = "x-gateway-inference-fairness-id";
pub(crate) const OBJECTIVE: &str = "x-gateway-inference-objective";

/// The classes of objectives by their names, beside those that are named as a class is.
pub(crate) type Objectives = BTreeMap<String, Class>;

/// What was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gateway {
    /// The tenant.
    pub tenant: Option<String>,
    /// The class.
    pub class: Option<Class>,
}

impl Gateway {
    /// Nothing.
    pub const NONE: Self = Self { tenant: None, class: None };

    /// Reads the headers. An empty one says nothing.
    ///
    /// # Errors
    /// 400 for a fairness id that can be no tenant's name.
    pub fn from_headers(headers: &HeaderMap, objectives: &Objectives) -> Result<Self, ApiError> {
        let said = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let tenant = said(FAIRNESS_ID).filter(|id| !id.is_empty());
        if let Some(id) = tenant.as_deref().filter(|id| !is_user(id)) {
            let allowed = format!("allowed: at most {MAX_USER_BYTES} bytes without control characters");
            let message = format!("the header {FAIRNESS_ID} is {}; {allowed}", quote(id));
            return Err(ApiError::invalid_value(FAIRNESS_ID, message));
        }
        let class = said(OBJECTIVE).and_then(|name| class_of(&name, objectives));
        Ok(Self { tenant: tenant.map(|id| id.into_owned()), class })
    }
}

fn class_of(objective: &str, objectives: &Objectives) -> Option<Class> {
    let named = || Class::ALL.into_iter().find(|class| class.name() == objective && *class != Class::Critical);
    objectives.get(objective).copied().or_else(named)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn said(name: &'static str, value: &str) -> Result<Gateway, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header"));
        Gateway::from_headers(
            &headers,
            &[("premium".to_owned(), Class::High), ("low".to_owned(), Class::Normal)].into(),
        )
    }

    #[test]
    fn a_fairness_id_is_a_tenant_if_it_can_be_one() {
        let tenant = |value: &str| said(FAIRNESS_ID, value).map(|gateway| gateway.tenant);
        assert_eq!(tenant("team a"), Ok(Some("team a".to_owned())));
        assert_eq!(tenant("Straße"), Ok(Some("Straße".to_owned())));
        assert_eq!(tenant(""), Ok(None));
        for bad in ["a\tb".to_owned(), "x".repeat(257)] {
            let error = tenant(&bad).expect_err("no tenant");
            assert_eq!((error.param(), error.code()), (Some(FAIRNESS_ID), "invalid_value"));
            assert!(error.message().contains("256 bytes"), "{error}");
        }
    }

    #[test]
    fn an_objective_is_the_class_that_it_was_given_or_is_named_as() {
        let class = |value: &str| said(OBJECTIVE, value).expect("no tenant is wrong").class;
        assert_eq!((class("premium"), class("high")), (Some(Class::High), Some(Class::High)));
        assert_eq!(class("low"), Some(Class::Normal), "the operator's word counts");
        assert_eq!(class("normal"), Some(Class::Normal));
        for unknown in ["critical", "High", "somebody's", ""] {
            assert_eq!(class(unknown), None, "{unknown}");
        }
    }
}
