//! Copies into a target without room for two: live is emptied and loaded, in maintenance.

mod broken;

use nix::sys::signal::Signal;

use super::{BIG, Scene};
use crate::support::dump::assert_equal;
use crate::support::job::{Job, toml};
use crate::support::postgres::{Cluster, quote, shared, unique};
use crate::support::proxy::Proxy;
use crate::support::wait_until;

const IN_PLACE: &str = "publish = \"in_place\"";

impl Scene<'_> {
    /// Hooks that note when they are called, and whether staging can be reached then.
    fn noting(&self) -> String {
        let note = |name: &str| {
            format!(
                "{name} = {}\n",
                self.bed.note(name.trim_start_matches("maintenance_"))
            )
        };
        note("maintenance_on") + &note("after_publish") + &note("maintenance_off")
    }

    /// Whoever wants into staging is turned away.
    #[track_caller]
    fn live_is_closed(&self) {
        let refused = self
            .target
            .try_psql("postgres", &self.to, "SELECT 1")
            .expect_err("nobody gets in");
        assert!(refused.contains("not currently accepting"), "{refused}");
    }

    /// The run and the monitoring call live broken.
    #[track_caller]
    fn live_is_called_broken(&self) {
        let status = self.bed.status("app");
        assert_eq!(status["state"], "failed", "{status}");
        assert_eq!(status["broken"], true, "{status}");
        let message = status["message"].as_str().expect("text");
        assert!(message.contains("LIVE IS BROKEN"), "{message}");
        self.bed
            .run(&["check", "app"])
            .expect(2)
            .says(&["CRITICAL", "live is broken"]);
    }

    /// Runs the job to its end, after which everything is well.
    #[track_caller]
    fn mended_by(&self, job: &Job) {
        self.bed.once(&self.write(job)).expect(0);
        self.live_is_new();
        self.nothing_is_left();
        let status = self.bed.status("app");
        assert_eq!(
            (&status["state"], &status["broken"]),
            (&"succeeded".into(), &false.into())
        );
        self.bed.run(&["check", "app"]).expect(0);
    }
}

#[test]
fn an_emptied_and_loaded_target_is_equal_to_its_source() {
    let scene = Scene::new();
    let job = scene
        .job()
        .task(IN_PLACE)
        .task("verify = \"checksum\"")
        .hooks(&scene.noting());
    scene.bed.once(&scene.write(&job)).expect(0);
    assert_equal(
        &scene.source.pg_dump(&scene.from),
        &scene.target.pg_dump(&scene.to),
    );
    scene.nothing_is_left();
    assert_eq!(scene.bed.notes(), ["on", "after_publish", "off"]);
}

#[test]
fn the_first_copy_in_place_makes_the_target() {
    let pair = shared();
    let scene = Scene::new();
    let to = unique("first");
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &pair.target.url("postgres", &to),
    );
    scene.bed.once(&scene.write(&job.task(IN_PLACE))).expect(0);
    assert_eq!(pair.target.psql(&to, "SELECT count(*) FROM users"), "200");
}

#[test]
fn previous_of_an_earlier_swap_makes_room_too_and_rollback_says_that_there_is_none() {
    let scene = Scene::new();
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_eq!(scene.beside_live().len(), 1);
    let file = scene.write(&scene.job().task(IN_PLACE));
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
    scene.nothing_is_left();
    scene
        .bed
        .with_file("rollback", &file)
        .expect(2)
        .says(&["published in place", "nothing to go back to"]);
    scene.live_is_new();
}

#[test]
fn owner_grants_settings_comment_and_limit_survive_a_load_that_was_killed() {
    properties_survive(false);
}

#[test]
fn they_survive_it_in_the_hands_of_an_owner_who_may_no_more_than_make_databases() {
    properties_survive(true);
}

