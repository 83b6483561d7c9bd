//! The locks that are compared, behind one interface.

use std::ops::{Deref, DerefMut};

/// Whose lock it is, in the order of the tables.
pub(super) const SIDES: [&str; 3] = ["std", "parking_lot", "parkade"];

/// A lock around a number. A mutex is the same for readers and writers.
pub(super) trait Lock: Send + Sync {
    fn new() -> Self;
    fn read(&self) -> impl Deref<Target = u64>;
    fn write(&self) -> impl DerefMut<Target = u64>;
}

// The one place where they are compared.
#[expect(clippy::disallowed_types)]
mod others {
    pub(in super::super) type StdMutex<T> = std::sync::Mutex<T>;
    pub(in super::super) type StdRwLock<T> = std::sync::RwLock<T>;
    pub(in super::super) type ParkingLotMutex<T> = parking_lot::Mutex<T>;
    pub(in super::super) type ParkingLotRwLock<T> = parking_lot::RwLock<T>;
}
pub(super) use others::*;
pub(super) use parkade_sync::{Mutex as ParkadeMutex, RwLock as ParkadeRwLock};

macro_rules! lock {
    ($lock:ty, $new:expr, $read:ident, $write:ident $(, $expect:ident)?) => {
        impl Lock for $lock {
            fn new() -> Self {
                $new(0)
            }

            #[inline(always)]
            fn read(&self) -> impl Deref<Target = u64> {
                Self::$read(self)$(.$expect("no section panics"))?
            }

            #[inline(always)]
            fn write(&self) -> impl DerefMut<Target = u64> {
                Self::$write(self)$(.$expect("no section panics"))?
            }
        }
    };
}

lock!(StdMutex<u64>, Self::new, lock, lock, expect);
lock!(StdRwLock<u64>, Self::new, read, write, expect);
lock!(ParkingLotMutex<u64>, Self::new, lock, lock);
lock!(ParkingLotRwLock<u64>, Self::new, read, write);
lock!(ParkadeMutex<u64>, |value| Self::new("bench.mutex", value), lock, lock);
lock!(ParkadeRwLock<u64>, |value| Self::new("bench.rwlock", value), read, write);
