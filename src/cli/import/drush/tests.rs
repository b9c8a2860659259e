//! Files of aliases, and what they become.

use std::collections::BTreeMap;

use super::*;
use crate::policy::{Environment, Environments, Rules};

const SITE: &str = include_str!("../../../../tests/corpus/drush_site_file/main.site.yml");
const ANCHORS: &str = include_str!("../../../../tests/corpus/drush_site_file/anchors.site.yml");
const PHP: &str =
    include_str!("../../../../tests/corpus/drush_php_file/acquia.aliases.drushrc.php");
const ONE: &str = include_str!("../../../../tests/corpus/drush_php_file/one.alias.drushrc.php");

fn right(name: &str, text: &str) -> Read {
    read(text, &kind(name).unwrap(), "main").unwrap_or_else(|flaw| panic!("{flaw:?}"))
}

fn wrong(name: &str, text: &str) -> (usize, String) {
    let flaw = read(text, &kind(name).unwrap(), "main").expect_err(text);
    (flaw.line, flaw.what)
}

fn php(statements: &str) -> Read {
    right("x.aliases.drushrc.php", &format!("<?php\n{statements}"))
}

fn turned(read: &Read) -> turned::Turned {
    turned_on(read, &Environments::default(), "here")
}

/// On a host of this environment.
fn turned_on(read: &Read, environments: &Environments, host: &str) -> turned::Turned {
    let host = Environment::new(host);
    let around = Around {
        files: vec!["FILE".to_owned()],
        environments,
        sites: BTreeSet::new(),
        host: Some(&host),
        stores: crate::fuzz::stores(),
    };
    turn(&read.aliases, &around)
}

fn rules(parent: Option<&str>, aliases: &[&str]) -> Rules {
    Rules {
        parent: parent.map(Environment::new),
        aliases: aliases.iter().map(|one| (*one).to_owned()).collect(),
        ..Rules::default()
    }
}

fn says(read: &Read, line: usize, part: &str) {
    let found = (read.said.iter()).any(|one| one.line == line && one.what.contains(part));
    assert!(found, "{line}: {part} in {:#?}", read.said);
}

fn has(all: &[String], part: &str) {
    assert!(all.iter().any(|one| one.contains(part)), "{part}: {all:#?}");
}

#[test]
fn a_site_of_yaml_becomes_environments_and_a_site() {
    let read = right("main.site.yml", SITE);
    assert_eq!(
        turned(&read).text,
        r#"# Made of FILE by `envsyncd import drush`, for envsyncd.toml.

[environments.dev]
# parent = "production"              # not known. Without a parent, nothing is ever copied into it

[environments.local]
# parent = "production"              # not known. Without a parent, nothing is ever copied into it

[environments.production]
aliases = ["prod"]

[environments.staging]
parent = "production"
aliases = ["stage"]

[sites.main.dev]
files = "dir:///home/dev/web/sites/default/files"
# database = { url = "mysql://USER@HOST/DATABASE", password = { credential = "main-dev" } }

[sites.main.local]
files = "dir:///var/www/html/web/sites/default/files"
# database = { url = "mysql://USER@HOST/DATABASE", password = { credential = "main-local" } }

[sites.main.production]
files = "ssh://deploy@web1.example.org:2222/srv/www/web/sites/default/files"
# database = { url = "mysql://USER@HOST/DATABASE", password = { credential = "main-production" } }

[sites.main.staging]
files = "ssh://stager@web2.example.org/srv/stage/web/sites/default/files"
# database = { url = "mysql://USER@HOST/DATABASE", password = { credential = "main-staging" } }

[sites.main.hosts]                  # what masks of the kind `replace` with hosts = "main" put
"www.example.org" = { dev = "dev.example.org", staging = "staging.example.org" }

# [sites.main.tasks.database]
# schema_only = ["cache", "cache_*", "watchdog"]
# exclude = ["migrate_*"]

[sites.main.tasks.files]
preset = "drupal"
"#
    );
}

