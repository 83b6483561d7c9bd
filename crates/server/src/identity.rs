//! Who is asking, and what they may ask for.
//!
//! The one place where a request gets its tenant and its class. Without API keys everyone is anonymous: the tenant is
//! the body's `user`, and the class is the tier that was asked for.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use parkade_core::Priority;

use crate::errors::ApiError;
use crate::state::AppState;

/// The tenant of requests that name no `user`.
const ANONYMOUS: &str = "anonymous";

/// The sender of a request, as far as the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// No keys are configured.
    Anonymous,
}

impl Identity {
    /// Whose share of the machine the request counts against.
    pub fn tenant(&self, user: Option<&str>) -> String {
        match self {
            Self::Anonymous => user.unwrap_or(ANONYMOUS).to_owned(),
        }
    }

    /// The class that is served for a tier.
    pub fn class(&self, tier: ServiceTier) -> Priority {
        match (self, tier) {
            (Self::Anonymous, ServiceTier::Flex) => Priority::Low,
            (Self::Anonymous, ServiceTier::Default) => Priority::Normal,
            (Self::Anonymous, ServiceTier::Priority) => Priority::High,
        }
    }
}

impl FromRequestParts<AppState> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        Ok(Self::Anonymous)
    }
}

/// OpenAI's `service_tier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceTier {
    /// Cheap and patient.
    Flex,
    /// What most requests are; `auto` means it too.
    Default,
    /// Ahead of the others.
    Priority,
}

impl ServiceTier {
    /// The words that a request may use.
    pub const WORDS: &[(&str, Self)] =
        &[("auto", Self::Default), ("default", Self::Default), ("flex", Self::Flex), ("priority", Self::Priority)];

    /// The tier that a class is reported as.
    pub fn served(class: Priority) -> &'static str {
        match class {
            Priority::Low => "flex",
            Priority::Normal => "default",
            Priority::High | Priority::Critical => "priority",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_reported_as_it_was_served() {
        for (asked, reported) in
            [("auto", "default"), ("default", "default"), ("flex", "flex"), ("priority", "priority")]
        {
            let (_, tier) = ServiceTier::WORDS.iter().find(|(word, _)| *word == asked).expect("a known word");
            let class = Identity::Anonymous.class(*tier);
            assert_eq!(ServiceTier::served(class), reported);
        }
    }

    #[test]
    fn the_tenant_is_the_user_or_everyone_without_one() {
        assert_eq!(Identity::Anonymous.tenant(Some("ada")), "ada");
        assert_eq!(Identity::Anonymous.tenant(None), ANONYMOUS);
    }
}
