//! Keys, rates and weights together: what can be replaced while everything runs.

use parkade_core::parking_lot::HistoryScope;
use parkade_core::{Limits, TenantPolicy};

use super::keys::ApiKeys;

/// Who may ask, and what each may have. [`AppState::set_policy`](crate::AppState::set_policy) puts it in force.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The keys; without them everyone may ask, and the body's `user` is the tenant.
    pub keys: Option<ApiKeys>,
    /// Weights and limits. Its named tenants are the `user`s of a server without keys; a key's own limits win.
    pub limits: Limits,
}

impl Policy {
    /// What holds for a user of a server without keys.
    pub(crate) fn user(&self, tenant: &str) -> &TenantPolicy {
        self.limits.policy(tenant)
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
