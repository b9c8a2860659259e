//! The host's settings.

use super::*;

#[test]
fn every_key_of_the_settings_arrives() {
    let files = Files::new();
    let (settings, warnings) = files
        .settings(
            r#"
job_dir = "/j"
env_dir = "."
state_dir = "state"
lock_dir = "/l"
host_environment = "staging"
[environments.production]
[environments.staging]
parent = "production"
[endpoints.db]
environment = "production"
url = "postgres://reader@db1/x"
password = { command = ["pass", "show", "db"] }
[scheduler]
timezone = "Europe/London"
max_concurrent_runs = 3
one_manual_run = true
[priority]
io_class = "idle"
nice = -5
memory_max = "1.5GiB"
[reboot_lock]
directory = "/no-reboot"
inhibit = false
"#,
        )
        .unwrap_or_else(|all| panic!("{all}"));
    assert_eq!(warnings, []);
    let here = files.0.path();
    assert_eq!(settings.job_dir, Path::new("/j"));
    assert_eq!(settings.env_dir, Some(here.join(".")));
    assert_eq!(settings.state_dir, here.join("state"));
    assert_eq!(settings.status_dir, here.join("state/status"));
    assert_eq!(settings.lock_dir, Path::new("/l"));
    assert_eq!(settings.host_environment, Some(Environment::new("staging")));
    let (environment, endpoint) = &settings.endpoints["db"];
    assert_eq!(environment, &Some(Environment::new("production")));
    assert_eq!(endpoint.url.text(), "postgresql://reader@db1/x");
    assert_eq!(endpoint.name.as_deref(), Some("db"));
    assert!(matches!(&endpoint.password, Some(Secret::Command(argv)) if argv.len() == 3));
    assert_eq!(settings.timezone, chrono_tz::Europe::London);
    assert_eq!(settings.max_concurrent_runs, 3);
    assert!(settings.one_manual_run);
    assert_eq!(settings.priority.io_class, IoClass::Idle);
    assert_eq!(settings.priority.nice, -5);
    assert_eq!(settings.priority.memory_max, 3 << 29);
    assert_eq!(settings.reboot_lock.directory, Some("/no-reboot".into()));
    assert!(!settings.reboot_lock.inhibit);
}

#[test]
fn cycles_and_unknown_parents_are_shown_where_they_are() {
    let text = wrong_settings(
        "[environments.a]\nparent = \"c\"\n[environments.b]\nparent = \"a\"\n[environments.c]\nparent = \"b\"\n[environments.staging]\n[environments.d]\nparent = \"stagng\"\n[endpoints.x]\nenvironment = \"a\"\nurl = \"sqlite:x.db\"\n",
    );
    assert_eq!(text.matches("error:").count(), 2, "{text}");
    assert!(
        text.contains("envsyncd.toml:2:10") && text.contains("a -> c -> b -> a"),
        "{text}"
    );
    assert!(
        text.contains("key: environments.d.parent") && text.contains("did you mean `staging`?"),
        "{text}"
    );
}

#[test]
fn what_is_impossible_in_the_settings_is_an_error() {
    for (text, part) in [
        ("job_dirr = \"/x\"", "did you mean `job_dir`?"),
        ("state_dir = 3", "found an integer"),
        ("lock_dir = \"\"", "must not be empty"),
        ("timezone = \"UTC\"", "it belongs under [scheduler]"),
        (
            "[scheduler]\ntimezone = \"Europe/Londn\"",
            "did you mean `Europe/London`?",
        ),
        ("[scheduler]\nmax_concurrent_runs = 0", "out of range"),
        (
            "[priority]\nio_class = \"best_effort\"",
            "did you mean `best-effort`?",
        ),
        ("[priority]\nio_level = 8", "allowed: 0 to 7"),
        ("[priority]\nnice = 20", "allowed: -20 to 19"),
        ("[priority]\nmemory_max = \"127MiB\"", "\"128 MiB\" or more"),
        ("[priority]\nmemory_max = \"lots\"", "is not a size"),
        ("[priority]\nmemory_max = \"1GiB/s\"", "is not a size"),
        (
            "[priority]\nmemory_max = 512",
            "write it with a unit: \"512MiB\"",
        ),
        ("memory_max = \"1GiB\"", "it belongs under [priority]"),
        ("[reboot_lock]\ninhibit = 1", "expected true or false"),
        (
            "host_environment = \"stage\"\n[environments.staging]",
            "did you mean `staging`?",
        ),
        (
            "[endpoints.x]\nurl = \"sqlite:x.db\"",
            "`environment` is missing",
        ),
        (
            "[endpoints.x]\nenvironment = \"y\"\nurl = \"sqlite:x.db\"",
            "define it as [environments.NAME]",
        ),
        (
            "[environments.a]\nrequire_mask = true",
            "did you mean `require_masks`?",
        ),
        ("environments = 3", "expected a table"),
    ] {
        let shown = wrong_settings(text);
        assert_eq!(shown.matches("error:").count(), 1, "{shown}");
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

#[test]
fn a_variable_wins_over_the_file_and_a_misspelt_one_is_a_warning() {
    let files = Files::new();
    let file = files.put(
        "envsyncd.toml",
        &format!("state_dir = \"/file\"\nlock_dir = \"/file\"\n{ENVIRONMENTS}"),
    );
    let load = |variables: &[(&str, &str)]| {
        let variables: Vec<_> = variables
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        load_settings(Some(&file), variables.into_iter(), stores())
    };
    let (settings, warnings) = load(&[
        ("ENVSYNCD_STATE_DIR", "/variable"),
        ("ENVSYNCD_STAUS_DIR", "/x"),
        ("ENVSYNCD_LOG", "debug"),
        ("ENVSYNCD_CONFIG", "x"),
        ("ENVSYNCD_HOST_ENVIRONMENT", "staging"),
        ("PATH", "x"),
    ])
    .unwrap();
    assert_eq!(settings.state_dir, Path::new("/variable"));
    assert_eq!(settings.status_dir, Path::new("/variable/status"));
    assert_eq!(settings.lock_dir, Path::new("/file"));
    assert_eq!(settings.host_environment, Some(Environment::new("staging")));
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}")
    };
    assert!(
        warning
            .to_string()
            .contains("did you mean `ENVSYNCD_STATUS_DIR`?"),
        "{warning}"
    );
    for (name, value) in [
        ("ENVSYNCD_STATE_DIR", " "),
        ("ENVSYNCD_HOST_ENVIRONMENT", "stagin"),
    ] {
        let text = load(&[(name, value)]).unwrap_err().to_string();
        assert!(text.contains(name), "{text}");
    }
    let (settings, _) = load(&[("ENVSYNCD_LOCK_DIR", "here")]).unwrap();
    assert_eq!(
        settings.lock_dir,
        std::env::current_dir().unwrap().join("here")
    );
}

#[test]
fn settings_that_are_named_must_be_there() {
    let text = load_settings(
        Some(Path::new("/nonexistent/envsyncd.toml")),
        std::iter::empty(),
        stores(),
    )
    .unwrap_err()
    .to_string();
    assert!(text.contains("/nonexistent/envsyncd.toml"), "{text}");
}
