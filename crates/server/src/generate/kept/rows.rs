//! What an answer is in the store.

use parkade_store::{Answer, AnswerState, NewAnswer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Kept, Kind, Progress};

/// How an owner is called in the store: by the key's name, and by nothing where there are no keys.
pub(crate) fn owner_name(owner: Option<&str>) -> &str {
    owner.unwrap_or_default()
}

/// The name of the answer to a request whose client may go away. Clients choose the ids of their requests, and two of them the same.
pub(crate) fn name_of_detached(owner: Option<&str>, request: &str) -> String {
    let digest = Sha256::new().chain_update(owner_name(owner)).chain_update([0]).chain_update(request).finalize();
    digest[..16].iter().fold("ans_".to_owned(), |name, byte| name + &format!("{byte:02x}"))
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Detached => "detached",
        }
    }

    fn of(name: &str) -> Self {
        if name == Self::Detached.name() { Self::Detached } else { Self::Response }
    }
}

/// An answer as it is put there. `request` is how it was asked for, if it may have to be computed again.
pub(crate) fn new_row(kept: &Kept, request: Option<String>) -> NewAnswer {
    NewAnswer {
        id: kept.id.clone(),
        owner: owner_name(kept.owner.as_deref()).to_owned(),
        kind: kept.kind.name().to_owned(),
        request,
        body: kept.body.to_string(),
        items: kept.items.to_string(),
        messages: kept.messages.to_string(),
    }
}

/// An answer as it was found there.
pub(crate) fn of_row(row: Answer) -> Kept {
    // What this server has written is JSON.
    let value = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    Kept {
        kind: Kind::of(&row.kind),
        owner: Some(row.owner).filter(|owner| !owner.is_empty()),
        body: value(&row.body),
        items: value(&row.items),
        messages: value(&row.messages),
        events: None,
        progress: match row.state {
            AnswerState::Ended => Progress::Ended,
            state => Progress::Elsewhere { is_waiting: state == AnswerState::Waiting },
        },
        id: row.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_owners_have_two_answers_under_one_id() {
        let names = [(None, "a"), (Some("a"), ""), (Some("ada"), "a"), (Some("ad"), "aa"), (Some("bob"), "a")]
            .map(|(owner, id)| name_of_detached(owner, id));
        for (place, name) in names.iter().enumerate() {
            assert!(name.len() == 36 && !names[..place].contains(name), "{name}");
        }
    }
}
