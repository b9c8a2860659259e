//! Passwords in files.

use super::*;

#[test]
fn a_password_in_a_url_works_warns_and_is_never_shown() {
    let text = job_with("", "")
        .replace("\"sqlite\"", "\"postgresql\"")
        .replace("\"sqlite:a.db\"", "\"postgresql://u:hunter2@h/d\"")
        .replace(
            "\"sqlite:b.db\"",
            "{ url = \"postgresql://u@h2/d?password=hunter2\" }",
        );
    let files = Files::new();
    let (job, warnings) = files.job(ENVIRONMENTS, &text).unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for endpoint in [&job.tasks[0].source, &job.tasks[0].target] {
        assert!(
            matches!(&endpoint.password, Some(Secret::Inline(s)) if s.expose_secret() == "hunter2")
        );
    }
    let (settings, _) = files.settings(ENVIRONMENTS).unwrap();
    let file = files.put("job.toml", &text);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, warnings) = load_job(&file, &settings).unwrap();
    assert_eq!(warnings.len(), 3);
    assert!(
        warnings[0].to_string().contains("chmod o-rwx"),
        "{}",
        warnings[0]
    );
    let refused = refuse(&job, &job.tasks[0], "source", "no".to_owned()).to_string();
    let shown = format!("{job:?}{warnings:?}{refused}{}", warnings[1]);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("u:***@h/d"), "{shown}");
}

#[test]
fn no_wrong_way_to_write_a_password_shows_it() {
    for source in [
        r#"{ url = "postgresql://u@h/d", password = "hunter2" }"#,
        r#"{ url = "postgresql://u:hunter2@h/d", password = { env = "X" } }"#,
        r#"{ url = "postgresql://u@h/d", passwort = "hunter2" }"#,
        r#"{ url = "postgresql://u@h/d", secret = "hunter2", password = {} }"#,
        r#"{ url = "mysql://u:hunter2@h/d" }"#,
        r#"{ url = "mongodb://u:hunter2@h/d" }"#,
        r#""postgresql://u:hunter2/@h/d""#,
        r#""postgresql://u:hunter2\u0040h:x/d""#,
        r#""""postgresql://u:\
hunter2@h:x/d""""#,
        r#""u:hunter2@h/d""#,
        r#""host=h password=hunter2""#,
        r#"["postgresql://u:hunter2@h/d"]"#,
    ] {
        let astray = "schedule = \"u:hunter2@h\"\ntimeout = \"u:hunter2@h\"";
        let text = job_with(astray, "mode = \"postgresql://u:hunter2@h\"")
            .replace("\"sqlite\"", "\"postgresql\"")
            .replace("\"sqlite:a.db\"", source);
        let shown = wrong_job(&text);
        assert!(!shown.contains("hunter2"), "{source}:\n{shown}");
    }
}

#[test]
fn a_password_comes_from_exactly_one_place() {
    for (password, part) in [
        ("{}", "exactly one place"),
        ("{ env = \"A\", file = \"b\" }", "exactly one place"),
        ("{ evn = \"A\" }", "did you mean `env`?"),
        ("{ env = \"A=B\" }", "no `=`"),
        ("{ credential = \"../x\" }", "plain file name"),
        ("{ command = [] }", "names no program"),
    ] {
        let source = format!("{{ url = \"postgresql://u@h/d\", password = {password} }}");
        let text = job_with("", "")
            .replace("\"sqlite\"", "\"postgresql\"")
            .replace("\"sqlite:a.db\"", &source)
            .replace("\"sqlite:b.db\"", "\"postgresql://u@h2/d\"");
        let text = wrong_job(&text);
        assert_eq!(text.matches("error:").count(), 1, "{text}");
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_file_that_somebody_else_can_change_is_a_warning_and_root_does_not_go_by_it() {
    let is_root = nix::unistd::geteuid().is_root();
    let files = Files::new();
    let (settings, _) = files.settings(ENVIRONMENTS).unwrap();
    let file = files.put("job.toml", &job_with("", ""));
    let directory = file.parent().unwrap();
    let warnings = |of_file: u32, of_directory: u32| -> Vec<String> {
        fs::set_permissions(&file, fs::Permissions::from_mode(of_file)).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(of_directory)).unwrap();
        match load_job(&file, &settings) {
            Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
            Err(wrong) => {
                assert!(is_root, "{wrong}");
                wrong.iter().map(ToString::to_string).collect()
            }
        }
    };
    assert_eq!(warnings(0o644, 0o755), [""; 0]);
    let found = warnings(0o646, 0o755);
    assert_eq!(found.len(), 1, "{found:?}");
    let word = if is_root { "error: " } else { "warning: " };
    assert!(
        found[0].starts_with(word) && found[0].contains("chmod o-w"),
        "{found:?}"
    );
    let found = warnings(0o644, 0o777);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with(word) && found[0].contains("the directory /"),
        "{found:?}"
    );
    // As in /tmp.
    assert_eq!(warnings(0o644, 0o1777), [""; 0]);
    if is_root {
        std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
        let found = warnings(0o644, 0o755);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(word) && found[0].contains("run: chown root /"),
            "{found:?}"
        );
    }
}
