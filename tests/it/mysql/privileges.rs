//! What users of either side may do: with what is needed a run works, without any one of them it is named, and nothing
//! has happened.

use super::{Scene, grant};
use crate::support::job::{Job, toml};
use crate::support::mysql::{PASSWORD, Server, Version, shared};
use crate::support::postgres::unique;

/// Something of each kind that a server may hide.
const RICH: &str = r"CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
    INSERT INTO users VALUES (1, 'new'), (2, 'new');
    CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, buyer int NOT NULL, KEY (buyer), CONSTRAINT bought_by FOREIGN KEY (buyer) REFERENCES users (id));
    INSERT INTO orders (buyer) VALUES (1), (2), (2);
    CREATE VIEW buyers AS SELECT email FROM users;
    CREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1;
    CREATE PROCEDURE two() SELECT 2;
    CREATE TRIGGER on_order BEFORE INSERT ON `orders` FOR EACH ROW SET NEW.buyer = NEW.buyer;
    CREATE EVENT at_night ON SCHEDULE EVERY 1 DAY DO SET @a = 1;";

/// What was live before has all of that, too.
const RICH_LIVE: &str = "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
    INSERT INTO users VALUES (1, 'old');
    CREATE TABLE only_live (a text); INSERT INTO only_live VALUES ('mine');
    CREATE VIEW old_view AS SELECT email FROM users;
    CREATE TRIGGER old_trigger BEFORE INSERT ON users FOR EACH ROW SET NEW.email = 'x';";

/// A source's user with all of these but one.
const SOURCE: &[&str] = &["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];

/// A target's user, likewise, on live and what is made beside it.
const TARGET: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "ALTER",
    "INDEX",
    "REFERENCES",
    "LOCK TABLES",
    "SHOW VIEW",
    "CREATE VIEW",
    "TRIGGER",
    "EVENT",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EXECUTE",
];

fn but(all: &[&str], missing: &str) -> String {
    let rest: Vec<&str> = all.iter().copied().filter(|one| *one != missing).collect();
    rest.join(", ")
}

/// Production and staging, both with something of each kind.
fn rich<'a>(source: &'a Server, target: &'a Server) -> Scene<'a> {
    let scene = Scene::on_any(source, target);
    scene.source(RICH);
    // Not by root: on MySQL, nobody else may drop what is root's (it has SYSTEM_USER).
    let maker = match target.version() {
        Version::Oracle => "owner",
        _ => "root",
    };
    let live = target.try_sql(maker, &scene.to, RICH_LIVE);
    live.expect("what was live");
    scene
}

impl Scene<'_> {
    /// A job to live by this user.
    fn job_to(&self, user: &str) -> Job {
        let source = toml(&self.source.url("root", &self.from));
        let target = self.endpoint(&self.target.url(user, &self.to), Some(PASSWORD));
        Job::new("mysql", &source, &target)
    }

    /// Staging has all that production has, though not by the same definer.
    #[track_caller]
    fn has_all(&self) {
        let all = |server: &Server, database: &str| {
            let sql = format!(
                "SELECT 'table', TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{database}'
                 UNION ALL SELECT 'trigger', TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{database}'
                 UNION ALL SELECT 'routine', ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{database}'
                 UNION ALL SELECT 'event', EVENT_NAME, EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{database}'
                 UNION ALL SELECT 'key', CONSTRAINT_NAME, TABLE_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = '{database}'
                 ORDER BY 1, 2"
            );
            server.sql("", &sql)
        };
        let copied = all(self.target, &self.to);
        assert_eq!(all(self.source, &self.from), copied);
        assert_eq!(copied.lines().count(), 10);
        assert_eq!(self.live("SELECT COUNT(*) FROM orders"), "3");
        assert_eq!(self.live("SELECT COUNT(*) FROM buyers"), "2");
    }

    /// `plan` and a run both fail for this reason, and nothing was done.
    #[track_caller]
    fn lacks(&self, job: &Job, says: &[&str]) {
        self.plan(job).expect(1).says(says);
        self.fails(job, says);
    }
}

fn source_users(server: &Server, reveals: (&str, &str, &str)) {
    let scene = rich(server, server_beside(server));
    let (privilege, place, named) = reveals;
    let database = format!("`{}`.*", scene.from);
    for missing in SOURCE {
        let user = unique("user");
        grant(server, &user, &database, &but(SOURCE, missing));
        grant(server, &user, place, privilege);
        let job = scene.job_from(&server.url(&user, &scene.from), Some(PASSWORD));
        scene.lacks(&job, &["lacks", missing, &scene.from, "GRANT"]);
        grant(server, &user, &database, missing);
        scene.plan(&job).expect(0);
    }
    let user = unique("user");
    grant(server, &user, &database, &but(SOURCE, ""));
    let job = scene.job_from(&server.url(&user, &scene.from), Some(PASSWORD));
    scene.lacks(&job, &["lacks", named, "routines", "GRANT"]);
    // Without a right to lock, it still works.
    grant(server, &user, place, privilege);
    scene
        .copy(&job)
        .says(&["one worker", "grant RELOAD, or LOCK TABLES"]);
    scene.has_all();
}