#[test]
fn what_cannot_be_known_is_said_with_its_line() {
    let read = right("main.site.yml", SITE);
    says(&read, 31, "the environments that a pattern stands for");
    says(&read, 13, "say more than a port");
    let options = |text: &str| {
        right(
            "x.site.yml",
            &format!("prod:\n  root: /srv\n  host: web\n  ssh: {{options: '{text}'}}\n"),
        )
    };
    for (text, named) in [
        ("-p 22 -i ~/.ssh/drush_rsa", "`-i ~/.ssh/drush_rsa`"),
        ("-o ProxyJump=jump -p 22", "`-o ProxyJump=jump`"),
        (
            "-oStrictHostKeyChecking=no -A",
            "`-o StrictHostKeyChecking=no -A`",
        ),
        ("-J jump", "`-J jump`"),
        ("-i", "`-i`"),
    ] {
        says(&options(text), 4, named);
    }
    assert!((options("-p 22").said.iter()).all(|one| !one.what.contains("say more")));
}

#[test]
fn anchors_and_merge_keys_bring_what_they_stand_for() {
    let read = right("x.site.yml", ANCHORS);
    let names: Vec<&str> = read
        .aliases
        .iter()
        .map(|a| a.environment.as_str())
        .collect();
    assert_eq!(names, ["live", "test", "multi"]);
    let text = turned(&read).text;
    for part in [
        "files = \"ssh://live.0a1b@appserver.live.0a1b.drush.in:2222/code/files\"",
        "[environments.test]\n# parent = \"production\"",
        "# [sites.x.test]\n",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    says(&read, 12, "Drush reaches it by `docker`");
}

#[test]
fn an_alias_that_stands_for_itself_and_one_that_stands_for_too_much_are_refused() {
    let bomb: String = (0..20)
        .map(|n| match n {
            0 => "a0: &a0 {k: v}\n".to_owned(),
            n => format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1),
        })
        .collect();
    assert!(wrong("x.site.yml", &bomb).1.contains("too many values"));
    assert_eq!(wrong("x.site.yml", "a: &a\n  b: *a\n").0, 2);
    let deep = format!("a: {}x{}\n", "[".repeat(40), "]".repeat(40));
    assert!(wrong("x.site.yml", &deep).1.contains("too deep"));
    for (text, part) in [
        ("a: {b: 1, b: 2}", "twice"),
        ("a: 1\n---\nb: 2\n", "second document"),
        ("[a]: 1", "a key is no text"),
        ("a", "has no environments"),
        ("", "nothing in it"),
        ("a: [", "cannot be read as YAML"),
        (
            "root: /srv\nuri: x.example\n",
            "one environment without a name",
        ),
    ] {
        let (line, what) = wrong("x.site.yml", text);
        assert!(what.contains(part), "{text}: {line}: {what}");
    }
}

#[test]
fn aliases_of_php_are_read_and_what_is_computed_is_not() {
    let read = right("example.aliases.drushrc.php", PHP);
    let turned = turned(&read);
    for part in [
        "[environments.production]\naliases = [\"prod\"]\n",
        "[sites.example.production]\nfiles = \"ssh://example.prod@example.ssh.prod.example-sites.com/var/www/html/example.prod/docroot/sites/default/files\"\n",
        "[sites.example.\"prod.livedev\"]\nfiles = \"ssh://example.prod@example.ssh.prod.example-sites.com/mnt/gfs/example.prod/livedev/docroot/sites/default/files\"\n",
        "database = { url = \"mysql://u@db.example.org:3307/d\", password = { credential = \"example-test\" } }\n",
        "database = { url = \"postgresql://u@localhost:5432/dev\", password = { credential = \"example-dev\" } }\n",
        "schema_only = [\"cache\", \"sessions\"]",
        "\"example.prod.example-sites.com\" = { test = \"test.example.org\" }",
    ] {
        assert!(turned.text.contains(part), "{part} in\n{}", turned.text);
    }
    assert!(!turned.text.contains("hunter2"));
    assert!(!format!("{:?}{:?}", read.said, turned.remarks).contains("hunter2"));
    says(&read, 3, "only if something is so");
    says(&read, 32, "`all` is a list of sites");
    says(&read, 35, "`%files` is not known: it is computed");
    has(&turned.remarks, "/etc/envsyncd/credentials/example-test");
}

