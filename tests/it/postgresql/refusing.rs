//! What is never begun.

use super::Scene;
use crate::support::job::Job;
use crate::support::postgres::pooler::Pooler;
use crate::support::postgres::{Cluster, unique};

#[test]
fn data_never_flows_uphill_or_sideways_or_into_a_root() {
    let scene = Scene::new();
    for (from, to) in [
        ("staging", "production"),
        ("production", "production"),
        ("staging", "staging"),
    ] {
        let job = scene.job().flow(from, to);
        let outcome = scene.bed.once(&scene.write(&job));
        assert_eq!(outcome.code, Some(3), "{from} into {to}: {outcome:?}");
        scene.live_is_old();
        assert_eq!(scene.beside_live(), Vec::<String>::new());
    }
    assert_eq!(scene.bed.status_text("app", "state"), "refused");
}

#[test]
fn one_database_under_two_names_is_refused() {
    let cluster = Cluster::builder().tcp().start();
    let scene = Scene::on(&cluster, &cluster);
    let role = unique("admin");
    cluster.psql(
        "postgres",
        &format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'pass'"),
    );
    let password = scene.bed.file("password", "pass\n");
    let by_socket = cluster.url("postgres", &scene.to);
    let by_network = format!(
        "{{ url = \"{}\", password = {{ file = \"{}\" }} }}",
        cluster.tcp_url(&role, &scene.to),
        password.display()
    );
    let job = Job::new("postgresql", &by_network, &format!("\"{by_socket}\""));
    scene.bed.once(&scene.write(&job)).expect(3).says(&["same"]);
    scene.live_is_old();
    // Another database of the same server is another thing.
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    scene.live_is_new();
}

#[test]
fn a_target_that_leads_to_the_source_is_refused() {
    let scene = Scene::new();
    // The target's URL names the source's server and database, with parameters of its own.
    let source = scene.source.url("postgres", &scene.from);
    let job = Job::between(
        "postgresql",
        &source,
        &format!("{source}&connect_timeout=7"),
    );
    scene.bed.once(&scene.write(&job)).expect(3);
    assert_eq!(scene.source("SELECT count(*) FROM users"), "200");
}

#[test]
fn an_environment_that_requires_masks_takes_no_raw_rows() {
    let scene = Scene::new();
    let text = scene.job().to_string().replace(
        "parent = \"production\"",
        "parent = \"production\"\nrequire_masks = true",
    );
    let file = scene.bed.file("app.toml", &text);
    scene.bed.once(&file).expect(3).says(&["mask"]);
    scene.live_is_old();
}

#[test]
fn a_second_run_of_one_target_is_turned_away_with_75_and_told_who_has_it() {
    let scene = Scene::new();
    let (job, proxy) = scene.job_that_stalls();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    let pid = running.pid().to_string();
    // By another name of the job and of the target.
    let target = format!(
        "{}&application_name=other",
        scene.target.url("postgres", &scene.to)
    );
    let other = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &target,
    );
    let other = scene.bed.job("other", &other);
    scene.bed.once(&other).expect(75).says(&[&pid]);
    assert_eq!(scene.bed.status_text("other", "state"), "busy");
    // From another host, which shares no lock file with this one.
    let mut command = scene.bed.command();
    let elsewhere = scene.bed.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    for (key, name) in [("STATE", "state"), ("STATUS", "status"), ("LOCK", "lock")] {
        command.env(format!("ENVSYNCD_{key}_DIR"), elsewhere.join(name));
        std::fs::create_dir(elsewhere.join(name)).expect("a directory");
    }
    command.args(["--once", "-f"]).arg(&other);
    scene.bed.spawn(&mut command).end().expect(75);
    scene.live_is_old();
    proxy.go_on();
    running.end().expect(0);
    scene.live_is_new();
}

#[test]
fn rollback_is_turned_away_while_a_run_has_the_target() {
    let scene = Scene::new();
    let file = scene.write(&scene.job());
    scene.bed.once(&file).expect(0);
    let (job, proxy) = scene.job_that_stalls();
    let running = scene.bed.start(&scene.bed.job("slow", &job));
    proxy.wait_for_stall();
    scene.bed.with_file("rollback", &file).expect(75);
    scene.live_is_new();
    proxy.go_on();
    running.end().expect(0);
}

