//! Deeds for the book of what was done: who did what, in the words that `GET /v1/audit` gives.

use parkade_store::Deed;

use crate::access::Identity;

/// Who does what nobody asked for: a batch's end, for example.
const PARKADE: &str = "parkade";

/// Who asks where there are no keys.
const ANYBODY: &str = "anonymous";

/// What a client does to something, such as `file.deleted`.
pub(crate) fn of(identity: &Identity, action: &str, object: &str) -> Deed {
    let owner = identity.owner();
    Deed {
        tenant: owner.unwrap_or_default().to_owned(),
        actor: owner.unwrap_or(ANYBODY).to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        detail: String::new(),
    }
}

/// What the server itself does to something of a tenant's.
pub(crate) fn own(tenant: &str, action: &str, object: &str) -> Deed {
    Deed {
        tenant: tenant.to_owned(),
        actor: PARKADE.to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        detail: String::new(),
    }
}
