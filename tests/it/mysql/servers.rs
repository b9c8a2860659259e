//! Servers of other settings, versions and makers than one would like.

use super::Scene;
use crate::support::job::{Job, toml};
use crate::support::mysql::{PASSWORD, Server, Version, shared};
use crate::support::postgres::encode;

/// A row of so many bytes, twice as many in the format that rows travel in.
fn long_row(bytes: u32) -> String {
    format!(
        "CREATE TABLE huge (id int PRIMARY KEY, a longblob, b longblob); INSERT INTO huge VALUES (1, REPEAT(X'5C', {bytes}), REPEAT(X'5C', 10)), (2, '', NULL);"
    )
}

#[test]
fn rows_near_the_largest_packet_arrive() {
    let start = || Server::with(&["--max-allowed-packet=16M", "--innodb-log-file-size=256M"]);
    let (source, target) = (start(), start());
    let scene = Scene::on(&source, &target);
    scene.source(&long_row(16 * 1024 * 1024 - 1024));
    scene.source("CREATE TABLE many (id int PRIMARY KEY, a longblob); INSERT INTO many SELECT seq, REPEAT(X'0A', 3000000) FROM seq_1_to_12");
    scene.copy(&scene.job().task("verify = \"checksum\""));
    scene.live_is_new();
    scene.assert_same();
}

#[test]
fn a_row_that_the_target_cannot_take_arrives_or_is_named() {
    let big = ["--max-allowed-packet=64M", "--innodb-log-file-size=512M"];
    let (source, target) = (
        Server::with(&big),
        Server::with(&["--max-allowed-packet=1M", big[1]]),
    );
    let scene = Scene::on(&source, &target);
    scene.source(&long_row(30_000_000));
    let outcome = scene.bed.once(&scene.write(&scene.job()));
    if outcome.code == Some(0) {
        scene.live_is_new();
        assert_eq!(
            scene
                .target
                .hex_of(&scene.to, "MD5(a)", "FROM huge WHERE id = 1"),
            scene
                .source
                .hex_of(&scene.from, "MD5(a)", "FROM huge WHERE id = 1")
        );
    } else {
        outcome.expect(1).says(&["huge"]);
        scene.live_is_old();
        scene.nothing_is_left();
    }
}

#[test]
fn where_load_data_local_is_off_rows_arrive_by_inserts_with_a_warning() {
    let target = Server::with(&["--local-infile=0"]);
    let scene = Scene::on(&shared().source, &target);
    scene.source("CREATE TABLE v (id int AUTO_INCREMENT PRIMARY KEY, b blob, f double, g point, bits bit(12), n text); INSERT INTO v VALUES (1, X'005C270A0D1A', 0.1, POINT(1, 2), b'101', NULL), (2, '', -1e300, NULL, NULL, '''\\\\')");
    scene.copy(&scene.job()).says(&["local_infile"]);
    assert!(scene.bed.status("app")["warnings"].as_u64() > Some(0));
    scene.live_is_new();
    scene.assert_same();
}

#[test]
fn servers_that_close_idle_connections_are_copied_between() {
    let start = || {
        Server::with(&[
            "--wait-timeout=1",
            "--interactive-timeout=1",
            "--net-read-timeout=2",
            "--net-write-timeout=2",
        ])
    };
    let (source, target) = (start(), start());
    let scene = Scene::on(&source, &target);
    let gate = scene.bed.gate("on");
    let slow = scene.job().hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.write(&slow));
    gate.wait(&mut running);
    std::thread::sleep(std::time::Duration::from_secs(3));
    gate.open();
    running.end().expect(0);
    scene.live_is_new();
}

#[test]
fn a_wrong_password_is_said_to_be_one() {
    for (whose, from, to) in [("source", "reader", "root"), ("target", "root", "owner")] {
        let scene = Scene::new();
        let secret = scene.bed.file("password", "wrong");
        let file = toml(secret.to_str().expect("our paths are text"));
        let endpoint = |url: String, user| {
            let url = toml(&url);
            if user == "root" {
                url
            } else {
                format!("{{ url = {url}, password = {{ file = {file} }} }}")
            }
        };
        let job = Job::new(
            "mysql",
            &endpoint(scene.source.url(from, &scene.from), from),
            &endpoint(scene.target.url(to, &scene.to), to),
        );
        scene
            .bed
            .once(&scene.write(&job))
            .expect(1)
            .says(&["password", whose]);
        scene.live_is_old();
        scene.nothing_is_left();
        assert_eq!(scene.bed.status_text("app", "state"), "failed");
    }
}

