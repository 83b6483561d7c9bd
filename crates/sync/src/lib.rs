//! Named locks over parking_lot that count their own contention.
