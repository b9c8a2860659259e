//! Files of `managed_job_dir`, which may come from whoever has a token.

use super::*;

const HOST: &str = r#"
job_dir = "jobs"
managed_job_dir = "managed"
[environments.production]
[environments.staging]
parent = "production"
[endpoints.a]
environment = "production"
url = "sqlite:a.db"
[endpoints.b]
environment = "staging"
url = "sqlite:b.db"
[masking]
key = { env = "KEY" }
[sites.main]
production = { database = "sqlite:site-a.db" }
staging = { database = "sqlite:site-b.db" }
[sites.closed]
production = { database = "postgresql://reader:geheim@db1.example/x" }
staging = { database = "postgresql://owner@db2.example/x" }
"#;

/// Nothing but a name on either side.
const PLAIN: &str = "from = \"production\"\nto = \"staging\"\n[[task]]\nkind = \"sqlite\"\nsource = \"a\"\ntarget = \"b\"\n";

/// The host with both directories.
fn host() -> (Files, Settings) {
    let files = Files::new();
    for directory in ["jobs", "managed"] {
        fs::create_dir(files.0.path().join(directory)).unwrap();
    }
    let (settings, _) = files.settings(HOST).unwrap_or_else(|all| panic!("{all}"));
    (files, settings)
}

fn read(text: &str) -> Result<(Job, Vec<Diagnostic>), Diagnostics> {
    let (files, settings) = host();
    load_job(&files.put("managed/app.toml", text), &settings)
}

#[test]
fn a_job_of_names_is_read_as_it_is_elsewhere() {
    let text = format!(
        "description = \"Nightly\"\nschedule = \"18 0 * * *\"\ntimezone = \"Europe/London\"\ntimeout = \"1h\"\n{PLAIN}\
         verify = \"checksum\"\nexclude = [\"cache_*\"]\nmask = [{{ table = \"users\", columns = {{ mail = \"email\" }} }}]\n"
    );
    let (job, warnings) = read(&text).unwrap_or_else(|all| panic!("{all}"));
    assert_eq!(warnings, []);
    assert_eq!(
        (job.name.as_str(), job.description.as_str()),
        ("app", "Nightly")
    );
    assert_eq!(job.tasks[0].masks.len(), 1);
    assert_eq!(job.tasks[0].target.name.as_deref(), Some("b"));
}

#[test]
fn what_runs_reads_or_weakens_something_is_refused_with_its_line_and_its_key() {
    let secret = "/etc/envsyncd-tests/secret.toml";
    for (top, task, key, part) in [
        (
            "[hooks]\nafter_publish = [\"/bin/sh\", \"-c\", \"id\"]",
            "",
            "hooks",
            "hooks run programs",
        ),
        (
            "[environments.production]\nparent = \"staging\"",
            "",
            "environments",
            "the host's",
        ),
        (
            "[endpoints.c]\nenvironment = \"staging\"\nurl = \"sqlite:/etc/passwd\"",
            "",
            "endpoints",
            "the host's",
        ),
        (
            "",
            "scripts = [\"/etc/shadow\"]",
            "task[0].scripts",
            "scripts are run",
        ),
        (
            "",
            &format!("include = [\"{secret}\"]"),
            "task[0].include",
            "opens files",
        ),
        (
            "",
            "rows = [{ table = \"t\", where = \"pg_read_file('x') = ''\" }]",
            "task[0].rows",
            "conditions",
        ),
        (
            "",
            "reference = [{ table = \"t\", columns = [\"a\"], references = \"u\", referenced = [\"id\"], where = \"1\" }]",
            "task[0].reference",
            "conditions",
        ),
        (
            "",
            "mask = [{ table = \"t\", where = \"f()\", columns = { a = \"null\" } }]",
            "task[0].mask[0].where",
            "conditions",
        ),
        (
            "",
            "pass = [{ table = \"*\", columns = [\"*\"], reason = \"so\" }]",
            "task[0].pass",
            "answer for it",
        ),
        (
            "",
            "publish = \"in_place\"",
            "task[0].publish",
            "emptied first",
        ),
        (
            "",
            "trust_source = true",
            "task[0].trust_source",
            "code of the source",
        ),
        ("", "definer = \"keep\"", "task[0].definer", "somebody else"),
        ("", "events = \"keep\"", "task[0].events", "by itself"),
        ("", "roles = \"map\"", "task[0].roles", "rights"),
        ("", "canary = false", "task[0].canary", "masks hold"),
        ("", "verify = \"none\"", "task[0].verify", "is verified"),
        (
            "",
            "program = \"/bin/sh\"",
            "task[0].program",
            "allowed: compare",
        ),
        ("program = \"/bin/sh\"", "", "program", "allowed: catch_up"),
    ] {
        let mut text = PLAIN.to_owned() + task + "\n";
        text = if top.starts_with('[') {
            text + top
        } else {
            format!("{top}\n{text}")
        };
        let all = read(&text).map(drop).unwrap_err();
        let keys: Vec<_> = all.iter().filter_map(|one| one.key.as_deref()).collect();
        assert_eq!(keys, [key], "{all}");
        assert!(all.iter().all(|one| one.place.is_some()), "{all}");
        assert!(all.to_string().contains(part), "{part} in\n{all}");
        assert!(all.to_string().contains("job_dir"), "{all}");
    }
}

