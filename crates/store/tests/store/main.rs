//! What the store promises, on SQLite, and on PostgreSQL where `PARKADE_TEST_POSTGRES` names a server.

#![allow(clippy::unwrap_used)]

mod audit;
mod batches;
mod deliveries;
mod files;
mod opening;

use std::future::Future;
use std::time::Duration;

use parkade_store::{Deed, NewFile, Place, Purpose, Store, StoreConfig};
use sqlx::Executor;
use tempfile::TempDir;

/// Runs a test on each kind of database that is there.
fn on_each<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = TempDir::new().unwrap();
    runtime.block_on(test(Store::new(config(Place::Sqlite(folder.path().join("parkade.db"))))));
    if let Ok(server) = std::env::var("PARKADE_TEST_POSTGRES") {
        runtime.block_on(async {
            let database = new_database(&server).await;
            test(Store::new(config(Place::Postgres(database)))).await;
        });
    }
}

fn config(place: Place) -> StoreConfig {
    StoreConfig { lease: Duration::from_secs(60), ..StoreConfig::at(place) }
}

/// A database of its own on a server.
async fn new_database(server: &str) -> String {
    sqlx::any::install_default_drivers();
    let name = format!("parkade_{}", uuid::Uuid::new_v4().simple());
    let pool = sqlx::AnyPool::connect(server).await.expect("PARKADE_TEST_POSTGRES names a server");
    pool.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    pool.close().await;
    let base = server.rfind('/').map_or(server, |at| &server[..at]);
    format!("{base}/{name}")
}

/// A file with this content.
async fn upload(store: &Store, owner: &str, content: &[u8]) -> String {
    let new =
        NewFile { owner: owner.to_owned(), name: "in.jsonl".to_owned(), purpose: Purpose::Batch, expires_after: None };
    let mut writer = store.write_file(new, None).await.unwrap();
    writer.write(content).await.unwrap();
    writer.finish(&Deed::default()).await.unwrap().id
}
