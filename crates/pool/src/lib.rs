//! The parking lot: admission by price, priorities, deadlines, parking and worker threads.
