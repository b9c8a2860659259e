//! The `envsyncd` command.

use std::process::ExitCode;

use envsyncd::guard::memory::Telling;
use envsyncd::{cli, process};

#[global_allocator]
static ALLOCATOR: Telling = Telling;

fn main() -> ExitCode {
    process::panics::watch();
    ExitCode::from(cli::main(std::env::args_os()))
}
