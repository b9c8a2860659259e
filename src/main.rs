//! The command: parse, dispatch, and map the outcome to an exit code.
//!
//! 0 succeeded, 1 failed, 2 usage or configuration, 3 refused by policy, 75 busy or held, 130/143 cancelled by
//! SIGINT/SIGTERM. `check` has a monitoring plugin's codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

use std::process::ExitCode;

fn main() -> ExitCode {
    envsyncd::cli::main(std::env::args_os())
}
