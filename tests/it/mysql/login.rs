//! Logging in: as whom, to what, and what an operator reads when it does not work.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::Scene;
use crate::support::job::{Job, Outcome, toml};
use crate::support::lease::lease;
use crate::support::mysql::{PASSWORD, Server, Version, literal, shared};
use crate::support::postgres::{encode, free_port, unique};

/// A server on a port, for who sets nothing global there.
pub(super) fn on_a_port() -> &'static Server {
    lease(("mysql", "on a port"), || Server::builder().tcp().start())
}

impl Scene<'_> {
    /// A job that reads from this URL, with this password in a file.
    pub(super) fn job_from(&self, url: &str, password: Option<&str>) -> Job {
        let target = toml(&self.target.url("root", &self.to));
        Job::new("mysql", &self.endpoint(url, password), &target)
    }

    /// An endpoint as TOML.
    pub(super) fn endpoint(&self, url: &str, password: Option<&str>) -> String {
        let Some(password) = password else {
            return toml(url);
        };
        let file = self.bed.file(&unique("password"), password);
        format!(
            "{{ url = {}, password = {{ file = {} }} }}",
            toml(url),
            toml(file.to_str().expect("our paths are text"))
        )
    }

    /// Whether `plan` can log in.
    pub(super) fn plan(&self, job: &Job) -> Outcome {
        self.bed.with_file("plan", &self.write(job))
    }

    /// A run that ends before anything is done; says these.
    #[track_caller]
    pub(super) fn fails(&self, job: &Job, says: &[&str]) {
        self.bed.once(&self.write(job)).expect(1).says(says);
        self.live_is_old();
        self.nothing_is_left();
        assert_eq!(self.bed.status_text("app", "state"), "failed");
    }
}

/// A user who may read everything.
pub(super) fn make_reader(server: &Server, user: &str, identified: &str) {
    let user = literal(user);
    server.sql(
        "",
        &format!("CREATE USER {user} {identified}; GRANT ALL ON *.* TO {user}"),
    );
}

#[test]
fn a_wrong_user_or_password_is_named_with_what_to_check() {
    let scene = Scene::on(on_a_port(), &shared().target);
    let nobody = unique("nobody");
    for user in ["reader", &nobody] {
        for url in [
            scene.source.url(user, &scene.from),
            scene.source.tcp_url(user, &scene.from),
        ] {
            for password in [Some("wrong"), None] {
                let job = scene.job_from(&url, password);
                scene.fails(
                    &job,
                    &["source", user, "check the endpoint's user", "password"],
                );
            }
        }
    }
}

#[test]
fn an_unknown_host_and_a_closed_port_are_said_to_be_that() {
    let scene = Scene::new();
    let job = scene.job_from("mysql://u@nowhere.invalid/app", None);
    scene.fails(&job, &["nowhere.invalid:3306", "no connection", "check"]);
    let port = free_port();
    let job = scene.job_from(&format!("mysql://u@127.0.0.1:{port}/app"), None);
    scene.fails(&job, &[&format!("127.0.0.1:{port}"), "refused", "check"]);
    let job = scene.job_from("mysql://u@localhost/app?socket=/nowhere/socket", None);
    scene.fails(&job, &["/nowhere/socket", "no connection", "check"]);
}

/// Answers everyone with this, and then keeps silent.
fn something_else(greeting: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        for mut client in listener.incoming().flatten() {
            let _ = client.write_all(greeting);
            all.push(client);
        }
    });
    port
}

#[test]
fn a_port_where_something_else_answers_is_said_to_be_that_at_once() {
    let scene = Scene::new();
    for greeting in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\x05\0\0\0\x09none",
        b"\x01\0\0\0\x0a",
        b"\0\0\0\0",
    ] {
        let port = something_else(greeting);
        let url = format!("mysql://reader@127.0.0.1:{port}/app?connect_timeout=600");
        let start = Instant::now();
        scene.fails(
            &scene.job_from(&url, Some(PASSWORD)),
            &[
                &port.to_string(),
                "does not speak",
                "check the host and the port",
            ],
        );
        assert!(start.elapsed() < Duration::from_secs(300), "{greeting:?}");
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let scene = Scene::new();
    // What waits to be spoken to, as HTTP does.
    let port = something_else(b"");
    let url = format!("mysql://reader@127.0.0.1:{port}/app?connect_timeout=2");
    scene.fails(
        &scene.job_from(&url, None),
        &[&port.to_string(), "within 2 seconds"],
    );
}

