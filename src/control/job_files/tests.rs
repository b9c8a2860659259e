use std::os::unix::fs::MetadataExt as _;

use tempfile::TempDir;

use super::*;
use crate::config::load_settings;
use crate::state::{Queued, Trigger, Verb};

const JOB: &str = "from = \"production\"\nto = \"staging\"\n[[task]]\nkind = \"sqlite\"\nsource = \"a\"\ntarget = \"b\"\n";

/// Environments, endpoints, and both directories of jobs.
struct Scene {
    directory: TempDir,
    settings: Settings,
    state: State,
    caller: Caller,
}

impl Scene {
    fn new(http: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("envsyncd.toml");
        for name in ["jobs", "managed"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let text = format!(
            "job_dir = \"jobs\"\nmanaged_job_dir = \"managed\"\nstate_dir = \"state\"\n[environments.production]\n\
             [environments.staging]\nparent = \"production\"\n[endpoints.a]\nenvironment = \"production\"\n\
             url = \"sqlite:a.db\"\n[endpoints.b]\nenvironment = \"staging\"\nurl = \"sqlite:b.db\"\n{http}"
        );
        fs::write(&file, text).unwrap();
        let formats = crate::store::registry::formats();
        let (settings, _) = load_settings(Some(&file), std::iter::empty(), formats).unwrap();
        Self {
            directory,
            settings,
            state: State::in_memory().unwrap(),
            caller: Caller {
                name: "ann".to_owned(),
                trigger: Trigger::Api,
                via: "panel",
                address: String::new(),
            },
        }
    }

    fn write(&self, name: &str, text: &str, over: Over<'_>) -> Result<JobFile, Refused> {
        write(
            &self.settings,
            &self.state,
            (name, text),
            over,
            &self.caller,
        )
    }

    fn remove(&self, name: &str, tag: Option<&str>) -> Result<(), Refused> {
        remove(&self.settings, &self.state, name, tag, &self.caller)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What lies in the directory of the panel's files.
    fn files(&self) -> Vec<String> {
        let all = fs::read_dir(self.path("managed")).unwrap();
        let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn audited(&self) -> Vec<(String, String, String)> {
        let all = self.state.audits(None, 99).unwrap().into_iter().rev();
        all.map(|(_, one)| (one.action, one.object, one.outcome))
            .collect()
    }
}

fn kind(refused: &Refused) -> Kind {
    match refused {
        Refused::Not(error) => error.kind(),
        other => panic!("{other:?}"),
    }
}

const ON: &str = "[http]\nedit_jobs = true\n";

#[test]
fn a_job_is_made_changed_and_removed_whole_and_each_is_in_the_audit_list() {
    let scene = Scene::new(ON);
    let made = scene.write("app", JOB, Over::Nothing).unwrap();
    assert_eq!(made.file, scene.path("managed/app.toml"));
    assert_eq!(fs::read_to_string(&made.file).unwrap(), JOB);
    assert_eq!(fs::metadata(&made.file).unwrap().mode() & 0o137, 0);
    // A name is given once; what is there says so, whatever it is.
    let again = scene.write("app", JOB, Over::Nothing).unwrap_err();
    assert_eq!(kind(&again), Kind::Busy);
    let more = format!("schedule = \"daily\"\n{JOB}");
    let stale = scene.write("app", &more, Over::Tagged("0")).unwrap_err();
    assert!(matches!(stale, Refused::Changed(_)), "{stale:?}");
    let changed = scene.write("app", &more, Over::Tagged(&made.tag)).unwrap();
    assert_ne!(changed.tag, made.tag);
    let read = read(&scene.settings, &scene.state, "app").unwrap();
    assert_eq!((read.text, &read.tag), (more, &changed.tag));
    assert!(matches!(
        scene.remove("app", Some(&made.tag)),
        Err(Refused::Changed(_))
    ));
    scene.remove("app", Some(&changed.tag)).unwrap();
    assert_eq!(kind(&scene.remove("app", None).unwrap_err()), Kind::Unknown);
    let missing = scene.write("app", JOB, Over::Any).unwrap_err();
    assert_eq!(kind(&missing), Kind::Unknown);
    assert!(scene.files().is_empty());
    let done: Vec<(String, bool)> = scene
        .audited()
        .into_iter()
        .map(|(action, object, outcome)| {
            assert_eq!(object, "job `app`");
            (action, outcome == "ok")
        })
        .collect();
    let done: Vec<(&str, bool)> = done.iter().map(|(what, ok)| (what.as_str(), *ok)).collect();
    assert_eq!(
        done,
        [
            ("job create", true),
            ("job create", false),
            ("job replace", false),
            ("job replace", true),
            ("job remove", false),
            ("job remove", true),
            ("job remove", false),
            ("job replace", false),
        ]
    );
}

#[test]
fn nothing_is_written_unless_the_settings_say_so() {
    for http in ["", "[http]\n", "[http]\nedit_jobs = false\n"] {
        let scene = Scene::new(http);
        fs::write(scene.path("managed/app.toml"), JOB).unwrap();
        let refused = [
            scene.write("new-one", JOB, Over::Nothing).map(drop),
            scene.write("app", JOB, Over::Any).map(drop),
            scene.remove("app", None),
            read(&scene.settings, &scene.state, "app").map(drop),
        ];
        for outcome in refused {
            let refused = outcome.unwrap_err();
            assert_eq!(kind(&refused), Kind::Policy);
            let Refused::Not(error) = refused else {
                unreachable!()
            };
            assert!(
                error.advice().unwrap().contains("edit_jobs = true"),
                "{error}"
            );
        }
        assert_eq!(scene.files(), ["app.toml"]);
    }
}

#[test]
fn a_name_is_a_name_and_leads_nowhere_else() {
    let scene = Scene::new(ON);
    let long = "x".repeat(129);
    for name in [
        "",
        ".",
        "..",
        "../jobs/app",
        "a/b",
        "/etc/x",
        ".hidden",
        "a b",
        "a\0",
        "site:main a->b",
        &long,
    ] {
        let refused = scene.write(name, JOB, Over::Nothing).unwrap_err();
        assert_eq!(kind(&refused), Kind::Usage, "{name}");
        assert_eq!(
            kind(&scene.remove(name, None).unwrap_err()),
            Kind::Usage,
            "{name}"
        );
    }
    assert!(scene.files().is_empty());
    assert!(fs::read_dir(scene.path("jobs")).unwrap().next().is_none());
}

#[test]
fn a_file_of_job_dir_is_never_written_or_removed() {
    let scene = Scene::new(ON);
    let by_hand = scene.path("jobs/app.toml");
    fs::write(&by_hand, JOB).unwrap();
    let more = format!("schedule = \"daily\"\n{JOB}");
    let tag = tag_of(JOB.as_bytes());
    for over in [Over::Nothing, Over::Any, Over::Tagged(&tag)] {
        let refused = scene.write("app", &more, over).unwrap_err();
        assert_eq!(kind(&refused), Kind::Busy);
        assert!(refused.sentence().contains(&by_hand.display().to_string()));
    }
    assert_eq!(kind(&scene.remove("app", None).unwrap_err()), Kind::Busy);
    let refused = read(&scene.settings, &scene.state, "app").unwrap_err();
    assert_eq!(kind(&refused), Kind::Busy);
    assert_eq!(fs::read_to_string(by_hand).unwrap(), JOB);
    assert!(scene.files().is_empty());
}

#[test]
fn a_job_that_waits_or_runs_is_not_changed_or_removed() {
    let scene = Scene::new(ON);
    let made = scene.write("app", JOB, Over::Nothing).unwrap();
    let run = Queued {
        id: "0199",
        job: "app",
        file: &made.file,
        verb: Verb::Run,
        from: "production",
        to: "staging",
        trigger: Trigger::Api,
        by: "ann",
        only: &[],
    };
    scene.state.ask(&run, false).unwrap();
    for refused in [
        scene.write("app", JOB, Over::Any).map(drop).unwrap_err(),
        scene.remove("app", None).unwrap_err(),
    ] {
        assert_eq!(kind(&refused), Kind::Busy);
        assert!(refused.sentence().contains("run 0199"), "{refused:?}");
    }
    assert_eq!(scene.files(), ["app.toml"]);
}

#[test]
fn a_text_that_is_no_job_is_told_of_as_validate_does_and_is_not_there() {
    let scene = Scene::new(ON);
    for (text, line, key) in [
        ("from = \"production\"\n".to_owned(), None, "to"),
        (
            JOB.replace("\"b\"", "\"sqlite:/etc/passwd\""),
            Some(6),
            "task[0].target",
        ),
        (
            format!("{JOB}[hooks]\nafter_publish = [\"/bin/sh\"]\n"),
            Some(7),
            "hooks",
        ),
        (format!("schedul = \"daily\"\n{JOB}"), Some(1), "schedul"),
        (format!("{JOB}jobs = 4\n"), Some(7), "task[0].jobs"),
        ("\u{feff}= [".to_owned(), Some(1), ""),
    ] {
        let Refused::Wrong(found) = scene.write("app", &text, Over::Nothing).unwrap_err() else {
            panic!("{text}")
        };
        let one = found.iter().next().unwrap();
        assert_eq!(one.place.as_ref().map(|place| place.line), line, "{one}");
        assert_eq!(one.key.as_deref().unwrap_or_default(), key, "{one}");
        assert_eq!(
            one.origin,
            scene.path("managed/app.toml").display().to_string()
        );
    }
    // Up the river, into itself, and into a root.
    for (from, to) in [
        ("staging", "production"),
        ("staging", "staging"),
        ("production", "production"),
    ] {
        let (from, to) = (format!("from = \"{from}\""), format!("to = \"{to}\""));
        let text = JOB
            .replace("from = \"production\"", &from)
            .replace("to = \"staging\"", &to);
        assert!(scene.write("app", &text, Over::Nothing).is_err(), "{text}");
    }
    assert!(scene.files().is_empty());
    // What is wrong does not take the place of what was right.
    scene.write("app", JOB, Over::Nothing).unwrap();
    assert!(scene.write("app", "from", Over::Any).is_err());
    assert_eq!(
        fs::read_to_string(scene.path("managed/app.toml")).unwrap(),
        JOB
    );
}

#[test]
fn what_lies_in_wait_at_a_files_place_is_neither_written_through_nor_read() {
    let scene = Scene::new(ON);
    let precious = scene.path("precious");
    fs::write(&precious, "precious").unwrap();
    let link = |name: &str| std::os::unix::fs::symlink(&precious, scene.path(name)).unwrap();
    link("managed/app.toml");
    link("managed/.b.new");
    assert!(scene.write("app", JOB, Over::Nothing).is_err());
    assert!(scene.write("app", JOB, Over::Any).is_err());
    assert!(read(&scene.settings, &scene.state, "app").is_err());
    scene.write("b", JOB, Over::Nothing).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert_eq!(scene.files(), ["app.toml", "b.toml"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_said_to_be_so() {
    let scene = Scene::new(ON);
    fs::remove_dir(scene.path("managed")).unwrap();
    let refused = scene.write("app", JOB, Over::Nothing).unwrap_err();
    assert_eq!(kind(&refused), Kind::State);
    assert!(
        refused.sentence().contains("managed_job_dir"),
        "{refused:?}"
    );
}

#[test]
fn root_writes_nothing_where_others_may_write() {
    use std::os::unix::fs::PermissionsExt as _;
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let scene = Scene::new(ON);
    fs::set_permissions(scene.path("managed"), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = scene.write("app", JOB, Over::Nothing).unwrap_err();
    assert_eq!(kind(&refused), Kind::State);
    assert!(refused.sentence().contains("chmod"), "{refused:?}");
    assert!(scene.files().is_empty());
}
