//! Keys, weights and limits: the keys file and the section `[parking-lot]` of the configuration file. They are read at
//! the start and again at SIGHUP.
//!
//! ```toml
//! [parking-lot]
//! class-weights = { low = 1, normal = 4, high = 16, critical = 64 }
//! class-burst = 4096
//! waiting-percent = { low = 75, normal = 100, high = 125, critical = 150 }
//! token-prices = { prompt = 1, answer = 2 }
//! max-waiting-tokens = 1048576
//! max-bypass = 16
//! lookahead = 16
//! preempt = true
//! rate-memory = 10                # seconds
//!
//! [parking-lot.tenant]            # whoever is not named
//! weight = 1
//! max-concurrent = 100
//! tokens-per-minute = 100000
//!
//! [parking-lot.tenants.ada]       # the user "ada" of a server without keys
//! weight = 4
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parkade_core::parking_lot::{MAX_WEIGHT, PerClass, TenantPolicy};
use parkade_core::{Class, EngineError, SchedulerKind};
use parkade_server::{ApiKeys, KeysError, Policy, Rates, TenantLimits, in_plain_words};
use serde::{Deserialize, Serialize};
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
    let keys = args.listen.api_keys.as_deref().map(ApiKeys::read).transpose()?;
    Ok(Policy { keys, ..from_file(file)? })
}

fn from_file(file: Option<&Path>) -> Result<Policy, PolicyError> {
    let Some(path) = file else { return Ok(Policy::default()) };
    let table = config::read_table(path)?;
    let Some(section) = table.get(SECTION).and_then(toml::Value::as_table) else { return Ok(Policy::default()) };
    let wrong = |message| PolicyError::Section { path: path.to_owned(), message };
    with_section(Policy::default(), section).map_err(wrong)
}

#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Section {
    class_burst: Option<u64>,
    max_waiting_tokens: Option<u64>,
    max_bypass: Option<u32>,
    lookahead: Option<u32>,
    preempt: Option<bool>,
    rate_memory: Option<u32>,
    // Tables come last, as TOML wants them.
    class_weights: Option<BTreeMap<Class, u32>>,
    waiting_percent: Option<BTreeMap<Class, u32>>,
    token_prices: Option<TokenPrices>,
    #[serde(default)]
    tenant: Tenant,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tenants: BTreeMap<String, Tenant>,
}

#[derive(Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TokenPrices {
    prompt: Option<u32>,
    answer: Option<u32>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Tenant {
    weight: Option<u32>,
    max_running: Option<u64>,
    max_concurrent: Option<u64>,
    max_waiting: Option<u64>,
    max_waiting_tokens: Option<u64>,
    tokens_per_minute: Option<u64>,
    requests_per_minute: Option<u64>,
}

impl Tenant {
    fn limits(self, place: &str) -> Result<TenantLimits, String> {
        let limits = TenantLimits {
            policy: TenantPolicy {
                weight: self.weight.unwrap_or(1),
                max_running: self.max_running,
                max_concurrent: self.max_concurrent,
                max_waiting: self.max_waiting,
                max_waiting_tokens: self.max_waiting_tokens,
            },
            rates: Rates { tokens_per_minute: self.tokens_per_minute, requests_per_minute: self.requests_per_minute },
        };
        let named = |(field, problem, remedy): (&str, String, &str)| {
            format!("{place}.{} {problem}; {remedy}", field.replace('_', "-"))
        };
        limits.check().map_err(named)?;
        Ok(limits)
    }
}

impl From<&TenantLimits> for Tenant {
    fn from(limits: &TenantLimits) -> Self {
        Tenant {
            weight: Some(limits.policy.weight),
            max_running: limits.policy.max_running,
            max_concurrent: limits.policy.max_concurrent,
            max_waiting: limits.policy.max_waiting,
            max_waiting_tokens: limits.policy.max_waiting_tokens,
            tokens_per_minute: limits.rates.tokens_per_minute,
            requests_per_minute: limits.rates.requests_per_minute,
        }
    }
}