#[test]
fn a_database_that_the_source_does_not_have_is_named() {
    let scene = Scene::new();
    let none = unique("none");
    let job = scene.job_from(&scene.source.url("root", &none), None);
    scene.fails(&job, &["source", &none, "check the database's name"]);
    // Who may not see that it is not there.
    let user = unique("user");
    scene.source.sql(
        "",
        &format!(
            "CREATE USER {user}; GRANT SELECT ON {}.* TO {user}",
            scene.from
        ),
    );
    let job = scene.job_from(&scene.source.url(&user, &none), None);
    scene.fails(&job, &["source", &none, &user, "denied"]);
}

#[test]
fn users_and_passwords_of_any_characters_log_in() {
    let all: String = (' '..='~').collect();
    let scene = Scene::on(on_a_port(), &shared().target);
    for (number, password) in [&all, "größe 🌍", " ", "%41%zz", PASSWORD]
        .iter()
        .enumerate()
    {
        let user = format!("u{number}:/?#[]@!$&'()*+,;=% \"`\\<>ü");
        let sql = |text: &str| literal(&text.replace('\\', "\\\\"));
        scene.source.sql(
            "",
            &format!(
                "CREATE USER {0} IDENTIFIED BY {1}; GRANT ALL ON *.* TO {0}",
                sql(&user),
                sql(password)
            ),
        );
        for url in [
            scene.source.url(&user, &scene.from),
            scene.source.tcp_url(&user, &scene.from),
        ] {
            if *password != " " {
                scene.plan(&scene.job_from(&url, Some(password))).expect(0);
            }
            let open = url.replacen('@', &format!(":{}@", encode(password)), 1);
            let outcome = scene.plan(&scene.job_from(&open, None)).expect(0);
            for said in [&outcome.stdout, &outcome.stderr] {
                assert!(
                    !said.contains(&encode(password)) || *password == " ",
                    "{said}"
                );
            }
        }
    }
    scene.copy(&scene.job_from(&scene.source.tcp_url("reader", &scene.from), Some(PASSWORD)));
    scene.live_is_new();
}

#[test]
fn mariadb_users_of_every_way_to_log_in_are_let_in() {
    let server = on_a_port();
    let scene = Scene::on(server, &shared().target);
    server.sql("", "INSTALL SONAME 'auth_ed25519'");
    for (way, identified) in [
        (
            "native",
            "IDENTIFIED VIA mysql_native_password USING PASSWORD('s3cret')",
        ),
        ("ed25519", "IDENTIFIED VIA ed25519 USING PASSWORD('s3cret')"),
        (
            "either",
            "IDENTIFIED VIA ed25519 USING PASSWORD('other') OR mysql_native_password USING PASSWORD('s3cret')",
        ),
    ] {
        make_reader(server, way, identified);
        for url in [
            server.url(way, &scene.from),
            server.tcp_url(way, &scene.from),
        ] {
            scene.plan(&scene.job_from(&url, Some("s3cret"))).expect(0);
            scene.fails(
                &scene.job_from(&url, Some("wrong")),
                &[way, "check the endpoint's user", "password"],
            );
        }
    }
    // Who may connect without a password.
    make_reader(server, "open", "IDENTIFIED BY ''");
    scene
        .plan(&scene.job_from(&server.tcp_url("open", &scene.from), None))
        .expect(0);
    // Who is who they are: this process's user.
    let own = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .expect("users")
        .expect("we are someone")
        .name;
    if own == "root" {
        server.sql("", "CREATE USER sock IDENTIFIED VIA unix_socket");
        scene.fails(
            &scene.job_from(&server.url("sock", &scene.from), None),
            &["sock", "check the endpoint's user"],
        );
        server.sql("", "CREATE USER root@'127.0.0.1' IDENTIFIED VIA unix_socket; ALTER USER root@localhost IDENTIFIED VIA unix_socket");
    } else {
        make_reader(server, &own, "IDENTIFIED VIA unix_socket");
    }
    scene
        .plan(&scene.job_from(&server.url(&own, &scene.from), None))
        .expect(0);
    server.sql(
        "",
        "ALTER USER root@localhost IDENTIFIED BY ''; DROP USER root@'127.0.0.1'",
    );
}

