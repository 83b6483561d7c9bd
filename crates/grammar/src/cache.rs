//! Compiled grammars that are kept, the ones that were used last.

use std::collections::HashMap;
use std::sync::Arc;

/// Values by their text, within a number of bytes; the one goes that was not used for the longest.
pub(crate) struct Cache<T> {
    entries: HashMap<String, Entry<T>>,
    /// Bytes of all entries.
    bytes: usize,
    most: usize,
    /// Counts uses.
    now: u64,
}

struct Entry<T> {
    value: Arc<T>,
    bytes: usize,
    used: u64,
}

impl<T> Cache<T> {
    pub(crate) fn new(most: usize) -> Self {
        Cache { entries: HashMap::new(), bytes: 0, most, now: 0 }
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<Arc<T>> {
        self.now += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.now;
        Some(Arc::clone(&entry.value))
    }

    pub(crate) fn insert(&mut self, key: String, value: Arc<T>, bytes: usize) {
        let bytes = bytes + key.len();
        if bytes > self.most {
            return;
        }
        self.now += 1;
        if let Some(before) = self.entries.insert(key, Entry { value, bytes, used: self.now }) {
            self.bytes -= before.bytes;
        }
        self.bytes += bytes;
        while self.bytes > self.most {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let oldest = oldest.expect("what has bytes has entries");
            self.bytes -= self.entries.remove(&oldest).map_or(0, |entry| entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_is_kept() {
        let mut cache = Cache::new(30);
        cache.insert("a".to_owned(), Arc::new(1), 9);
        cache.insert("b".to_owned(), Arc::new(2), 9);
        cache.insert("c".to_owned(), Arc::new(3), 9);
        assert_eq!(cache.get("a").as_deref(), Some(&1));
        cache.insert("d".to_owned(), Arc::new(4), 9);
        assert_eq!(cache.get("b"), None, "it was not used for the longest");
        assert!(["a", "c", "d"].iter().all(|key| cache.get(key).is_some()));
        cache.insert("e".to_owned(), Arc::new(5), 30);
        assert_eq!(cache.get("e"), None, "it is larger than all that may be kept");
        cache.insert("a".to_owned(), Arc::new(6), 29);
        assert_eq!((cache.entries.len(), cache.bytes), (1, 30));
    }
}
