//! What goes wrong: the run says so, live is as it was.

use std::process::Command;

use super::{BIG, Scene};
use crate::support::job::Job;
use crate::support::postgres::{Cluster, Must, shared, unique};
use crate::support::proxy::Proxy;

#[test]
fn a_source_that_is_away_fails_the_run_and_is_named() {
    let scene = Scene::new();
    let source = "postgresql://postgres@127.0.0.1:1/nowhere";
    let job = Job::between(
        "postgresql",
        source,
        &scene.target.url("postgres", &scene.to),
    );
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["127.0.0.1"]);
    scene.live_is_old();
    scene.nothing_is_left();
    assert_eq!(scene.bed.status_text("app", "state"), "failed");
}

#[test]
fn a_source_database_that_does_not_exist_fails_the_run_and_is_named() {
    let scene = Scene::new();
    let missing = unique("missing");
    let source = scene.source.url("postgres", &missing);
    let job = Job::between(
        "postgresql",
        &source,
        &scene.target.url("postgres", &scene.to),
    );
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&[&missing]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_target_that_is_away_fails_the_run_and_is_named() {
    let scene = Scene::new();
    let target = "postgresql://postgres@127.0.0.1:1/nowhere";
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        target,
    );
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["127.0.0.1"]);
    assert_eq!(scene.bed.status_text("app", "state"), "failed");
}

#[test]
fn a_source_that_goes_away_in_mid_copy_fails_the_run() {
    let scene = Scene::new();
    let (job, proxy) = scene.job_that_stalls();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    proxy.cut();
    running.end().expect(1);
    scene.live_is_old();
    scene.nothing_is_left();
    assert_eq!(scene.bed.status_text("app", "state"), "failed");
}

#[test]
fn a_source_session_that_is_terminated_in_mid_copy_fails_the_run() {
    let scene = Scene::new();
    let (job, proxy) = scene.job_that_stalls();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    scene.source.psql(
        "postgres",
        &format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
            scene.from
        ),
    );
    proxy.go_on();
    running.end().expect(1);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_target_that_is_cut_off_in_mid_copy_fails_the_run_and_the_next_one_clears_up() {
    let scene = Scene::new();
    scene.source(BIG);
    let proxy = Proxy::before(scene.target);
    proxy.stall_after(super::IN_MID_COPY);
    let source = scene.source.url("postgres", &scene.from);
    let through = Job::between("postgresql", &source, &proxy.url("postgres", &scene.to));
    let running = scene.bed.start(&scene.write(&through));
    proxy.wait_for_stall();
    proxy.cut();
    running.end().expect(1);
    scene.live_is_old();
    scene
        .bed
        .once(&scene.write(&scene.job().task("previous = \"drop\"")))
        .expect(0);
    scene.live_is_new();
    scene.nothing_is_left();
}

#[test]
fn a_target_that_crashes_in_mid_copy_comes_back_with_the_old_data() {
    let target = Cluster::builder()
        .set("fsync", "on")
        .set("full_page_writes", "on")
        .start();
    let scene = Scene::on(&shared().source, &target);
    let (job, proxy) = scene.job_that_stalls();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    target.crash();
    proxy.go_on();
    running.end().expect(1);
    target.start_again();
    scene.live_is_old();
    scene
        .bed
        .once(&scene.write(&scene.job().task("previous = \"drop\"")))
        .expect(0);
    scene.live_is_new();
    scene.nothing_is_left();
}

#[test]
fn a_crash_of_the_target_after_a_run_loses_nothing_of_it() {
    let target = Cluster::builder()
        .set("fsync", "on")
        .set("full_page_writes", "on")
        .start();
    let scene = Scene::on(&shared().source, &target);
    scene.source(BIG);
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    target.crash();
    target.start_again();
    scene.live_is_new();
    assert_eq!(
        scene.live("SELECT count(*), count(filler) FROM big"),
        "40000|40000"
    );
}

