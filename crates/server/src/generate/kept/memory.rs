//! Answers in memory, within a bound and an age.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parkade_sync::Mutex;

use super::Kept;

/// Answers in memory: the ones that were used last, within a bound and an age.
pub(crate) struct MemoryStore {
    most_bytes: usize,
    age: Duration,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    kept: HashMap<String, Place>,
    /// Ids by when they were used, the longest ago first.
    by_use: BTreeMap<u64, String>,
    bytes: usize,
    /// Bytes of each owner.
    bytes_of: HashMap<Option<String>, usize>,
    /// Counts uses.
    clock: u64,
}

struct Place {
    kept: Arc<Kept>,
    bytes: usize,
    used: u64,
    since: Instant,
}

impl MemoryStore {
    /// For answers of so many bytes together, each for so long after it was used last.
    pub fn new(most_bytes: usize, age: Duration) -> Self {
        Self { most_bytes, age, book: Mutex::new("server.kept", Book::default()) }
    }
}

impl Book {
    fn add(&mut self, kept: Kept, now: Instant) {
        self.remove(&kept.id);
        self.clock += 1;
        let (bytes, used) = (kept.bytes(), self.clock);
        self.bytes += bytes;
        *self.bytes_of.entry(kept.owner.clone()).or_default() += bytes;
        self.by_use.insert(used, kept.id.clone());
        self.kept.insert(kept.id.clone(), Place { bytes, used, since: now, kept: Arc::new(kept) });
    }

    fn use_now(&mut self, id: &str, owner: Option<&str>, now: Instant) -> Option<Arc<Kept>> {
        let place = self.kept.get_mut(id).filter(|place| place.kept.is_owned_by(owner))?;
        self.clock += 1;
        self.by_use.remove(&place.used);
        self.by_use.insert(self.clock, id.to_owned());
        (place.used, place.since) = (self.clock, now);
        Some(Arc::clone(&place.kept))
    }

    fn remove(&mut self, id: &str) -> bool {
        let Some(place) = self.kept.remove(id) else { return false };
        self.by_use.remove(&place.used);
        self.bytes -= place.bytes;
        if let Some(own) = self.bytes_of.get_mut(&place.kept.owner) {
            *own -= place.bytes;
        }
        self.bytes_of.retain(|_, bytes| *bytes > 0);
        true
    }

    /// Forgets what is too old, and until there is room what the owner with the most bytes used the longest ago; but nothing that runs, which is
    /// wanted still.
    fn tidy(&mut self, most_bytes: usize, age: Duration, now: Instant) {
        let is_old = |place: &Place| now.saturating_duration_since(place.since) > age;
        while let Some(id) = self.oldest_idle(None).filter(|(_, place)| is_old(place)).map(|(id, _)| id.clone()) {
            self.remove(&id);
        }
        while self.bytes > most_bytes {
            let heaviest = self.bytes_of.iter().max_by_key(|(_, bytes)| **bytes).map(|(owner, _)| owner);
            let id = self.oldest_idle(heaviest).or_else(|| self.oldest_idle(None)).map(|(id, _)| id.clone());
            let Some(id) = id else { return };
            self.remove(&id);
        }
    }

    /// What does not run and was used the longest ago, of one owner or of all.
    fn oldest_idle(&self, owner: Option<&Option<String>>) -> Option<(&String, &Place)> {
        let mut places = self.by_use.values().filter_map(|id| Some((id, self.kept.get(id)?)));
        places.find(|(_, place)| !place.kept.is_under_way() && owner.is_none_or(|owner| place.kept.owner == *owner))
    }
}

impl MemoryStore {
    /// Keeps an answer, in place of one of the same id.
    pub fn put(&self, kept: Kept) {
        let now = Instant::now();
        let mut book = self.book.lock();
        book.add(kept, now);
        book.tidy(self.most_bytes, self.age, now);
    }

