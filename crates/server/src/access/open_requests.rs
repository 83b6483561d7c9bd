//! How many requests one key may have open at the server's door: no key may hold the connections of all others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parkade_sync::Mutex;

use crate::http::{ApiError, Retry};

/// When to come back.
const RETRY: Duration = Duration::from_secs(1);

/// Requests that are open, by key.
pub(crate) struct OpenRequests {
    /// How many connections there are.
    connections: usize,
    by_key: Arc<Mutex<HashMap<String, usize>>>,
}

impl OpenRequests {
    pub fn new(connections: usize) -> Self {
        Self { connections, by_key: Arc::new(Mutex::new("server.open_requests", HashMap::new())) }
    }

    /// Counts a request of a key, which is one of `keys`. A single key may have all connections, one of several half of
    /// them.
    ///
    /// # Errors
    /// 429 if it has as many already.
    pub fn open(&self, key: &str, keys: usize) -> Result<OpenRequest, ApiError> {
        let limit = if keys > 1 { (self.connections / 2).max(1) } else { self.connections };
        let mut by_key = self.by_key.lock();
        let open = by_key.entry(key.to_owned()).or_default();
        if *open >= limit {
            let message = format!(
                "{limit} requests of this key are open, as many as one key may have of {} connections",
                self.connections
            );
            return Err(ApiError::over_limit("rate_limit_exceeded", message, Retry::After(RETRY)));
        }
        *open += 1;
        Ok(OpenRequest { key: key.to_owned(), by_key: self.by_key.clone() })
    }
}

/// A request that is open until this is dropped.
pub(crate) struct OpenRequest {
    key: String,
    by_key: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut by_key = self.by_key.lock();
        match by_key.get_mut(&self.key) {
            Some(open) if *open > 1 => *open -= 1,
            _ => {
                by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_of_several_holds_no_more_than_half_of_the_connections() {
        let requests = OpenRequests::new(4);
        let mut open: Vec<_> = (0..2).map(|_| requests.open("ada", 2).expect("free")).collect();
        let error = requests.open("ada", 2).err().expect("over the half");
        assert_eq!((error.status().as_u16(), error.retry_after_seconds()), (429, Some(1)));
        let _other = requests.open("bob", 2).expect("free");
        open.pop();
        open.push(requests.open("ada", 2).expect("given back"));
        drop(open);
        assert_eq!(requests.by_key.lock().len(), 1);
        let _all: Vec<_> = (0..4).map(|_| requests.open("eve", 1).expect("she is alone")).collect();
        assert!(requests.open("eve", 1).is_err());
    }
}