#[test]
fn an_alias_alone_is_of_the_site_and_environment_in_its_name() {
    let read = right("main.prod.alias.drushrc.php", ONE);
    assert_eq!(read.aliases.len(), 1);
    assert_eq!(
        (
            read.aliases[0].site.as_str(),
            read.aliases[0].environment.as_str()
        ),
        ("main", "prod")
    );
    for name in [
        "`uri` is not known",
        "`root` is not known",
        "`e` is left out",
    ] {
        says(&read, 2, name);
    }
    let any = right(
        "aliases.drushrc.php",
        "<?php\n$aliases = ['shop.prod' => ['root' => '/a'], 'dev' => ['root' => '/b']];",
    );
    let names: Vec<(&str, &str)> = (any.aliases.iter())
        .map(|one| (one.site.as_str(), one.environment.as_str()))
        .collect();
    assert_eq!(names, [("shop", "prod"), ("main", "dev")]);
}

#[test]
fn php_that_could_change_aliases_is_refused_with_its_line() {
    for (statements, part) in [
        ("if (x()) { $aliases['a'] = []; }", "in a way that depends"),
        (
            "if (x()) { include 'more.php'; }",
            "`include` may change everything",
        ),
        ("foreach ($x as $y) {}", "`foreach` stands here"),
        ("include 'more.php';", "`include` stands here"),
        ("$aliases[$x] = [];", "which member is set here is computed"),
        ("$aliases[] = [];", "which member is set here is computed"),
        ("$aliases += [];", "`=` was expected"),
        ("$aliases['a'] .= 'x';", "`=` was expected"),
        ("$x = &$aliases;", "in a way that depends"),
        ("$$x = [];", "the name of a variable is computed"),
        (
            "$aliases['a'] = $aliases['b'] = [];",
            "something is set inside",
        ),
        ("$aliases['a'] = <<<X\nX;", "several lines"),
        ("$aliases['a'] = `id`;", "output of a command"),
        ("$aliases['a'] = function() { };", "a block stands here"),
        ("$aliases['a'] = ['b' => 'c'", "ends in a value"),
        ("$aliases['a'] = 'b", "a quote is not closed"),
        ("// ?> <?php", "?> stands in a comment"),
        ("$aliases['a'] = []; ?> text", "behind ?>"),
        ("/* ", "a comment is not closed"),
    ] {
        let (line, what) = wrong("x.aliases.drushrc.php", &format!("<?php\n{statements}"));
        assert!(what.contains(part), "{statements}: {what}");
        assert_eq!(line, 2, "{statements}: {what}");
    }
    assert!(wrong("x.aliases.drushrc.php", "<html>").1.contains("<?php"));
    let deep = format!("<?php $aliases = {}{};", "[".repeat(40), "]".repeat(40));
    assert!(wrong("x.aliases.drushrc.php", &deep).1.contains("too deep"));
}

#[test]
fn texts_of_php_are_what_php_makes_of_them() {
    let read = php(
        "$aliases['prod'] = array('root' => '/a\\'b\\\\c\\n', \"uri\" => \"a.b\\$c.example\");",
    );
    assert_eq!(
        read.aliases[0].files.as_deref(),
        Some("/a'b\\c\\n/sites/default/files")
    );
    for computed in [
        "'a' . 'b'",
        "\"a$b\"",
        "\"{$b}\"",
        "A::B",
        "foo('x')",
        "-1",
        "(1)",
        "$a ? 'b' : 'c'",
        "\"\\x41\"",
        "['a'][0]",
    ] {
        let read = php(&format!(
            "$aliases['prod'] = ['root' => {computed}, 'uri' => 'x.example'];"
        ));
        says(&read, 2, "`root` is not known: it is computed");
        assert_eq!(
            read.aliases[0].uri.as_deref(),
            Some("x.example"),
            "{computed}"
        );
    }
}