#[test]
fn a_held_environment_is_left_alone_until_it_is_released() {
    let scene = Scene::new();
    let file = scene.write(&scene.job());
    scene
        .bed
        .run(&["hold", "staging", "--reason", "deploying v42"])
        .expect(0);
    scene.bed.once(&file).expect(75).says(&["deploying v42"]);
    scene.live_is_old();
    scene.bed.run(&["release", "staging"]).expect(0);
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
}

#[test]
fn a_hold_for_a_command_ends_with_the_command() {
    let scene = Scene::new();
    let file = scene.write(&scene.job());
    let gate = scene.bed.gate("deployment");
    let argv: Vec<String> = serde_json::from_str(&gate.hook).expect("our own");
    let mut command = scene.bed.command();
    command
        .args(["hold", "staging", "--reason", "deploying", "--"])
        .args(argv);
    let mut holding = scene.bed.spawn(&mut command);
    gate.wait(&mut holding);
    scene.bed.once(&file).expect(75);
    gate.open();
    holding.end().expect(0);
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
}

#[test]
fn what_a_newer_server_has_and_nobody_here_knows_is_named_and_refused() {
    let scene = Scene::new();
    let file = scene.write(&scene.job());
    let modify = "SET allow_system_table_mods = on;";
    scene.source(&format!(
        "{modify} CREATE TABLE pg_catalog.pg_novelty (oid oid, word text)"
    ));
    // A catalogue that is empty, or has what the server came with, says nothing of this database.
    scene.source("INSERT INTO pg_catalog.pg_novelty VALUES (100, 'built in')");
    scene.bed.with_file("plan", &file).expect(0);
    scene.source(
        "INSERT INTO pg_catalog.pg_novelty VALUES (20000, 'own'); CREATE TYPE mood AS ENUM ('sad');",
    );
    scene.source(&format!(
        "{modify} UPDATE pg_type SET typtype = 'q' WHERE typname = 'mood'"
    ));
    for verb in ["plan", "run"] {
        scene.bed.with_file(verb, &file).expect(1).says(&[
            "what is in the catalogue pg_novelty",
            "type public.mood (typtype q)",
        ]);
    }
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn who_holds_a_table_that_was_waited_for_is_named() {
    let scene = Scene::new();
    scene.source("CREATE TABLE busy (a int)");
    let mut holder = scene.source.guest(&scene.from);
    holder.ask("SET application_name = 'migration'; BEGIN; LOCK TABLE busy; SELECT 1");
    let pid = holder.ask("SELECT pg_backend_pid()");
    let outcome = scene.bed.with_file("plan", &scene.write(&scene.job()));
    outcome.expect(1).says(&[
        &format!("public.busy is locked by server process {pid} (user postgres, `migration`)"),
        "run the job again when they are done",
    ]);
}

#[test]
fn a_source_that_is_of_another_kind_than_the_url_wants_is_told_with_advice() {
    let primary = Cluster::builder().tcp().start();
    let scene = Scene::on(&primary, &primary);
    primary.psql(
        "postgres",
        "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'pass'",
    );
    for url in [
        primary.url("postgres", &scene.from),
        primary
            .tcp_url("boss", &scene.from)
            .replacen("boss", "boss:pass", 1),
    ] {
        let sign = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{sign}target_session_attrs=read-only");
        let target = primary.url("postgres", &scene.to);
        let job = Job::between("postgresql", &url, &target);
        let outcome = scene.bed.with_file("plan", &scene.write(&job));
        outcome.expect(1).says(&["target_session_attrs"]);
    }
}

#[test]
fn a_pooler_that_refuses_what_a_session_begins_with_is_told_with_advice() {
    let cluster = Cluster::builder().start();
    let scene = Scene::on(&cluster, &cluster);
    let pooler = Pooler::strict(&cluster);
    let url = format!(
        "{}&options=-c%20geqo%3Doff",
        pooler.url("postgres", &scene.from)
    );
    let target = cluster.url("postgres", &scene.to);
    let job = Job::between("postgresql", &url, &target);
    let outcome = scene.bed.with_file("plan", &scene.write(&job));
    outcome.expect(2).says(&[
        "unsupported startup parameter",
        "ignore_startup_parameters",
        "connect to the server itself",
    ]);
}
