//! Opening a store.

use parkade_store::{Place, Store, StoreError};
use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;

use super::{config, new_database};

#[tokio::test]
async fn nothing_is_made_before_something_is_asked() {
    let folder = TempDir::new().unwrap();
    let store = Store::new(config(Place::Sqlite(folder.path().join("deep/er/parkade.db"))));
    assert!(!store.may_have_work() && folder.path().read_dir().unwrap().next().is_none());
    store.open().await.unwrap();
    assert!(store.may_have_work() && folder.path().join("deep/er/parkade.db").exists());
}

#[tokio::test]
async fn odd_characters_in_a_path_are_kept() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a b?c=d#e%20é.db");
    Store::new(config(Place::Sqlite(path.clone()))).open().await.unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn a_file_is_for_one_process() {
    let folder = TempDir::new().unwrap();
    let place = Place::Sqlite(folder.path().join("parkade.db"));
    let first = Store::new(config(place.clone()));
    first.open().await.unwrap();
    let second = Store::new(config(place)).open().await;
    assert!(matches!(second, Err(StoreError::InUse(_))), "{second:?}");
}

#[tokio::test]
async fn what_is_no_database_is_damaged_and_stays_as_it_is() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("parkade.db");
    std::fs::write(&path, "x".repeat(10_000)).unwrap();
    let opened = Store::new(config(Place::Sqlite(path.clone()))).open().await;
    assert!(matches!(opened, Err(StoreError::Damaged(_))), "{opened:?}");
    assert_eq!(std::fs::read(&path).unwrap().len(), 10_000);
}

#[tokio::test]
async fn a_place_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let opened = Store::new(config(Place::Sqlite(folder.path().join("file/parkade.db")))).open().await;
    let why = opened.expect_err("a file is no folder").to_string();
    assert!(why.contains("file/parkade.db"), "{why}");
    let nobody = Place::Postgres("postgres://ada:s3cret@127.0.0.1:1/parkade".to_owned());
    let why = Store::new(config(nobody)).open().await.expect_err("nobody listens").to_string();
    assert!(!why.contains("s3cret"), "{why}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    sqlx::any::install_default_drivers();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("parkade.db");
    let mut urls = vec![(Place::Sqlite(path.clone()), format!("sqlite://{}", path.display()))];
    if let Ok(server) = std::env::var("PARKADE_TEST_POSTGRES") {
        let database = new_database(&server).await;
        urls.push((Place::Postgres(database.clone()), database));
    }
    for (place, url) in urls {
        let store = Store::new(config(place.clone()));
        store.open().await.unwrap();
        store.close().await;
        drop(store);
        let pool = sqlx::AnyPool::connect(&url).await.unwrap();
        pool.execute(AssertSqlSafe("INSERT INTO parkade_schema (version) VALUES (1000)")).await.unwrap();
        pool.close().await;
        let opened = Store::new(config(place)).open().await;
        assert!(matches!(opened, Err(StoreError::Newer { found: 1000, .. })), "{opened:?}");
    }
}
