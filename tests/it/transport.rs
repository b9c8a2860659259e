//! The way to a server: what is told to whom, and how long who says nothing is waited for. The servers are stubs; what real ones
//! do is in the stores' own tests.

use std::path::PathBuf;

use crate::support::hostile::listener::Listener;
use crate::support::hostile::{mysql_login, postgresql};
use crate::support::job::{Bed, Outcome, toml};

/// What nobody may hear.
const PASSWORD: &str = "s3cret";

/// A place of its own, and a job that pushes from this URL.
fn job(kind: &str, url: &str) -> (Bed, PathBuf) {
    let bed = Bed::new();
    let password = bed.file("password", PASSWORD);
    let archive = bed.path("archive");
    std::fs::create_dir(&archive).expect("a directory");
    let file = bed.file(
        "app.toml",
        &format!(
            "from = \"production\"\n[environments.production]\n[[task]]\nkind = {}\nsource = {{ url = {}, password = {{ file = {} }} }}\ntarget = {}\n",
            toml(kind),
            toml(url),
            toml(password.to_str().expect("text")),
            toml(&format!("file://{}", archive.display())),
        ),
    );
    (bed, file)
}

/// A run from this URL.
fn run(kind: &str, url: &str) -> Outcome {
    let (bed, file) = job(kind, url);
    bed.once(&file)
}

fn url(scheme: &str, host: &str, server: &Listener, parameters: &str) -> String {
    format!("{scheme}://reader@{host}:{}/app{parameters}", server.port())
}

/// Another name of this machine, which no URL's reader takes for it.
const ELSEWHERE: &str = "0.0.0.0";

#[test]
fn a_password_is_told_to_no_postgresql_that_asks_for_it_in_clear_text() {
    use postgresql::Way;
    let server = postgresql::start(Way::Cleartext);
    for host in ["127.0.0.1", "localhost", ELSEWHERE] {
        for mode in ["?sslmode=prefer", "?sslmode=disable", "?sslmode=allow"] {
            run("postgresql", &url("postgresql", host, &server, mode))
                .expect(1)
                .says(&["source", "in clear text", "sslmode=require"]);
        }
    }
    assert_eq!(server.heard(), Vec::<Vec<u8>>::new());
}

#[test]
fn the_md5_of_a_password_is_told_with_a_warning_on_this_machine_and_to_nobody_beyond() {
    let server = postgresql::start(postgresql::Way::Md5);
    run("postgresql", &url("postgresql", "127.0.0.1", &server, ""))
        .expect(1)
        .says(&["MD5 without TLS", "scram-sha-256", "invalid_password"]);
    let heard = server.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with(b"md5"), "{heard:?}");
    let beyond = url("postgresql", ELSEWHERE, &server, "?sslmode=prefer");
    run("postgresql", &beyond)
        .expect(1)
        .says(&["password's MD5, without TLS", "sslmode=require"]);
    assert_eq!(server.heard().len(), 1);
}

#[test]
fn require_auth_refuses_who_asks_otherwise_or_not_at_all() {
    use postgresql::Way;
    for (way, methods, said) in [
        (Way::Md5, "scram-sha-256", "`md5`"),
        (Way::Md5, "!md5", "`md5`"),
        (Way::Cleartext, "scram-sha-256,none", "`password`"),
        (Way::Open, "scram-sha-256", "does not ask for a password"),
        (Way::Open, "!none", "does not ask for a password"),
    ] {
        let server = postgresql::start(way);
        let parameters = format!("?require_auth={methods}");
        run(
            "postgresql",
            &url("postgresql", "127.0.0.1", &server, &parameters),
        )
        .expect(1)
        .says(&[said, "require_auth"]);
        assert_eq!(server.heard(), Vec::<Vec<u8>>::new(), "{way:?}");
    }
}

