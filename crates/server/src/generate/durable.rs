//! Work that outlives its client: the store, and who does its work here.

use std::time::Duration;

use axum::http::StatusCode;
use parkade_store::{Store, StoreConfig, StoreError};
use tokio::sync::Notify;

use crate::http::{ApiError, Retry};

/// When a store that cannot be reached may be asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// The store of this server, if it has one.
pub(crate) struct Durable {
    store: Option<Store>,
    work: Notify,
}

impl Durable {
    pub fn new(config: Option<StoreConfig>) -> Self {
        Self { store: config.map(Store::new), work: Notify::new() }
    }

    /// The store.
    ///
    /// # Errors
    /// 501 if the server has none.
    pub fn store(&self) -> Result<&Store, ApiError> {
        self.store.as_ref().ok_or_else(|| {
            let message = "this server keeps no work; start it with --store FILE, or --store postgres://…";
            ApiError::new(StatusCode::NOT_IMPLEMENTED, "no_store", message, Retry::Never)
        })
    }

    /// The store, if there is one.
    pub fn any_store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// There is work to be done.
    pub fn wake(&self) {
        self.work.notify_one();
    }

    /// Waits until there may be work.
    pub async fn work(&self) {
        self.work.notified().await;
    }
}

/// What a client is told when the store cannot do what it asks.
pub(crate) fn of_store(error: StoreError) -> ApiError {
    let message = error.to_string();
    match error {
        StoreError::OverQuota { .. } => ApiError::over_limit("storage_quota_exceeded", message, Retry::Never),
        StoreError::Full(_) => {
            tracing::error!(%message, "the store is full");
            ApiError::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "store_full",
                "the disk of the store is full",
                Retry::After(AGAIN),
            )
        }
        error if error.is_passing() => {
            tracing::warn!(%message, "the store cannot be reached");
            ApiError::unavailable("store_unavailable", "the store cannot be reached now", Retry::After(AGAIN))
        }
        _ => {
            tracing::error!(%message, "the store failed");
            ApiError::unavailable("store_unavailable", message, Retry::Never)
        }
    }
}
