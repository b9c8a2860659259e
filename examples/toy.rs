//! envsyncd with one store more: `docs/developing/a-new-store.md` walks through it, and the tests hold it to the suite that
//! every store has to pass.

mod jsonl;

use std::process::ExitCode;

use envsyncd::store::{Driver, registry};
use envsyncd::{cli, process};

static STORES: &[&dyn Driver] = &[&jsonl::DRIVER];

fn main() -> ExitCode {
    process::panics::watch();
    registry::register(STORES);
    ExitCode::from(cli::main(std::env::args_os()))
}
