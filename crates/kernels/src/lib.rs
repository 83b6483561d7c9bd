//! Quantised matrix products, paged attention, norms and RoPE for CPUs.
