//! All verbs with a bucket of a real server.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::json;
use crate::archive::shelf::{KEY, flip};
use crate::archive::through_s3::Far;
use crate::support::job::{Job, Outcome, toml};

/// Two snapshots that a key seals, the newer one last, and the job that made them.
struct Stored {
    far: Far,
    push: PathBuf,
    names: Vec<String>,
}

impl Stored {
    fn new() -> Self {
        let far = Far::new();
        far.scene.bed.file("KEY_FILE", KEY);
        let push = far.push_with(", key = { file = \"KEY_FILE\" }, keep_last = 2");
        let push = far.scene.bed.job("push", &push);
        let mut names = Vec::new();
        for name in ["ann", "later"] {
            far.scene
                .source(&format!("UPDATE users SET name = '{name}' WHERE id = 1"));
            far.scene.bed.once(&push).expect(0);
            let entries = fs::read_dir(&far.remote.folder).unwrap();
            let mut all: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.contains("-push-"))
                .collect();
            all.retain(|name| !names.contains(name));
            names.append(&mut all);
            // Their names tell seconds apart.
            std::thread::sleep(std::time::Duration::from_millis(1100));
        }
        assert_eq!(names.len(), 2);
        Self { far, push, names }
    }

    /// `envsyncd snapshots VERB -f push.toml ...`.
    fn run(&self, verb: &str, more: &[&str]) -> Outcome {
        let mut all = vec!["snapshots", verb, "-f", self.push.to_str().unwrap()];
        all.extend(more);
        self.far.scene.bed.run(&all)
    }
}

#[test]
fn a_bucket_s_snapshots_are_listed_shown_verified_and_fetched() {
    let stored = Stored::new();
    let (bed, names) = (&stored.far.scene.bed, &stored.names);
    let list = json(stored.run("list", &["--json"]).expect(0));
    let listed: Vec<&Value> = list["snapshots"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&listed[0]["name"], &listed[1]["name"]),
        (&names[1].clone().into(), &names[0].clone().into())
    );
    assert!(
        listed
            .iter()
            .all(|one| one["authentic"] == true && one["rows"] == 3),
        "{list}"
    );
    stored
        .run("show", &[&names[0]])
        .expect(0)
        .says(&["public.users", "authentic  yes", "s3://"]);
    let verified = stored.run("verify", &["--all"]).expect(0);
    assert_eq!(
        verified.stdout.matches(": good: ").count(),
        2,
        "{verified:?}"
    );
    let to = bed.path("to");
    stored
        .run("fetch", &["newest", to.to_str().unwrap()])
        .expect(0);
    let fetched = format!("file://{}", to.display());
    bed.run(&["snapshots", "verify", &fetched, &names[1]])
        .expect(0);
    let pull = Job::between("postgresql", &fetched, &stored.far.scene.target_url());
    stored.far.scene.once("pull", &pull).expect(0);
    assert_eq!(
        stored.far.scene.live("SELECT name FROM users WHERE id = 1"),
        "later"
    );
    // By a name that the host's settings give it.
    let settings = format!(
        "[environments.production]\n[endpoints.backups]\nurl = \"s3://{}/nightly\"\nendpoint = {}\naccess_key_id = \"envsyncd-root\"\nsecret_access_key = {{ file = \"secret\" }}\n",
        stored.far.remote.bucket,
        toml(&stored.far.remote.network.endpoint())
    );
    let settings = bed.file("envsyncd.toml", &settings);
    let listed = bed.run(&[
        "--config",
        settings.to_str().unwrap(),
        "snapshots",
        "list",
        "backups",
    ]);
    listed.expect(0).says(&[&names[0], &names[1]]);
}

#[test]
fn a_bucket_s_old_snapshots_are_pruned_and_no_object_of_theirs_stays() {
    let stored = Stored::new();
    let push = fs::read_to_string(&stored.push).unwrap();
    fs::write(&stored.push, push.replace("keep_last = 2", "keep_last = 1")).unwrap();
    stored
        .run("prune", &["--dry-run"])
        .expect(0)
        .says(&["no rule keeps it"]);
    assert!(
        stored
            .far
            .remote
            .folder
            .join(&stored.names[0])
            .join("manifest.json")
            .exists()
    );
    let gone = format!("{} is gone", stored.names[0]);
    stored
        .run("prune", &[])
        .expect(0)
        .says(&[&gone, "1 snapshots and 0 leftovers removed"]);
    let prefix = format!(
        "/{}?list-type=2&prefix=nightly%2F",
        stored.far.remote.bucket
    );
    let left = crate::support::s3::shared().ask(reqwest::Method::GET, &prefix, "");
    assert!(
        left.contains(&stored.names[1]) && !left.contains(&stored.names[0]),
        "{left}"
    );
    stored
        .run("verify", &[])
        .expect(0)
        .says(&[&stored.names[1], "good"]);
}

#[test]
fn a_block_that_was_changed_in_a_bucket_is_found_and_refused() {
    let stored = Stored::new();
    let folder = stored.far.remote.folder.join(&stored.names[1]);
    let rows = fs::read_dir(folder.join("rows"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let path = format!("rows/{}", rows.file_name().to_str().unwrap());
    flip(&rows.path(), 10);
    let verified = stored.run("verify", &["--all"]).expect(1);
    verified.says(&[
        &format!(
            "{}: BAD: {path}: block 1 of 1 is not what was written",
            stored.names[1]
        ),
        &format!("{}: good", stored.names[0]),
    ]);
    let to = stored.far.scene.bed.path("to");
    stored
        .run("fetch", &["newest", to.to_str().unwrap()])
        .expect(1)
        .says(&[&path, "block 1 of 1"]);
    assert!(!to.join(&stored.names[1]).exists());
    let outcome = stored.far.scene.once("pull", &stored.far.pull()).expect(1);
    outcome.says(&[&path, "block 1 of 1 is not what was written"]);
    stored.far.scene.live_is_old();
    // What is not there is said so, too.
    fs::remove_file(rows.path()).unwrap();
    stored
        .run("verify", &[])
        .expect(1)
        .says(&[&format!("{path}: it is not there")]);
}
