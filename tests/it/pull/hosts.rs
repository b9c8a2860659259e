//! Host names of a site, rewritten on the way into another environment: tables as Drupal and WordPress have them.

use crate::support::job::Bed;
use crate::support::mysql::shared as mysql;
use crate::support::postgres::unique;

/// Content, settings in PHP's own notation as a text (WordPress) and as bytes (Drupal), and JSON.
const TABLES: &str = r#"
CREATE TABLE wp_posts (ID int PRIMARY KEY, post_content longtext, guid varchar(255));
INSERT INTO wp_posts VALUES (1, '<a href="https://www.example.org/a">A</a> and www.example.organic, cdn.example.org', 'https://www.example.org/?p=1');
CREATE TABLE wp_options (option_id int PRIMARY KEY, option_name varchar(191), option_value longtext);
INSERT INTO wp_options VALUES
  (1, 'siteurl', 'https://www.example.org'),
  (2, 'theme_mods', 'a:2:{s:4:"logo";s:33:"https://www.example.org/logo.png?";s:5:"width";i:12;}');
CREATE TABLE config (name varchar(255) PRIMARY KEY, data longblob);
INSERT INTO config VALUES ('metatag', 'a:1:{s:3:"url";a:1:{i:0;s:24:"https://www.example.org/";}}');
"#;

/// A host of staging whose site is in MySQL.
fn bed(masks: &str) -> (Bed, String) {
    let bed = Bed::new();
    let (from, to) = (unique("prod"), unique("live"));
    mysql().source.create_db(&from);
    mysql().source.sql(&from, TABLES);
    let key = bed.file("mask.key", "0123456789abcdef0123456789abcdef");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(key, mode).expect("a mode");
    let (source, target) = (
        mysql().source.url("root", &from),
        mysql().target.url("root", &to),
    );
    bed.file(
        "envsyncd.toml",
        &format!(
            "host_environment = \"staging\"
[environments.production]
aliases = [\"prod\"]
[environments.staging]
parent = \"production\"
[masking]
key = {{ file = \"mask.key\" }}
[sites.main]
production = {{ database = \"{source}\" }}
staging = {{ database = \"{target}\" }}
[sites.main.hosts]
\"www.example.org\" = {{ staging = \"www.staging.example.org\" }}
\"cdn.example.org\" = {{ staging = \"cdn.staging.example.org\" }}
{masks}"
        ),
    );
    (bed, to)
}

fn pull(bed: &Bed) -> crate::support::job::Outcome {
    let mut command = bed.command();
    command.env("ENVSYNCD_CONFIG", bed.path("jobs/envsyncd.toml"));
    command.args(["pull", "@prod", "--yes"]);
    bed.spawn(&mut command).end()
}

#[test]
fn host_names_of_a_site_are_this_environment_s_in_texts_and_in_serialized_values() {
    let (bed, to) = bed(r#"
[[sites.main.tasks.database.mask]]
table = "wp_posts"
columns = { post_content = { kind = "replace", hosts = "main" }, guid = { kind = "replace", hosts = "main" } }
[[sites.main.tasks.database.mask]]
table = "wp_options"
where = "option_value NOT LIKE 'a:%'"
columns = { option_value = { kind = "replace", hosts = "main" } }
[[sites.main.tasks.database.mask]]
table = "wp_options"
where = "option_value LIKE 'a:%'"
columns = { option_value = { kind = "php_serialized", default = { kind = "replace", hosts = "main" } } }
[[sites.main.tasks.database.mask]]
table = "config"
columns = { data = { kind = "php_serialized", default = { kind = "replace", hosts = "main" } } }
"#);
    pull(&bed).expect(0);
    let live = |sql: &str| mysql().target.sql(&to, sql).trim().to_owned();
    assert_eq!(
        live("SELECT post_content FROM wp_posts"),
        r#"<a href="https://www.staging.example.org/a">A</a> and www.staging.example.organic, cdn.staging.example.org"#
    );
    assert_eq!(
        live("SELECT guid FROM wp_posts"),
        "https://www.staging.example.org/?p=1"
    );
    assert_eq!(
        live("SELECT option_value FROM wp_options WHERE option_id = 1"),
        "https://www.staging.example.org"
    );
    // Their lengths are counted anew: PHP reads them.
    assert_eq!(
        live("SELECT option_value FROM wp_options WHERE option_id = 2"),
        r#"a:2:{s:4:"logo";s:41:"https://www.staging.example.org/logo.png?";s:5:"width";i:12;}"#
    );
    assert_eq!(
        live("SELECT CONVERT(data USING utf8mb4) FROM config"),
        r#"a:1:{s:3:"url";a:1:{i:0;s:32:"https://www.staging.example.org/";}}"#
    );
}

#[test]
fn a_site_without_host_names_in_this_environment_is_refused_where_a_mask_asks_for_them() {
    let (bed, _) = bed(
        "[[sites.main.tasks.database.mask]]\ntable = \"wp_posts\"\ncolumns = { guid = { kind = \"replace\", hosts = \"main\" } }\n",
    );
    let file = bed.path("jobs/envsyncd.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let without = text.replace("staging = \"www.staging.example.org\"", "");
    let without = without.replace("staging = \"cdn.staging.example.org\"", "");
    std::fs::write(&file, without).unwrap();
    pull(&bed)
        .expect(2)
        .says(&["the site `main` has no host names in `staging`"]);
}
