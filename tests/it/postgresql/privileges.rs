//! Who connects, how, and what they may do.

use super::Scene;
use crate::support::job::{Bed, Job};
use crate::support::postgres::{Cluster, quote, shared, unique};

/// A password with everything that a URL, a shell or a connection string could trip over.
const PASSWORD: &str = r#"p@ss:w/o?r#d%20 'q"\$x&=+;é"#;

fn sql_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An endpoint with its password in a file of its own.
fn endpoint(bed: &Bed, url: &str, password: &str) -> String {
    let file = bed.file(
        &format!("{}.password", unique("secret")),
        &format!("{password}\n"),
    );
    format!(
        "{{ url = \"{url}\", password = {{ file = \"{}\" }} }}",
        file.display()
    )
}

#[test]
fn an_owner_with_createdb_alone_can_be_the_target_and_a_reader_alone_the_source() {
    let scene = Scene::new();
    let (owner, reader) = (scene.owner_of_live(), unique("reader"));
    scene.source(&format!(
        "CREATE EXTENSION citext; CREATE TABLE c (a citext);
         CREATE ROLE {reader} LOGIN; GRANT pg_read_all_data TO {reader};
         COMMENT ON EXTENSION citext IS 'only its owner may say this';"
    ));
    let job = Job::between(
        "postgresql",
        &scene.source.url(&reader, &scene.from),
        &scene.target.url(&owner, &scene.to),
    );
    let file = scene.write(&job);
    for _ in 0..2 {
        scene.bed.once(&file).expect(0);
        scene.live_is_new();
        // The owner can use what arrived.
        let used = scene.target.try_psql(
            &owner,
            &scene.to,
            "INSERT INTO orders (buyer) VALUES (1); ALTER TABLE users ADD COLUMN x int",
        );
        assert_eq!(used, Ok(String::new()));
        assert_eq!(
            scene.live(&format!("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relowner <> '{owner}'::regrole")),
            "0"
        );
    }
    scene.bed.with_file("rollback", &file).expect(0);
}

#[test]
fn what_the_source_grants_to_the_role_that_owns_the_copy_is_no_difference() {
    let scene = Scene::new();
    let owner = scene.owner_of_live();
    scene.source(&format!(
        "CREATE ROLE {owner}; GRANT SELECT, UPDATE ON users TO {owner}; GRANT SELECT (note) ON orders TO {owner};
         CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1; GRANT EXECUTE ON FUNCTION f TO {owner}"
    ));
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url(&owner, &scene.to),
    );
    scene.bed.once(&scene.write(&job)).expect(0);
    scene.live_is_new();
}

#[test]
fn an_owner_without_createdb_is_told_so_and_nothing_is_changed() {
    let scene = Scene::new();
    let owner = scene.owner_of_live();
    scene
        .target
        .psql("postgres", &format!("ALTER ROLE {owner} NOCREATEDB"));
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url(&owner, &scene.to),
    );
    let file = scene.write(&job);
    scene.bed.once(&file).expect(1).says(&["CREATEDB", &owner]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn one_who_does_not_own_live_is_told_so_before_the_rows_are_copied() {
    let scene = Scene::new();
    let stranger = unique("stranger");
    scene.target.psql(
        "postgres",
        &format!("CREATE ROLE {stranger} LOGIN CREATEDB"),
    );
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url(&stranger, &scene.to),
    );
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&[&scene.to]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_wrong_password_fails_the_run_says_whose_and_is_never_shown() {
    let target = Cluster::builder().tcp().start();
    let scene = Scene::on(&shared().source, &target);
    let role = unique("admin");
    target.psql(
        "postgres",
        &format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'right'"),
    );
    let secret = "not-the-right-one";
    let job = Job::new(
        "postgresql",
        &format!("\"{}\"", scene.source.url("postgres", &scene.from)),
        &endpoint(&scene.bed, &target.tcp_url(&role, &scene.to), secret),
    );
    let outcome = scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["password", &role]);
    scene.live_is_old();
    scene.nothing_is_left();
    assert!(!outcome.stderr.contains(secret) && !outcome.stdout.contains(secret));
    assert_eq!(scene.bed.status_text("app", "state"), "failed");
}

