//! Keys, weights and limits: the keys file and the section `[parking-lot]` of the configuration file. They are read at
//! the start and again at SIGHUP.
//!
//! ```toml
//! [parking-lot]
//! class-weights = { low = 1, normal = 4, high = 16, critical = 64 }
//! class-burst = 4096
//! max-waiting-tokens = 1048576
//! max-bypass = 16
//! preempt = true
//!
//! [parking-lot.tenant]            # whoever is not named
//! weight = 1
//! max-concurrent = 100
//! tokens-per-minute = 100000
//!
//! [parking-lot.tenants.ada]       # the user "ada" of a server without keys
//! weight = 4
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parkade_core::EngineError;
use parkade_server::{ApiKeys, KeysError, Policy, Rates, TenantLimits};
use serde::Deserialize;
use toml::Table;

use crate::args::ServeArgs;
use crate::config::{self, ConfigError};

/// The name of the section.
pub const SECTION: &str = "parking-lot";

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The keys file cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The configuration file cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The section has something in it that is not allowed.
    #[error("{}: [{SECTION}]: {message}", path.display())]
    Section {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        message: String,
    },
    /// The engine does not accept it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Reads both files.
///
/// # Errors
/// What is wrong, where, and what to do.
pub fn read(args: &ServeArgs, file: Option<&Path>) -> Result<Policy, PolicyError> {
    let mut policy = Policy::default();
    if let Some(path) = file {
        let table = config::read_table(path)?;
        if let Some(section) = table.get(SECTION).and_then(toml::Value::as_table) {
            let wrong = |message| PolicyError::Section { path: path.to_owned(), message };
            policy = with_section(policy, section).map_err(wrong)?;
        }
    }
    policy.keys = args.listen.api_keys.as_deref().map(ApiKeys::read).transpose()?;
    Ok(policy)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Section {
    class_weights: Option<Weights>,
    class_burst: Option<u64>,
    max_waiting_tokens: Option<u64>,
    max_bypass: Option<u32>,
    preempt: Option<bool>,
    #[serde(default)]
    tenant: Tenant,
    #[serde(default)]
    tenants: HashMap<String, Tenant>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weights {
    low: Option<u32>,
    normal: Option<u32>,
    high: Option<u32>,
    critical: Option<u32>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Tenant {
    weight: Option<u32>,
    max_concurrent: Option<u64>,
    max_waiting: Option<u64>,
    max_waiting_tokens: Option<u64>,
    tokens_per_minute: Option<u64>,
    requests_per_minute: Option<u64>,
}

impl Tenant {
    fn limits(self, place: &str) -> Result<TenantLimits, String> {
        let limits = TenantLimits {
            weight: self.weight.unwrap_or(1),
            max_concurrent: self.max_concurrent,
            max_waiting: self.max_waiting,
            max_waiting_tokens: self.max_waiting_tokens,
            rates: Rates { tokens_per_minute: self.tokens_per_minute, requests_per_minute: self.requests_per_minute },
        };
        let named = |(field, problem, remedy): (&str, String, &str)| {
            format!("{place}.{} {problem}; {remedy}", field.replace('_', "-"))
        };
        limits.check().map_err(named)?;
        Ok(limits)
    }
}

fn with_section(mut policy: Policy, section: &Table) -> Result<Policy, String> {
    let section: Section = section.clone().try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    policy.tenant = section.tenant.limits("tenant")?;
    for (name, tenant) in &section.tenants {
        policy.tenants.insert(name.clone(), tenant.limits(&format!("tenants.{name}"))?);
    }
    weigh(&mut policy, &section)?;
    Ok(policy)
}

#[cfg(feature = "parking-lot-scheduler")]
fn weigh(policy: &mut Policy, section: &Section) -> Result<(), String> {
    let lot = &mut policy.lot;
    if let Some(weights) = section.class_weights {
        let classes = &mut lot.class_weights;
        for (class, weight, place) in [
            ("low", weights.low, &mut classes.low),
            ("normal", weights.normal, &mut classes.normal),
            ("high", weights.high, &mut classes.high),
            ("critical", weights.critical, &mut classes.critical),
        ] {
            match weight {
                None => {}
                Some(weight @ 1..=10_000) => *place = weight,
                Some(weight) => {
                    return Err(format!("class-weights.{class} is {weight}; use a whole number from 1 to 10000"));
                }
            }
        }
    }
    lot.class_burst = section.class_burst.unwrap_or(lot.class_burst);
    lot.max_waiting_tokens = section.max_waiting_tokens.unwrap_or(lot.max_waiting_tokens);
    lot.max_bypass = section.max_bypass.unwrap_or(lot.max_bypass);
    lot.preempt = section.preempt.unwrap_or(lot.preempt);
    Ok(())
}

#[cfg(not(feature = "parking-lot-scheduler"))]
fn weigh(_: &mut Policy, section: &Section) -> Result<(), String> {
    let Section { class_weights, class_burst, max_waiting_tokens, max_bypass, preempt, .. } = section;
    let all = class_weights.map(|Weights { low, normal, high, critical }| [low, normal, high, critical]);
    let any =
        all.is_some() || class_burst.or(*max_waiting_tokens).is_some() || max_bypass.is_some() || preempt.is_some();
    if any {
        return Err("this build has no parking lot to weigh classes in; \
                    build with the feature parking-lot-scheduler, or leave the keys out"
            .to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Policy, String> {
        with_section(Policy::default(), &toml::from_str(text).expect("TOML"))
    }

    #[test]
    fn tenants_have_weights_limits_and_rates() {
        let policy =
            parse("[tenant]\nmax-waiting = 5\n[tenants.ada]\nweight = 4\ntokens-per-minute = 9\n").expect("valid");
        assert_eq!((policy.tenant.weight, policy.tenant.max_waiting), (1, Some(5)));
        let ada = policy.tenants["ada"];
        assert_eq!((ada.weight, ada.rates.tokens_per_minute, ada.max_waiting), (4, Some(9), None));
    }

    #[test]
    fn what_is_not_allowed_is_said_with_its_place_and_the_remedy() {
        for (text, said) in [
            ("[tenants.ada]\nweight = 0", "tenants.ada.weight is 0; use a whole number from 1 to 10000"),
            ("[tenant]\ntokens-per-minute = 0", "tenant.tokens-per-minute is 0"),
            ("colour = 1", "unknown field `colour`, expected one of `class-weights`"),
            ("[tenant]\nspeed = 1", "unknown field `speed`"),
            ("preempt = 1", "invalid type: integer `1`, expected a boolean"),
            ("class-burst = -1", "invalid value: integer `-1`"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[cfg(feature = "parking-lot-scheduler")]
    #[test]
    fn what_the_section_leaves_out_keeps_its_default() {
        let policy = parse("class-weights = { high = 20 }\npreempt = false\nmax-bypass = 3").expect("valid");
        let usual = Policy::default().lot;
        assert_eq!((policy.lot.class_weights.high, policy.lot.class_weights.low), (20, usual.class_weights.low));
        assert_eq!((policy.lot.preempt, policy.lot.max_bypass, policy.lot.class_burst), (false, 3, usual.class_burst));
        let error = parse("class-weights = { low = 10001 }").expect_err("too much");
        assert_eq!(error, "class-weights.low is 10001; use a whole number from 1 to 10000");
    }

    #[cfg(not(feature = "parking-lot-scheduler"))]
    #[test]
    fn a_build_without_the_lot_takes_rates_and_refuses_weights() {
        assert!(parse("[tenant]\ntokens-per-minute = 5").is_ok());
        assert!(parse("class-burst = 5").expect_err("no lot").contains("feature parking-lot-scheduler"));
    }
}
