//! Events that webhooks are told, in OpenAI's form.

use parkade_store::Delivery;
use serde_json::json;

use super::unix_seconds;
use crate::access::Policy;

/// That something of an owner's has come to a state; none if no webhook is to be told.
pub(crate) fn of(policy: &Policy, owner: &str, kind: &str, id: &str) -> Delivery {
    if policy.webhook_of(owner).is_none() {
        return Delivery::none();
    }
    let event = Delivery::new_id();
    let payload = json!({
        "id": event,
        "object": "event",
        "created_at": unix_seconds(),
        "type": kind,
        "data": {"id": id},
    });
    Delivery { id: event, owner: owner.to_owned(), kind: kind.to_owned(), payload: payload.to_string() }
}
