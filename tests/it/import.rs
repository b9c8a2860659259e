//! `envsyncd import govuk`: the script's files become jobs that a run accepts, or nothing. `envsyncd import drush`: site aliases
//! become settings.

mod forms;
mod whole;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

const PULL: &str = r#"action="pull"
dbms="postgresql"
storagebackend="s3"
temppath="/tmp/publishing_api_production"
database="publishing_api_production"
database_hostname="publishing-api-postgres"
url="govuk-production-database-backups"
path="publishing-api-postgres"
"#;

const PUSH: &str = r#"action="push"
dbms="mysql"
storagebackend="s3"
temppath="/tmp/whitehall"
database="whitehall_production"
database_hostname="whitehall-mysql"
url="govuk-staging-database-backups"
path="whitehall-mysql"

excluded_tables="a,b"

"#;

const MONGO: &str = r#"action="pull"
dbms="documentdb"
storagebackend="s3"
temppath="/tmp/licensify_production"
database="licensify"
url="govuk-production-database-backups"
path="mongo-licensing"
"#;

/// A host of `staging`.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(TempDir::new().unwrap());
        fs::create_dir(host.path("jobs")).unwrap();
        host.put(
            "envsyncd.toml",
            "host_environment = \"staging\"\njob_dir = \"jobs\"\n[environments.production]\n[environments.staging]\nparent = \"production\"\n",
        );
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(assert_cmd::cargo::cargo_bin!("envsyncd"))
            .current_dir(self.0.path())
            .args(["--config", "envsyncd.toml"])
            .args(args)
            .env_remove("ENVSYNCD_CONFIG")
            .output()
            .unwrap()
    }

    /// Exit code and what it says.
    fn import(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(&[&["import", "govuk"], args].concat());
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(text).unwrap(),
        )
    }

    /// The names of all jobs, hidden files too.
    fn jobs(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("jobs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn what_is_written_passes_validate() {
    let host = Host::new();
    host.put("sanitise.sql", "SELECT 1;\n");
    let script = host.path("sanitise.sql");
    host.put(
        "pull_publishing_api.cfg",
        &format!("{PULL}transformation_sql_file=\"{}\"\n", script.display()),
    );
    host.put("push_whitehall.cfg", PUSH);
    let (code, text) = host.import(&["pull_publishing_api.cfg", "push_whitehall.cfg"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        host.jobs(),
        ["pull_publishing_api.toml", "push_whitehall.toml"]
    );
    for part in [
        "pull_publishing_api.cfg: written to",
        "  - from = \"production\" is taken from the bucket's name",
        "  - the password of aws_db_admin on whitehall-mysql",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let output = host.run(&["validate"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches(": ok\n").count(), 2, "{said}");
    let push = fs::read_to_string(host.path("jobs/push_whitehall.toml")).unwrap();
    assert!(push.contains("from = \"staging\"\n\n[[task]]"), "{push}");
    assert!(push.contains("exclude = [\"a\", \"b\"]"), "{push}");
    assert_eq!(
        fs::metadata(host.path("jobs/push_whitehall.toml"))
            .unwrap()
            .nlink(),
        1
    );
}

#[test]
fn what_cannot_be_turned_is_said_and_leaves_nothing_behind() {
    let host = Host::new();
    host.put("pull_mongo.cfg", MONGO);
    host.put("pull_home.cfg", &format!("{PULL}path=\"$HOME/x\"\n"));
    host.put(
        "pull_gone.cfg",
        &format!("{PULL}transformation_sql_file=/gone/x.sql\n"),
    );
    host.put("pull_upper.cfg", &format!("{PULL}url=GOVUK-production\n"));
    host.put("a b.cfg", PULL);
    host.put("pull_good.cfg", PULL);
    let (code, text) = host.import(&[
        "pull_mongo.cfg",
        "pull_home.cfg",
        "pull_gone.cfg",
        "pull_upper.cfg",
        "a b.cfg",
        "none.cfg",
        "pull_good.cfg",
    ]);
    assert_eq!(code, 1, "{text}");
    assert_eq!(host.jobs(), ["pull_good.toml"]);
    for part in [
        "pull_mongo.cfg: NOT turned\n  - pull_mongo.cfg:2: MongoDB is not supported yet\n",
        "pull_home.cfg: NOT turned\n  - pull_home.cfg:9: the value of a variable stands here: write it out\n",
        "`/gone/x.sql` cannot be read",
        "`GOVUK-production` cannot be a bucket's name",
        "`a b` cannot be a job's name",
        "none.cfg: NOT turned\n  - it cannot be read",
        "pull_good.cfg: written to",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn no_command_in_a_file_is_ever_run() {
    let host = Host::new();
    let witness = host.path("witness");
    for (number, line) in [
        "path=$(touch witness)",
        "path=\"`touch witness`\"",
        "touch witness",
        "path=x; touch witness",
        "path=x >witness",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("evil{number}.cfg");
        host.put(&name, &format!("{PULL}{line}\n"));
        let (code, text) = host.import(&[&name]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(&format!("{name}:9: ")), "{text}");
    }
    assert!(!witness.exists());
    assert_eq!(host.jobs(), Vec::<String>::new());
}

#[test]
fn a_job_that_is_there_stays_unless_it_is_forced() {
    let host = Host::new();
    host.put("pull_x.cfg", PULL);
    host.put("jobs/pull_x.toml", "mine");
    let (code, text) = host.import(&["pull_x.cfg"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("is there already: --force overwrites it"),
        "{text}"
    );
    assert_eq!(
        fs::read_to_string(host.path("jobs/pull_x.toml")).unwrap(),
        "mine"
    );
    // Not by a file that does not validate either.
    host.put(
        "pull_x.cfg",
        &format!("{PULL}transformation_sql_file=/gone\n"),
    );
    assert_eq!(host.import(&["--force", "pull_x.cfg"]).0, 1);
    assert_eq!(
        fs::read_to_string(host.path("jobs/pull_x.toml")).unwrap(),
        "mine"
    );
    host.put("pull_x.cfg", PULL);
    let (code, text) = host.import(&["--force", "pull_x.cfg"]);
    assert_eq!(code, 0, "{text}");
    assert!(host.run(&["validate"]).status.success());
    assert_eq!(host.jobs(), ["pull_x.toml"]);
    // Two of one name in one call.
    fs::create_dir(host.path("other")).unwrap();
    host.put("other/pull_x.cfg", PUSH);
    let (code, text) = host.import(&["--force", "pull_x.cfg", "other/pull_x.cfg"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("another of these files has the same name"),
        "{text}"
    );
    let job = fs::read_to_string(host.path("jobs/pull_x.toml")).unwrap();
    assert!(job.contains("postgresql"), "{job}");
}

#[test]
fn policy_is_asked_and_the_command_line_obeyed() {
    let host = Host::new();
    host.put("pull_x.cfg", PULL);
    fs::create_dir(host.path("there")).unwrap();
    let uphill = ["--from", "staging", "--to", "production", "pull_x.cfg"];
    let (code, text) = host.import(&uphill);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("never a target"), "{text}");
    let (code, text) = host.import(&["--from", "nowhere", "pull_x.cfg"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("environment `nowhere` is not defined"),
        "{text}"
    );
    let (code, text) = host.import(&["--output", "gone", "pull_x.cfg"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("gone is not a directory"), "{text}");
    assert_eq!(host.jobs(), Vec::<String>::new());
    let (code, text) = host.import(&["--output", "there", "--user", "backup", "pull_x.cfg"]);
    assert_eq!(code, 0, "{text}");
    let job = fs::read_to_string(host.path("there/pull_x.toml")).unwrap();
    assert!(
        job.contains("postgresql://backup@publishing-api-postgres/"),
        "{job}"
    );
}

/// A Drupal site as Drush knows it.
const SITE: &str = "prod:
  host: web1.example.org
  user: deploy
  root: /srv/www/web
  uri: https://www.example.org
  paths:
    files: sites/default/files
  ssh:
    options: '-p 2222'
stage:
  root: /srv/stage/web
  uri: staging.example.org
  paths: { files: sites/default/files }
dev:
  root: /srv/dev/web
";

#[test]
fn aliases_of_drush_become_settings_that_validate_once_databases_are_filled_in() {
    let host = Host::new();
    host.put("main.site.yml", SITE);
    let output = host.run(&["import", "drush", "main.site.yml"]);
    let written = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "[sites.main.production]\nfiles = \"ssh://deploy@web1.example.org:2222/srv/www/web/sites/default/files\"\n# database = ",
        "\"www.example.org\" = { staging = \"staging.example.org\" }",
        "[environments.dev]\n# parent = \"production\"",
    ] {
        assert!(written.contains(part), "{part} in\n{written}");
    }
    assert!(!written.contains("[environments.staging]"), "{written}");
    for part in [
        "main.site.yml:15: @main.dev: it says nothing of files",
        "add \"stage\" to its aliases",
        "where databases of main are is not known",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    // Added to what is there, as the text says.
    let settings = fs::read_to_string(host.path("envsyncd.toml")).unwrap();
    let filled = written.replace(
        "# database = { url = \"mysql://USER@HOST/DATABASE\"",
        "database = { url = \"mysql://reader@localhost/main\"",
    );
    assert_ne!(filled, written);
    for added in [written, filled] {
        host.put("envsyncd.toml", &format!("{settings}{added}"));
        let output = host.run(&["validate"]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}\n{added}");
        // A second time, the site is there.
        let output = host.run(&["import", "drush", "main.site.yml"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("Call this one otherwise with --site NAME"),
            "{said}"
        );
    }
}

#[test]
fn a_host_without_settings_gets_whole_ones_from_drush() {
    let host = Host::new();
    host.put(
        "self.site.yml",
        &SITE
            .replace("host: web1", "# host: web1")
            .replace("  user: deploy\n", ""),
    );
    fs::remove_file(host.path("envsyncd.toml")).unwrap();
    host.put("none.toml", "");
    let import = |more: &[&str]| {
        let args = [
            &[
                "import",
                "drush",
                "self.site.yml",
                "--site",
                "main",
                "--output",
                "made.toml",
            ],
            more,
        ]
        .concat();
        let output = Command::new(assert_cmd::cargo::cargo_bin!("envsyncd"))
            .current_dir(host.0.path())
            .args(["--config", "none.toml"])
            .args(args)
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = import(&[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("set host_environment"), "{said}");
    let (code, said) = import(&[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("made.toml is there already"), "{said}");
    assert_eq!(import(&["--force"]).0, 0);
    let made = fs::read_to_string(host.path("made.toml")).unwrap();
    let whole = made.replace(
        "# host_environment = \"ENVIRONMENT\"",
        "host_environment = \"stage\"",
    );
    assert_ne!(made, whole);
    host.put("envsyncd.toml", &whole);
    let output = host.run(&["pull", "@prod", "--only", "files", "--dry-run"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    // Everything is understood; the directory is only not there.
    assert!(
        said.contains("/srv/stage/web/sites/default/files"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
}

#[test]
fn php_of_drush_is_never_run_and_what_is_not_understood_is_named() {
    let host = Host::new();
    host.put(
        "main.aliases.drushrc.php",
        "<?php\n$aliases['prod'] = array('root' => exec('touch witness'), 'uri' => 'x.example');\n",
    );
    host.put(
        "evil.aliases.drushrc.php",
        "<?php\nsystem('touch witness');\n",
    );
    host.put("site.yml", SITE);
    let output = host.run(&[
        "import",
        "drush",
        "main.aliases.drushrc.php",
        "evil.aliases.drushrc.php",
        "site.yml",
        "gone.site.yml",
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!host.path("witness").exists());
    for part in [
        "main.aliases.drushrc.php:2: @main.prod: `root` is not known: it is computed",
        "evil.aliases.drushrc.php: NOT turned: line 2: `system` stands here",
        "site.yml: NOT turned: its name is none that Drush has",
        "gone.site.yml: NOT turned: it cannot be read",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    let output = host.run(&["import", "drush", "gone.site.yml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
}
