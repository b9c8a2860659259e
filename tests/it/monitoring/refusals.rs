//! What can go wrong with Icinga 2: a run never fails for it, and its log says what to do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::Shop;
use crate::support::hostile::http::Answer;
use crate::support::hostile::icinga::Icinga as Hostile;
use crate::support::icinga::{Icinga, PASSWORD, Site};
use crate::support::job::Outcome;
use crate::support::postgres::free_port;

/// Of `db2`, only `shop` is as it should be; `db4` is down for Icinga.
const OBJECTS: &str = r#"
object Host "db2" { check_command = "dummy"; vars.envsyncd_jobs["shop"] = { } }
object Host "db3" { check_command = "dummy" }
object Service "envsyncd shop" {
  import "envsyncd-passive"
  host_name = "db3"
  enable_passive_checks = false
}
object Host "db4" {
  check_command = "dummy"
  enable_active_checks = false
}
object Service "gate" {
  host_name = "db4"
  check_command = "dummy"
  vars.dummy_state = 2
  max_check_attempts = 1
}
object Service "envsyncd shop" {
  import "envsyncd-passive"
  host_name = "db4"
}
object Dependency "gate" {
  parent_host_name = "db4"
  parent_service_name = "gate"
  child_host_name = "db4"
  child_service_name = "envsyncd shop"
  states = [ OK ]
  disable_checks = true
}
object Service "envsyncd shop" {
  host_name = "db5"
  check_command = "dummy"
}
object Host "db5" { check_command = "dummy" }
object ApiUser "reader" { password = "sesame-opens"; permissions = [ "objects/query/Service" ] }
"#;

/// The run succeeded, and its log has one warning with all of this in it, and no password.
fn warned(outcome: Outcome, pieces: &[&str]) {
    let outcome = outcome.expect(0);
    let warnings: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("the check result could not be sent"))
        .collect();
    let [warning] = warnings.as_slice() else {
        panic!("{}", outcome.stderr)
    };
    for piece in pieces {
        assert!(warning.contains(piece), "{piece} in\n{warning}");
    }
    assert!(!outcome.stderr.contains(PASSWORD), "{}", outcome.stderr);
}

#[test]
fn every_refusal_is_one_warning_that_says_what_to_do() {
    let icinga = Icinga::start(OBJECTS);
    icinga.check("db4!gate");
    crate::support::wait_until("the gate was closed", || {
        icinga.result("db4!gate")["state"] == 2.0
    });
    let settings = icinga.settings();
    for (from, to, pieces) in [
        (
            "user = \"envsyncd\"",
            "user = \"nobody\"",
            ["does not know us", "see `user` and `password`"],
        ),
        (
            "{ env = \"ICINGA_PASSWORD\" }",
            "{ command = [\"echo\", \"wrong\"] }",
            ["does not know us", "see `user` and `password`"],
        ),
        (
            "user = \"envsyncd\"",
            "user = \"reader\"",
            ["or our ApiUser may not", "actions/process-check-result"],
        ),
        (
            "host = \"db2\"",
            "host = \"db9\"",
            ["has no service `db9!envsyncd shop`", "define it"],
        ),
        (
            "host = \"db2\"",
            "host = \"db2\"\nservice = \"copy of {job}\"",
            ["has no service `db2!copy of shop`", "define it"],
        ),
        (
            // Not of our template: hidden from the packaged ApiUser.
            "host = \"db2\"",
            "host = \"db5\"",
            ["has no service `db5!envsyncd shop`", "our ApiUser may not"],
        ),
        (
            "host = \"db2\"",
            "host = \"db3\"",
            ["takes no passive results", "enable_passive_checks = true"],
        ),
        (
            "host = \"db2\"",
            "host = \"db4\"",
            ["ignored the result", "`disable_checks`"],
        ),
        (
            "{ env = \"ICINGA_PASSWORD\" }",
            "{ env = \"NOT_SET\" }",
            ["NOT_SET is not set", "set NOT_SET"],
        ),
        (
            "https://localhost",
            "https://127.0.0.1",
            ["cannot be trusted", "a name in that certificate"],
        ),
        (
            "ca.crt\"",
            "gone.crt\"",
            ["gone.crt cannot be read", "see `ca`"],
        ),
    ] {
        let changed = settings.replacen(from, to, 1);
        assert_ne!(changed, settings, "{from}");
        warned(Shop::new(&changed).once(), &pieces);
    }
    for host in ["db2", "db3", "db4", "db5"] {
        let result = icinga.result(&format!("{host}!envsyncd shop"));
        assert!(
            result.is_null() || result["active"] == true,
            "{host}: {result}"
        );
    }
}

