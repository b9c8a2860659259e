use chrono::Duration;
use tempfile::TempDir;

use super::*;
use crate::config::job::Settings;
use crate::config::load_settings;
use crate::state::{Paused, Scope};

struct Scene {
    _directory: TempDir,
    settings: Settings,
    state: State,
    caller: Caller,
}

impl Scene {
    /// Production and staging, one site, no jobs.
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("envsyncd.toml");
        let text = "job_dir = \"jobs\"\nstate_dir = \"state\"\n[environments.production]\n[environments.staging]\n\
                    parent = \"production\"\n[sites.main.hosts]\n";
        std::fs::write(&file, text).unwrap();
        let formats = crate::store::registry::formats();
        let (settings, _) = load_settings(Some(&file), std::iter::empty(), formats).unwrap();
        Self {
            _directory: directory,
            settings,
            state: State::in_memory().unwrap(),
            caller: Caller {
                name: "ci".to_owned(),
                trigger: Trigger::Api,
                via: "api",
                address: "192.0.2.7".to_owned(),
            },
        }
    }

    fn hold(&self, environment: &str, reason: &str) -> Result<environments::Held> {
        environments::hold(
            &self.settings,
            &self.state,
            environment,
            reason,
            None,
            &self.caller,
        )
    }

    /// The audit list, oldest first: what, to what, and what came of it.
    fn audited(&self) -> Vec<[String; 3]> {
        let mut entries = self.state.audits(None, 99).unwrap();
        entries.reverse();
        let told = entries.into_iter().map(|(_, entry)| {
            assert_eq!(
                (
                    entry.who.as_str(),
                    entry.via.as_str(),
                    entry.address.as_str()
                ),
                ("ci", "api", "192.0.2.7")
            );
            [entry.action, entry.object, entry.outcome]
        });
        told.collect()
    }
}

#[test]
fn what_is_done_and_what_is_refused_is_in_the_audit_list_with_who_had_it_done() {
    let scene = Scene::new();
    scene.hold("staging", "release 42").unwrap();
    let refused = scene.hold("staging", "mine").unwrap_err();
    assert_eq!(refused.kind(), Kind::Busy);
    let end = |environment: &str| {
        environments::release(&scene.settings, &scene.state, environment, &scene.caller)
    };
    assert!(end("staging").unwrap().is_some());
    assert!(end("staging").unwrap().is_none());
    assert_eq!(
        scene.audited(),
        [
            ["hold", "environment `staging`", "ok"],
            ["hold", "environment `staging`", &refused.to_string()],
            ["release", "environment `staging`", "ok"],
            ["release", "environment `staging`", "ok"],
        ]
    );
}

#[test]
fn what_there_is_not_is_told_from_what_is_wrong() {
    let scene = Scene::new();
    let (settings, state, caller) = (&scene.settings, &scene.state, &scene.caller);
    let pause = |what: Paused, until| {
        pauses::pause(settings, state, &what, "freeze", until, caller)
            .unwrap_err()
            .kind()
    };
    let unknown = Kind::Unknown;
    assert_eq!(scene.hold("stagin", "r").unwrap_err().kind(), unknown);
    assert_eq!(pause(Paused::To("stagin".to_owned()), None), unknown);
    assert_eq!(pause(Paused::Job("app".to_owned()), None), unknown);
    let run = jobs::find_run("0199", settings, Some(state));
    assert_eq!(run.unwrap_err().kind(), unknown);
    let job = jobs::job_named(settings, state, "app").map(drop);
    assert_eq!(Error::from(job.unwrap_err()).kind(), unknown);
    assert_eq!(
        tokens::revoke(state, "ci", caller).unwrap_err().kind(),
        unknown
    );
    // It is there, and this is nothing to ask of it.
    assert_eq!(scene.hold("staging", " ").unwrap_err().kind(), Kind::Usage);
    let past = Some(Utc::now() - Duration::seconds(1));
    assert_eq!(pause(Paused::All, past), Kind::Usage);
    assert_eq!(unknown.exit_code(), Kind::Usage.exit_code());
    assert!(scene.audited().iter().all(|entry| entry[2] != "ok"));
    assert_eq!(
        (state.holds().unwrap(), state.pauses().unwrap()),
        (vec![], vec![])
    );
}

#[test]
fn a_token_is_for_environments_and_sites_that_there_are_and_has_a_name_fit_to_be_shown() {
    let scene = Scene::new();
    let create = |name: &str, to: &[&str], site: Option<&str>| {
        let to: Vec<String> = to.iter().map(|name| (*name).to_owned()).collect();
        let wanted = tokens::Wanted {
            name,
            scope: Scope::Run,
            to: &to,
            site,
            expires: Some(std::time::Duration::from_secs(60)),
        };
        tokens::create(&scene.settings, &scene.state, &wanted, &scene.caller)
    };
    for name in ["", "a b", "<script>", "a\n", &"x".repeat(65)] {
        assert_eq!(create(name, &[], None).unwrap_err().kind(), Kind::Usage);
    }
    for (to, site) in [(&["stagin"][..], None), (&[], Some("mian"))] {
        let error = create("ci", to, site).unwrap_err();
        assert_eq!(error.kind(), Kind::Unknown);
        assert!(error.to_string().contains("did you mean"), "{error}");
    }
    assert!(scene.state.tokens().unwrap().is_empty());
    let text = create("ci.2-x_", &["staging"], Some("main")).unwrap();
    let token = scene.state.token(&crate::state::hash_of(&text)).unwrap();
    let token = token.unwrap();
    assert_eq!((token.by.as_str(), token.scope), ("ci", Scope::Run));
    let left = token.expires_at.unwrap() - Utc::now();
    assert!(left > Duration::seconds(50) && left <= Duration::seconds(60));
    // The secret itself is nowhere.
    assert!(!format!("{token:?} {:?}", scene.audited()).contains(&text));
}

#[test]
fn a_reason_is_one_line_for_people() {
    assert_eq!(reason(" release\n 42 ").as_deref(), Ok("release 42"));
    for text in ["", " \n", "\u{1b}[2J", "a\u{202e}b", &"x".repeat(1001)] {
        assert!(reason(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_action_that_is_done_and_cannot_be_written_down_is_said() {
    let scene = Scene::new();
    let said = scene
        .caller
        .audit(&scene.state, "hold", "x", Ok(7))
        .unwrap();
    assert_eq!(said, 7);
    let gone = TempDir::new().unwrap();
    let state = State::open(gone.path()).unwrap();
    rusqlite::Connection::open(gone.path().join("state.db"))
        .and_then(|store| store.execute_batch("DROP TABLE audit"))
        .unwrap();
    let error = scene.caller.audit(&state, "hold", "x", Ok(7)).unwrap_err();
    assert!(error.to_string().contains("hold of x is done"), "{error}");
    let own = Error::new(Kind::Busy, "it is held");
    let outcome: Result<()> = scene.caller.audit(&state, "hold", "x", Err(own));
    assert_eq!(outcome.unwrap_err().to_string(), "it is held");
}
