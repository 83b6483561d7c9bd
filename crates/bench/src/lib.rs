//! What `parkade bench` runs.
