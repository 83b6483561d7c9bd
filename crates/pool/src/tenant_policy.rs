//! What one tenant may have. This is the one place where a limit of tenants is named: files, `--print-config` and
//! whoever enforces it take it from here.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::ConfigError;

/// The largest weight of a class or tenant.
pub(crate) const MAX_WEIGHT: u32 = 10_000;

/// Makes the struct, its defaults and the table of its fields.
macro_rules! tenant_policy {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $default:expr,)*) => {
        /// What one tenant may have, and its share among the tenants of a class. `None` is no limit of its own. In files its fields are
        /// written with hyphens, or as whoever reads them says by [`TenantField`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct TenantPolicy {
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl Default for TenantPolicy {
            fn default() -> Self {
                TenantPolicy { $($field: $default,)* }
            }
        }

        impl TenantPolicy {
            /// The names of its fields, with underscores.
            pub const FIELDS: &[&str] = &[$(stringify!($field)),*];

            /// Reads the value of a field that [`TenantField`] gave. False if it is none of these.
            ///
            /// # Errors
            /// If the value is of another kind.
            pub fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<bool, A::Error> {
                match field {
                    $(stringify!($field) => self.$field = map.next_value()?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}

tenant_policy! {
    /// Its share, relative to the weights of others, from 1 to 10000.
    weight: u32 = 1,
    /// The most that may run (or be parked) at once; more have to wait.
    max_running: Option<u64> = None,
    /// The most that may be in flight (waiting, running or parked); more are refused.
    max_concurrent: Option<u64> = None,
    /// The most tasks that may wait.
    max_waiting: Option<u64> = None,
    /// The most prompt and expected answer tokens that may wait.
    max_waiting_tokens: Option<u64> = None,
    /// Prompt and answer tokens per minute. For whoever takes tasks in: no policy looks at it.
    tokens_per_minute: Option<u64> = None,
    /// Tasks per minute. For whoever takes tasks in: no policy looks at it.
    requests_per_minute: Option<u64> = None,
}

impl TenantPolicy {
    /// Whether there is a limit per minute.
    pub fn has_rates(&self) -> bool {
        self.tokens_per_minute.is_some() || self.requests_per_minute.is_some()
    }

    /// Says what makes no sense, by the name that it has in files.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_WEIGHT).contains(&self.weight) {
            return Err(ConfigError::new("weight", self.weight, "use a whole number from 1 to 10000"));
        }
        for (field, limit) in [
            ("max-running", self.max_running),
            ("max-concurrent", self.max_concurrent),
            ("tokens-per-minute", self.tokens_per_minute),
            ("requests-per-minute", self.requests_per_minute),
        ] {
            if limit == Some(0) {
                let remedy = "nothing could ever run; use 1 or more, or leave it out";
                return Err(ConfigError::new(field, 0, remedy));
            }
        }
        Ok(())
    }
}

/// Reads the name of a field: one of a tenant's policy, or of the fields that stand beside it. It gives the name with underscores.
#[derive(Clone, Copy, Debug)]
pub struct TenantField {
    /// The fields beside it, with underscores.
    pub others: &'static [&'static str],
    /// What stands between the words in the file.
    pub between: char,
}

impl<'de> DeserializeSeed<'de> for TenantField {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = || self.others.iter().chain(TenantPolicy::FIELDS).copied();
        let written = |field: &str| field.replace('_', self.between.encode_utf8(&mut [0; 4]));
        known().find(|field| written(field) == name).ok_or_else(|| {
            let all: Vec<String> = known().map(|field| format!("`{}`", written(field))).collect();
            D::Error::custom(format_args!("unknown field `{name}`, expected one of {}", all.join(", ")))
        })
    }
}

impl<'de> Deserialize<'de> for TenantPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = TenantPolicy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of a tenant's limits")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TenantPolicy, A::Error> {
                let mut policy = TenantPolicy::default();
                while let Some(field) = map.next_key_seed(TenantField { others: &[], between: '-' })? {
                    policy.read(field, &mut map)?;
                }
                Ok(policy)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}
