//! Keys, rates and weights together: what can be replaced while everything runs.

use parkade_core::parking_lot::HistoryScope;
use parkade_core::{Limits, TenantPolicy};

use super::keys::ApiKeys;
use super::webhook::{Webhook, WebhookError};

/// Who may ask, and what each may have. [`AppState::set_policy`](crate::AppState::set_policy) puts it in force.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The keys; without them everyone may ask, and the body's `user` is the tenant.
    pub keys: Option<ApiKeys>,
    /// Weights and limits. Its named tenants are the `user`s of a server without keys; a key's own limits win.
    pub limits: Limits,
    /// Where events go whose owner's key names no webhook of its own.
    pub webhook: Option<Webhook>,
    /// Whether webhooks may be in the local network.
    pub allow_private_webhooks: bool,
}

/// A webhook that cannot be used where it is given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The server's own.
    #[error("webhook-url: {0}")]
    Webhook(WebhookError),
    /// A key's.
    #[error("key '{name}' of the keys file: webhook_url: {problem}")]
    KeysWebhook {
        /// The key's name.
        name: String,
        /// What is wrong with it.
        problem: WebhookError,
    },
}

impl Policy {
    /// What holds for a user of a server without keys.
    pub(crate) fn user(&self, tenant: &str) -> &TenantPolicy {
        self.limits.policy(tenant)
    }

    /// Where the events of an owner go; its name is empty where there are no keys.
    pub(crate) fn webhook_of(&self, owner: &str) -> Option<&Webhook> {
        let own = self.keys.as_ref().and_then(|keys| keys.webhook_of(owner));
        own.or(self.webhook.as_ref())
    }

    /// Whether events go anywhere.
    pub(crate) fn has_webhooks(&self) -> bool {
        self.webhook.is_some() || self.keys.as_ref().is_some_and(|keys| keys.webhooks().next().is_some())
    }

    /// Checks that no webhook is in the local network, as far as its address says it, unless that is allowed.
    ///
    /// # Errors
    /// The first one that is.
    pub fn check_webhooks(&self) -> Result<(), PolicyError> {
        if self.allow_private_webhooks {
            return Ok(());
        }
        self.webhook.as_ref().map_or(Ok(()), Webhook::check_public).map_err(PolicyError::Webhook)?;
        for (name, webhook) in self.keys.iter().flat_map(ApiKeys::webhooks) {
            let wrong = |problem| PolicyError::KeysWebhook { name: name.to_owned(), problem };
            webhook.check_public().map_err(wrong)?;
        }
        Ok(())
    }

    /// What the scheduler is told: the limits with the keys among their tenants, and from whose answers it learns.
    pub fn of_scheduler(&self) -> (Limits, HistoryScope) {
        let mut limits = self.limits.clone();
        limits.tenants.extend(self.keys.iter().flat_map(ApiKeys::tenants));
        (limits, if self.keys.is_some() { HistoryScope::Tenant } else { HistoryScope::Everybody })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::hash_key;

    #[test]
    fn the_lots_tenants_are_the_named_ones_and_the_keys() {
        let file = format!(
            "[[key]]\nname = \"ada\"\nkey_sha256 = \"{}\"\nhighest_class = \"high\"\nweight = 7\nmax_concurrent = 2\n",
            hash_key("sk")
        );
        let of = |weight| TenantPolicy { weight, ..TenantPolicy::default() };
        let policy = Policy {
            keys: Some(ApiKeys::parse(&file, Path::new("keys.toml")).expect("valid")),
            limits: Limits {
                tenant: of(2),
                tenants: [("ada".to_owned(), of(3)), ("bob".to_owned(), of(4))].into(),
                ..Limits::default()
            },
            ..Policy::default()
        };
        let (lot, history) = policy.of_scheduler();
        assert_eq!(lot.tenant.weight, 2);
        assert_eq!((lot.tenants["ada"].weight, lot.tenants["ada"].max_concurrent), (7, Some(2)));
        assert_eq!(lot.tenants["bob"].weight, 4);
        assert_eq!(history, HistoryScope::Tenant, "holders of keys are expected to do as they did, not as others do");
        assert_eq!(Policy::default().of_scheduler().1, HistoryScope::Everybody);
        assert_eq!(lot.tenants.len(), 2);
    }
}
