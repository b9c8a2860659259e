//! Files of the script, and the jobs that they become.

use std::collections::BTreeMap;

use super::super::assignments;
use super::*;
use crate::policy::Rules;
use proptest::prelude::*;

const PULL: &str = r#"action="pull"
dbms="postgresql"
storagebackend="s3"
temppath="/tmp/publishing_api_production"
database="publishing_api_production"
database_hostname="publishing-api-postgres"
url="govuk-production-database-backups"
path="publishing-api-postgres"
"#;

fn environments() -> Environments {
    let rules = |parent: Option<&str>| Rules {
        parent: parent.map(Environment::new),
        ..Rules::default()
    };
    Environments::new(BTreeMap::from([
        (Environment::new("production"), rules(None)),
        (Environment::new("staging"), rules(Some("production"))),
        (Environment::new("integration"), rules(Some("staging"))),
    ]))
    .unwrap()
}

fn turned_on(host: &str, text: &str) -> Result<Turned, Vec<Flaw>> {
    let host = Environment::new(host);
    let around = Around {
        file: "/etc/govuk_env_sync/x.cfg".to_owned(),
        environments: &environments(),
        host: Some(&host),
        from: None,
        to: None,
        user: USER,
        format: Format::Govuk,
        env_dir: Some("/etc/govuk_env_sync/env.d".to_owned()),
        region: Some("eu-west-1"),
    };
    turn(&assignments::parse(text).unwrap(), &around)
}

fn right(host: &str, text: &str) -> Turned {
    turned_on(host, text).unwrap_or_else(|flaws| panic!("{text}\n{flaws:?}"))
}

fn wrong(text: &str) -> Vec<(usize, String)> {
    let flaws = turned_on("staging", text).expect_err(text);
    flaws.into_iter().map(|f| (f.line, f.what)).collect()
}

fn pull_with(more: &str) -> String {
    format!("{PULL}{more}\n")
}

fn push_with(more: &str) -> String {
    format!("{PULL}action=push\n{more}\n").replace("postgresql\"\n", "mysql\"\n")
}

fn has(turned: &Turned, part: &str) -> bool {
    turned.remarks.iter().any(|remark| remark.contains(part))
}

#[test]
fn a_pull_becomes_a_job_into_this_hosts_environment() {
    let turned = right(
        "staging",
        &pull_with("transformation_sql_file=\"/etc/govuk_env_sync/transformation_sql/x.sql\""),
    );
    assert_eq!(
        turned.text,
        r#"# Made of /etc/govuk_env_sync/x.cfg by `envsyncd import govuk`.
from = "production"
to = "staging"

[[task]]
kind = "postgresql"
source = { url = "s3://govuk-production-database-backups/publishing-api-postgres", format = "govuk", region = "eu-west-1" }
target = { url = "postgresql://aws_db_admin@publishing-api-postgres/publishing_api_production", password = { credential = "publishing-api-postgres" } }
scripts = ["/etc/govuk_env_sync/transformation_sql/x.sql"]
"#
    );
    for part in [
        "/etc/envsyncd/credentials/publishing-api-postgres",
        "from = \"production\" is taken from the bucket's name",
        "it reads the TIME-DATABASE.gz that the script",
        "add schedule =",
        "set env_dir = \"/etc/govuk_env_sync/env.d\" in envsyncd.toml",
    ] {
        assert!(has(&turned, part), "{part} in {:?}", turned.remarks);
    }
    assert_eq!(turned.remarks.len(), 5);
}