#[test]
fn odd_characters_in_passwords_and_names_work_over_tls_and_reach_no_record() {
    let (source, target) = (
        Cluster::builder().tls().start(),
        Cluster::builder().tls().start(),
    );
    let scene = Scene::on(&source, &target);
    let role = format!("odd \"role\"@%/ {}", unique("r"));
    let make = format!(
        "CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}",
        quote(&role),
        sql_text(PASSWORD)
    );
    source.psql("postgres", &make);
    target.psql("postgres", &make);
    let ends = [(&source, &scene.from), (&target, &scene.to)].map(|(cluster, database)| {
        let url = format!(
            "{}?sslmode=verify-full&sslrootcert={}&channel_binding=require&require_auth=scram-sha-256",
            cluster.tcp_url(&role, database),
            cluster.certificate_authority().display()
        );
        endpoint(&scene.bed, &url, PASSWORD)
    });
    let file = scene.write(&Job::new("postgresql", &ends[0], &ends[1]));
    let outcome = scene.bed.once(&file).expect(0);
    scene.live_is_new();
    let mut records = format!("{}{}", outcome.stdout, outcome.stderr);
    for directory in ["state", "status", "lock"] {
        for entry in std::fs::read_dir(scene.bed.path(directory)).expect("it is there") {
            let bytes = std::fs::read(entry.expect("readable").path()).expect("readable");
            records += &String::from_utf8_lossy(&bytes);
        }
    }
    assert!(!records.contains("p@ss:w"), "the password is in a record");
}

#[test]
fn sslmode_require_encrypts_and_disable_is_turned_away_by_a_server_that_wants_tls() {
    let target = Cluster::builder().tls().start();
    let scene = Scene::on(&shared().source, &target);
    target.psql("postgres", "CREATE ROLE admin SUPERUSER LOGIN PASSWORD 'p'");
    let run = |mode: &str| {
        let url = format!("{}?sslmode={mode}", target.tcp_url("admin", &scene.to));
        let source = format!("\"{}\"", scene.source.url("postgres", &scene.from));
        scene.bed.once(&scene.write(&Job::new(
            "postgresql",
            &source,
            &endpoint(&scene.bed, &url, "p"),
        )))
    };
    run("disable").expect(1);
    scene.live_is_old();
    run("require").expect(0);
    scene.live_is_new();
}

#[test]
fn verify_full_refuses_a_server_that_another_authority_vouches_for() {
    let target = Cluster::builder().tls().start();
    let stranger = Cluster::builder().tls().start();
    let scene = Scene::on(&shared().source, &target);
    target.psql("postgres", "CREATE ROLE admin SUPERUSER LOGIN PASSWORD 'p'");
    let url = format!(
        "{}?sslmode=verify-full&sslrootcert={}",
        target.tcp_url("admin", &scene.to),
        stranger.certificate_authority().display()
    );
    let source = format!("\"{}\"", scene.source.url("postgres", &scene.from));
    let job = Job::new("postgresql", &source, &endpoint(&scene.bed, &url, "p"));
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["certificate"]);
    scene.live_is_old();
}

#[test]
fn no_password_is_among_the_arguments_of_a_process_that_a_run_starts() {
    let source = Cluster::builder().tcp().start();
    let scene = Scene::on(&source, &shared().target);
    source.psql(
        "postgres",
        "CREATE ROLE admin SUPERUSER LOGIN PASSWORD 'a-very-secret-word'",
    );
    let gate = scene.bed.gate("maintenance");
    let job = Job::new(
        "postgresql",
        &endpoint(
            &scene.bed,
            &source.tcp_url("admin", &scene.from),
            "a-very-secret-word",
        ),
        &format!("\"{}\"", scene.target.url("postgres", &scene.to)),
    )
    .hooks(&gate.maintenance());
    // A table that someone has locked keeps pg_dump waiting, so that it can be looked at.
    let mut holder = source.guest(&scene.from);
    let lock = "BEGIN; LOCK TABLE users; SELECT 'locked'";
    assert_eq!(holder.ask(lock), "locked");
    let mut running = scene.bed.start(&scene.write(&job));
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'",
        scene.from
    );
    crate::support::wait_until("the run waits for the lock", || {
        assert!(running.is_running(), "it ended");
        source.psql("postgres", &waiting) != "0"
    });
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
        if let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) {
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            assert!(!arguments.contains("a-very-secret-word"), "{arguments}");
            seen += usize::from(arguments.contains("app.toml"));
        }
    }
    assert!(seen > 0, "the run itself was not among the processes");
    drop(holder);
    gate.wait(&mut running);
    gate.open();
    running.end().expect(0);
}
