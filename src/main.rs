//! The `envsyncd` command.

use std::process::ExitCode;

use envsyncd::cli;
use envsyncd::guard::memory::Telling;

#[global_allocator]
static ALLOCATOR: Telling = Telling;

fn main() -> ExitCode {
    let code = match cli::parse(std::env::args_os()).map(cli::dispatch) {
        // The command line was `--help` or made no sense: that is said already.
        Err(code) | Ok(Ok(code)) => code,
        Ok(Err(error)) => cli::fail(&error),
    };
    ExitCode::from(code)
}
