//! Parkade's engine: sequences, KV blocks, prefix cache, sampler, step loop, schedulers.
