//! The `envsyncd` command.

use std::process::ExitCode;

use envsyncd::{cli, process};

fn main() -> ExitCode {
    process::panics::watch();
    ExitCode::from(cli::main(std::env::args_os()))
}
