//! Files.

use parkade_store::{Deed, NewFile, Order, Purpose, Retention, Store, StoreConfig, StoreError};

use sha2::{Digest, Sha256};

use super::{on_each, upload};

#[test]
fn a_file_is_read_as_it_was_written() {
    on_each(|store| async move {
        let content: Vec<u8> = (0..5_000_000_u32).map(|place| (place % 251) as u8).collect();
        let id = upload(&store, "ada", &content).await;
        let file = store.file("ada", &id).await.unwrap().expect("it is there");
        assert_eq!((file.bytes, file.name.as_str()), (5_000_000, "in.jsonl"));
        assert_eq!(file.sha256, hex(&Sha256::digest(&content)));
        for (start, length) in [(0, 10), (1_048_570, 20), (0, 5_000_000), (4_999_999, 1), (7, 3_000_000)] {
            let part = store.read_range(&id, start, length).await.unwrap();
            assert_eq!(part, content[start as usize..(start + length) as usize], "{start} {length}");
        }
        assert!(store.read_range(&id, 4_999_999, 2).await.is_err());
        assert!(
            store.file("bob", &id).await.unwrap().is_none()
                && !store.delete_file("bob", &id, &Deed::default()).await.unwrap()
        );
        assert!(
            store.delete_file("ada", &id, &Deed::default()).await.unwrap()
                && store.file("ada", &id).await.unwrap().is_none()
        );
        assert!(store.sweep(&Retention::default()).await.unwrap().is_empty(), "nothing of it is left");
    });
}

#[test]
fn lists_are_paged_in_both_orders() {
    on_each(|store| async move {
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(upload(&store, "ada", b"x").await);
        }
        upload(&store, "bob", b"x").await;
        let mut seen = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = store.files("ada", None, (Order::Descending, after.as_deref(), 2)).await.unwrap();
            seen.extend(page.members.iter().map(|file| file.id.clone()));
            after = seen.last().cloned();
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen.len(), 5);
        let page = store.files("ada", Some(Purpose::Batch), (Order::Ascending, None, 10)).await.unwrap();
        let ascending: Vec<_> = page.members.iter().rev().map(|file| file.id.clone()).collect();
        assert_eq!(ascending, seen);
        let none = store.files("ada", Some(Purpose::BatchOutput), (Order::Ascending, None, 10)).await.unwrap();
        assert!(none.members.is_empty() && !none.has_more);
    });
}

#[test]
fn an_owner_has_a_quota() {
    on_each(|store| async move {
        let small = Store::new(StoreConfig { quota: 3_000_000, ..store.config().clone() });
        upload(&small, "ada", &vec![0; 2_000_000]).await;
        upload(&small, "bob", &vec![0; 2_000_000]).await;
        let new = NewFile { owner: "ada".into(), name: "b".into(), purpose: Purpose::Batch, expires_after: None };
        let mut writer = small.write_file(new, None).await.unwrap();
        let written = writer.write(&vec![0; 2_000_000]).await;
        assert!(matches!(written, Err(StoreError::OverQuota { most: 3_000_000 })), "{written:?}");
    });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