fn properties_survive(by_owner: bool) {
    let scene = Scene::new();
    let role = scene.owner_of_live();
    let guest = unique("guest");
    let to = quote(&scene.to);
    scene.target.psql(
        "postgres",
        &format!(
            "CREATE ROLE {guest} LOGIN; REVOKE CONNECT ON DATABASE {to} FROM PUBLIC;
             GRANT CONNECT, CREATE ON DATABASE {to} TO {guest};
             ALTER DATABASE {to} SET search_path = public, pg_catalog; ALTER DATABASE {to} SET work_mem = '7MB';
             ALTER DATABASE {to} CONNECTION LIMIT 33; COMMENT ON DATABASE {to} IS 'staging''s own';"
        ),
    );
    if !by_owner {
        scene.target.psql(
            "postgres",
            &format!("ALTER ROLE {guest} IN DATABASE {to} SET statement_timeout = '5s'"),
        );
    }
    let asked = format!(
        "SELECT pg_get_userbyid(datdba), datconnlimit, datallowconn, shobj_description(oid, 'pg_database'),
                (SELECT string_agg(g.grantee::regrole || g.privilege_type, ',' ORDER BY 1) FROM aclexplode(datacl) g WHERE g.grantee <> datdba),
                (SELECT string_agg(setrole::text || setconfig::text, ';' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = pg_database.oid)
         FROM pg_database WHERE datname = '{}'",
        scene.to
    );
    let before = scene.target.psql("postgres", &asked);
    scene.source(BIG);
    let proxy = Proxy::before(scene.source);
    proxy.stall_after(super::IN_MID_COPY);
    let user = if by_owner { &role } else { "postgres" };
    let job = Job::between(
        "postgresql",
        &proxy.url("postgres", &scene.from),
        &scene.target.url(user, &scene.to),
    );
    let file = scene.write(&job.task(IN_PLACE));
    let running = scene.bed.start(&file);
    proxy.wait_for_stall();
    running.kill();
    scene.live_is_closed();
    proxy.go_on();
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
    assert_eq!(scene.target.psql("postgres", &asked), before);
    scene.nothing_is_left();
}

impl Scene<'_> {
    /// A job in place, by the target's superuser, whose source stalls in the middle of `big`'s rows.
    fn stalling(&self) -> (Job, Proxy) {
        let (job, proxy) = self.job_that_stalls();
        (job.task(IN_PLACE), proxy)
    }
}

#[test]
fn an_owner_with_createdb_alone_loads_in_place_over_what_a_superuser_has_put_into_live() {
    let scene = Scene::new();
    let role = scene.owner_of_live();
    scene.live("CREATE EXTENSION file_fdw; CREATE SCHEMA secret; CREATE TABLE secret.t (a int); SELECT lo_create(7)");
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url(&role, &scene.to),
    );
    scene.bed.once(&scene.write(&job.task(IN_PLACE))).expect(0);
    scene.live_is_new();
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_extension WHERE extname = 'file_fdw'"),
        "0"
    );
    scene.nothing_is_left();
}

#[test]
fn what_can_be_known_beforehand_fails_the_run_while_live_is_whole() {
    for (spoil, lines, words) in [
        // An extension that the role may not make.
        ("CREATE EXTENSION file_fdw", "", "file_fdw"),
        ("SELECT 1", "scripts = [\"gone.sql\"]", "\\i"),
        (
            "SELECT 1",
            "exclude = [\"users\"]\nscripts = [\"broken.sql\"]",
            "broken.sql",
        ),
    ] {
        let scene = Scene::new();
        let role = scene.owner_of_live();
        scene.source(spoil);
        scene.bed.file("gone.sql", "SELECT 1;\n\\i other.sql\n");
        scene.bed.file("broken.sql", "SELECT 'never ends;");
        let job = Job::between(
            "postgresql",
            &scene.source.url("postgres", &scene.from),
            &scene.target.url(&role, &scene.to),
        );
        let job = job.task(IN_PLACE).task(lines).hooks(&scene.noting());
        scene.bed.once(&scene.write(&job)).expect(1).says(&[words]);
        scene.live_is_old();
        scene.nothing_is_left();
        assert_eq!(scene.bed.notes(), Vec::<String>::new());
        assert_eq!(scene.bed.status("app")["broken"], false);
    }
}

#[test]
fn a_maintenance_hook_that_fails_leaves_live_whole() {
    let scene = Scene::new();
    let hooks = format!(
        "maintenance_on = [\"false\"]\nmaintenance_off = {}",
        scene.bed.note("off")
    );
    scene
        .bed
        .once(&scene.write(&scene.job().task(IN_PLACE).hooks(&hooks)))
        .expect(1);
    scene.live_is_old();
    scene.nothing_is_left();
    assert_eq!(scene.bed.notes(), ["off"]);
}

#[test]
fn a_source_that_dies_while_maintenance_is_turned_on_leaves_live_whole() {
    let scene = Scene::new();
    let proxy = Proxy::before(scene.source);
    let gate = scene.bed.gate("on");
    let job = Job::between(
        "postgresql",
        &proxy.url("postgres", &scene.from),
        &scene.target.url("postgres", &scene.to),
    );
    let hooks = format!(
        "maintenance_on = {}\nmaintenance_off = {}",
        gate.hook,
        scene.bed.note("off")
    );
    let mut running = scene
        .bed
        .start(&scene.write(&job.task(IN_PLACE).hooks(&hooks)));
    gate.wait(&mut running);
    // Everything that needs no rows was done before: definitions are on incoming, live is untouched.
    scene.live_is_old();
    proxy.cut();
    gate.open();
    running.end().expect(1);
    scene.live_is_old();
    scene.nothing_is_left();
    assert_eq!(scene.bed.notes(), ["off"]);
    assert_eq!(scene.bed.status("app")["broken"], false);
}

