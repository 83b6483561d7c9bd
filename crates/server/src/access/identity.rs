//! Who is asking, and what they may ask for.
//!
//! The one place where a request gets its tenant and its class. Without API keys everyone is anonymous: the tenant is
//! the one that a gateway names, else the body's `user`, and the class is the tier that was asked for. With keys the
//! tenant is the key's name, and the class is capped by the key. What a [gateway](super::gateway) says of the class
//! stands above the body. `critical` cannot be asked for: it is only a key's default class.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use parkade_core::{CacheScope, Class};

use crate::access::gateway::Gateway;
use crate::access::{AccessState, ApiKey};
use crate::http::{ApiError, Payer, RequestLog, Sender};

/// Where Anthropic's clients put the key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The tenant of requests that name no `user`.
const ANONYMOUS: &str = "anonymous";

/// The sender of a request, as far as the server knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The key that it holds; none where no keys are configured.
    key: Option<Arc<ApiKey>>,
    gateway: Gateway,
    /// Whether nobody waits for its work: lines of a batch.
    is_offline: bool,
}

impl Identity {
    /// Somebody who has said nothing, to a server without keys.
    pub const ANONYMOUS: Self = Self { key: None, gateway: Gateway::NONE, is_offline: false };

    /// The holder of a key.
    pub fn of_key(key: Arc<ApiKey>) -> Self {
        Self { key: Some(key), ..Self::ANONYMOUS }
    }

    /// The key that it holds.
    pub fn key(&self) -> Option<&ApiKey> {
        self.key.as_deref()
    }

    /// Whose share of the machine the request counts against.
    pub fn tenant(&self, user: Option<&str>) -> String {
        let without_key = || self.gateway.tenant.as_deref().or(user).unwrap_or(ANONYMOUS);
        self.owner().unwrap_or_else(without_key).to_owned()
    }

    /// With whom its requests share computed prompts: with those of the same key, or of its `cache_group` if it names one; without keys with
    /// everybody's. A salt separates inside that.
    pub fn cache_scope(&self, salt: Option<&str>) -> CacheScope {
        let everybody = CacheScope::default();
        let scope = match self.key() {
            None => everybody,
            Some(key) => match &key.cache_group {
                Some(group) => everybody.within("group", group),
                None => everybody.within("key", &key.name),
            },
        };
        match salt {
            Some(salt) => scope.within("salt", salt),
            None => scope,
        }
    }

    /// On whose account bodies from `sender` are held.
    pub fn payer(&self, sender: Option<Sender>) -> Payer {
        match self.owner() {
            Some(key) => Payer::Key(key.to_owned()),
            None => Payer::Address(sender),
        }
    }

    /// The class that is served for the one that was asked for; without that its usual one.
    pub fn class(&self, asked: Option<Class>) -> Class {
        let (usual, highest) = match self.key() {
            None if self.is_offline => (Class::Low, Class::Low),
            None => (Class::Normal, Class::High),
            Some(key) if self.is_offline => (key.batch_class, key.batch_class),
            Some(key) => (key.default_class, key.highest_class),
        };
        self.gateway.class.or(asked).unwrap_or(usual).min(highest)
    }

    /// The same, whose work nobody waits for.
    #[must_use]
    pub(crate) fn offline(&self) -> Self {
        Self { key: self.key.clone(), gateway: Gateway::NONE, is_offline: true }
    }

    /// The tenant that is all it may see; none if it may see what everybody does.
    pub(crate) fn confined_to(&self) -> Option<&str> {
        self.key().filter(|key| !key.operator).map(|key| key.name.as_str())
    }

    /// The key's name, if there is one: what requests of others are told apart by.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.key().map(|key| key.name.as_str())
    }
}

impl<S: Sync> FromRequestParts<S> for Identity
where
    Arc<AccessState>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // What the server asks itself brings its sender along.
        if let Some(identity) = parts.extensions.get::<Self>() {
            return Ok(identity.clone());
        }
        let access = Arc::<AccessState>::from_ref(state);
        let policy = access.policy();
        let gateway = Gateway::from_headers(&parts.headers, &access.objectives)?;
        let Some(keys) = &policy.keys else {
            return Ok(Self { gateway, ..Self::ANONYMOUS });
        };
        let unknown = || ApiError::invalid_api_key("the API key is not known to this server");
        let key = keys.find(sent_key(&parts.headers)?).ok_or_else(unknown)?;
        if let Some(log) = parts.extensions.get::<Arc<RequestLog>>() {
            log.hold(access.open_requests.open(&key.name, keys.len())?);
        }
        Ok(Self { gateway, ..Self::of_key(key) })
    }
}

