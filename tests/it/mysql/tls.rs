//! Encrypted connections: what a URL asks for, what a server offers, and what it asks for itself.

use super::Scene;
use crate::support::certificates;
use crate::support::lease::lease;
use crate::support::mysql::{PASSWORD, Server, Version, shared};
use crate::support::postgres::encode;

/// A server that lets no one in without TLS, at two addresses; its certificate is for one of them.
fn encrypted() -> &'static Server {
    lease(("mysql", "encrypted"), || {
        Server::builder()
            .tls()
            .set("--bind-address=127.0.0.1,127.0.0.2")
            .start()
    })
}

/// What a URL says of TLS, with files.
fn parameters(level: &str, files: &[(&str, &std::path::Path)]) -> String {
    files
        .iter()
        .fold(format!("?tls={level}"), |all, (key, file)| {
            let file = file.to_str().expect("our paths are text");
            format!("{all}&{key}={}", encode(file))
        })
}

#[test]
fn each_level_of_trust_accepts_and_refuses_what_it_should() {
    let server = encrypted();
    let scene = Scene::on(server, &shared().target);
    let right = server.certificate_authority();
    let wrong = scene.bed.path("other");
    std::fs::create_dir(&wrong).expect("a directory");
    certificates::make(&wrong);
    let wrong = wrong.join("ca.crt");
    let good = server.tcp_url("reader", &scene.from);
    let other = good.replace("127.0.0.1", "127.0.0.2");
    let named = good.replace("127.0.0.1", "localhost");
    for url in [
        good.clone(),
        format!("{good}{}", parameters("prefer", &[])),
        format!("{good}{}", parameters("require", &[])),
        format!("{good}{}", parameters("verify-ca", &[("tls_ca", &right)])),
        format!("{good}{}", parameters("verify-full", &[("tls_ca", &right)])),
        format!(
            "{named}{}",
            parameters("verify-full", &[("tls_ca", &right)])
        ),
        format!("{other}{}", parameters("verify-ca", &[("tls_ca", &right)])),
        format!("{other}{}", parameters("require", &[])),
    ] {
        let outcome = scene.plan(&scene.job_from(&url, Some(PASSWORD)));
        assert_eq!(outcome.code, Some(0), "{url}: {outcome:?}");
    }
    for url in [
        format!("{good}{}", parameters("verify-ca", &[("tls_ca", &wrong)])),
        format!("{good}{}", parameters("verify-full", &[("tls_ca", &wrong)])),
        format!(
            "{other}{}",
            parameters("verify-full", &[("tls_ca", &right)])
        ),
        format!("{good}{}", parameters("verify-ca", &[])),
        format!("{good}{}", parameters("verify-full", &[])),
    ] {
        let job = scene.job_from(&url, Some(PASSWORD));
        scene.fails(&job, &["source 127.0.0.", "TLS", "certificate", "tls_ca"]);
    }
    // What is asked for is not given up because the server insists on it.
    let plain = scene.job_from(&format!("{good}?tls=disable"), Some(PASSWORD));
    scene.fails(&plain, &["source", "tls"]);
    // And whose rows these are is what was asked for.
    let url = format!("{good}{}", parameters("verify-full", &[("tls_ca", &right)]));
    scene.copy(&scene.job_from(&url, Some(PASSWORD)));
    scene.live_is_new();
}