/// A value of the wrong kind: its key first, and in plain words what it may be.
fn in_words(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let text = text.trim_end();
    let (message, key) = text.rsplit_once("\nin ").map_or((text, None), |(message, key)| (message, Some(key)));
    let message = in_plain_words(message);
    key.map_or_else(|| message.clone(), |key| format!("{key}: {message}"))
}

fn with_section(mut policy: Policy, section: &Table) -> Result<Policy, String> {
    let section: Section = section.clone().try_into().map_err(|error| in_words(&error))?;
    policy.tenant = section.tenant.limits("tenant")?;
    for (name, tenant) in &section.tenants {
        policy.tenants.insert(name.clone(), tenant.limits(&format!("tenants.{name}"))?);
    }
    weigh(&mut policy, &section)?;
    Ok(policy)
}

/// The section as it would have to stand in the configuration file for this policy.
///
/// # Errors
/// If the file has a section that makes no sense.
pub fn as_section(file: Option<&Path>) -> Result<String, PolicyError> {
    let policy = from_file(file)?;
    let section = Section {
        tenant: Tenant::from(&policy.tenant),
        tenants: policy.tenants.iter().map(|(name, limits)| (name.clone(), Tenant::from(limits))).collect(),
        ..weights(&policy)
    };
    let table = toml::Value::try_from(section).expect("numbers, strings and tables are all that TOML has");
    let text = toml::to_string(&Table::from_iter([(SECTION.to_owned(), table)])).expect("a table is a document");
    Ok(format!("\n# -- Weights and limits of the parking lot; of tenants a limit that is not here is none --\n{text}"))
}

/// Puts a number in its place if it was given and is allowed.
fn set(place: &mut u32, given: Option<u32>, key: &str, allowed: std::ops::RangeInclusive<u32>) -> Result<(), String> {
    match given {
        None => {}
        Some(number) if allowed.contains(&number) => *place = number,
        Some(number) => {
            return Err(format!("{key} is {number}; use a whole number from {} to {}", allowed.start(), allowed.end()));
        }
    }
    Ok(())
}

fn weigh(policy: &mut Policy, section: &Section) -> Result<(), String> {
    let weighs =
        Section { tenant: Tenant::default(), tenants: BTreeMap::new(), ..section.clone() } != Section::default();
    if weighs && !SchedulerKind::ParkingLot.is_in_this_build() {
        return Err("this build has no parking lot to weigh classes in; \
                    build with the feature parking-lot-scheduler, or leave the keys out"
            .to_owned());
    }
    let lot = &mut policy.lot;
    for (given, places, name, allowed) in [
        (&section.class_weights, &mut lot.class_weights, "class-weights", 1..=MAX_WEIGHT),
        // 0: requests of the class start at once or not at all.
        (&section.waiting_percent, &mut lot.waiting_percent, "waiting-percent", 0..=1_000),
    ] {
        for (&class, &number) in given.iter().flatten() {
            set(&mut places[class], Some(number), &format!("{name}.{}", class.name()), allowed.clone())?;
        }
    }
    if let Some(TokenPrices { prompt, answer }) = section.token_prices {
        set(&mut lot.prompt_price, prompt, "token-prices.prompt", 1..=MAX_WEIGHT)?;
        set(&mut lot.answer_price, answer, "token-prices.answer", 1..=MAX_WEIGHT)?;
    }
    set(&mut lot.lookahead, section.lookahead, "lookahead", 1..=10_000)?;
    set(&mut lot.rate_memory_seconds, section.rate_memory, "rate-memory", 1..=3_600)?;
    lot.class_burst = section.class_burst.unwrap_or(lot.class_burst);
    lot.max_waiting_tokens = section.max_waiting_tokens.unwrap_or(lot.max_waiting_tokens);
    lot.max_bypass = section.max_bypass.unwrap_or(lot.max_bypass);
    lot.preempt = section.preempt.unwrap_or(lot.preempt);
    Ok(())
}

