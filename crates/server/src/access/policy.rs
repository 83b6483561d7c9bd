//! Keys, rates and weights together: what can be replaced while everything runs.

use std::collections::HashMap;

use parkade_core::parking_lot::{HistoryScope, LotSettings};

use super::keys::{ApiKeys, TenantLimits};
use super::rates::Rates;

/// Who may ask, and what each may have. [`AppState::set_policy`](crate::AppState::set_policy) puts it in force.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The keys; without them everyone may ask, and the body's `user` is the tenant.
    pub keys: Option<ApiKeys>,
    /// What holds for tenants that are not named.
    pub tenant: TenantLimits,
    /// What holds for tenants by name: the `user`s of a server without keys. A key's own limits win.
    pub tenants: HashMap<String, TenantLimits>,
    /// The parking lot's weights and limits. Its tenants are those above and the keys.
    pub lot: LotSettings,
}

impl Policy {
    /// A tenant's rates.
    pub(crate) fn rates(&self, tenant: &str) -> Rates {
        self.tenants.get(tenant).unwrap_or(&self.tenant).rates
    }

    /// The lot's settings with all tenants in them.
    pub fn lot_settings(&self) -> LotSettings {
        let mut settings = self.lot.clone();
        settings.tenant = self.tenant.policy;
        if self.keys.is_some() {
            settings.history = HistoryScope::Tenant;
        }
        let keys = self.keys.as_ref().map(ApiKeys::tenants).unwrap_or_default();
        for (name, limits) in self.tenants.iter().map(|(name, limits)| (name.clone(), *limits)).chain(keys) {
            settings.tenants.insert(name, limits.policy);
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use parkade_core::parking_lot::TenantPolicy;

    use super::*;
    use crate::hash_key;

    #[test]
    fn the_lots_tenants_are_the_named_ones_and_the_keys() {
        let file = format!(
            "[[key]]\nname = \"ada\"\nkey_sha256 = \"{}\"\nhighest_class = \"high\"\nweight = 7\nmax_concurrent = 2\n",
            hash_key("sk")
        );
        let limits = |weight| TenantLimits {
            policy: TenantPolicy { weight, ..TenantPolicy::default() },
            ..TenantLimits::default()
        };
        let policy = Policy {
            keys: Some(ApiKeys::parse(&file, Path::new("keys.toml")).expect("valid")),
            tenant: limits(2),
            tenants: HashMap::from([("ada".to_owned(), limits(3)), ("bob".to_owned(), limits(4))]),
            ..Policy::default()
        };
        let lot = policy.lot_settings();
        assert_eq!(lot.tenant.weight, 2);
        assert_eq!((lot.tenants["ada"].weight, lot.tenants["ada"].max_concurrent), (7, Some(2)));
        assert_eq!(lot.tenants["bob"].weight, 4);
        assert_eq!(
            lot.history,
            HistoryScope::Tenant,
            "holders of keys are expected to do as they did, not as others do"
        );
        assert_eq!(Policy::default().lot_settings().history, HistoryScope::Everybody);
        assert_eq!(lot.tenants.len(), 2);
    }
}
