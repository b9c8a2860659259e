//! The `envsyncd` command.

use std::process::ExitCode;

use envsyncd::cli;

fn main() -> ExitCode {
    let code = match cli::parse(std::env::args_os()).map(cli::dispatch) {
        // The command line was `--help` or made no sense: that is said already.
        Err(code) | Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            // Nobody may be listening there any more.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("envsyncd: {error}\n"),
            );
            error.kind().exit_code()
        }
    };
    ExitCode::from(code)
}
