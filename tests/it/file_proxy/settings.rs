//! What settings may say.

use std::fs;

use super::Stand;
use crate::support::job::Outcome;
use crate::support::origin::get;
use crate::support::wait_until;

/// `file-proxy` with these settings, which it refuses.
#[track_caller]
fn refused(stand: &Stand, text: &str) -> Outcome {
    fs::write(stand.bed.path("envsyncd.toml"), text).unwrap();
    stand.launch().end().expect(2)
}

#[test]
fn production_is_nobody_s_proxy() {
    let stand = Stand::still("");
    let good = stand.table("");
    let without = good.replace("host_environment = \"staging\"\n", "");
    let root = good.replace(
        "host_environment = \"staging\"",
        "host_environment = \"production\"",
    );
    refused(&stand, &without).says(&[
        "`host_environment` is missing",
        "add host_environment = \"NAME\"",
    ]);
    refused(&stand, &root).says(&["environment `production` has no parent", "[[file_proxy]]"]);
    stand
        .bed
        .run(&[
            "--config",
            stand.bed.path("envsyncd.toml").to_str().unwrap(),
            "validate",
        ])
        .expect(2)
        .says(&["has no parent"]);
    // The same by the variable.
    fs::write(stand.bed.path("envsyncd.toml"), &good).unwrap();
    let mut command = stand.command("file-proxy");
    let outcome = stand
        .bed
        .spawn(command.env("ENVSYNCD_HOST_ENVIRONMENT", "production"))
        .end();
    outcome.expect(2).says(&["has no parent"]);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_line() {
    let stand = Stand::still("");
    let line = stand.table("").trim_end().lines().count();
    for (lines, says) in [
        (
            "orign_first = true",
            &["unknown key `orign_first`", "original_first"][..],
        ),
        ("mode = \"copy\"", &["fetch | redirect"]),
        (
            "mode = \"redirect\"\noriginal_first = true",
            &["only `mode = \"fetch\"`"],
        ),
        ("types = []", &["without a type nothing would be fetched"]),
        ("types = [\"*.jpg\"]", &["is no ending of a name"]),
        ("exclude = [\"[a\"]", &["is not a glob"]),
        ("max_size = \"1B\"", &["is too little"]),
        ("rate = 0", &["out of range"]),
        ("timeout = 5", &["write it with a unit"]),
        (
            "path = \"/x\"",
            &["only an origin from AMAZEEIO_PRODUCTION_URL"],
        ),
    ] {
        let outcome = refused(&stand, &stand.table(lines)).says(says);
        let place = format!("envsyncd.toml:{}", line + lines.lines().count());
        assert!(
            outcome.stderr.contains(&place),
            "{place}: {}",
            outcome.stderr
        );
    }
    for (from, to, says) in [
        (
            "origin = \"http://",
            "origin = \"ftp://",
            "begins with https:// and a host",
        ),
        (
            "origin = \"http://",
            "origin = \"http://user:password@",
            "without credentials",
        ),
        ("/files\"", "/files?x=1\"", "neither a query nor a fragment"),
        (
            "listen = \"127.0.0.1:",
            "listen = \"nowhere:",
            "is no address to listen at",
        ),
        ("root = \"root\"\n", "", "`root` is missing"),
        ("[[file_proxy]]", "[file_proxy]", "write [[file_proxy]]"),
    ] {
        let outcome = refused(&stand, &stand.table("").replace(from, to));
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("password@"), "{}", outcome.stderr);
    }
    let twice = stand.table("");
    let (_, table) = twice.split_once("[[file_proxy]]").unwrap();
    refused(&stand, &format!("{twice}\n[[file_proxy]]{table}"))
        .says(&["has this `listen`", "has this `root`"]);
    refused(&stand, "").says(&["there is no [[file_proxy]] in the settings"]);
}

#[test]
fn an_origin_elsewhere_without_tls_and_an_address_for_all_are_warnings() {
    let stand = Stand::still("");
    let table = stand
        .table("")
        .replace(&stand.origin.url(), "http://www.example.org/files")
        .replace("127.0.0.1:", "0.0.0.0:");
    fs::write(stand.bed.path("envsyncd.toml"), table).unwrap();
    let config = stand.bed.path("envsyncd.toml");
    let outcome = stand
        .bed
        .run(&["--config", config.to_str().unwrap(), "validate"])
        .expect(0);
    outcome.says(&["without TLS", "is not loopback"]);
}

#[test]
fn the_origin_is_amazee_io_s_production_if_none_is_given() {
    let mut stand = Stand::still("");
    let table = stand
        .table("path = \"/files/\"")
        .replace(&format!("origin = \"{}\"\n", stand.origin.url()), "");
    fs::write(stand.bed.path("envsyncd.toml"), &table).unwrap();
    stand
        .launch()
        .end()
        .expect(2)
        .says(&["`origin` is missing", "AMAZEEIO_PRODUCTION_URL"]);
    stand.origin.file("/a.jpg", "x");
    let mut command = stand.command("file-proxy");
    command.env(
        "AMAZEEIO_PRODUCTION_URL",
        format!("http://127.0.0.1:{}/", stand.origin.port),
    );
    let running = stand.running.insert(stand.bed.spawn(&mut command));
    wait_until("it is ready", || {
        running.said().contains("file proxy is ready")
    });
    assert_eq!(get(stand.port, "/a.jpg", &[]).status, 200);
    let mut command = stand.command("file-proxy");
    command.env("AMAZEEIO_PRODUCTION_URL", "www.example.org");
    stand
        .bed
        .spawn(&mut command)
        .end()
        .expect(2)
        .says(&["variable AMAZEEIO_PRODUCTION_URL"]);
}

#[test]
fn a_directory_that_is_not_there_and_an_address_that_is_taken_are_errors() {
    let stand = Stand::still("");
    fs::remove_dir(stand.bed.path("root")).unwrap();
    stand.launch().end().expect(1).says(&[
        "root",
        "cannot be opened",
        "see `root` under [[file_proxy]]",
    ]);
    fs::create_dir(stand.bed.path("root")).unwrap();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", stand.port)).unwrap();
    stand
        .launch()
        .end()
        .expect(1)
        .says(&["cannot listen at", "another program listens there"]);
    let ca = stand.bed.path("ca.pem");
    fs::write(&ca, "none").unwrap();
    stand.configure("ca_file = \"ca.pem\"");
    stand.launch().end().says(&["ca.pem", "`ca_file`"]);
}