/// A server of the same maker to copy to.
fn server_beside(server: &Server) -> &'static Server {
    match server.version() {
        Version::Oracle => &super::theirs::oracle().target,
        _ => &shared().target,
    }
}

#[test]
fn each_privilege_that_a_source_user_lacks_is_named_and_live_is_as_it_was() {
    source_users(&shared().source, ("SELECT", "mysql.proc", "EXECUTE"));
}

#[test]
fn each_privilege_that_a_mysql_source_user_lacks_is_named_and_live_is_as_it_was() {
    let source = Server::builder().of(Version::Oracle).start();
    source_users(&source, ("SHOW_ROUTINE", "*.*", "SHOW_ROUTINE"));
}

fn target_users(scene: &Scene<'_>) {
    let server = scene.target;
    let escaped = scene.to.replace('_', "\\_");
    let places = [format!("`{escaped}`.*"), format!("`{escaped}\\_%`.*")];
    let user = unique("user");
    for place in &places {
        grant(server, &user, place, &TARGET.join(", "));
    }
    let job = scene.job_to(&user);
    scene.plan(&job).expect(0);
    for missing in TARGET {
        for place in &places {
            server.sql("", &format!("REVOKE {missing} ON {place} FROM {user}"));
            let outcome = scene.plan(&job);
            assert_eq!(outcome.code, Some(1), "{missing} on {place}: {outcome:?}");
            outcome.says(&[
                "the target's user lacks",
                missing,
                &format!("`{}", scene.to),
                "GRANT ALL ON",
            ]);
            scene.live_is_old();
            grant(server, &user, place, missing);
        }
    }
    server.sql(
        "",
        &format!("REVOKE INSERT, DROP ON {} FROM {user}", places[1]),
    );
    scene.fails(
        &job,
        &["the target's user lacks INSERT, DROP on `", "_incoming_"],
    );
    grant(server, &user, &places[1], "INSERT, DROP");
    scene.copy(&job);
    scene.has_all();
    scene.copy(&job);
    scene.has_all();
}

#[test]
fn each_privilege_that_a_target_user_lacks_is_named_by_plan_and_with_all_of_them_a_run_works() {
    let pair = shared();
    target_users(&rich(&pair.source, &pair.target));
}

#[test]
fn each_privilege_that_a_mysql_target_user_lacks_is_named_by_plan_and_with_all_of_them_a_run_works()
{
    let source = Server::builder().of(Version::Oracle).start();
    let scene = rich(&source, server_beside(&source));
    target_users(&scene);
}

#[test]
fn what_the_reference_tells_to_grant_is_enough() {
    let pair = shared();
    let scene = rich(&pair.source, &pair.target);
    let (reader, owner) = (unique("user"), unique("user"));
    grant(
        scene.source,
        &reader,
        &format!("`{}`.*", scene.from),
        "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES",
    );
    grant(scene.source, &reader, "*.*", "RELOAD");
    grant(scene.source, &reader, "mysql.proc", "SELECT");
    let escaped = scene.to.replace('_', "\\_");
    for place in [escaped.clone(), format!("{escaped}\\_%")] {
        grant(scene.target, &owner, &format!("`{place}`.*"), "ALL");
    }
    let job = Job::new(
        "mysql",
        &scene.endpoint(&scene.source.url(&reader, &scene.from), Some(PASSWORD)),
        &scene.endpoint(&scene.target.url(&owner, &scene.to), Some(PASSWORD)),
    );
    let outcome = scene.copy(&job.task("verify = \"checksum\""));
    assert!(!outcome.stderr.contains("one worker"), "{}", outcome.stderr);
    scene.has_all();
}

#[test]
fn a_target_with_a_binary_log_needs_no_super() {
    let options = ["--log-bin=binlog", "--server-id=7", "--gtid-strict-mode=1"];
    let target = Server::with(&options);
    let scene = rich(&shared().source, &target);
    let job = scene.job_to("owner");
    let refused = ["functions or triggers", "log_bin_trust_function_creators"];
    scene.lacks(&job, &refused);
    target.sql("", "SET GLOBAL log_bin_trust_function_creators = ON");
    scene.copy(&job);
    scene.has_all();
}

#[test]
fn a_mysql_target_with_gtids_needs_no_super() {
    let start = |options: &[&str]| {
        let builder = Server::builder().of(Version::Oracle);
        options
            .iter()
            .fold(builder, |builder, option| builder.set(option))
            .start()
    };
    let logged = [
        "--log-bin=binlog",
        "--server-id=7",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        "--log-bin-trust-function-creators=ON",
    ];
    let (source, target) = (start(&logged[..4]), start(&logged));
    let scene = rich(&source, &target);
    scene.copy(&scene.job_to("owner"));
    scene.has_all();
}
