//! The order in which locks are taken, checked in builds with debug assertions.
//!
//! Each thread knows the names of the locks that it holds. When it is about to wait for another one, each of these
//! comes before that: an edge. Edges of all threads are kept for the whole process, and one that closes a circle
//! panics, whether or not threads ever met there. The check is by name: one order for all locks of two names.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::panic::Location;

type Name = &'static str;
type Place = &'static Location<'static>;

/// Where one lock was taken while another was held, when this was seen for the first time.
#[derive(Clone, Copy)]
struct Edge {
    held_at: Place,
    taken_at: Place,
}

/// What one thread holds, in the order of taking, and the edges that it knows to be good.
struct Thread {
    held: Vec<(Name, Place)>,
    known: HashSet<(Name, Name)>,
}

thread_local! {
    static THREAD: RefCell<Thread> = RefCell::new(Thread { held: Vec::new(), known: HashSet::new() });
}

/// All edges: what was taken, by what was held.
type Edges = HashMap<Name, HashMap<Name, Edge>>;

// This cannot be our own lock: it would check itself.
#[expect(clippy::disallowed_types)]
static EDGES: std::sync::LazyLock<parking_lot::Mutex<Edges>> = std::sync::LazyLock::new(Default::default);

/// A wait for a lock of this name begins unless it is free.
///
/// # Panics
/// If this thread holds one of this name, or one that another acquisition took after this name.
#[inline]
#[track_caller]
pub(crate) fn about_to_wait(name: Name) {
    if cfg!(debug_assertions) {
        check(name, false);
    }
}

/// As [`about_to_wait`]; others of this name may be held.
#[inline]
#[track_caller]
pub(crate) fn about_to_wait_nested(name: Name) {
    if cfg!(debug_assertions) {
        check(name, true);
    }
}

/// A lock of this name was taken.
#[inline]
#[track_caller]
pub(crate) fn took(name: Name) {
    if cfg!(debug_assertions) {
        let place = Location::caller();
        // A thread that is ending has no list any more.
        let _ = THREAD.try_with(|thread| thread.borrow_mut().held.push((name, place)));
    }
}

/// A lock of this name is no longer held.
#[inline]
pub(crate) fn gave_back(name: Name) {
    if cfg!(debug_assertions) {
        let _ = THREAD.try_with(|thread| {
            let held = &mut thread.borrow_mut().held;
            if let Some(at) = held.iter().rposition(|(other, _)| *other == name) {
                held.remove(at);
            }
        });
    }
}

#[track_caller]
fn check(name: Name, nested: bool) {
    let place = Location::caller();
    let complaint = THREAD.try_with(|thread| {
        let Thread { held, known } = &mut *thread.borrow_mut();
        held.iter().find_map(|&(before, held_at)| match before == name {
            true if nested => None,
            true => Some(format!(
                "two locks of one name: `{name}` is taken at {place} while one is held since {held_at}; \
                 where all threads take them in one order, `lock_nested` says so"
            )),
            false if known.contains(&(before, name)) => None,
            false => {
                let complaint = learn(before, name, Edge { held_at, taken_at: place });
                known.insert((before, name));
                complaint
            }
        })
    });
    if let Ok(Some(complaint)) = complaint {
        panic!("{complaint}");
    }
}

/// Notes that `name` is taken while `before` is held. What it closes a circle with is the complaint.
fn learn(before: Name, name: Name, edge: Edge) -> Option<String> {
    let mut edges = EDGES.lock();
    if let Some(way) = way(&edges, name, before) {
        let told = |held: Name, taken: Name, edge: Edge| {
            format!("\n  `{taken}` at {} while `{held}` is held since {}", edge.taken_at, edge.held_at)
        };
        let mut complaint = format!("locks are taken in two orders:{}\nagainst", told(before, name, edge));
        way.into_iter().for_each(|(held, taken, edge)| complaint += &told(held, taken, edge));
        return Some(complaint);
    }
    edges.entry(before).or_default().entry(name).or_insert(edge);
    None
}

/// Edges that lead from one name to another, if any do.
fn way(edges: &Edges, from: Name, to: Name) -> Option<Vec<(Name, Name, Edge)>> {
    let mut seen = HashSet::from([from]);
    let mut ways = vec![(from, Vec::new())];
    while let Some((at, way)) = ways.pop() {
        if at == to {
            return Some(way);
        }
        for (&next, &edge) in edges.get(at).into_iter().flatten() {
            if seen.insert(next) {
                ways.push((next, [way.as_slice(), &[(at, next, edge)]].concat()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::{Condvar, Mutex, RwLock};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    /// What a panic says.
    fn complaint(run: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the order is complained about");
        *panic.downcast::<String>().expect("a message")
    }

    #[test]
    fn two_orders_panic_with_both_and_all_names() {
        let (a, b) = (Mutex::new("test.order.a", ()), Mutex::new("test.order.b", ()));
        {
            let _a = a.lock();
            let _b = b.lock();
        }
        let said = complaint(|| {
            let _b = b.lock();
            let _a = a.lock();
        });
        let parts =
            ["`test.order.a` at ", "while `test.order.b` is held", "against", "`test.order.b` at ", "order.rs:"];
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        // The complaint came before the wait, and left nothing held.
        assert!(a.try_lock().is_some() && b.try_lock().is_some());
        let _a = a.lock();
        let _b = b.lock();
    }

    #[test]
    fn a_circle_of_three_is_found_also_when_other_threads_took_the_rest() {
        let names = ["test.order.one", "test.order.two", "test.order.three"];
        let locks = names.map(|name| RwLock::new(name, ()));
        let both = |first: usize, second: usize| {
            let _first = locks[first].read();
            let _second = locks[second].write();
        };
        std::thread::scope(|scope| {
            scope.spawn(|| both(0, 1));
            scope.spawn(|| both(1, 2));
        });
        let said = complaint(|| both(2, 0));
        assert!(names.iter().all(|name| said.contains(name)), "{said}");
    }

    #[test]
    fn two_of_one_name_panic_unless_it_is_said() {
        let (a, b) = (Mutex::new("test.order.same", ()), Mutex::new("test.order.same", ()));
        let said = complaint(|| {
            let _a = a.lock();
            let _b = b.lock();
        });
        assert!(said.contains("two locks of one name: `test.order.same`"), "{said}");
        let _a = a.lock();
        let _b = b.lock_nested();
    }

    #[test]
    fn attempts_do_not_wait_and_are_free_of_the_order() {
        let (a, b) = (Mutex::new("test.order.try.a", ()), Mutex::new("test.order.try.b", ()));
        for (first, second) in [(&a, &b), (&b, &a)] {
            let _first = first.lock();
            assert!(second.try_lock().is_some());
            assert!(second.try_lock_for(Duration::from_secs(1)).is_some());
        }
        // But what an attempt took comes before what is waited for.
        let ordered = || {
            let _a = a.try_lock();
            let _b = b.lock();
        };
        ordered();
        let said = complaint(|| {
            let _b = b.try_lock();
            let _a = a.lock();
        });
        assert!(said.contains("test.order.try.a"), "{said}");
    }

    #[test]
    fn a_waiter_that_is_woken_takes_its_lock_after_what_it_still_holds() {
        let (outer, inner) = (Mutex::new("test.order.outer", ()), Mutex::new("test.order.inner", ()));
        let said = complaint(|| {
            let mut outer = outer.lock();
            let _inner = inner.lock();
            Condvar::new().wait(&mut outer);
        });
        assert!(said.contains("`test.order.outer` at "), "{said}");
    }
}