    /// Keeps an answer in place of the one of the same id; false if there is none, which somebody has deleted.
    pub fn replace(&self, kept: Kept) -> bool {
        let now = Instant::now();
        let mut book = self.book.lock();
        let is_there = book.kept.contains_key(&kept.id);
        if is_there {
            book.add(kept, now);
            book.tidy(self.most_bytes, self.age, now);
        }
        is_there
    }

    /// Its events are complete: they count from now on.
    pub fn weigh(&self, id: &str) {
        if let Some(kept) = self.find(id) {
            self.replace(Kept::clone(&kept));
        }
    }

    /// The answer of this id, if `owner` asked for it. Whoever asks for it keeps it alive.
    pub fn get(&self, id: &str, owner: Option<&str>) -> Option<Arc<Kept>> {
        let now = Instant::now();
        let mut book = self.book.lock();
        book.tidy(self.most_bytes, self.age, now);
        book.use_now(id, owner, now)
    }

    /// The answer of this id, whoever asked for it.
    pub fn find(&self, id: &str) -> Option<Arc<Kept>> {
        self.book.lock().kept.get(id).map(|place| Arc::clone(&place.kept))
    }

    /// Forgets it, if `owner` asked for it; false if there was none.
    pub fn remove(&self, id: &str, owner: Option<&str>) -> bool {
        let mut book = self.book.lock();
        let is_own = book.kept.get(id).is_some_and(|place| place.kept.is_owned_by(owner));
        is_own && book.remove(id)
    }

    /// Whether there is an answer that is complete.
    pub fn has_ended(&self) -> bool {
        self.book.lock().oldest_idle(None).is_some()
    }

    /// Forgets it, whoever asked for it.
    pub fn forget(&self, id: &str) {
        self.book.lock().remove(id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{Kind, Progress};
    use super::*;

    fn kept(id: &str, owner: Option<&str>, bytes: usize) -> Kept {
        Kept {
            id: id.to_owned(),
            kind: Kind::Response,
            owner: owner.map(str::to_owned),
            body: Value::from("x".repeat(bytes)),
            items: Value::Null,
            messages: Value::Null,
            events: None,
            progress: Progress::Ended,
        }
    }

    #[test]
    fn what_was_used_first_makes_room() {
        let store = MemoryStore::new(4_000, Duration::from_secs(60));
        for id in ["a", "b", "c"] {
            store.put(kept(id, None, 1000));
        }
        assert!(store.get("a", None).is_some());
        store.put(kept("d", None, 1000));
        let there: Vec<_> = ["a", "b", "c", "d"].into_iter().filter(|id| store.get(id, None).is_some()).collect();
        assert_eq!(there, ["a", "c", "d"]);
        store.put(kept("e", None, 10_000));
        assert!(store.get("e", None).is_none(), "larger than all that is kept");
        assert_eq!(store.book.lock().bytes, 0);
    }

    #[test]
    fn who_keeps_the_most_makes_room() {
        let store = MemoryStore::new(4_000, Duration::from_secs(60));
        store.put(kept("small", Some("ada"), 100));
        for id in ["a", "b", "c", "d", "e"] {
            store.put(kept(id, Some("bob"), 1000));
        }
        assert!(store.get("small", Some("ada")).is_some());
        assert!(store.get("a", Some("bob")).is_none() && store.get("e", Some("bob")).is_some());
    }

    #[test]
    fn each_owner_sees_its_own() {
        let store = MemoryStore::new(10_000, Duration::from_secs(60));
        store.put(kept("a", Some("ada"), 10));
        assert!(store.get("a", Some("bob")).is_none() && store.get("a", None).is_none());
        assert!(!store.remove("a", Some("bob")) && store.get("a", Some("ada")).is_some());
        assert!(store.remove("a", Some("ada")) && store.get("a", Some("ada")).is_none());
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let store = MemoryStore::new(10_000, Duration::ZERO);
        store.put(kept("a", None, 10));
        std::thread::sleep(Duration::from_millis(2));
        assert!(store.get("a", None).is_none());
    }
}