#[test]
fn a_server_out_of_connections_is_said_to_be_that() {
    let target = Server::with(&["--max-connections=10"]);
    let scene = Scene::on(&shared().source, &target);
    // One is for those who may do anything, so `owner` gets none.
    let holders: Vec<_> = (0..20)
        .map(|_| {
            let mut holder = target.client("owner", "");
            holder
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("mariadb")
        })
        .collect();
    crate::support::wait_until("all connections are taken", || {
        target.try_sql("owner", "", "SELECT 1").is_err()
    });
    scene
        .bed
        .once(&scene.write(&scene.modest_job()))
        .expect(1)
        .says(&["onnections"]);
    for mut holder in holders {
        holder.kill().expect("it runs");
        holder.wait().expect("our child");
    }
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn tls_is_used_where_the_server_insists() {
    let target = Server::builder().tls().start();
    let scene = Scene::on(&shared().source, &target);
    let secret = scene.bed.file("password", PASSWORD);
    let job = |tls: &str| {
        let url = format!("{}{tls}", target.tcp_url("owner", &scene.to));
        let target = format!(
            "{{ url = {}, password = {{ file = {} }} }}",
            toml(&url),
            toml(secret.to_str().expect("our paths are text"))
        );
        let source = toml(&scene.source.url("root", &scene.from));
        Job::new("mysql", &source, &target)
    };
    scene.copy(&job("?tls=require"));
    scene.live_is_new();
    let authority = encode(target.certificate_authority().to_str().expect("text"));
    scene.copy(&job(&format!("?tls=verify-full&tls_ca={authority}")));
    // Nobody else vouches for this certificate, and without TLS nobody gets in: that is all that such a server says.
    for (tls, said) in [
        ("?tls=verify-full", "certificate"),
        ("?tls=disable", "denied"),
    ] {
        scene
            .bed
            .once(&scene.write(&job(tls)))
            .expect(1)
            .says(&[said]);
    }
    scene.live_is_new();
}

#[test]
fn a_collation_that_the_target_lacks_is_said_by_plan() {
    let source = Server::builder().of(Version::Newer).start();
    let scene = Scene::without_databases(&source, &shared().target);
    source.create_db(&scene.from);
    scene.source("CREATE TABLE t (id int PRIMARY KEY, a varchar(20) COLLATE utf8mb4_0900_ai_ci); INSERT INTO t VALUES (1, '日本')");
    scene.target.create_db(&scene.to);
    scene.live("CREATE TABLE mine (a int)");
    let file = scene.write(&scene.job());
    scene
        .bed
        .with_file("plan", &file)
        .says(&["utf8mb4_0900_ai_ci"]);
    let outcome = scene.bed.once(&file).says(&["utf8mb4_0900_ai_ci"]);
    if outcome.code == Some(0) {
        assert_eq!(scene.live("SELECT a FROM t"), "日本");
    } else {
        assert_eq!(scene.live("SHOW TABLES"), "mine");
        scene.nothing_is_left();
    }
}

/// A database without anything that only one of the makers has.
const COMMON: &str = "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, a varchar(20), b blob, d decimal(10,2), e enum('x','y'), g geometry, at timestamp NULL, v decimal(12,2) AS (d + 1) STORED, KEY (a(5)), CHECK (d < 1000)) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
    INSERT INTO t (a, b, d, e, g, at) VALUES ('größe 🌍', X'00FF5C0A', 1.50, 'y', POINT(1, 2), '2024-01-01'), (NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE child (id int PRIMARY KEY, t int, CONSTRAINT up FOREIGN KEY (t) REFERENCES t (id)) DEFAULT CHARSET = latin1; INSERT INTO child VALUES (1, 1);
    CREATE VIEW w AS SELECT t.a, child.id FROM t JOIN child ON child.t = t.id;
    CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW SET NEW.t = 2;
    CREATE PROCEDURE p() SELECT count(*) FROM t;
    CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DO DELETE FROM t;";

#[test]
fn versions_are_copied_between_and_makers_copied_or_refused_by_name() {
    let oracle = Server::builder().of(Version::Oracle).start();
    let newer = Server::builder().of(Version::Newer).start();
    let system = &shared().target;
    for (source, target) in [
        (&oracle, system),
        (system, &oracle),
        (&oracle, &newer),
        (&newer, &oracle),
        (system, &newer),
        (&newer, system),
        (&oracle, &oracle),
    ] {
        let scene = Scene::without_databases(source, target);
        source.sql(
            "",
            &format!(
                "CREATE DATABASE {} DEFAULT CHARSET utf8mb4 COLLATE utf8mb4_general_ci",
                scene.from
            ),
        );
        scene.source(COMMON);
        let between = format!("{:?} to {:?}", source.version(), target.version());
        let outcome = scene.bed.once(&scene.write(&scene.job()));
        let of_one_maker =
            (source.version() == Version::Oracle) == (target.version() == Version::Oracle);
        if outcome.code != Some(0) && !of_one_maker {
            outcome.says(&["MySQL", "MariaDB"]);
            assert_eq!(scene.beside_live(), Vec::<String>::new(), "{between}");
            continue;
        }
        assert_eq!(outcome.code, Some(0), "{between}: {}", outcome.stderr);
        assert_eq!(
            scene.target.rows(&scene.to),
            scene.source.rows(&scene.from),
            "{between}"
        );
        assert_eq!(scene.live("SELECT a, id FROM w"), "größe 🌍|1", "{between}");
        assert_eq!(scene.live("CALL p()"), "2", "{between}");
        scene.live("INSERT INTO child VALUES (2, 1)");
        assert_eq!(
            scene.live("SELECT t FROM child WHERE id = 2"),
            "2",
            "{between}"
        );
    }
}

#[test]
fn what_only_mariadb_has_is_never_lost_on_mysql_in_silence() {
    let oracle = Server::builder().of(Version::Oracle).start();
    let scene = Scene::on(&shared().source, &oracle);
    scene.source("CREATE SEQUENCE counter");
    let outcome = scene
        .bed
        .once(&scene.write(&scene.job()))
        .says(&["MariaDB"]);
    assert_ne!(outcome.code, Some(0));
    scene.live_is_old();
    scene.nothing_is_left();
}
