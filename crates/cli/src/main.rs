//! The `parkade` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(parkade::main(std::env::args_os()))
}