#[test]
fn mysql_users_of_every_way_to_log_in_are_let_in() {
    let server = Server::builder().of(Version::Oracle).tcp().start();
    let scene = Scene::without_databases(&server, &shared().target);
    server.create_db(&scene.from);
    let oracle = |user: &str, by: &str| {
        server.sql(
            "",
            &format!("CREATE USER {user} {by}; GRANT ALL ON *.* TO {user}"),
        );
    };
    oracle(
        "cached",
        "IDENTIFIED WITH caching_sha2_password BY 's3cret'",
    );
    oracle("sha256", "IDENTIFIED WITH sha256_password BY 's3cret'");
    let long = "0123456789 abc\\\\".repeat(12);
    oracle(
        "lengthy",
        &format!("IDENTIFIED WITH caching_sha2_password BY '{long}'"),
    );
    for user in ["cached", "sha256", "lengthy"] {
        let password = if user == "lengthy" {
            long.replace("\\\\", "\\")
        } else {
            "s3cret".to_owned()
        };
        let plain = format!("{}?tls=disable", server.tcp_url(user, &scene.from));
        let with = |key: &std::path::Path| {
            format!(
                "{plain}&server_public_key={}",
                encode(key.to_str().expect("our paths are text"))
            )
        };
        // Nobody is asked for a key, and another server's opens nothing.
        scene
            .plan(&scene.job_from(&plain, Some(&password)))
            .expect(1)
            .says(&["nobody vouches for", "tls=require", "server_public_key"]);
        let other = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/store/mysql/connection/server_key/example.pem");
        scene
            .plan(&scene.job_from(&with(&other), Some(&password)))
            .expect(1)
            .says(&[user]);
        let pinned = with(&server.data().join("public_key.pem"));
        // The first time for the whole password, the second time from the server's cache; then by the other way.
        for url in [
            pinned.clone(),
            pinned,
            format!("{}?tls=require", server.tcp_url(user, &scene.from)),
            server.tcp_url(user, &scene.from),
            server.url(user, &scene.from),
        ] {
            let outcome = scene.plan(&scene.job_from(&url, Some(&password)));
            assert!(!outcome.stderr.contains("denied"), "{url}: {outcome:?}");
            assert!(!outcome.stderr.contains("proven"), "{url}: {outcome:?}");
            let wrong = scene.plan(&scene.job_from(&url, Some("wrong"))).expect(1);
            wrong.says(&[user, "check the endpoint's user"]);
        }
        server.sql("", "FLUSH PRIVILEGES");
        let url = server.url(user, &scene.from);
        scene
            .plan(&scene.job_from(&url, Some("wrong")))
            .expect(1)
            .says(&[user]);
        let outcome = scene.plan(&scene.job_from(&url, Some(&password)));
        assert!(!outcome.stderr.contains("denied"), "{url}: {outcome:?}");
    }
}

#[test]
fn locked_and_expired_accounts_are_said_to_be_that() {
    let scene = Scene::on(on_a_port(), &shared().target);
    make_reader(
        scene.source,
        "locked",
        "IDENTIFIED BY 's3cret' ACCOUNT LOCK",
    );
    make_reader(
        scene.source,
        "expired",
        "IDENTIFIED BY 's3cret' PASSWORD EXPIRE",
    );
    for url in [
        scene.source.url("locked", &scene.from),
        scene.source.tcp_url("locked", &scene.from),
    ] {
        scene.fails(
            &scene.job_from(&url, Some("s3cret")),
            &["source", "locked", "ACCOUNT UNLOCK"],
        );
    }
    let url = scene.source.tcp_url("expired", &scene.from);
    scene.fails(
        &scene.job_from(&url, Some("s3cret")),
        &["source", "expired", "password", "ALTER USER"],
    );
    let oracle = Server::builder().of(Version::Oracle).tcp().start();
    oracle.create_db(&scene.from);
    for (user, option, hint) in [
        ("locked", "ACCOUNT LOCK", "ACCOUNT UNLOCK"),
        ("expired", "PASSWORD EXPIRE", "ALTER USER"),
    ] {
        oracle.sql(
            "",
            &format!(
                "CREATE USER {user} IDENTIFIED BY 's3cret' {option}; GRANT ALL ON *.* TO {user}"
            ),
        );
        let job = scene.job_from(&oracle.tcp_url(user, &scene.from), Some("s3cret"));
        scene.fails(&job, &["source", user, hint]);
    }
}