#[test]
fn a_full_disk_on_the_target_fails_the_run_and_is_called_so() {
    let target = Cluster::builder().small_disk(64).start();
    let scene = Scene::on(&shared().source, &target);
    scene.source(BIG);
    scene.source("INSERT INTO big SELECT id + 100000, filler || filler FROM big");
    let outcome = scene.bed.once(&scene.write(&scene.job())).expect(1);
    assert!(outcome.stderr.contains("space"), "{}", outcome.stderr);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_statement_that_fails_after_the_rows_fails_the_run_and_names_the_object() {
    let scene = Scene::new();
    // An index whose expression works in production's database only.
    scene.source(&format!(
        "CREATE FUNCTION only_here(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
         $$BEGIN IF current_database() <> '{}' THEN RAISE EXCEPTION 'not here'; END IF; RETURN i; END$$;
         CREATE INDEX fragile ON orders (only_here(buyer));",
        scene.from
    ));
    scene.bed.once(&scene.write(&scene.job())).expect(1).says(&[
        "fragile",
        "function only_here",
        "raise_exception",
    ]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_table_altered_while_it_is_copied_arrives_as_it_was_or_the_run_fails() {
    let scene = Scene::new();
    let (job, proxy) = scene.job_that_stalls();
    let before = scene.source.pg_dump(&scene.from);
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    // It may have to wait for the run's own locks: then it says so and gives up.
    let altered = scene.source.try_psql(
        "postgres",
        &scene.from,
        "SET lock_timeout = '2s'; ALTER TABLE orders ADD COLUMN extra int DEFAULT 5; ALTER TABLE users DROP COLUMN email",
    );
    proxy.go_on();
    let outcome = running.end();
    match outcome.code {
        Some(0) => {
            crate::support::dump::assert_equal(&before, &scene.target.pg_dump(&scene.to));
        }
        Some(1) if altered.is_ok() => {
            scene.live_is_old();
            scene.nothing_is_left();
        }
        _ => panic!("{outcome:?} after {altered:?}"),
    }
}

#[test]
fn rows_that_row_level_security_hides_from_the_reader_fail_the_run() {
    let scene = Scene::new();
    let reader = unique("reader");
    scene.source(&format!(
        "CREATE TABLE secured (id int); INSERT INTO secured VALUES (1), (2);
         ALTER TABLE secured ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON secured USING (id = 1);
         CREATE ROLE {reader} LOGIN; GRANT pg_read_all_data TO {reader};"
    ));
    let source = scene.source.url(&reader, &scene.from);
    let job = Job::between(
        "postgresql",
        &source,
        &scene.target.url("postgres", &scene.to),
    );
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["secured"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_table_or_sequence_that_the_reader_may_not_read_fails_the_run_and_is_named() {
    for (object, grant) in [
        (
            "orders_id_seq",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public",
        ),
        ("users", "GRANT SELECT ON orders, orders_id_seq"),
    ] {
        let scene = Scene::new();
        let reader = unique("reader");
        scene.source(&format!("CREATE ROLE {reader} LOGIN; {grant} TO {reader};"));
        let source = scene.source.url(&reader, &scene.from);
        let job = Job::between(
            "postgresql",
            &source,
            &scene.target.url("postgres", &scene.to),
        );
        scene.bed.once(&scene.write(&job)).expect(1).says(&[object]);
        scene.live_is_old();
        scene.nothing_is_left();
    }
}

#[test]
fn an_extension_that_the_target_s_role_may_not_make_fails_the_run_and_is_named() {
    let scene = Scene::new();
    let role = scene.owner_of_live();
    scene.source("CREATE EXTENSION file_fdw");
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url(&role, &scene.to),
    );
    // file_fdw is not trusted: an owner who is no superuser cannot make it.
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["file_fdw"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn too_few_connections_on_the_target_fail_the_run() {
    let scene = Scene::new();
    let role = scene.owner_of_live();
    scene
        .target
        .psql("postgres", &format!("ALTER ROLE {role} CONNECTION LIMIT 1"));
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url(&role, &scene.to),
    );
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["too many connections"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_state_directory_that_is_no_directory_fails_the_run_before_anything_is_changed() {
    let scene = Scene::new();
    let file = scene.write(&scene.job());
    let state = scene.bed.file("not-a-directory", "");
    let mut command = scene.bed.command();
    command
        .env("ENVSYNCD_STATE_DIR", &state)
        .args(["--once", "-f"])
        .arg(&file);
    scene
        .bed
        .spawn(&mut command)
        .end()
        .expect(1)
        .says(&["not-a-directory"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

/// A file system of 256 KiB without a free byte.
struct FullDisk(std::path::PathBuf);

impl FullDisk {
    fn at(place: std::path::PathBuf) -> Self {
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(&place)
            .must("mount (as root)");
        let disk = Self(place);
        // Until it is full.
        let _ = std::fs::write(disk.0.join("filler"), vec![0; 1024 * 1024]);
        disk
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_state_directory_fails_the_run_before_anything_is_changed() {
    let scene = Scene::new();
    let disk = FullDisk::at(scene.bed.path("state"));
    let outcome = scene.bed.once(&scene.write(&scene.job())).expect(1);
    assert!(outcome.stderr.contains("state"), "{}", outcome.stderr);
    scene.live_is_old();
    scene.nothing_is_left();
    drop(disk);
}

#[test]
fn a_lock_on_a_table_of_live_does_not_hold_up_a_run() {
    let scene = Scene::new();
    let mut holder = scene.target.guest(&scene.to);
    let lock = "BEGIN; LOCK TABLE users; SELECT 'locked'";
    assert_eq!(holder.ask(lock), "locked");
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    drop(holder);
    scene.live_is_new();
}

#[test]
fn a_run_that_failed_is_in_the_history_and_the_next_one_counts_from_it() {
    let scene = Scene::new();
    scene.bed.file("broken.sql", "SELECT 1/0;");
    let broken = scene.write(&scene.job().task("scripts = [\"broken.sql\"]"));
    scene.bed.once(&broken).expect(1);
    scene.bed.once(&broken).expect(1);
    assert_eq!(scene.bed.status("app")["consecutive_failures"], 2);
    assert!(scene.bed.status("app")["errors"].as_u64() > Some(0));
    let file = scene.write(&scene.job());
    scene.bed.once(&file).expect(0);
    let status = scene.bed.status("app");
    assert_eq!(status["consecutive_failures"], 0);
    assert_eq!(status["last_success_at"], status["finished_at"]);
    let history = scene.bed.run(&["history", "app"]).expect(0).stdout;
    assert_eq!(history.matches("failed").count(), 2, "{history}");
    assert_eq!(history.matches("succeeded").count(), 1, "{history}");
}
