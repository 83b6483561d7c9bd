//! The book of deeds.

use parkade_store::{Deed, Store};

use super::{on_each, upload};

fn deed(tenant: &str, action: &str, object: &str) -> Deed {
    Deed {
        tenant: tenant.to_owned(),
        actor: tenant.to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        detail: String::new(),
    }
}

async fn actions(store: &Store, tenant: Option<&str>, object: Option<&str>) -> Vec<String> {
    let page = store.audit(tenant, object, None, 100).await.unwrap();
    page.members.into_iter().map(|record| record.deed.action).collect()
}

#[test]
fn a_deed_is_noted_with_what_it_changes_and_not_without() {
    on_each(|store| async move {
        let id = upload(&store, "ada", b"x").await;
        let delete = deed("ada", "file.deleted", "");
        assert!(!store.delete_file("bob", &id, &delete).await.unwrap());
        assert!(actions(&store, Some("ada"), None).await.is_empty(), "nothing was deleted");
        assert!(store.delete_file("ada", &id, &delete).await.unwrap());
        assert!(!store.delete_file("ada", &id, &delete).await.unwrap());
        assert_eq!(
            actions(&store, Some("ada"), Some(&id)).await,
            ["file.deleted"],
            "by the name of what it was done to"
        );
    });
}

#[test]
fn deeds_are_paged_by_tenant_and_object_the_newest_first() {
    on_each(|store| async move {
        for number in 0..25 {
            let tenant = if number % 5 == 0 { "bob" } else { "ada" };
            store.note(&deed(tenant, &format!("{number}"), &format!("object-{}", number % 3))).await.unwrap();
        }
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = store.audit(Some("ada"), None, before, 7).await.unwrap();
            seen.extend(page.members.iter().map(|record| record.deed.action.parse::<u64>().unwrap()));
            before = page.members.last().map(|record| record.id);
            if !page.has_more {
                break;
            }
        }
        let expected: Vec<_> = (0..25).rev().filter(|number| number % 5 != 0).collect();
        assert_eq!(seen, expected);
        assert_eq!(actions(&store, None, Some("object-1")).await.len(), 8);
        assert_eq!(actions(&store, Some("bob"), Some("object-1")).await, ["10"]);
        assert!(actions(&store, Some("eve"), None).await.is_empty());
    });
}

#[test]
fn what_is_pruned_is_noted_itself() {
    on_each(|store| async move {
        for number in 0..5 {
            store.note(&deed("ada", &format!("{number}"), "x")).await.unwrap();
        }
        let newest = store.audit(None, None, None, 1).await.unwrap().members.remove(0);
        let prune = deed("ops", "audit.pruned", "");
        assert_eq!(store.prune_audit(newest.at - 3_600_000, &prune).await.unwrap(), 0);
        assert_eq!(store.prune_audit(newest.at + 3_600_000, &prune).await.unwrap(), 6);
        let left = store.audit(None, None, None, 10).await.unwrap().members;
        assert_eq!(left.len(), 1, "{left:?}");
        let detail = format!(r#"{{"before":{},"deleted":6}}"#, (newest.at + 3_600_000).div_euclid(1000));
        assert_eq!((left[0].deed.action.as_str(), left[0].deed.detail.as_str()), ("audit.pruned", detail.as_str()));
        assert!(left[0].id > newest.id, "numbers are not used again");
    });
}