#[test]
fn a_push_becomes_a_job_out_of_this_hosts_environment_and_into_none() {
    let turned = right("production", &push_with("excluded_tables=\"a,b[1],,c*\""));
    assert_eq!(
        turned.text,
        r#"# Made of /etc/govuk_env_sync/x.cfg by `envsyncd import govuk`.
from = "production"

[[task]]
kind = "mysql"
source = { url = "mysql://aws_db_admin@publishing-api-postgres/publishing_api_production", password = { credential = "publishing-api-postgres" } }
target = { url = "s3://govuk-production-database-backups/publishing-api-postgres", format = "govuk", region = "eu-west-1", sse = "AES256" }
exclude = ["a", "b[[]1[]]", "c[*]"]
"#
    );
    assert!(has(&turned, "it writes TIME-DATABASE.gz"));
    assert!(has(&turned, "uploads with --sse AES256"));
    let turned = right("production", &push_with("excluded_tables=(a 'b,c')"));
    assert!(turned.text.contains("exclude = [\"a\", \"b\", \"c\"]"));
    assert!(has(&turned, "the first member only"));
    let turned = right(
        "production",
        &push_with("excluded_tables=a\ndbms=postgresql"),
    );
    assert!(!turned.text.contains("exclude"), "{}", turned.text);
    assert!(has(&turned, "does nothing with it for PostgreSQL"));
}

#[test]
fn what_the_script_passes_over_is_said_and_left_out() {
    let pull = right(
        "staging",
        &pull_with(
            "excluded_tables=a\npre_dump_transformation_sql_file=/x.sql\ntimestamp=2020-01-01T00:00:00\ndelete=true",
        ),
    );
    for name in [
        "excluded_tables",
        "pre_dump_transformation_sql_file",
        "timestamp",
        "delete",
    ] {
        assert!(has(&pull, &format!("`{name}` is left out")), "{name}");
    }
    assert!(!pull.text.contains("scripts") && !pull.text.contains("exclude"));
    let push = right("staging", &push_with("transformation_sql_file=/x.sql"));
    assert!(has(&push, "`transformation_sql_file` is left out"));
    let signon = right("staging", &pull_with("database=signon_production"));
    assert!(has(&signon, "oauth_applications"));
}

#[test]
fn names_that_a_url_would_split_are_encoded_and_slashes_trimmed() {
    let turned = right("staging", &pull_with("database='a/b@c'\npath=/x//y/"));
    assert!(
        turned
            .text
            .contains("postgresql://aws_db_admin@publishing-api-postgres/a%2Fb%40c"),
        "{}",
        turned.text
    );
    assert!(
        turned.text.contains(
            "{ url = \"s3://govuk-production-database-backups/x/y\", format = \"govuk\", region = \"eu-west-1\" }"
        )
    );
}

#[test]
fn environments_come_from_the_command_line_first() {
    let (from, to) = (Environment::new("staging"), Environment::new("integration"));
    let around = Around {
        file: String::new(),
        environments: &environments(),
        host: None,
        from: Some(&from),
        to: Some(&to),
        user: "o'neill",
        format: Format::Govuk,
        env_dir: None,
        region: None,
    };
    let turned = turn(&assignments::parse(PULL).unwrap(), &around).unwrap();
    assert!(
        turned
            .text
            .contains("from = \"staging\"\nto = \"integration\"\n")
    );
    assert!(turned.text.contains("postgresql://o%27neill@"));
    let push = assignments::parse(&push_with("")).unwrap();
    let turned = turn(&push, &around).unwrap();
    assert!(
        turned
            .text
            .contains("from = \"staging\"\nto = \"integration\"\n")
    );
}

#[test]
fn with_snapshots_each_database_has_a_prefix_of_its_own() {
    let host = Environment::new("staging");
    let around = Around {
        file: String::new(),
        environments: &environments(),
        host: Some(&host),
        from: None,
        to: None,
        user: USER,
        format: Format::Envsyncd,
        env_dir: None,
        region: None,
    };
    let turned = turn(&assignments::parse(PULL).unwrap(), &around).unwrap();
    assert!(
        turned.text.contains(
            "source = \"s3://govuk-production-database-backups/publishing-api-postgres/publishing_api_production\"\n"
        ),
        "{}",
        turned.text
    );
    assert!(has(&turned, "the script's TIME-DATABASE.gz are not read"));
}

