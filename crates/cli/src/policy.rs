//! Keys, weights, limits and webhooks: the settings, the keys file and the section `[parking-lot]` of the configuration file. They are read at
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

use std::path::{Path, PathBuf};

use parkade_core::{EngineError, Limits, SchedulerKind};
use parkade_server::{ApiKeys, KeysError, Policy, in_plain_words};
use toml::Table;

use crate::args::ServeArgs;
use crate::config::{self, ConfigError, PARKING_LOT as SECTION};
use crate::webhook::{self, WebhookArgsError};

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
    /// The server's webhook cannot be used.
    #[error(transparent)]
    Webhook(#[from] WebhookArgsError),
    /// A webhook is where none may be.
    #[error(transparent)]
    WebhookPlace(#[from] parkade_server::PolicyError),
    /// The engine does not accept it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The environment variable with further keys, commas between them.
const KEYS_VARIABLE: &str = "PARKADE_API_KEY";

/// Reads both files, and the keys that were given by themselves.
///
/// # Errors
/// What is wrong, where, and what to do.
pub fn read(args: &ServeArgs, file: Option<&Path>) -> Result<Policy, PolicyError> {
    let keys = args.listen.api_keys.as_deref().map(ApiKeys::read).transpose()?;
    let variable = std::env::var(KEYS_VARIABLE).unwrap_or_default();
    let of_variable = variable.split(',').map(str::trim).filter(|key| !key.is_empty());
    let plain: Vec<&str> = args.listen.api_key.iter().map(String::as_str).chain(of_variable).collect();
    let keys = match plain.is_empty() {
        true => keys,
        false => Some(keys.unwrap_or_default().with_plain(&plain)?),
    };
    let policy = Policy {
        keys,
        limits: limits(file)?,
        webhook: webhook::read(&args.webhook, std::env::var(webhook::SECRET_VARIABLE).ok())?,
        allow_private_webhooks: args.webhook.webhook_allow_private,
    };
    policy.check_webhooks()?;
    Ok(policy)
}

fn limits(file: Option<&Path>) -> Result<Limits, PolicyError> {
    let Some(path) = file else { return Ok(Limits::default()) };
    let table = config::read_table(path)?;
    let Some(section) = table.get(SECTION).and_then(toml::Value::as_table) else { return Ok(Limits::default()) };
    limits_in(section).map_err(|message| PolicyError::Section { path: path.to_owned(), message })
}

/// A value of the wrong kind: its key first, and in plain words what it may be.
fn in_words(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let text = text.trim_end();
    let (message, key) = text.rsplit_once("\nin ").map_or((text, None), |(message, key)| (message, Some(key)));
    let message = in_plain_words(message);
    key.map_or_else(|| message.clone(), |key| format!("{key}: {message}"))
}

/// The keys of the section that hold without a parking lot too.
const TENANTS: [&str; 2] = ["tenant", "tenants"];

fn limits_in(section: &Table) -> Result<Limits, String> {
    let limits: Limits = section.clone().try_into().map_err(|error| in_words(&error))?;
    limits.validate().map_err(|error| error.to_string())?;
    if !SchedulerKind::ParkingLot.is_in_this_build() && section.keys().any(|key| !TENANTS.contains(&key.as_str())) {
        return Err("this build has no parking lot to weigh classes in; \
                    build with the feature parking-lot-scheduler, or leave the keys out"
            .to_owned());
    }
    Ok(limits)
}

/// The section as it would have to stand in the configuration file for these limits.
///
/// # Errors
/// If the file has a section that makes no sense.
pub fn as_section(file: Option<&Path>) -> Result<String, PolicyError> {
    Ok(written(&limits(file)?))
}

fn written(limits: &Limits) -> String {
    let mut section = Table::try_from(limits).expect("numbers, strings and tables are all that TOML has");
    section.retain(|key, _| SchedulerKind::ParkingLot.is_in_this_build() || TENANTS.contains(&key));
    let document = Table::from_iter([(SECTION.to_owned(), toml::Value::Table(section))]);
    let text = toml::to_string(&document).expect("a table is a document");
    format!("\n# -- Weights and limits of the parking lot; of tenants a limit that is not here is none --\n{text}")
}

#[cfg(test)]
mod tests {
    use parkade_core::TenantPolicy;

    use super::*;

    fn parse(text: &str) -> Result<Limits, String> {
        limits_in(&toml::from_str(text).expect("TOML"))
    }

    #[test]
    fn tenants_have_weights_limits_and_rates() {
        let limits =
            parse("[tenant]\nmax-waiting = 5\n[tenants.ada]\nweight = 4\ntokens-per-minute = 9\n").expect("valid");
        assert_eq!((limits.tenant.weight, limits.tenant.max_waiting), (1, Some(5)));
        let ada = limits.tenants["ada"];
        assert_eq!((ada.weight, ada.tokens_per_minute, ada.max_waiting), (4, Some(9), None));
    }

    /// A limit is named in one place: the keys file, the section and `--print-config` have it by that.
    #[test]
    fn every_limit_of_a_tenant_is_read_and_written_everywhere() {
        for field in TenantPolicy::FIELDS {
            let key = field.replace('_', "-");
            let limits = parse(&format!("[tenant]\n{key} = 5")).expect(field);
            assert_ne!(limits.tenant, TenantPolicy::default(), "{field}");
            assert!(
                written(&limits).contains(&format!("[parking-lot.tenant]\n{key} = 5\n"))
                    || written(&limits).contains(&format!("[parking-lot.tenant]\nweight = 1\n{key} = 5\n")),
                "{field}"
            );
            let hash = parkade_server::hash_key("sk");
            let file = format!("[[key]]\nname = 'ada'\nkey_sha256 = '{hash}'\nhighest_class = 'low'\n{field} = 5\n");
            let keys = ApiKeys::parse(&file, Path::new("keys.toml")).expect(field);
            assert_eq!(keys.find("sk").expect("known").policy, limits.tenant, "{field}");
        }
        let all = parse(&written(&Limits::default()).replace("parking-lot.", "").replace("[parking-lot]", ""));
        assert!(all.is_ok() || !SchedulerKind::ParkingLot.is_in_this_build());
        assert_eq!(all.unwrap_or_default(), Limits::default(), "what is written can be read");
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
        use parkade_core::Class;
        let limits =
            parse("class-weights = { high = 20 }\npreempt = false\nmax-bypass = 3\nrate-memory = 60").expect("valid");
        let usual = Limits::default();
        assert_eq!(
            (limits.class_weights[Class::High], limits.class_weights[Class::Low]),
            (20, usual.class_weights[Class::Low])
        );
        assert_eq!((limits.preempt, limits.max_bypass, limits.class_burst), (false, 3, usual.class_burst));
        assert_eq!((limits.rate_memory.as_secs(), usual.rate_memory.as_secs()), (60, 10));
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