#[test]
fn parents_that_are_absent_or_go_in_a_circle_are_said() {
    let read = php(
        "$aliases['a'] = ['parent' => '@b'];\n$aliases['b'] = ['parent' => '@x.a'];\n$aliases['c'] = ['parent' => '@other.z'];",
    );
    says(&read, 2, "in a circle");
    says(&read, 4, "is not in this file");
}

#[test]
fn hosts_users_and_ports_are_those_of_ssh() {
    let url = |keys: &str| {
        let read = right("x.site.yml", &format!("prod:\n  root: /srv\n{keys}"));
        let text = turned(&read).text;
        let line = text.lines().find(|line| line.contains("files = "));
        line.unwrap().to_owned()
    };
    for (keys, wanted) in [
        ("", "files = \"dir:///srv/sites/default/files\""),
        (
            "  host: localhost\n",
            "files = \"dir:///srv/sites/default/files\"",
        ),
        (
            "  host: web\n  user: \"a b\"\n",
            "# files = \"ssh://a%20b@web/srv/sites/default/files\"",
        ),
        (
            "  host: web\n  user: CORP\\me\n",
            "# files = \"ssh://CORP%5Cme@web/srv/sites/default/files\"",
        ),
        (
            "  host: web\n  ssh: {options: -p 0}\n",
            "# files = \"ssh://web:0/srv/sites/default/files\"",
        ),
        (
            "  host: web\n  paths: {files: ../up/../../files}\n",
            "files = \"ssh://web/files\"",
        ),
        (
            "  host: web\n  paths: {files: /~me/files}\n",
            "files = \"ssh://web/%7Eme/files\"",
        ),
        (
            "  host: u@web:22\n",
            "files = \"ssh://u@web:22/srv/sites/default/files\"",
        ),
        (
            "  host: web\n  ssh: {options: -p2200}\n",
            "files = \"ssh://web:2200/srv/sites/default/files\"",
        ),
        (
            "  host: web\n  ssh: {options: '-o Port=7 -i k'}\n",
            "files = \"ssh://web:7/srv/sites/default/files\"",
        ),
        (
            "  host: web\n  ssh: {options: '-p x'}\n",
            "# files = \"ssh://USER@HOST/DIRECTORY\"",
        ),
        (
            "  host: -oProxyCommand=x\n",
            "# files = \"ssh://USER@HOST/DIRECTORY\"",
        ),
        (
            "  host: web\n  ssh: {options: '-i key -o ProxyJump=jump -p 2201'}\n",
            "files = \"ssh://web:2201/srv/sites/default/files\"",
        ),
        (
            "  host: web\n  uri: https://www.example.org:8443/de/start?x#y\n",
            "files = \"ssh://web/srv/sites/default/files\"",
        ),
        ("  host: 'a b'\n", "# files = \"ssh://USER@HOST/DIRECTORY\""),
        ("  host: ${x}\n", "# files = \"ssh://USER@HOST/DIRECTORY\""),
        (
            "  paths: {files: /mnt/ü x}\n",
            "files = \"dir:///mnt/%C3%BC%20x\"",
        ),
        (
            "  paths: {files: ../up/..}\n",
            "# files = \"ssh://USER@HOST/DIRECTORY\"",
        ),
    ] {
        assert_eq!(url(keys), wanted, "{keys}");
    }
}

