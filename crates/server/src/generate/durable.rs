//! Work that outlives its client: the store, and who does its work here.

use std::time::Duration;

use axum::http::StatusCode;
use parkade_store::{Deed, Node, Store, StoreConfig, StoreError};
use tokio::sync::{Notify, watch};

use crate::access::Identity;
use crate::http::{ApiError, Retry};

/// How long work that is to be done here waits until this process does work.
const PATIENCE: Duration = Duration::from_secs(5);

/// When a store that cannot be reached may be asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// The store of this server, if it has one.
pub(crate) struct Durable {
    store: Option<Store>,
    /// What this process is among those that do work; none as long as it does none.
    node: watch::Sender<Option<Node>>,
    work: Notify,
}

impl Durable {
    pub fn new(config: Option<StoreConfig>) -> Self {
        Self { store: config.map(Store::new), node: watch::Sender::new(None), work: Notify::new() }
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

    /// What this process is among those that do work.
    pub fn node(&self) -> Option<Node> {
        self.node.borrow().clone()
    }

    /// What this process is among those that do work, as soon as it is.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn joined(&self) -> Result<Node, ApiError> {
        if let Some(node) = self.node() {
            return Ok(node);
        }
        self.store()?.open().await.map_err(of_store)?;
        self.wake();
        let mut nodes = self.node.subscribe();
        let joined = tokio::time::timeout(PATIENCE, nodes.wait_for(Option::is_some)).await;
        let node = joined.ok().and_then(|node| node.ok()?.clone());
        let message = "this server does no durable work now";
        node.ok_or_else(|| ApiError::unavailable("store_unavailable", message, Retry::After(AGAIN)))
    }

    /// Comes back when this process does no work as this node any more: what that has claimed is not its own.
    pub async fn lost(&self, node: &Node) {
        // Who sends is there as long as this is.
        let _ = self.node.subscribe().wait_for(|now| now.as_ref() != Some(node)).await;
    }

    /// This process does work as this node from now on, or none.
    pub fn set_node(&self, node: Option<Node>) {
        self.node.send_replace(node);
    }
}

/// What somebody does with something of this name.
pub(crate) fn deed(identity: &Identity, action: &str, object: &str) -> Deed {
    let tenant = identity.owner().unwrap_or_default().to_owned();
    let (action, object) = (action.to_owned(), object.to_owned());
    Deed { actor: tenant.clone(), tenant, action, object, detail: String::new() }
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
