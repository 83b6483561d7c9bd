//! The `parkade` command.
fn main() {}