/// What a policy says of the lot, as a section.
fn weights(policy: &Policy) -> Section {
    if !SchedulerKind::ParkingLot.is_in_this_build() {
        return Section::default();
    }
    let lot = &policy.lot;
    let by_class = |of: &PerClass<u32>| Some(of.iter().map(|(class, &number)| (class, number)).collect());
    Section {
        class_weights: by_class(&lot.class_weights),
        waiting_percent: by_class(&lot.waiting_percent),
        token_prices: Some(TokenPrices { prompt: Some(lot.prompt_price), answer: Some(lot.answer_price) }),
        class_burst: Some(lot.class_burst),
        max_waiting_tokens: Some(lot.max_waiting_tokens),
        max_bypass: Some(lot.max_bypass),
        lookahead: Some(lot.lookahead),
        preempt: Some(lot.preempt),
        rate_memory: Some(lot.rate_memory_seconds),
        ..Section::default()
    }
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
        assert_eq!((policy.tenant.policy.weight, policy.tenant.policy.max_waiting), (1, Some(5)));
        let ada = policy.tenants["ada"];
        assert_eq!((ada.policy.weight, ada.rates.tokens_per_minute, ada.policy.max_waiting), (4, Some(9), None));
    }

    #[test]
    fn what_is_not_allowed_is_said_with_its_place_and_the_remedy() {
        for (text, said) in [
            ("[tenants.ada]\nweight = 0", "tenants.ada.weight is 0; use a whole number from 1 to 10000"),
            ("[tenant]\ntokens-per-minute = 0", "tenant.tokens-per-minute is 0"),
            ("colour = 1", "unknown field `colour`, expected one of `class-burst`"),
            ("[tenant]\nspeed = 1", "`tenant`: unknown field `speed`"),
            ("preempt = 1", "`preempt`: invalid type: integer `1`, expected a boolean"),
            ("class-burst = -1", "`class-burst`: invalid value: integer `-1`, expected a whole number, 0 or more"),
            (
                "[tenants.ada]\nweight = 4294967296",
                "`tenants.ada.weight`: invalid value: integer `4294967296`, expected a",
            ),
            (
                "[tenant]\nmax-waiting = 'x'",
                "`tenant.max-waiting`: invalid type: string \"x\", expected a whole number",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[cfg(feature = "parking-lot-scheduler")]
    #[test]
    fn what_the_section_leaves_out_keeps_its_default() {
        let policy =
            parse("class-weights = { high = 20 }\npreempt = false\nmax-bypass = 3\nrate-memory = 60").expect("valid");
        let usual = Policy::default().lot;
        assert_eq!(
            (policy.lot.class_weights[Class::High], policy.lot.class_weights[Class::Low]),
            (20, usual.class_weights[Class::Low])
        );
        assert_eq!((policy.lot.preempt, policy.lot.max_bypass, policy.lot.class_burst), (false, 3, usual.class_burst));
        assert_eq!((policy.lot.rate_memory_seconds, usual.rate_memory_seconds), (60, 10));
        for (text, said) in [
            ("class-weights = { low = 10001 }", "class-weights.low is 10001; use a whole number from 1 to 10000"),
            ("waiting-percent = { high = 1001 }", "waiting-percent.high is 1001; use a whole number from 0 to 1000"),
            ("token-prices = { answer = 0 }", "token-prices.answer is 0; use a whole number from 1 to 10000"),
            ("lookahead = 0", "lookahead is 0; use a whole number from 1 to 10000"),
            ("rate-memory = 0", "rate-memory is 0; use a whole number from 1 to 3600"),
        ] {
            assert_eq!(parse(text).expect_err(text), said);
        }
    }

    #[cfg(not(feature = "parking-lot-scheduler"))]
    #[test]
    fn a_build_without_the_lot_takes_rates_and_refuses_weights() {
        assert!(parse("[tenant]\ntokens-per-minute = 5").is_ok());
        assert!(parse("class-burst = 5").expect_err("no lot").contains("feature parking-lot-scheduler"));
    }
}