/// The key that a request carries: `authorization: Bearer KEY`, or `x-api-key: KEY` as Anthropic's clients send it. A
/// proxy may use `authorization` for something of its own, so a key in `x-api-key` counts beside another scheme; of two
/// keys the one in `authorization` does.
fn sent_key(headers: &HeaderMap) -> Result<&str, ApiError> {
    let once = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(ApiError::invalid_api_key(format!("the {name} header is there twice; send it once"))),
            (value, None) => Ok(value.map(|value| value.to_str().unwrap_or_default())),
        }
    };
    let (authorization, api_key) = (once(&header::AUTHORIZATION)?, once(&API_KEY)?);
    let bearer = authorization.and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    match (bearer, api_key, authorization) {
        (Some(key), _, _) => Ok(key),
        (None, Some(key), _) => Ok(key.trim()),
        (None, None, Some(_)) => {
            Err(ApiError::invalid_api_key("the authorization header is not of the form 'Bearer KEY'"))
        }
        (None, None, None) => Err(ApiError::invalid_api_key(
            "this server wants an API key; send the header 'authorization: Bearer KEY' or 'x-api-key: KEY'",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::http::HeaderValue;

    use super::*;
    use crate::access::{ApiKeys, hash_key};

    fn key(classes: &str) -> Identity {
        let file = format!("[[key]]\nname = \"ada\"\nkey_sha256 = \"{}\"\n{classes}\n", hash_key("sk"));
        let keys = ApiKeys::parse(&file, Path::new("keys.toml")).expect("valid");
        Identity::of_key(keys.find("sk").expect("known"))
    }

    #[test]
    fn a_key_caps_what_is_asked_for_and_gives_what_is_not() {
        let low = key("highest_class = \"low\"");
        assert!(
            [None, Some(Class::Low), Some(Class::Normal), Some(Class::High)]
                .iter()
                .all(|asked| low.class(*asked) == Class::Low)
        );
        let critical = key("highest_class = \"critical\"\ndefault_class = \"critical\"");
        assert_eq!(critical.class(None), Class::Critical);
        assert_eq!(critical.class(Some(Class::High)), Class::High, "critical cannot be asked for");
        assert_eq!(critical.class(Some(Class::Normal)), Class::Normal);
        assert_eq!(key("highest_class = \"critical\"").class(None), Class::Normal);
        assert_eq!(key("highest_class = \"high\"").offline().class(Some(Class::High)), Class::Low);
        let urgent = key("highest_class = \"high\"\nbatch_class = \"normal\"").offline();
        assert_eq!((urgent.class(None), urgent.class(Some(Class::Low))), (Class::Normal, Class::Low));
    }

    #[test]
    fn the_tenant_is_the_key_then_the_user_then_everyone() {
        assert_eq!(Identity::ANONYMOUS.tenant(Some("ada")), "ada");
        assert_eq!(Identity::ANONYMOUS.tenant(None), ANONYMOUS);
        assert_eq!(key("highest_class = \"low\"").tenant(Some("somebody else")), "ada");
    }

    #[test]
    fn what_a_gateway_says_stands_above_the_body_and_below_the_key() {
        let said = Gateway { tenant: Some("team".to_owned()), class: Some(Class::Low) };
        let without_key = Identity { gateway: said.clone(), ..Identity::ANONYMOUS };
        assert_eq!(without_key.tenant(Some("ada")), "team");
        assert_eq!(without_key.class(Some(Class::High)), Class::Low);
        let with_key = Identity { gateway: said.clone(), ..key("highest_class = \"high\"") };
        assert_eq!((with_key.tenant(None).as_str(), with_key.class(None)), ("ada", Class::Low));
        let high = Gateway { class: Some(Class::High), ..said };
        let capped = Identity { gateway: high, ..key("highest_class = \"normal\"") };
        assert_eq!(capped.class(None), Class::Normal, "a header is no way around a key");
    }

    #[test]
    fn prompts_are_shared_by_key_or_by_group_and_never_across_salts() {
        let named = |name: &str, group: &str| {
            let file = format!(
                "[[key]]\nname = \"{name}\"\nkey_sha256 = \"{}\"\nhighest_class = \"low\"\n{group}\n",
                hash_key("sk")
            );
            let keys = ApiKeys::parse(&file, Path::new("keys.toml")).expect("valid");
            Identity::of_key(keys.find("sk").expect("known"))
        };
        let (ada, bob) = (named("ada", ""), named("bob", ""));
        let (cat, dan) = (named("cat", "cache_group = \"ada\""), named("dan", "cache_group = \"ada\""));
        assert_eq!(cat.cache_scope(None), dan.cache_scope(None));
        let apart = [
            ada.cache_scope(None),
            bob.cache_scope(None),
            cat.cache_scope(None),
            Identity::ANONYMOUS.cache_scope(None),
        ];
        let salted = [&ada, &bob, &cat, &Identity::ANONYMOUS].map(|who| who.cache_scope(Some("ada")));
        let all: Vec<_> = apart.iter().chain(&salted).collect();
        for (place, scope) in all.iter().enumerate() {
            assert!(!all[..place].contains(scope), "{scope:?} is shared");
        }
        assert_eq!(cat.cache_scope(Some("s")), dan.cache_scope(Some("s")), "a salt is honoured inside the group");
        assert_ne!(cat.cache_scope(Some("s")), dan.cache_scope(Some("t")));
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        let with = |sent: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, HeaderValue::from_static(value));
            }
            sent_key(&headers).map(str::to_owned)
        };
        let (authorization, api_key) = ("authorization", "x-api-key");
        assert_eq!(with(&[(authorization, "Bearer sk-1")]).as_deref(), Ok("sk-1"));
        assert_eq!(with(&[(authorization, "bearer  sk-1 ")]).as_deref(), Ok("sk-1"));
        assert_eq!(with(&[(api_key, " sk-1 ")]).as_deref(), Ok("sk-1"));
        assert_eq!(with(&[(api_key, "sk-2"), (authorization, "Bearer sk-1")]).as_deref(), Ok("sk-1"));
        assert_eq!(with(&[(api_key, "sk-1"), (authorization, "Basic sk-2")]).as_deref(), Ok("sk-1"));
        for bad in [
            &[(authorization, "sk-1")][..],
            &[(authorization, "Basic sk-1")],
            &[(authorization, "")],
            &[(authorization, "Bearer sk-1"), (authorization, "Bearer sk-1")],
            &[(api_key, "sk-1"), (api_key, "sk-1")],
            &[],
        ] {
            let error = with(bad).expect_err("no key");
            assert!(!error.message().contains("sk-1"), "{error}");
        }
    }
}