#[test]
fn another_authority_is_not_trusted_and_the_password_not_sent() {
    let icinga = Icinga::start(OBJECTS);
    let other = Site::of_another_authority();
    let settings = icinga.settings().replace(
        icinga.site().ca().to_str().expect("our paths are text"),
        other.ca().to_str().expect("our paths are text"),
    );
    warned(
        Shop::new(&settings).once(),
        &["cannot be trusted", "`ca` in [icinga2]"],
    );
    // Nor does Icinga take a certificate of another authority for a login.
    let (certificate, key) = other.certificate("db2");
    let shop = Shop::new(&format!(
        "[icinga2]\nurl = \"https://localhost:{}\"\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\nhost = \"db2\"\n",
        icinga.port(),
        certificate.display(),
        key.display(),
        icinga.site().ca().display()
    ));
    warned(shop.once(), &["does not know us", "client_cn"]);
}

#[test]
fn a_run_succeeds_while_icinga_and_nsca_are_away() {
    let site = Site::new();
    let shop = Shop::new(&format!(
        "[icinga2]\nurl = \"https://localhost:{}\"\nuser = \"envsyncd\"\npassword = {{ env = \"ICINGA_PASSWORD\" }}\nca = \"{}\"\n[nsca]\nhost = \"127.0.0.1\"\nport = {}\n",
        free_port(),
        site.ca().display(),
        free_port()
    ));
    let outcome = shop.once().expect(0);
    let warnings: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("the check result could not be sent"))
        .collect();
    assert_eq!(warnings.len(), 2, "{}", outcome.stderr);
    outcome.says(&[
        "Icinga 2's API at https://localhost:",
        "that Icinga 2 runs",
        "`send_nsca` could not send to 127.0.0.1",
        "see `host` and `port` in [nsca]",
    ]);
    assert_eq!(shop.bed.status_text("shop", "state"), "succeeded");
}

#[test]
fn who_hangs_up_once_is_tried_again() {
    let icinga = Icinga::start(OBJECTS);
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let server = icinga.port();
    // Hangs up on the first, and is Icinga for the second.
    let between = std::thread::spawn(move || {
        drop(listener.accept().expect("a first try"));
        let (client, _) = listener.accept().expect("a second try");
        let server = TcpStream::connect(("127.0.0.1", server)).expect("Icinga");
        let copy = |mut from: TcpStream, mut to: TcpStream| {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = from.read(&mut buffer) {
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Both);
            })
        };
        let clone = |stream: &TcpStream| stream.try_clone().expect("a stream");
        let there = copy(clone(&client), clone(&server));
        let back = copy(server, client);
        there.join().expect("a copy");
        back.join().expect("a copy");
    });
    let settings = icinga
        .settings()
        .replace(&icinga.port().to_string(), &port.to_string());
    let outcome = Shop::new(&settings).once().expect(0);
    assert!(
        !outcome.stderr.contains("could not be sent"),
        "{}",
        outcome.stderr
    );
    between.join().expect("the one between");
    let result = icinga.result("db2!envsyncd shop");
    assert!(
        result["active"] == false && result["state"] == 0.0,
        "{result}"
    );
}

#[test]
fn an_answer_without_end_is_no_answer_and_is_not_taken_in() {
    let hostile = Hostile::start(|_| Answer::endless(200, "", "x".repeat(65536).as_bytes()));
    let shop = Shop::new(&hostile.settings());
    warned(shop.once(), &["its answer makes no sense", "see `url`"]);

    let hostile = Hostile::start(|_| {
        let mut refusal = br#"{"error": 401, "status": "\u001b[2Jno"}"#.to_vec();
        refusal.resize(65536, b' ');
        Answer::endless(401, "", &refusal)
    });
    let shop = Shop::new(&hostile.settings());
    warned(shop.once(), &["does not know us", "(401: [2Jno)"]);
}
