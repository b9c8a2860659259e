//! Results that a real NSCA daemon took.

use super::{Shop, failing};
use crate::support::nsca::Nsca;
use crate::support::wait_until;

fn settings(nsca: &Nsca, password: &str) -> String {
    format!(
        "[nsca]\nhost = \"127.0.0.1\"\nport = {}\nconfig = \"{}\"\nhost_name = \"db2\"\n",
        nsca.port(),
        nsca.client_config(password).display()
    )
}

#[test]
fn a_daemon_with_the_same_password_hears_how_runs_ended() {
    let nsca = Nsca::start("sesame");
    let shop = Shop::new(&settings(&nsca, "sesame"));
    let outcome = shop.once().expect(0);
    assert!(
        !outcome.stderr.contains("could not be sent"),
        "{}",
        outcome.stderr
    );
    shop.with(failing);
    shop.once().expect(1);
    wait_until("both results arrived", || nsca.commands().len() == 2);
    let commands = nsca.commands();
    let well = "PROCESS_SERVICE_CHECK_RESULT;db2;envsyncd shop;0;ENVSYNCD OK - shop: last success ";
    assert!(commands[0].contains(well), "{}", commands[0]);
    // Performance data on the first line, then the details, on a line that Nagios parts again.
    assert!(commands[0].contains(" | 'shop age'="), "{}", commands[0]);
    assert!(
        commands[0].contains("\\nOK shop: last success "),
        "{}",
        commands[0]
    );
    let badly =
        "PROCESS_SERVICE_CHECK_RESULT;db2;envsyncd shop;2;ENVSYNCD CRITICAL - shop: failed ";
    assert!(commands[1].contains(badly), "{}", commands[1]);
}

#[test]
fn a_program_or_a_configuration_that_is_not_there_is_a_warning() {
    let nsca = Nsca::start("sesame");
    let right = settings(&nsca, "sesame");
    for (from, to, piece) in [
        (
            "[nsca]\n",
            "[nsca]\ncommand = \"/nonexistent/send_nsca\"\n",
            "install nsca-client",
        ),
        ("send_nsca.cfg", "gone.cfg", "see `config` in [nsca]"),
        (
            "host = \"127.0.0.1\"",
            "host = \"nowhere.invalid\"",
            "could not send to nowhere.invalid",
        ),
    ] {
        let shop = Shop::new(&right.replacen(from, to, 1));
        shop.once()
            .expect(0)
            .says(&["the check result could not be sent", piece]);
    }
    assert!(nsca.commands().is_empty());
}