#[test]
fn a_source_or_a_target_is_a_name_and_neither_a_url_nor_a_table() {
    let urls = [
        "\"sqlite:/etc/passwd\"",
        "\"sqlite:///etc/passwd\"",
        "\"postgresql://reader:geheim@db1.example/x\"",
        "\"mysql://root@localhost/mysql\"",
        "\"file:///etc\"",
        "\"s3://bucket/prefix\"",
        "{ url = \"sqlite:a.db\" }",
        "{ url = \"postgresql://u@h/d\", password = { command = [\"/bin/sh\"] } }",
        "{ url = \"postgresql://u@h/d\", password = { file = \"/etc/shadow\" } }",
        "{ url = \"postgresql://u@h/d\", password = { env = \"HOME\" } }",
        "[\"a\"]",
        "3",
    ];
    for url in urls {
        for key in ["source = \"a\"", "target = \"b\""] {
            let new = format!("{} = {url}", key.split_once(' ').unwrap().0);
            let all = read(&PLAIN.replace(key, &new))
                .map(drop)
                .unwrap_err()
                .to_string();
            assert!(all.contains("not the name of an endpoint"), "{all}");
            assert!(!all.contains("geheim"), "{all}");
        }
    }
    let all = read(&PLAIN.replace("\"a\"", "\"c\""))
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        all.contains("neither an endpoint's name nor a URL"),
        "{all}"
    );
}

#[test]
fn a_job_of_a_site_may_have_the_urls_that_the_site_has_and_no_others() {
    let (files, settings) = host();
    let of = |site: &str, kind: &str, source: &str, target: &str| {
        let text = format!(
            "from = \"production\"\nto = \"staging\"\nsite = \"{site}\"\n[[task]]\nkind = \"{kind}\"\nsource = \"{source}\"\ntarget = \"{target}\"\n"
        );
        load_job(&files.put("managed/app.toml", &text), &settings).map(|(job, _)| job)
    };
    let here = files.0.path().display();
    let (a, b) = (
        format!("sqlite://{here}/site-a.db"),
        format!("sqlite://{here}/site-b.db"),
    );
    let job = of("main", "sqlite", &a, &b).unwrap_or_else(|all| panic!("{all}"));
    assert_eq!(job.tasks[0].target.url.text(), b);
    assert!(of("main", "sqlite", &b, &a).is_err());
    assert!(of("main", "sqlite", &a, &format!("sqlite://{here}/b.db")).is_err());
    assert!(of("none", "sqlite", &a, &b).is_err());
    // One with a password of its own has to have a name.
    let (a, b) = (
        "postgresql://reader@db1.example/x",
        "postgresql://owner@db2.example/x",
    );
    let all = of("closed", "postgresql", a, b).unwrap_err();
    assert_eq!(all.errors(), 1, "{all}");
    assert!(all.to_string().contains("source"), "{all}");
}

#[test]
fn what_is_refused_is_not_looked_at() {
    let (files, settings) = host();
    files.put("secrets.toml", "[[mask]]\ntable = \"geheim\"\nwrong = 1\n");
    for line in [
        "include = [\"../secrets.toml\"]",
        "scripts = [\"../no-such-file\"]",
    ] {
        let file = files.put("managed/app.toml", &format!("{PLAIN}{line}\n"));
        let all = load_job(&file, &settings).map(drop).unwrap_err();
        assert_eq!(all.errors(), 1, "{all}");
        let said = all.to_string();
        assert!(
            !said.contains("geheim") && !said.contains("cannot be read"),
            "{said}"
        );
    }
}