#[test]
fn a_password_is_told_to_no_mysql_by_a_key_of_its_own_or_in_clear_text() {
    use mysql_login::Way;
    for (way, said) in [
        (Way::Caching, "nobody vouches for"),
        (Way::Sha256, "nobody vouches for"),
        (Way::Cleartext, "in clear text"),
        (Way::Dialog, "`dialog`"),
    ] {
        let server = mysql_login::start(way);
        for (host, tls) in [("127.0.0.1", ""), (ELSEWHERE, "?tls=prefer")] {
            let outcome = run("mysql", &url("mysql", host, &server, tls)).expect(1);
            let outcome = outcome.says(&["source", said]);
            if way != Way::Dialog {
                outcome.says(&["tls=require"]);
            }
        }
        // Not even for the key.
        assert_eq!(server.heard(), Vec::<Vec<u8>>::new(), "{way:?}");
    }
}

#[test]
fn a_server_elsewhere_without_tls_is_left_unless_the_url_takes_the_risk_each_time() {
    let postgresql = postgresql::start(postgresql::Way::Cleartext);
    let mysql = mysql_login::start(mysql_login::Way::Cleartext);
    for (scheme, server, key) in [
        ("postgresql", &postgresql, "sslmode"),
        ("mysql", &mysql, "tls"),
    ] {
        let without = url(scheme, ELSEWHERE, server, "");
        let (bed, file) = job(scheme, &without);
        let advice = format!("{key}=prefer");
        bed.once(&file).expect(1).says(&[
            "has no TLS, which is required",
            &advice,
            "it was preferred before",
        ]);
        let valid = bed.with_file("validate", &file).expect(0);
        assert!(!valid.stdout.contains("warning"), "{valid:?}");
        for word in ["prefer", "disable"] {
            let risky = url(scheme, ELSEWHERE, server, &format!("?{key}={word}"));
            let (bed, file) = job(scheme, &risky);
            let said = format!("{key}={word}: anyone on the way");
            let help = format!("write {key}=require");
            for verb in ["validate", "plan"] {
                bed.with_file(verb, &file).says(&["warning", &said, &help]);
            }
            bed.once(&file).expect(1).says(&["gives up TLS", &said]);
            // And in the record, for who was not there.
            bed.run(&["logs", "app"]).expect(0).says(&["gives up TLS"]);
        }
    }
}

#[test]
fn a_server_that_falls_silent_before_a_session_is_ready_is_left_in_time() {
    use mysql_login::Way as Mysql;
    use postgresql::Way as Postgresql;
    let mut servers: Vec<(&str, String, Listener)> = Vec::new();
    for way in [
        Postgresql::SilentAfterAccept,
        Postgresql::SilentInTls,
        Postgresql::SilentInLogin,
        Postgresql::SilentAfterLogin,
    ] {
        servers.push(("postgresql", format!("{way:?}"), postgresql::start(way)));
    }
    for way in [
        Mysql::SilentAfterAccept,
        Mysql::SilentInLogin,
        Mysql::SilentAfterLogin,
    ] {
        servers.push(("mysql", format!("{way:?}"), mysql_login::start(way)));
    }
    std::thread::scope(|scope| {
        for (kind, way, server) in &servers {
            scope.spawn(move || {
                let outcome = run(kind, &url(kind, "127.0.0.1", server, "?connect_timeout=1"));
                assert_eq!(outcome.code, Some(1), "{kind} {way}: {outcome:?}");
                assert!(
                    outcome.stderr.contains("within 1 seconds")
                        && outcome.stderr.contains("connect_timeout"),
                    "{kind} {way}: {outcome:?}"
                );
            });
        }
    });
}

#[test]
fn a_server_that_says_too_much_or_lies_about_lengths_is_left_at_once() {
    use postgresql::Way;
    for (way, said) in [
        (Way::Notices, "more than any server has to say"),
        (Way::Parameters, "more than any server has to say"),
        (Way::Lie, "impossible length"),
        (Way::Http, "does not speak as PostgreSQL does"),
    ] {
        let server = postgresql::start(way);
        run("postgresql", &url("postgresql", "127.0.0.1", &server, ""))
            .expect(1)
            .says(&["source", said, "check the host and the port"]);
    }
    let server = mysql_login::start(mysql_login::Way::Long);
    run("mysql", &url("mysql", "127.0.0.1", &server, ""))
        .expect(1)
        .says(&["source", "does not speak", "check the host and the port"]);
}
