//! The `envsyncd` command.

use std::process::ExitCode;

use envsyncd::cli;

fn main() -> ExitCode {
    let code = match cli::parse(std::env::args_os()).map(cli::dispatch) {
        // The command line was `--help` or made no sense: that is said already.
        Err(code) | Ok(Ok(code)) => code,
        Ok(Err(error)) => cli::fail(&error),
    };
    ExitCode::from(code)
}
