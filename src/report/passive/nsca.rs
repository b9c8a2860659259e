//! NSCA, by its own client: `send_nsca` encrypts, and knows the daemon's versions.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use super::message::{Failure, Message, TRY};
use crate::config::monitoring::Nsca;
use crate::error::{Error, Kind};
use crate::guard::process::{host_name, program};
use crate::secret::redaction::Redaction;

/// NSCA's packets hold 4096 bytes of output (`nsca.h`: MAX_PLUGINOUTPUT_LENGTH); `send_nsca` fails on much more.
const OUTPUT: usize = 4000;

/// One try. The daemon never answers: only `send_nsca`'s own failures are known.
pub(super) async fn send(receiver: &Nsca, message: &Message) -> Result<(), Failure> {
    let name = &receiver.command;
    let mut command = program::other(name);
    command
        .args(arguments(receiver))
        // A Ctrl-C is for the run, which sends its last words with this.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        Failure::for_good(
            Error::new(Kind::Config, format!("`{name}` cannot be started"))
                .because(error)
                .hint("install nsca-client, or name the program with `command` in [nsca]"),
        )
    })?;
    let host = receiver.host_name.clone().unwrap_or_else(host_name);
    let line = line(&host, &receiver.service.of(&message.job), message);
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever ends without reading says why in another way.
        let _ = stdin.write_all(line.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(|error| {
        Failure::for_now(
            Error::new(Kind::Io, format!("waiting for `{name}` failed")).because(error),
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = Redaction::known().text(&String::from_utf8_lossy(&said));
    let said: Vec<&str> = said.lines().map(str::trim).collect();
    let said = said.join(" ");
    let configuration = said.contains("onfig file");
    let error = Error::new(
        Kind::Connection,
        format!(
            "`{name}` could not send to {}, {}: {}",
            receiver.host,
            output.status,
            said.trim()
        ),
    );
    Err(if configuration {
        Failure::for_good(error.hint("see `config` in [nsca], and whether the file may be read"))
    } else {
        Failure::for_now(error.hint("see `host` and `port` in [nsca], and that the daemon runs"))
    })
}

fn arguments(receiver: &Nsca) -> Vec<String> {
    let mut arguments = vec!["-H".to_owned(), receiver.host.clone()];
    if let Some(port) = receiver.port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    // It ends by itself before it is killed, and says why.
    arguments.extend(["-to".to_owned(), (TRY.as_secs() - 1).to_string()]);
    if let Some(config) = &receiver.config {
        arguments.extend(["-c".to_owned(), config.display().to_string()]);
    }
    arguments
}

/// A service's result as `send_nsca` reads it. Newlines in the output are right: the daemon escapes them.
fn line(host: &str, service: &str, message: &Message) -> String {
    let mut output = message.output.clone();
    if !message.perfdata.is_empty() {
        let end = output.find('\n').unwrap_or(output.len());
        output.insert_str(end, &format!(" | {}", message.perfdata.join(" ")));
    }
    let mut end = OUTPUT.min(output.len());
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    output.truncate(end);
    format!("{host}\t{service}\t{}\t{output}\n", message.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(output: &str) -> Message {
        Message {
            job: "shop".into(),
            exit_code: 2,
            output: output.into(),
            perfdata: vec!["'shop age'=3s;;;0".into(), "'shop bytes'=1B".into()],
        }
    }

    #[test]
    fn performance_data_stand_on_the_first_line() {
        assert_eq!(
            line("db2", "envsyncd shop", &message("BAD\ndetails")),
            "db2\tenvsyncd shop\t2\tBAD | 'shop age'=3s;;;0 'shop bytes'=1B\ndetails\n"
        );
    }

    #[test]
    fn what_is_too_long_is_cut_between_letters() {
        let line = line("h", "s", &message(&format!("BAD\n{}", "é".repeat(4000))));
        assert!(line.len() <= OUTPUT + "h\ts\t2\t\n".len());
        assert!(line.ends_with("é\n"), "{line}");
    }
}
