//! Who is told how runs end.

use super::super::monitoring::{Login, Monitoring};
use super::*;

fn monitoring(text: &str) -> (Monitoring, Vec<Diagnostic>) {
    let (settings, warnings) = Files::new()
        .settings(text)
        .unwrap_or_else(|all| panic!("{all}"));
    (settings.monitoring, warnings)
}

#[test]
fn what_is_not_configured_is_nobody() {
    assert!(monitoring("").0.is_none());
}

#[test]
fn every_key_of_icinga2_arrives() {
    let (monitoring, warnings) = monitoring(
        r#"
[icinga2]
url = "https://icinga.example:5666/"
user = "envsyncd"
password = { credential = "icinga2" }
ca = "ca.crt"
host = "db2.example"
service = "copy of {job}"
ttl = "26h"
"#,
    );
    assert_eq!(warnings, []);
    let icinga2 = monitoring.icinga2.expect("it is there");
    assert_eq!(icinga2.url, "https://icinga.example:5666");
    let Login::Password { user, password } = &icinga2.login else {
        panic!("{:?}", icinga2.login)
    };
    assert_eq!(user, "envsyncd");
    assert!(matches!(password, Secret::Credential(name) if name == "icinga2"));
    assert!(icinga2.ca.unwrap().is_absolute());
    assert_eq!(icinga2.host.as_deref(), Some("db2.example"));
    assert_eq!(icinga2.service.of("shop"), "copy of shop");
    assert_eq!(icinga2.ttl, Some(Duration::from_secs(26 * 3600)));
}

#[test]
fn the_defaults_of_icinga2_are_its_port_and_a_service_a_job() {
    let (monitoring, _) = monitoring(
        "[icinga2]\nurl = \"https://[::1]\"\ncertificate = \"/c.pem\"\nkey = \"/k.pem\"\n",
    );
    let icinga2 = monitoring.icinga2.expect("it is there");
    assert_eq!(icinga2.url, "https://[::1]:5665");
    assert!(
        matches!(&icinga2.login, Login::Certificate { certificate, key }
            if certificate == Path::new("/c.pem") && key == Path::new("/k.pem"))
    );
    assert_eq!(icinga2.service.of("shop"), "envsyncd shop");
    assert_eq!(icinga2.ca, None);
    assert_eq!(icinga2.host, None);
    assert_eq!(icinga2.ttl, None);
}

#[test]
fn every_key_of_nsca_arrives() {
    let (monitoring, warnings) = monitoring(
        r#"
[nsca]
host = "nagios.example"
port = 5668
config = "send_nsca.cfg"
command = "/usr/sbin/send_nsca"
host_name = "db2"
service = "one"
"#,
    );
    let nsca = monitoring.nsca.expect("it is there");
    assert_eq!(nsca.host, "nagios.example");
    assert_eq!(nsca.port, Some(5668));
    assert!(nsca.config.unwrap().is_absolute());
    assert_eq!(nsca.command, "/usr/sbin/send_nsca");
    assert_eq!(nsca.host_name.as_deref(), Some("db2"));
    assert_eq!(nsca.service.of("shop"), "one");
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}")
    };
    assert!(warning.to_string().contains("`{job}`"), "{warning}");
}

#[test]
fn what_is_impossible_is_shown_where_it_stands() {
    let login = "user = \"u\"\npassword = { env = \"P\" }";
    for (text, part) in [
        (
            format!("[icinga2]\n{login}"),
            "`url` is missing: where Icinga 2's API is",
        ),
        (
            format!("[icinga2]\nurl = \"http://x\"\n{login}"),
            "envsyncd.toml:2:7",
        ),
        (
            format!("[icinga2]\nurl = \"x\"\n{login}"),
            "this is not a URL",
        ),
        (
            format!("[icinga2]\nurl = \"https://x/v1\"\n{login}"),
            "a path does not belong here",
        ),
        (
            format!("[icinga2]\nurl = \"https://u@x\"\n{login}"),
            "the URL has a user in it",
        ),
        (
            "[icinga2]\nurl = \"https://x\"".to_owned(),
            "log in with `user` and `password`",
        ),
        (
            "[icinga2]\nurl = \"https://x\"\nuser = \"u\"".to_owned(),
            "`password` is missing",
        ),
        (
            "[icinga2]\nurl = \"https://x\"\nkey = \"k\"".to_owned(),
            "`certificate` is missing",
        ),
        (
            format!("[icinga2]\nurl = \"https://x\"\nkey = \"k\"\n{login}"),
            "both a password and a certificate",
        ),
        (
            format!("[icinga2]\nurl = \"https://x\"\n{login}\nttl = 5"),
            "write it with a unit: \"5s\"",
        ),
        (
            format!("[icinga2]\nurl = \"https://x\"\n{login}\nservic = \"x\""),
            "did you mean `service`?",
        ),
        (
            format!("[icinga2]\nurl = \"https://x\"\n{login}\nhost = \"a!b\""),
            "key: icinga2.host",
        ),
        (
            format!("[icinga2]\nurl = \"https://x\"\n{login}\nservice = \"{{jbo}}\""),
            "only `{job}` stands for something",
        ),
        ("[nsca]".to_owned(), "`host` is missing"),
        ("[nsca]\nhost = \"-c\"".to_owned(), "`-c` is not a host"),
        (
            "[nsca]\nhost = \"x\"\nport = 0".to_owned(),
            "allowed: 1 to 65535",
        ),
        (
            "[nsca]\nhost = \"x\"\ncommand = [\"send_nsca\", \"-H\"]".to_owned(),
            "its arguments follow from",
        ),
        (
            "[nsca]\nhost = \"x\"\npassword = 1".to_owned(),
            "unknown key",
        ),
        ("[icinga]".to_owned(), "did you mean `icinga2`?"),
    ] {
        let shown = wrong_settings(&text);
        assert_eq!(shown.matches("error:").count(), 1, "{shown}");
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

#[test]
fn all_that_is_wrong_is_shown_at_once_and_a_password_never() {
    let shown = wrong_settings(
        "[icinga2]\nurl = \"https://u:hunter2@x\"\nuser = \"u\"\npassword = \"hunter2\"\nttl = \"soon\"\n[nsca]\nport = 70000\n",
    );
    assert_eq!(shown.matches("error:").count(), 5, "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
