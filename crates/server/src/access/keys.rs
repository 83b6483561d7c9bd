//! The keys file: who may use the server, and what each may have.
//!
//! ```toml
//! [[key]]
//! name = "web-shop"                 # the tenant; it stands in metrics and status answers
//! key_sha256 = "9f86d081884c7d65…"  # 64 hex digits; the key itself stands nowhere
//! highest_class = "high"            # low, normal, high or critical: what it asks for is capped at this
//! default_class = "normal"          # for requests that name no service_tier
//! batch_class = "low"               # of lines of batches
//! operator = false                  # whether it sees all tenants' load in /v1/metrics
//! cache_group = "shop"              # keys of one group share computed prompts; without one each key's are its own
//! weight = 4                        # its share among the tenants of a class
//! max_running = 8                   # requests that run at once; more wait
//! max_concurrent = 32               # requests at once, waiting ones included; more are refused
//! max_waiting = 16                  # requests in line
//! max_waiting_tokens = 100000       # their prompt and expected answer tokens
//! tokens_per_minute = 60000
//! requests_per_minute = 600
//! webhook_url = "https://hooks.example/parkade"    # is told when its batches are over
//! webhook_secret = "whsec_…"        # signs what it is told; a list of the new one and the one before it too
//! ```
//!
//! Only `name`, `key_sha256` and `highest_class` must be there.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parkade_core::{Class, TenantField, TenantPolicy};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use super::text::{in_plain_words, read_text};
use super::webhook::{Webhook, WebhookError};

/// The longest name of a key.
const LONGEST_NAME: usize = 128;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The tenant that it stands for.
    pub name: String,
    /// The highest class that its requests get.
    pub highest_class: Class,
    /// The class of requests that name no tier.
    pub default_class: Class,
    /// The class of lines of its batches.
    pub batch_class: Class,
    /// Whether it sees the load of all tenants in `/v1/metrics`, and not only its own.
    pub operator: bool,
    /// With whom it shares computed prompts: all keys that name the same group. Without one they are its own.
    pub cache_group: Option<String>,
    /// What it may have.
    pub policy: TenantPolicy,
    /// What is told when its batches are over.
    pub webhook: Option<Webhook>,
    digest: KeyDigest,
}

/// The SHA-256 of a key. It is compared in constant time and never printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct KeyDigest([u8; 32]);

impl KeyDigest {
    fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, place) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16).ok()?;
        }
        Some(Self(digest))
    }

    /// Whether both are the same. It takes the same time wherever they differ.
    fn matches(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(&other.0).fold(0, |seen, (a, b)| seen | black_box(a ^ b));
        black_box(differences) == 0
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The SHA-256 of a key in hex, as the keys file wants it.
///
/// ```
/// assert!(parkade_server::hash_key("test").starts_with("9f86d081884c7d65"));
/// ```
#[must_use]
pub fn hash_key(key: &str) -> String {
    KeyDigest::of(key).0.iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
}

/// All keys of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiKeys {
    keys: Vec<Arc<ApiKey>>,
}

/// What is wrong with a keys file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// It cannot be read.
    #[error("cannot read the keys file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is no TOML, or not of this form.
    #[error("{}, line {line}: {message}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there; without the line itself, where somebody may have put a key.
        message: String,
    },
    /// A key that was given by itself cannot be one.
    #[error("API key {number} {problem}")]
    Plain {
        /// Its number among those that were given so, from 1.
        number: usize,
        /// What is wrong with it; not the key itself.
        problem: &'static str,
    },
    /// A value is not allowed.
    #[error("{}: key {number} ('{name}'): {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which entry, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// The field, its value, what is wrong with it, and the remedy.
        problem: String,
    },
    /// It has no keys: nobody could use the server.
    #[error("{}: there is no key in it; add a [[key]] entry, or leave --api-keys out to serve everyone", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Entry>,
}

/// A key as it stands in the file, its fields beside those of its policy.
struct Entry {
    name: String,
    key_sha256: String,
    highest_class: Class,
    default_class: Option<Class>,
    batch_class: Class,
    operator: bool,
    cache_group: Option<String>,
    webhook_url: Option<String>,
    webhook_secret: Option<Secrets>,
    policy: TenantPolicy,
}

/// One secret, or the new one and the one before it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, or a list of two")]
enum Secrets {
    One(String),
    Several(Vec<String>),
}

impl Secrets {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::One(secret) => vec![secret],
            Self::Several(secrets) => secrets.iter().map(String::as_str).collect(),
        }
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            name: String::new(),
            key_sha256: String::new(),
            highest_class: Class::default(),
            default_class: None,
            batch_class: Class::Low,
            operator: false,
            cache_group: None,
            webhook_url: None,
            webhook_secret: None,
            policy: TenantPolicy::default(),
        }
    }
}

