//! What Drush's site aliases become goes with the settings that are there, or is not written.

use std::fs;

use super::{Host, SITE};

/// What is added to these settings, with exit code and standard error.
fn added(host: &Host, settings: &str) -> (String, i32, String) {
    host.put("envsyncd.toml", settings);
    host.put("main.site.yml", SITE);
    let output = host.run(&["import", "drush", "main.site.yml"]);
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn settings_in_which_production_is_an_alias_stay_valid() {
    let host = Host::new();
    let settings = "host_environment = \"prod\"\njob_dir = \"jobs\"\n[environments.prod]\naliases = [\"production\"]\n";
    let (text, code, said) = added(&host, settings);
    assert_eq!(code, 0, "{said}");
    assert!(text.contains("parent = \"prod\"\n"), "{text}");
    host.put("envsyncd.toml", &format!("{settings}{text}"));
    let output = host.run(&["validate"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}\n{text}");
}

#[test]
fn what_the_settings_would_not_be_valid_with_is_not_written() {
    let host = Host::new();
    // An environment that nobody defines, which is all right as long as none are.
    let settings = "host_environment = \"integration\"\njob_dir = \"jobs\"\n";
    let (text, code, said) = added(&host, settings);
    assert_eq!(code, 1, "{said}");
    assert_eq!(text, "");
    for part in [
        "environment `integration` is not defined",
        "envsyncd.toml:1:",
        "nothing was written",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    let output = host.run(&["import", "drush", "main.site.yml", "--output", "made.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!host.path("made.toml").exists());
    // Over the settings, they stand alone.
    let over = ["--output", "envsyncd.toml", "--force"];
    let output = host.run(&[&["import", "drush", "main.site.yml"][..], &over].concat());
    assert_eq!(output.status.code(), Some(0));
    let written = fs::read_to_string(host.path("envsyncd.toml")).unwrap();
    assert!(written.starts_with("# Made of main.site.yml"), "{written}");
}