#[test]
fn the_rule_holds_whatever_the_way_to_the_file_is_called_and_for_no_other_file() {
    let (files, settings) = host();
    let hooks = format!("{PLAIN}[hooks]\nafter_publish = [\"/bin/true\"]\n");
    let file = files.put("managed/app.toml", &hooks);
    std::os::unix::fs::symlink("managed", files.0.path().join("link")).unwrap();
    let here = files.0.path();
    for way in [
        file.clone(),
        here.join("jobs/../managed/app.toml"),
        here.join("managed/./app.toml"),
        here.join("link/app.toml"),
    ] {
        assert!(load_job(&way, &settings).is_err(), "{}", way.display());
    }
    // The last good version of it is read by the same rule.
    let copy = files.put("copy.toml", &hooks);
    assert!(load_job_as(&file, &copy, &settings).is_err());
    assert!(understand_text(&file, hooks.clone(), &settings).is_err());
    assert!(load_job(&files.put("jobs/app2.toml", &hooks), &settings).is_ok());
    // What is a link there leads nowhere.
    let other = here.join("managed/other.toml");
    std::os::unix::fs::symlink(here.join("jobs/app2.toml"), &other).unwrap();
    let all = load_job(&other, &settings)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        all.contains("cannot be read") && !all.contains("after_publish"),
        "{all}"
    );
}

#[test]
fn a_file_or_a_directory_that_others_may_write_is_warned_of_as_elsewhere() {
    let (files, settings) = host();
    let file = files.put("managed/app.toml", PLAIN);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let warned = |part: &str| {
        let said = match load_job(&file, &settings) {
            Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
            Err(all) => all.to_string(),
        };
        assert!(said.contains(part), "{said}");
        assert_eq!(said.is_empty(), part.is_empty(), "{said}");
    };
    warned("");
    mode(&file, 0o642);
    warned("others can write the file");
    mode(&file, 0o640);
    let directory = files.0.path().join("managed");
    mode(&directory, 0o757);
    warned(&directory.display().to_string());
}

#[test]
fn a_name_in_both_directories_is_an_error_of_the_managed_file() {
    let (files, settings) = host();
    let by_hand = files.put("jobs/app.toml", PLAIN);
    let managed = files.put("managed/app.toml", PLAIN);
    let only = files.put("managed/only.toml", PLAIN);
    files.put("managed/.app.new", "half");
    assert_eq!(
        job_files(&settings).unwrap(),
        [by_hand.clone(), managed.clone(), only.clone()]
    );
    let all = load_job(&managed, &settings)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(all.contains(&by_hand.display().to_string()), "{all}");
    let (_, warnings) = load_job(&by_hand, &settings).unwrap_or_else(|all| panic!("{all}"));
    assert!(
        warnings[0]
            .to_string()
            .contains(&managed.display().to_string())
    );
    assert_eq!(settings.job_file("app"), by_hand);
    assert_eq!(settings.job_file("only"), only);
    assert_eq!(
        settings.job_file("none"),
        files.0.path().join("jobs/none.toml")
    );
    assert!(load_job(&only, &settings).is_ok());
}

#[test]
fn the_directory_is_one_of_its_own_and_is_there_where_jobs_are_written() {
    for (text, part) in [
        (
            "job_dir = \"jobs\"\nmanaged_job_dir = \"jobs\"",
            "is the job_dir as well",
        ),
        (
            "state_dir = \"s\"\nmanaged_job_dir = \"s\"",
            "is the state_dir as well",
        ),
        (
            "env_dir = \".\"\nmanaged_job_dir = \".\"",
            "is the env_dir as well",
        ),
        ("[http]\nedit_jobs = true", "`managed_job_dir` is missing"),
        ("[http]\nedit_jobs = 1", "expected true or false"),
        ("edit_jobs = true", "it belongs under [http]"),
        ("[http]\nmanaged_job_dir = \"/x\"", "it belongs at the top"),
    ] {
        let shown = wrong_settings(text);
        assert_eq!(shown.matches("error:").count(), 1, "{shown}");
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    let (_, error) = {
        let files = Files::new();
        fs::create_dir(files.0.path().join("jobs")).unwrap();
        let text = "job_dir = \"jobs\"\nmanaged_job_dir = \"managed\"\n[http]\nedit_jobs = true\n";
        let (settings, _) = files.settings(text).unwrap_or_else(|all| panic!("{all}"));
        assert!(settings.http.as_ref().unwrap().edit_jobs);
        let error = job_files(&settings).unwrap_err();
        (files, error)
    };
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("managed_job_dir"), "{error}");
    // A link to the other one is the other one.
    let files = Files::new();
    fs::create_dir(files.0.path().join("jobs")).unwrap();
    std::os::unix::fs::symlink("jobs", files.0.path().join("link")).unwrap();
    let text = "job_dir = \"jobs\"\nmanaged_job_dir = \"link\"\n";
    assert!(files.settings(text).is_err());
    // A variable does as well.
    let file = files.put("envsyncd.toml", "[http]\nedit_jobs = true\n");
    let variable = ("ENVSYNCD_MANAGED_JOB_DIR".to_owned(), "/v".to_owned());
    let (settings, _) = load_settings(Some(&file), std::iter::once(variable), stores()).unwrap();
    assert_eq!(settings.managed_job_dir.as_deref(), Some(Path::new("/v")));
}