#[test]
fn an_environment_that_is_not_known_is_asked_for() {
    let around = Around {
        file: String::new(),
        environments: &environments(),
        host: None,
        from: None,
        to: None,
        user: USER,
        format: Format::Govuk,
        env_dir: None,
        region: None,
    };
    for (text, option) in [(pull_with(""), "--to"), (push_with(""), "--from")] {
        let flaws = turn(&assignments::parse(&text).unwrap(), &around).unwrap_err();
        assert_eq!(flaws.len(), 1, "{flaws:?}");
        assert!(flaws[0].what.contains(option), "{flaws:?}");
    }
    // Neither a part of a word nor what is not above.
    for bucket in [
        "govuk-preproduction-backups",
        "govuk-integration-backups",
        "x",
    ] {
        let flaws = wrong(&pull_with(&format!("url={bucket}")));
        assert_eq!(flaws.len(), 1, "{flaws:?}");
        assert!(flaws[0].1.contains("say --from"), "{flaws:?}");
    }
}

#[test]
fn what_has_no_counterpart_is_said_where_it_stands() {
    for (more, line, what) in [
        ("dbms=mongo", 9, "MongoDB is not supported yet"),
        ("dbms=documentdb", 9, "MongoDB is not supported yet"),
        (
            "dbms=files",
            9,
            "directories of files are not supported yet",
        ),
        ("dbms=oracle", 9, "`dbms` is not one of"),
        ("storagebackend=rsync", 9, "only the storage backend s3"),
        (
            "storagebackend=elasticsearch",
            9,
            "only the storage backend s3",
        ),
        (
            "dbms=elasticsearch storagebackend=elasticsearch",
            9,
            "Elasticsearch is not",
        ),
        ("action=s3_sync", 9, "a bucket is copied into a bucket"),
        (
            "action=restore",
            9,
            "`action` is not one of: push, pull, s3_sync",
        ),
        ("url=", 9, "`url` is missing or empty"),
        ("path=()", 9, "`path` is missing or empty"),
        ("database_hostname='a/b'", 9, "is not a host"),
        ("database_hostname='u:p@b'", 9, "is not a host"),
        ("AWS_PROFILE=x", 9, "no variable `AWS_PROFILE`"),
        (
            "\naction=push pre_dump_transformation_sql_file=/x.sql",
            10,
            "envsyncd never changes a source",
        ),
    ] {
        let flaws = wrong(&pull_with(more));
        assert_eq!(flaws.len(), 1, "{more}: {flaws:?}");
        assert_eq!(flaws[0].0, line, "{flaws:?}");
        assert!(flaws[0].1.contains(what), "{what} in {flaws:?}");
    }
    let flaws = wrong("dbms=mysql\n");
    assert_eq!(flaws, [(0, "`action` is missing or empty".to_owned())]);
    let flaws = wrong("action=pull\n");
    assert_eq!(flaws.len(), 5, "{flaws:?}");
    let flaws = wrong(&pull_with("dbms=mongo storagebackend=rsync"));
    assert_eq!(flaws.len(), 2, "{flaws:?}");
}

proptest! {
    /// Whatever stands in a file, the job is TOML, and says what the file said.
    #[test]
    fn a_job_is_toml_whatever_its_words(
        database in "[^\0]{1,12}",
        path in "[^\0]{1,12}",
        script in "[^\0]{1,12}",
        file in ".{0,12}",
    ) {
        let word = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let text = pull_with(&format!(
            "database={} path={} transformation_sql_file={}",
            word(&database),
            word(&path),
            word(&script)
        ));
        let host = Environment::new("staging");
        let around = Around {
            file,
            environments: &environments(),
            host: Some(&host),
            from: None,
            to: None,
            user: USER,
            format: Format::Govuk,
            env_dir: None,
            region: None,
        };
        let turned = turn(&assignments::parse(&text).unwrap(), &around).unwrap();
        let job: toml::Table = turned.text.parse().unwrap();
        let task = &job["task"][0];
        prop_assert_eq!(task["scripts"][0].as_str(), Some(script.as_str()));
        let format = task["source"]["format"].as_str();
        prop_assert_eq!(format, Some("govuk"));
    }
}
