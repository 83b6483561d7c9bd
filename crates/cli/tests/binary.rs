//! The binary in the feature set that it was built with; `tests/e2e` has the rest.

use std::process::{Command, Output};

fn parkade(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parkade"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PARKADE_") && name != "PARKADE_HOME") {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").args(arguments).output().expect("the binary starts")
}

#[test]
fn the_default_model_answers_in_this_build() {
    let done = parkade(&["run", "--temperature", "0", "--max-tokens", "16", "-i", "What is 2+2?"]);
    let (answer, log) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{log} (is the model missing? run `make setup`)");
    assert!(answer.contains('4'), "{answer}");
}

#[test]
fn an_unknown_scheduler_is_wrong_usage_in_every_build() {
    let done = parkade(&["serve", "--scheduler", "fair"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("parking-lot"));
}

#[cfg(not(feature = "parking-lot-scheduler"))]
#[test]
fn a_build_without_the_parking_lot_says_so() {
    let done = parkade(&["serve", "--port", "0", "--scheduler", "parking-lot"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("feature parking-lot-scheduler"));
}