#[test]
fn other_clients_are_kept_out_while_it_loads_and_let_in_after() {
    let scene = Scene::new();
    let _guest = scene.target.guest(&scene.to);
    let count = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND backend_type = 'client backend'",
        scene.to
    );
    // The clients that made it may be gone before their sessions are.
    wait_until("the guest is alone", || {
        scene.target.psql("postgres", &count) == "1"
    });
    let (job, proxy) = scene.stalling();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    assert_eq!(scene.target.psql("postgres", &count), "0");
    scene.live_is_closed();
    proxy.go_on();
    running.end().expect(0);
    scene.live_is_new();
}

#[test]
fn sigterm_before_live_is_emptied_leaves_it_whole() {
    let scene = Scene::new();
    let gate = scene.bed.gate("on");
    let hooks = format!(
        "maintenance_on = {}\nmaintenance_off = {}",
        gate.hook,
        scene.bed.note("off")
    );
    let mut running = scene
        .bed
        .start(&scene.write(&scene.job().task(IN_PLACE).hooks(&hooks)));
    gate.wait(&mut running);
    running.signal(Signal::SIGTERM);
    running.end().expect(143);
    scene.live_is_old();
    scene.nothing_is_left();
    assert_eq!(scene.bed.notes(), ["off"]);
}

#[test]
fn a_target_without_room_for_two_copies_takes_one_in_place() {
    let target = Cluster::builder().small_disk(112).start();
    let scene = Scene::on(&shared().source, &target);
    scene.source(BIG);
    scene.source("INSERT INTO big SELECT id + 100000, filler FROM big");
    scene
        .bed
        .once(&scene.write(&scene.job().task(IN_PLACE)))
        .expect(0);
    let swap = scene.job();
    scene
        .bed
        .once(&scene.write(&swap))
        .expect(1)
        .says(&["space"]);
    scene.live_is_new();
    scene
        .bed
        .once(&scene.write(&scene.job().task(IN_PLACE)))
        .expect(0);
    scene.live_is_new();
}

#[test]
fn tasks_in_place_are_loaded_first_and_one_that_fails_keeps_the_others_from_changing() {
    let scene = Scene::new();
    let other = Scene::new();
    scene.bed.file("fails.sql", "SELECT 1/0;");
    let second = |lines: &str| {
        format!(
            "[[task]]\nname = \"second\"\nkind = \"postgresql\"\nsource = {}\ntarget = {}\n{lines}\n",
            toml(&other.source.url("postgres", &other.from)),
            toml(&other.target.url("postgres", &other.to)),
        )
    };
    // The first task of the file is a swap, the second in place; the second fails.
    let job = scene
        .job()
        .task("name = \"first\"")
        .task(&second(&format!("{IN_PLACE}\nscripts = [\"fails.sql\"]")));
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["task second", "LIVE IS BROKEN"]);
    scene.live_is_old();
    scene.nothing_is_left();
    other.live_is_closed();
    // A part without the broken one would turn maintenance off in front of it.
    let job = scene.job().task("name = \"first\"").task(&second(IN_PLACE));
    let file = scene.write(&job);
    let part = |task: &str| {
        scene
            .bed
            .run(&["run", "-f", file.to_str().unwrap(), "--only", task])
    };
    let why = ["live is broken", "leaves task `second` out"];
    part("first").expect(2).says(&why);
    let plan = |task: &str| {
        scene
            .bed
            .run(&["plan", "-f", file.to_str().unwrap(), "--only", task])
    };
    plan("first").expect(2).says(&why);
    plan("second").expect(0);
    scene.live_is_old();
    other.live_is_closed();
    part("second").expect(0);
    scene.live_is_old();
    other.live_is_new();
    // And both go well.
    scene.bed.once(&scene.write(&job)).expect(0);
    scene.live_is_new();
    other.live_is_new();
    other.nothing_is_left();
}

#[test]
fn plan_says_that_live_is_emptied_first_and_changes_nothing() {
    let scene = Scene::new();
    let file = scene.write(&scene.job().task(IN_PLACE));
    scene
        .bed
        .with_file("plan", &file)
        .expect(0)
        .says(&["in place", "EMPTIED FIRST"]);
    scene.live_is_old();
    scene.nothing_is_left();
}