#[test]
fn a_url_that_envsyncd_toml_cannot_have_stands_there_as_a_comment_and_why_is_said() {
    let aliases = "prod:\n  root: /srv\n  host: web\n  user: a b\n";
    let turned = turned(&right("x.site.yml", aliases));
    let why =
        "@x.prod: its `files` stands there as a comment: what stands before `@` is no user's name";
    has(&turned.remarks, why);
    assert!(turned.text.contains("\n# [sites.x.production]\n"));
    let folded = "prod:\n  root: /srv/web\n  host: web\n  paths: {files: ../files}\n";
    let read = right("x.site.yml", folded);
    says(&read, 1, "is taken for /srv/files: look whether");
}

#[test]
fn of_an_address_the_host_name_alone_is_taken() {
    for (uri, host) in [
        ("https://www.example.org/de?x#y", Some("www.example.org")),
        ("http://u:p@WWW.example.org:8443", Some("www.example.org")),
        ("www.example.org/sub", Some("www.example.org")),
        ("default", None),
        ("https://localhost", None),
        ("https://[::1]/", None),
    ] {
        let read = right(
            "x.site.yml",
            &format!("prod:\n  root: /srv\n  uri: '{uri}'\n"),
        );
        assert_eq!(read.aliases[0].uri.as_deref(), host, "{uri}");
    }
}

#[test]
fn what_envsyncd_toml_has_is_not_written_again() {
    let environments = Environments::new(BTreeMap::from([
        (Environment::new("production"), rules(None, &["prod"])),
        (Environment::new("staging"), rules(Some("production"), &[])),
    ]))
    .unwrap();
    let read = right("main.site.yml", SITE);
    let around = |sites| Around {
        files: Vec::new(),
        environments: &environments,
        sites,
        host: None,
        stores: crate::fuzz::stores(),
    };
    let turned = turn(&read.aliases, &around(BTreeSet::new()));
    assert!(
        !turned.text.contains("[environments.production]"),
        "{}",
        turned.text
    );
    assert!(!turned.text.contains("[environments.staging]"));
    assert!(turned.text.contains("[environments.dev]"));
    assert!(turned.text.contains("[sites.main.staging]"));
    has(&turned.remarks, "add \"stage\" to its aliases");
    has(
        &turned.remarks,
        "main: its files in production, staging are on other hosts",
    );
    let turned = turn(&read.aliases, &around(BTreeSet::from(["main"])));
    assert!(!turned.text.contains("[sites.main"), "{}", turned.text);
    has(&turned.remarks, "has a site `main`");
}

#[test]
fn a_parent_is_called_by_its_own_name() {
    let prod = (Environment::new("prod"), rules(None, &["production"]));
    let environments = Environments::new(BTreeMap::from([prod])).unwrap();
    let text = turned_on(&right("main.site.yml", SITE), &environments, "prod").text;
    for part in [
        "[environments.staging]\nparent = \"prod\"\n",
        "[environments.dev]\n# parent = \"prod\" ",
        "[sites.main.prod]\n",
        "\"www.example.org\" = { dev = ",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("\"production\""), "{text}");
}

#[test]
fn an_environment_with_the_name_of_a_site_s_own_key_is_left_out() {
    for name in ["hooks", "hosts", "tasks"] {
        let aliases = format!("{name}:\n  root: /a\nprod:\n  root: /b\n");
        let turned = turned(&right("x.site.yml", &aliases));
        let why = format!("@x.{name} is left out: `{name}` is a key of a site itself");
        has(&turned.remarks, &why);
        assert!(!turned.text.contains("/a/sites"), "{}", turned.text);
    }
}

#[test]
fn a_host_s_own_files_on_another_one_stand_there_as_a_comment() {
    let read = right("main.site.yml", SITE);
    let comment = "[sites.main.staging]\n# files = \"ssh://stager@web2.example.org/";
    let turned = turned_on(&read, &Environments::default(), "stage");
    assert!(turned.text.contains(comment), "{}", turned.text);
    has(
        &turned.remarks,
        "its files in staging, which this host is of",
    );
    let turned = turned_on(&read, &Environments::default(), "production");
    assert!(!turned.text.contains("# files"), "{}", turned.text);
}
