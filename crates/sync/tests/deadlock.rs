//! `deadlock::check_deadlock` with `--features deadlock-detection`.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use parkade_sync::{Mutex, deadlock};

#[test]
fn threads_that_wait_for_each_other_are_found() {
    assert!(deadlock::check_deadlock().is_empty());
    // Nested, or else the check of the order would complain before the threads meet.
    let locks = Arc::new(["a", "b"].map(|letter| (letter, Mutex::new("test.deadlock", ()))));
    let both_hold = Arc::new(Barrier::new(2));
    for (first, second) in [(0, 1), (1, 0)] {
        let (locks, both_hold) = (Arc::clone(&locks), Arc::clone(&both_hold));
        std::thread::spawn(move || {
            let _first = locks[first].1.lock();
            both_hold.wait();
            let _second = locks[second].1.lock_nested();
            unreachable!("the other thread never gives {} back", locks[second].0);
        });
    }
    // The two threads are never heard of again.
    loop {
        let found = deadlock::check_deadlock();
        if let [circle] = &found[..] {
            assert_eq!(circle.len(), 2);
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