#[test]
fn a_certificate_authority_that_is_no_file_or_no_certificate_is_named() {
    let scene = Scene::on(encrypted(), &shared().target);
    let good = scene.source.tcp_url("reader", &scene.from);
    let junk = scene.bed.file("junk.pem", "no certificate");
    for file in [&junk, &scene.bed.path("nowhere.pem")] {
        let url = format!("{good}{}", parameters("verify-full", &[("tls_ca", file)]));
        let job = scene.job_from(&url, Some(PASSWORD));
        let outcome = scene.bed.once(&scene.write(&job));
        assert!(matches!(outcome.code, Some(1 | 2)), "{outcome:?}");
        outcome.says(&[file.to_str().expect("text")]);
        scene.live_is_old();
    }
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let scene = Scene::on(super::login::on_a_port(), &shared().target);
    let url = scene.source.tcp_url("reader", &scene.from);
    for level in ["require", "verify-ca", "verify-full"] {
        let url = format!("{url}?tls={level}");
        scene.fails(
            &scene.job_from(&url, Some(PASSWORD)),
            &["source", "has no TLS", "tls=prefer"],
        );
    }
    for url in [format!("{url}?tls=prefer"), format!("{url}?tls=disable")] {
        scene.plan(&scene.job_from(&url, Some(PASSWORD))).expect(0);
    }
}

#[test]
fn a_user_who_must_show_a_certificate_is_let_in_with_it_alone() {
    let server = encrypted();
    let scene = Scene::on(server, &shared().target);
    super::login::make_reader(
        server,
        "shown",
        "IDENTIFIED BY 's3cret' REQUIRE SUBJECT '/CN=shown'",
    );
    let directory = server.certificate_authority();
    let directory = directory.parent().expect("a directory");
    certificates::make_client(directory, "shown");
    certificates::make_client(directory, "another");
    let url = server.tcp_url("shown", &scene.from);
    let with = |name: &str| {
        let (certificate, key) = (
            directory.join(format!("{name}.crt")),
            directory.join(format!("{name}.key")),
        );
        let files = [("tls_cert", &*certificate), ("tls_key", &*key)];
        scene.job_from(
            &format!("{url}{}", parameters("require", &files)),
            Some("s3cret"),
        )
    };
    scene.copy(&with("shown"));
    scene.live_is_new();
    let without = scene.job_from(&format!("{url}?tls=require"), Some("s3cret"));
    for refused in [with("another"), without] {
        let outcome = scene.bed.once(&scene.write(&refused)).expect(1);
        outcome.says(&["source", "shown", "tls_cert"]);
    }
}

#[test]
fn a_password_is_sent_in_clear_text_by_tls_or_a_socket_alone() {
    let server = Server::builder()
        .tls()
        .set("--require-secure-transport=OFF")
        .set("--plugin-load-add=auth_pam_v1")
        .set("--pam-use-cleartext-plugin=ON")
        .start();
    let scene = Scene::on(&server, &shared().target);
    // There is no such service: whatever the password, it is wrong.
    server.sql(
        "",
        "CREATE USER pam IDENTIFIED VIA pam USING 'envsyncd-test'",
    );
    let url = server.tcp_url("pam", &scene.from);
    let asked = |url: &str| scene.job_from(url, Some("s3cret"));
    scene.fails(
        &asked(&format!("{url}?tls=disable")),
        &["source", "in clear text", "tls=require"],
    );
    for sent in [format!("{url}?tls=require"), server.url("pam", &scene.from)] {
        scene.fails(&asked(&sent), &["source", "pam", "denied"]);
    }
}

#[test]
fn mysqls_own_certificates_encrypt_and_are_not_trusted() {
    let server = Server::builder().of(Version::Oracle).tcp().start();
    let scene = Scene::without_databases(&server, &shared().target);
    server.create_db(&scene.from);
    let url = server.tcp_url("reader", &scene.from);
    let asked = |level: &str| {
        let job = scene.job_from(&format!("{url}{level}"), Some(PASSWORD));
        scene.plan(&job)
    };
    for level in ["", "?tls=require"] {
        let outcome = asked(level);
        assert!(
            !outcome.stderr.contains("TLS with the server"),
            "{outcome:?}"
        );
        assert!(!outcome.stderr.contains("denied"), "{outcome:?}");
    }
    asked("?tls=verify-full").expect(1).says(&["certificate"]);
    let ca = parameters("verify-ca", &[("tls_ca", &server.data().join("ca.pem"))]);
    let outcome = asked(&ca);
    assert!(
        !outcome.stderr.contains("TLS with the server"),
        "{outcome:?}"
    );
}
