//! The places for connections, and who gives one up when all are taken.
//!
//! Whoever waits for the server keeps its place. A connection that waits for its client does not: when a newcomer finds
//! no place, the one that has been idle longest is closed, of the sender that has most of them. And when every place is
//! at work there are still a few from which one can ask how the server is.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parkade_sync::Mutex;
use tokio::time::Instant;

use super::presence::Presence;
use super::sender::Sender;
use crate::http::HttpState;

/// Connections above the limit that may ask how the server is and are told about the limit otherwise.
const PROBES: usize = 64;

/// What a connection may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Admission {
    /// Everything.
    Full,
    /// How the server is, once.
    Probe,
}

impl Admission {
    /// How long a connection may be quiet before it counts as idle: its request may be on its way. Those that probe come
    /// last in any case, and the newest of them is the likeliest to ask something.
    fn quiet(self) -> Duration {
        match self {
            Self::Full => Duration::from_millis(100),
            Self::Probe => Duration::ZERO,
        }
    }
}

/// Paths that say how the server is and nothing else.
const PROBE_PATHS: &[&str] = &["/health", "/health/ready", "/metrics", "/version"];

/// Whether a path only says how the server is.
pub(crate) fn is_probe(path: &str) -> bool {
    PROBE_PATHS.contains(&path)
}

/// Where connections find their places.
pub(crate) struct Door {
    http: Arc<HttpState>,
    limit: usize,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    last: u64,
    taken: HashMap<u64, Taken>,
}

struct Taken {
    sender: Sender,
    admission: Admission,
    presence: Arc<Presence>,
}

/// A connection's place; it is free again when this is dropped.
pub(crate) struct Place {
    door: Arc<Door>,
    number: u64,
    /// What may be asked from it.
    pub admission: Admission,
    /// The connection's phase, which the door heeds.
    pub presence: Arc<Presence>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.places.lock().taken.remove(&self.number);
    }
}

impl Door {
    pub fn new(http: Arc<HttpState>) -> Arc<Self> {
        let limit = http.config.max_connections;
        Arc::new(Self { http, limit, places: Mutex::new("server.door", Places::default()) })
    }

    /// A place for a connection that has come. `None` if all are at work, those for probes included.
    pub fn admit(self: &Arc<Self>, sender: Sender, now: Instant) -> Option<Place> {
        let mut places = self.places.lock();
        let admission =
            [(Admission::Full, self.limit), (Admission::Probe, PROBES)].into_iter().find(|(kind, limit)| {
                let free = places.count(*kind) < *limit;
                free || self.evict(&mut places, *kind, now)
            });
        let Some((admission, _)) = admission else {
            self.http.metrics.refused_connection();
            return None;
        };
        let presence = Presence::new(now);
        places.last += 1;
        let number = places.last;
        places.taken.insert(number, Taken { sender, admission, presence: presence.clone() });
        Some(Place { door: self.clone(), number, admission, presence })
    }

    /// Closes an idle connection because the system has no room for another one. False if there is none.
    pub fn make_room(&self, now: Instant) -> bool {
        let mut places = self.places.lock();
        self.evict(&mut places, Admission::Full, now) || self.evict(&mut places, Admission::Probe, now)
    }

    fn evict(&self, places: &mut Places, kind: Admission, now: Instant) -> bool {
        while let Some(number) = places.idlest(kind, now) {
            // Its request may have come this moment; then it is not idle any more.
            if places.taken.get(&number).is_some_and(|taken| taken.presence.give_up(now)) {
                places.taken.remove(&number);
                self.http.metrics.evicted_connection();
                return true;
            }
        }
        false
    }
}

impl Places {
    fn count(&self, kind: Admission) -> usize {
        self.taken.values().filter(|taken| taken.admission == kind).count()
    }

    /// The one that has been idle longest, of the sender that has most connections.
    fn idlest(&self, kind: Admission, now: Instant) -> Option<u64> {
        let mut connections: HashMap<Sender, usize> = HashMap::new();
        for taken in self.taken.values() {
            *connections.entry(taken.sender).or_default() += 1;
        }
        let idle = self.taken.iter().filter(|(_, taken)| taken.admission == kind).filter_map(|(number, taken)| {
            let since = taken.presence.idle_since(kind.quiet(), now)?;
            Some((Reverse(connections.get(&taken.sender)), since, *number))
        });
        idle.min().map(|(_, _, number)| number)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::presence::Phase;
    use super::*;
    use crate::config::ServerConfig;

    const ADA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn door(max_connections: usize) -> Arc<Door> {
        Door::new(HttpState::new(ServerConfig { max_connections, ..ServerConfig::default() }).expect("valid limits"))
    }

    /// Puts a place at work.
    fn busy(place: &Place) {
        assert!(place.presence.request_begins(false, Instant::now()));
    }

    fn is_given_up(place: &Place) -> bool {
        place.presence.phase() == Phase::GivenUp
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_idlest_of_the_sender_that_has_most() {
        let (door, begin) = (door(4), Instant::now());
        let later = |seconds| begin + Duration::from_secs(seconds);
        let peers = [(BOB, 0), (ADA, 1), (ADA, 2), (ADA, 3)];
        let places = peers.map(|(peer, seconds)| door.admit(peer.into(), later(seconds)).expect("a place"));
        busy(&places[1]);
        let newcomer = door.admit(BOB.into(), later(9)).expect("a place");
        assert_eq!(newcomer.admission, Admission::Full);
        assert_eq!(places.each_ref().map(is_given_up), [false, false, true, false]);
        // Now both have two.
        let _next = door.admit(BOB.into(), later(9)).expect("a place");
        assert_eq!(places.each_ref().map(is_given_up), [true, false, true, false]);
    }

    #[test]
    fn newcomers_of_one_moment_do_not_take_each_others_places() {
        let (door, now) = (door(2), Instant::now());
        let places: Vec<_> = (0..9).map(|_| door.admit(ADA.into(), now).expect("a place")).collect();
        let full = places.iter().filter(|place| place.admission == Admission::Full).count();
        assert_eq!((full, places.iter().filter(|place| is_given_up(place)).count()), (2, 0));
    }

    #[test]
    fn whoever_is_at_work_keeps_its_place_and_a_newcomer_may_only_probe() {
        let (door, now) = (door(2), Instant::now());
        let places = [ADA, BOB].map(|peer| door.admit(peer.into(), now).expect("a place"));
        places.iter().for_each(busy);
        let probes: Vec<_> = (0..PROBES).map(|_| door.admit(BOB.into(), now).expect("a place")).collect();
        assert!(probes.iter().all(|probe| probe.admission == Admission::Probe));
        let later = now + Duration::from_secs(1);
        let next = door.admit(ADA.into(), later).expect("an idle probe gives way");
        assert_eq!(probes.iter().filter(|probe| is_given_up(probe)).count(), 1);
        probes.iter().filter(|probe| !is_given_up(probe)).chain([&next]).for_each(busy);
        assert!(door.admit(ADA.into(), later).is_none());
        drop(places);
        assert_eq!(door.admit(ADA.into(), later).map(|place| place.admission), Some(Admission::Full));
    }
}