impl Entry {
    const FIELDS: &[&str] = &[
        "name",
        "key_sha256",
        "highest_class",
        "default_class",
        "batch_class",
        "operator",
        "cache_group",
        "webhook_url",
        "webhook_secret",
    ];
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of a key's fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let (mut entry, mut missing) = (Entry::default(), vec!["name", "key_sha256", "highest_class"]);
        while let Some(field) = map.next_key_seed(TenantField { others: Entry::FIELDS, between: '_' })? {
            missing.retain(|&other| other != field);
            match field {
                "name" => entry.name = map.next_value()?,
                "key_sha256" => entry.key_sha256 = map.next_value()?,
                "highest_class" => entry.highest_class = map.next_value()?,
                "default_class" => entry.default_class = map.next_value()?,
                "batch_class" => entry.batch_class = map.next_value()?,
                "operator" => entry.operator = map.next_value()?,
                "cache_group" => entry.cache_group = map.next_value()?,
                "webhook_url" => entry.webhook_url = map.next_value()?,
                "webhook_secret" => entry.webhook_secret = map.next_value()?,
                limit => _ = entry.policy.read(limit, &mut map)?,
            }
        }
        missing.first().map_or(Ok(entry), |field| Err(A::Error::missing_field(field)))
    }
}

impl ApiKeys {
    /// Reads a keys file.
    ///
    /// # Errors
    /// With the file, the entry, the field, the value and the remedy.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let text = fs::File::open(path)
            .and_then(read_text)
            .map_err(|source| KeysError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// As [`read`](Self::read), from a text that stood at `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(text: &str, path: &Path) -> Result<Self, KeysError> {
        let file: File = toml::from_str(text).map_err(|error| KeysError::Form {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count()),
            message: in_plain_words(error.message()),
        })?;
        if file.key.is_empty() {
            return Err(KeysError::Empty { path: path.to_owned() });
        }
        let mut keys: Vec<Arc<ApiKey>> = Vec::with_capacity(file.key.len());
        for (place, entry) in file.key.into_iter().enumerate() {
            let name = entry.name.clone();
            let wrong = |problem| KeysError::Value {
                path: path.to_owned(),
                number: place + 1,
                name: name.escape_debug().to_string(),
                problem,
            };
            let key = entry.check().map_err(wrong)?;
            if let Some(other) = keys.iter().position(|other| other.name == key.name) {
                let taken = format!("name is also the name of key {}; give each key a name of its own", other + 1);
                return Err(wrong(taken));
            }
            if let Some(other) = keys.iter().position(|other| other.digest == key.digest) {
                let (number, name) = (other + 1, &keys[other].name);
                return Err(wrong(format!(
                    "key_sha256 is also that of key {number} ('{name}'); give each entry a key of its own"
                )));
            }
            keys.push(Arc::new(key));
        }
        Ok(Self { keys })
    }

    /// With keys that were given by themselves, without an entry in a file: the tenants `key-1`, `key-2` and so on, each with what a key may
    /// have that names no limits.
    ///
    /// # Errors
    /// The number of the first that cannot be a key, and why.
    pub fn with_plain(mut self, keys: &[&str]) -> Result<Self, KeysError> {
        for (place, key) in keys.iter().enumerate() {
            let (name, digest) = (format!("key-{}", place + 1), KeyDigest::of(key));
            let wrong = |problem| KeysError::Plain { number: place + 1, problem };
            if key.is_empty() || key.contains(|letter: char| !letter.is_ascii_graphic()) {
                return Err(wrong(
                    "is empty, or has characters that no header can have; use printable ASCII without spaces",
                ));
            }
            if self.keys.iter().any(|other| other.digest == digest) {
                return Err(wrong("is there twice; give each client a key of its own, or leave one out"));
            }
            if self.keys.iter().any(|other| other.name == name) {
                return Err(wrong("gets a name that a key of the keys file has; name that one otherwise"));
            }
            self.keys.push(Arc::new(ApiKey {
                name,
                highest_class: Class::High,
                default_class: Class::Normal,
                batch_class: Class::Low,
                operator: false,
                cache_group: None,
                policy: TenantPolicy::default(),
                webhook: None,
                digest,
            }));
        }
        Ok(self)
    }

    /// The entry of a key that a client sent. Every entry is looked at, whichever it is.
    pub fn find(&self, sent: &str) -> Option<Arc<ApiKey>> {
        let digest = KeyDigest::of(sent);
        let mut found = None;
        for key in &self.keys {
            if key.digest.matches(&digest) {
                found = Some(key);
            }
        }
        found.cloned()
    }

    /// The entry of this name.
    pub fn named(&self, name: &str) -> Option<Arc<ApiKey>> {
        self.keys.iter().find(|key| key.name == name).cloned()
    }

    /// The webhook of the key of this name, if it has one of its own.
    pub(crate) fn webhook_of(&self, name: &str) -> Option<&Webhook> {
        self.keys.iter().find(|key| key.name == name)?.webhook.as_ref()
    }

    /// Webhooks of keys, with the names of these.
    pub(crate) fn webhooks(&self) -> impl Iterator<Item = (&str, &Webhook)> {
        self.keys.iter().filter_map(|key| Some((key.name.as_str(), key.webhook.as_ref()?)))
    }

    /// What each tenant may have, by name.
    pub fn tenants(&self) -> impl Iterator<Item = (String, TenantPolicy)> + '_ {
        self.keys.iter().map(|key| (key.name.clone(), key.policy))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Entry {
    /// The key, or what is wrong with it: the field, its value and the remedy.
    fn check(self) -> Result<ApiKey, String> {
        check_name("name", &self.name)?;
        if let Some(group) = &self.cache_group {
            check_name("cache_group", group)?;
        }
        // What stands there may be the key itself, put there by mistake: it is not repeated.
        let digest = KeyDigest::from_hex(&self.key_sha256).ok_or_else(|| {
            let bytes = self.key_sha256.len();
            format!(
                "key_sha256 has {bytes} bytes and is not the hex form of a SHA-256; use 64 hex digits, as `parkade hash-key` prints them"
            )
        })?;
        let highest_class = self.highest_class;
        let default_class = self.default_class.unwrap_or(Class::Normal.min(highest_class));
        if default_class > highest_class {
            let (default, highest) = (default_class.name(), highest_class.name());
            return Err(format!(
                "default_class is '{default}', above highest_class '{highest}'; lower it, or raise highest_class"
            ));
        }
        if self.batch_class > highest_class {
            let (batch, highest) = (self.batch_class.name(), highest_class.name());
            return Err(format!(
                "batch_class is '{batch}', above highest_class '{highest}'; lower it, or raise highest_class"
            ));
        }
        self.policy
            .validate()
            .map_err(|error| format!("{} is {}; {}", error.field.replace('-', "_"), error.value, error.remedy))?;
        let webhook = self.webhook()?;
        let Entry { name, batch_class, operator, cache_group, policy, .. } = self;
        Ok(ApiKey { name, highest_class, default_class, batch_class, operator, cache_group, policy, webhook, digest })
    }

    fn webhook(&self) -> Result<Option<Webhook>, String> {
        let (url, secrets) = match (&self.webhook_url, &self.webhook_secret) {
            (None, None) => return Ok(None),
            (Some(url), Some(secrets)) => (url, secrets.all()),
            (Some(_), None) => {
                return Err("webhook_secret is missing; give the secret that signs what webhook_url is told".into());
            }
            (None, Some(_)) => {
                return Err("webhook_url is missing; give it beside webhook_secret, or leave that out".into());
            }
        };
        let webhook = Webhook::new(url, &secrets).map_err(|error| match error {
            WebhookError::Url(problem) => format!("webhook_url: {problem}"),
            WebhookError::Secret(problem) => format!("webhook_secret: {problem}"),
        });
        webhook.map(Some)
    }
}

