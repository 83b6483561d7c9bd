//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections that are being served: the model, the log, the event loop's own, and connections that are
/// just being closed.
const BESIDE_CONNECTIONS: u64 = 256;

/// Raises the limit of the process so that so many connections fit, as far as the system lets it. Shells start processes
/// with 1,024 files, which is a limit for programs from before there was `poll`.
pub fn make_room_for(connections: usize) {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(BESIDE_CONNECTIONS);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let possible = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum });
    if raised.is_err() || possible < wanted {
        tracing::warn!(
            connections,
            open_files = possible,
            "there may not be as many connections as configured: raise the limit of open files (ulimit -n), or lower \
             --max-connections"
        );
    }
}
