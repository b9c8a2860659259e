//! `pull`: out of an environment above, into this host's own.

mod hosts;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::job::{Bed, Outcome};

/// A host of staging with one site in SQLite.
struct Host {
    bed: Bed,
}

const SETTINGS: &str = "[environments.production]
aliases = [\"prod\"]
[environments.staging]
parent = \"production\"
[environments.integration]
parent = \"staging\"
[sites.main]
production = { database = \"sqlite:site-production.db\" }
staging = { database = \"sqlite:site-staging.db\" }
integration = { database = \"sqlite:site-integration.db\" }
[sites.main.tasks.database]
mask = [{ table = \"t\", columns = { mail = \"email\" } }]
[sites.main.hooks]
after_publish = [\"touch\", \"rebuilt\"]
[masking]
key = { file = \"mask.key\" }
";

impl Host {
    fn new(settings: &str) -> Self {
        let bed = Bed::new();
        let key = bed.file("mask.key", "0123456789abcdef0123456789abcdef");
        std::fs::set_permissions(key, PermissionsExt::from_mode(0o600)).expect("a mode");
        bed.file("envsyncd.toml", &format!("{settings}{SETTINGS}"));
        for (environment, rows) in [("production", 3), ("staging", 1), ("integration", 2)] {
            let made = rusqlite::Connection::open(bed.path(&format!("jobs/site-{environment}.db")));
            made.and_then(|made| {
                made.execute_batch("CREATE TABLE t (id int PRIMARY KEY, mail text);")?;
                for id in 0..rows {
                    made.execute("INSERT INTO t VALUES (?1, 'planted@corp.example')", [id])?;
                }
                Ok(())
            })
            .expect("a database");
        }
        Self { bed }
    }

    /// As this host is: of staging.
    fn of_staging() -> Self {
        Self::new("host_environment = \"staging\"\n")
    }

    fn pull(&self, arguments: &[&str]) -> Outcome {
        let mut words = vec!["pull"];
        words.extend(arguments);
        self.run(&words)
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.bed.spawn(self.command().args(arguments)).end()
    }

    fn command(&self) -> Command {
        let mut command = self.bed.command();
        command.env("ENVSYNCD_CONFIG", self.bed.path("jobs/envsyncd.toml"));
        command
    }

    /// The same by a link to the program.
    fn pull_by(&self, link: &Path) {
        let mut command = Command::new(link);
        for (key, value) in self.command().get_envs() {
            if let Some(value) = value {
                command.env(key, value);
            }
        }
        command
            .current_dir(self.bed.path(""))
            .args(["@prod", "--yes"]);
        self.bed.spawn(&mut command).end().expect(0);
    }

    fn rows(&self, environment: &str, of: &str) -> i64 {
        let path = self.bed.path(&format!("jobs/site-{environment}.db"));
        rusqlite::Connection::open(path)
            .and_then(|db| {
                db.query_row(&format!("SELECT count(*) FROM t WHERE {of}"), [], |row| {
                    row.get(0)
                })
            })
            .expect("rows")
    }
}

#[test]
fn this_host_s_environment_is_what_is_written_to() {
    let host = Host::of_staging();
    host.pull(&["@prod", "--yes"]).expect(0);
    assert_eq!(host.rows("staging", "1"), 3);
    assert_eq!(host.rows("staging", "mail LIKE 'planted%'"), 0);
    assert_eq!(host.rows("production", "1"), 3);
    assert_eq!(host.rows("integration", "1"), 2);
    assert!(host.bed.path("rebuilt").exists(), "its hooks were called");
    // A run like any other.
    let job = "site:main production->staging";
    host.run(&["history", job]).expect(0).says(&["succeeded"]);
}

#[test]
fn what_is_pulled_and_what_is_refused_is_in_the_audit_list_and_a_dry_run_is_not() {
    let host = Host::of_staging();
    let audited = || host.run(&["history", "--audit"]).expect(0).stdout;
    host.pull(&["@prod", "--yes"]).expect(0);
    host.pull(&["@prod", "--dry-run"]).expect(0);
    host.pull(&["@integration", "--dry-run"]).expect(3);
    let once = audited();
    assert_eq!(once.lines().count(), 2, "{once}");
    assert!(
        once.contains("job `site:main production->staging`, run "),
        "{once}"
    );
    host.pull(&["@integration", "--yes"]).expect(3);
    let all = audited();
    assert_eq!(all.lines().count(), 3, "{all}");
    assert!(all.contains("site `main`, integration to staging"), "{all}");
}

#[test]
fn what_policy_forbids_and_what_is_not_known_changes_nothing() {
    let host = Host::of_staging();
    let can = "this host is of `staging` (host_environment), and can pull @production";
    host.pull(&["@integration", "--yes"])
        .expect(3)
        .says(&["`integration` is not above `staging`", can]);
    host.pull(&["@staging", "--yes"])
        .expect(3)
        .says(&["into itself", can]);
    host.pull(&["@nowhere", "--yes"])
        .expect(3)
        .says(&["environment `nowhere` is not defined", can]);
    host.pull(&["@", "--yes"])
        .expect(2)
        .says(&["behind the @ comes an environment's name"]);
    host.pull(&["production", "--yes"])
        .expect(2)
        .says(&["`@production`"]);
    host.pull(&["@prod", "--site", "mian", "--yes"])
        .expect(2)
        .says(&["there is no site `mian`"]);
    host.pull(&["@prod", "--only", "files", "--yes"])
        .expect(2)
        .says(&["has no task `files`"]);
    host.pull(&[]).expect(2);
    assert_eq!(host.rows("staging", "1"), 1);
    // Production is nobody's target, least of all on its own host.
    let production = Host::new("host_environment = \"production\"\n");
    production
        .pull(&["@staging", "--yes"])
        .expect(3)
        .says(&["never a target", "nothing is ever pulled into it"]);
    assert_eq!(production.rows("production", "1"), 3);
}

#[test]
fn a_host_of_no_environment_and_one_without_or_with_several_sites_say_what_to_write() {
    let host = Host::new("");
    host.pull(&["@prod", "--yes"])
        .expect(2)
        .says(&["host_environment = "]);
    let text = format!("host_environment = \"staging\"\n{SETTINGS}");
    host.bed.file(
        "envsyncd.toml",
        &(text.clone()
            + "[sites.shop]\nproduction = { database = \"sqlite:a.db\" }\nstaging = { database = \"sqlite:b.db\" }\n"),
    );
    host.pull(&["@prod", "--yes"])
        .expect(2)
        .says(&["--site main or --site shop"]);
    host.pull(&["@prod", "--site", "main", "--yes"]).expect(0);
    let none = text.split("[sites.main]").next().unwrap().to_owned();
    host.bed.file("envsyncd.toml", &none);
    host.pull(&["@prod", "--yes"])
        .expect(2)
        .says(&["[sites.main]"]);
}

#[test]
fn a_dry_run_shows_and_changes_nothing() {
    let host = Host::of_staging();
    let shown = host.pull(&["@prod", "--dry-run"]).expect(0);
    assert!(
        shown.stdout.contains("masked in t: mail"),
        "{}",
        shown.stdout
    );
    assert_eq!(host.rows("staging", "1"), 1);
    let plan = [
        "plan", "--site", "main", "--from", "prod", "--to", "staging",
    ];
    assert_eq!(host.run(&plan).expect(0).stdout, shown.stdout);
}

/// What a person at a terminal sees, and its exit code.
fn at_a_terminal(host: &Host, answer: &str) -> (String, i32) {
    asked(host, "", answer)
}

/// The same of `pull @prod` with more arguments.
fn asked(host: &Host, more: &str, answer: &str) -> (String, i32) {
    let binary = host.command().get_program().to_owned();
    let mut command = host.command();
    let line = format!("{} pull @prod {more}", binary.to_string_lossy());
    let variables: Vec<_> = command
        .get_envs()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
        .collect();
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .envs(variables)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    if let Some(directory) = command.current_dir(host.bed.path("")).get_current_dir() {
        script.current_dir(directory);
    }
    let mut child = script.spawn().expect("script(1), of bsdutils");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), answer.as_bytes()).unwrap();
    let output = child.wait_with_output().expect("its end");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    (shown, output.status.code().unwrap())
}

#[test]
fn a_person_is_shown_what_is_overwritten_and_asked() {
    let host = Host::of_staging();
    let (shown, code) = at_a_terminal(&host, "n\n");
    assert_eq!(code, 130, "{shown}");
    for said in [
        "main: production -> staging",
        "it has not been copied yet",
        "site-production.db -> ",
        "masked: 1 column",
        "This overwrites staging's main. Go on? [y/N]",
        "nothing was changed",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert_eq!(host.rows("staging", "1"), 1);
    let (shown, code) = at_a_terminal(&host, "y\n");
    assert_eq!(code, 0, "{shown}");
    assert_eq!(host.rows("staging", "1"), 3);
    let (shown, _) = at_a_terminal(&host, "\n");
    assert!(shown.contains("last time: succeeded"), "{shown}");
    // Ctrl-C, and the end of what is typed.
    for key in ["\u{3}", "\u{4}"] {
        let (shown, code) = at_a_terminal(&host, key);
        assert_eq!(code, 130, "{shown}");
        assert!(!shown.contains("run succeeded"), "{shown}");
    }
    // Where nobody can be asked, nothing is done.
    host.pull(&["@prod"]).expect(2).says(&["add --yes"]);
}

#[test]
fn a_link_is_a_shorter_name() {
    let host = Host::of_staging();
    let links = host.bed.path("links");
    std::fs::create_dir(&links).unwrap();
    let into = links.display().to_string();
    let install = ["links", "--install", into.as_str()];
    host.run(&install).expect(0);
    host.run(&install).expect(0).says(&["is there"]);
    host.pull_by(&links.join("dsql"));
    assert_eq!(host.rows("staging", "1"), 3);
    let remove = ["links", "--remove", into.as_str()];
    host.run(&remove).expect(0).says(&["dsql is removed"]);
    assert_eq!(std::fs::read_dir(&links).unwrap().count(), 0);
    host.run(&remove).expect(0).says(&["dsql is not there"]);
    host.run(&["links"]).expect(2);
    host.run(&install).expect(0);
    // What is somebody else's is left alone.
    std::fs::remove_file(links.join("dsql")).unwrap();
    std::fs::write(links.join("dsql"), "theirs").unwrap();
    host.run(&install).expect(2).says(&["no link of ours"]);
    host.run(&remove).expect(2).says(&["no link of ours"]);
    assert_eq!(std::fs::read(links.join("dsql")).unwrap(), b"theirs");
    let mut command = host.command();
    command.arg("links").arg("--install").arg("/nowhere/at/all");
    host.bed
        .spawn(&mut command)
        .end()
        .expect(1)
        .says(&["/nowhere/at/all"]);
}

/// Settings of a site with files beside its database.
fn with_files() -> Host {
    let host = Host::of_staging();
    let mut settings = std::fs::read_to_string(host.bed.path("jobs/envsyncd.toml")).unwrap();
    for environment in ["production", "staging"] {
        let database = format!("{environment} = {{ database = \"sqlite:site-{environment}.db\"");
        assert!(settings.contains(&database));
        let both = format!("{database}, files = \"dir:tree-{environment}\"");
        settings = settings.replace(&database, &both);
    }
    settings.push_str("[sites.main.tasks.files]\nexclude = [\"*.tmp\"]\n");
    host.bed.file("envsyncd.toml", &settings);
    for file in [
        "production/logo.svg",
        "production/a/b.txt",
        "production/c.tmp",
        "staging/own.txt",
    ] {
        host.bed.file(&format!("tree-{file}"), file);
    }
    host
}

/// What staging has of files.
fn files_of(host: &Host) -> Vec<&'static str> {
    let there = ["logo.svg", "a/b.txt", "c.tmp", "own.txt"].into_iter();
    let tree = host.bed.path("jobs/tree-staging");
    there.filter(|name| tree.join(name).exists()).collect()
}

#[test]
fn files_come_with_the_database_or_alone_and_exactly_where_that_is_asked_for() {
    let host = with_files();
    host.pull(&["@prod", "--yes", "--only", "files"]).expect(0);
    assert_eq!(files_of(&host), ["logo.svg", "a/b.txt", "own.txt"]);
    assert_eq!(
        host.rows("staging", "1"),
        1,
        "the database was not asked for"
    );
    host.pull(&["@prod", "--yes", "--only", "database"])
        .expect(0);
    assert_eq!(host.rows("staging", "1"), 3);
    host.bed.file("tree-production/logo.svg", "a new one");
    host.pull(&["@prod", "--yes", "--exact"]).expect(0);
    assert_eq!(files_of(&host), ["logo.svg", "a/b.txt"]);
    let logo = host.bed.path("jobs/tree-staging/logo.svg");
    assert_eq!(std::fs::read(logo).unwrap(), b"a new one");
    let (shown, _) = asked(&host, "", "n\n");
    assert!(
        shown.contains("files to copy, what only staging has stays") || shown.contains("0 files"),
        "{shown}"
    );
    let (shown, _) = asked(&host, "--exact", "n\n");
    assert!(
        shown.contains("what only staging has is DELETED"),
        "{shown}"
    );
    host.pull(&["@prod", "--yes", "--exact", "--only", "database"])
        .expect(2)
        .says(&["--exact is for files, and only database is copied"]);
    let without = Host::of_staging();
    without
        .pull(&["@prod", "--yes", "--exact"])
        .expect(2)
        .says(&["--exact is for files"]);
}

#[test]
fn files_have_a_link_of_their_own() {
    let host = with_files();
    let links = host.bed.path("links");
    std::fs::create_dir(&links).unwrap();
    let into = links.display().to_string();
    host.run(&["links", "--install", into.as_str()]).expect(0);
    host.pull_by(&links.join("dfiles"));
    let mut other = host.command();
    other.args([
        "pull", "--alone", "database", "@prod", "--only", "files", "--yes",
    ]);
    host.bed
        .spawn(&mut other)
        .end()
        .expect(2)
        .says(&["it copies database alone", "--only TASK"]);
    assert_eq!(files_of(&host), ["logo.svg", "a/b.txt", "own.txt"]);
    assert_eq!(host.rows("staging", "1"), 1);
}

#[test]
fn what_a_store_cannot_do_is_said_with_its_line_by_validate_and_before_anybody_is_asked() {
    let host = with_files();
    std::fs::create_dir(host.bed.path("jobs/config.d")).unwrap();
    let settings = std::fs::read_to_string(host.bed.path("jobs/envsyncd.toml")).unwrap();
    let right = format!("job_dir = \"config.d\"\n{settings}");
    host.bed.file("envsyncd.toml", &right);
    host.run(&["validate"]).expect(0);
    let far = |text: &str, environment: &str| {
        let here = format!("\"dir:tree-{environment}\"");
        assert!(text.contains(&here), "{text}");
        text.replace(&here, &format!("\"ssh://{environment}.example/files\""))
    };
    for (wrong, key, says) in [
        (
            format!("{right}roles = \"skip\"\n"),
            "key: sites.main.tasks.files.roles",
            "owners are kept",
        ),
        (
            far(&far(&right, "production"), "staging"),
            "key: sites.main.staging.files",
            "run envsyncd on one of the two",
        ),
    ] {
        host.bed.file("envsyncd.toml", &wrong);
        let line = "jobs/envsyncd.toml:";
        host.run(&["validate"])
            .expect(2)
            .says(&[line, key, says, "envsyncd.toml: INVALID"]);
        host.pull(&["@prod", "--yes"])
            .expect(2)
            .says(&[line, key, says]);
        let (shown, code) = at_a_terminal(&host, "y\n");
        assert_eq!(code, 2, "{shown}");
        assert!(shown.contains(key) && !shown.contains("Go on?"), "{shown}");
        host.pull(&["@prod", "--yes", "--only", "database"])
            .expect(0);
    }
    // What goes into another environment is its own hosts' matter.
    let own = "host_environment = \"staging\"";
    assert!(right.contains(own), "{right}");
    let elsewhere = right.replace(own, "host_environment = \"production\"");
    host.bed
        .file("envsyncd.toml", &format!("{elsewhere}roles = \"skip\"\n"));
    host.run(&["validate"]).expect(0);
}