/// Checks a name of a key or of a group.
fn check_name(field: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        let bytes = name.len();
        return Err(format!(
            "{field} has {bytes} bytes or characters that cannot be shown; use 1 to 128 bytes without control characters"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ApiKeys, KeysError> {
        ApiKeys::parse(text, Path::new("keys.toml"))
    }

    fn entry(name: &str, key: &str, more: &str) -> String {
        format!("[[key]]\nname = \"{name}\"\nkey_sha256 = \"{}\"\nhighest_class = \"high\"\n{more}\n", hash_key(key))
    }

    fn problem(text: &str) -> String {
        parse(text).expect_err("a refused file").to_string()
    }

    #[test]
    fn a_number_of_the_wrong_kind_is_told_by_its_line_and_in_plain_words() {
        for bad in ["-1", "18446744073709551616", "1.5", "'many'", "nan"] {
            let message = problem(&entry("ada", "sk-1", &format!("tokens_per_minute = {bad}")));
            assert!(message.starts_with("keys.toml, line 5: "), "{message}");
            assert!(!message.contains("u64") && !message.contains("i128"), "{message}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_digest_and_others_are_not() {
        let more = "weight = 3\nmax_waiting = 0\ntokens_per_minute = 500";
        let keys =
            parse(&(entry("ada", "sk-1", more) + &entry("bob", "sk-2", "default_class = \"low\""))).expect("valid");
        let ada = keys.find("sk-1").expect("known");
        assert_eq!((ada.name.as_str(), ada.default_class, ada.policy.weight), ("ada", Class::Normal, 3));
        assert_eq!((ada.policy.max_waiting, ada.policy.tokens_per_minute), (Some(0), Some(500)));
        assert_eq!(keys.find("sk-2").expect("known").default_class, Class::Low);
        for wrong in ["sk-3", "", "ada", &hash_key("sk-1")] {
            assert!(keys.find(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn keys_that_are_given_by_themselves_stand_beside_those_of_the_file() {
        let file = parse(&entry("ada", "sk-1", "")).expect("valid");
        let keys = file.clone().with_plain(&["one", "two"]).expect("valid");
        let named = |key| keys.find(key).map(|key| key.name.clone());
        assert_eq!((named("sk-1").as_deref(), named("two").as_deref()), (Some("ada"), Some("key-2")));
        assert_eq!((named("three"), keys.len()), (None, 3));
        for (bad, said) in [("", "is empty"), ("a b", "no header"), ("sk-1", "is there twice")] {
            let error = file.clone().with_plain(&["one", bad]).expect_err(bad).to_string();
            assert!(error.starts_with("API key 2 ") && error.contains(said) && !error.contains("sk-1"), "{error}");
        }
        let taken = parse(&entry("key-1", "sk-1", "")).expect("valid").with_plain(&["one"]);
        assert!(taken.expect_err("a name twice").to_string().contains("name that one otherwise"));
    }

    #[test]
    fn each_fault_is_said_with_entry_field_and_remedy() {
        let good = entry("ada", "sk-1", "");
        let two = |second: &str| problem(&(good.clone() + second));
        assert_eq!(
            two(&entry("ada", "sk-2", "")),
            "keys.toml: key 2 ('ada'): name is also the name of key 1; give each key a name of its own"
        );
        assert!(two(&entry("bob", "sk-1", "")).contains("key 2 ('bob'): key_sha256 is also that of key 1 ('ada')"));
        assert!(two(&entry("bob", "sk-2", "weight = 0")).contains("weight is 0; use a whole number from 1 to 10000"));
        assert!(two(&entry("bob", "sk-2", "tokens_per_minute = 0")).contains("tokens_per_minute is 0"));
        assert!(two(&entry("bob", "sk-2", "default_class = \"critical\"")).contains("above highest_class 'high'"));
        assert!(two(&entry("bob", "sk-2", "batch_class = \"critical\"")).contains("batch_class is 'critical'"));
        assert!(two(&entry("", "sk-2", "")).contains("name has 0 bytes"));
        for group in ["", "a\\nb", &"g".repeat(129)] {
            let said = two(&entry("bob", "sk-2", &format!("cache_group = \"{group}\"")));
            assert!(said.contains("key 2 ('bob'): cache_group has"), "{said}");
        }
        assert!(problem("").contains("there is no key in it"));
        let unknown = two(&entry("bob", "sk-2", "colour = 1"));
        assert!(unknown.contains("line 10: unknown field `colour`, expected one of `name`"), "{unknown}");
        let class = problem(&good.replace("\"high\"", "\"urgent\""));
        assert!(class.contains("line 4") && class.contains("urgent") && class.contains("`critical`"), "{class}");
        let missing = problem(&good.replace("highest_class", "default_class"));
        assert!(missing.contains("highest_class"), "{missing}");
    }

    #[test]
    fn a_key_that_was_written_down_by_mistake_is_not_repeated() {
        for line in ["key_sha256 = \"sk-secret\"", "key = \"sk-secret\"", "sk-secret", "weight = sk-secret"] {
            let text = format!("[[key]]\nname = \"ada\"\nhighest_class = \"low\"\n{line}\n");
            let said = problem(&text);
            assert!(!said.contains("sk-secret"), "{said}");
        }
        let keys = parse(&entry("ada", "sk-1", "")).expect("valid");
        assert!(!format!("{keys:?}").contains(&hash_key("sk-1")[..8]));
    }

    #[test]
    fn hex_is_taken_in_either_case_and_nothing_else_is() {
        let hex = hash_key("a");
        assert_eq!(KeyDigest::from_hex(&hex.to_uppercase()), Some(KeyDigest::of("a")));
        for bad in [&hex[1..], &format!("{hex}0"), &hex.replace(&hex[..1], "g"), &hex.replace(&hex[..1], "ü"), "+1"] {
            assert_eq!(KeyDigest::from_hex(bad), None, "{bad}");
        }
    }
}
