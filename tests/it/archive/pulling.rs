//! Pulls: which snapshot, and what is refused before it touches the target.

use std::fs;
use std::path::{Path, PathBuf};

use super::Scene;

#[test]
fn data_is_as_it_was_when_it_was_pushed() {
    let scene = Scene::of_this_test();
    scene.once("push", &scene.push()).expect(0);
    scene.source("UPDATE users SET name = 'later'");
    scene.once("pull", &scene.pull()).expect(0);
    scene.live_is_new();
}

#[test]
fn a_snapshot_is_pulled_by_name_and_by_time() {
    let scene = Scene::of_this_test();
    scene.once("push", &scene.push()).expect(0);
    let first = scene.snapshots().pop().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let between = chrono::Utc::now();
    scene.source("UPDATE users SET name = 'later'");
    scene.once("push", &scene.push()).expect(0);
    scene.once("pull", &scene.pull()).expect(0);
    assert_eq!(scene.live("SELECT DISTINCT name FROM users"), "later");
    let name = first.file_name().unwrap().to_str().unwrap();
    let named = scene.pull_with(&format!("snapshot = \"{name}\""));
    scene.once("pull", &named).expect(0);
    scene.live_is_new();
    scene.once("pull", &scene.pull()).expect(0);
    let at = scene.pull_with(&format!(
        "at = {}",
        between.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    ));
    scene.once("pull", &at).expect(0);
    scene.live_is_new();
    let early = scene.pull_with("at = 2001-01-01T00:00:00Z");
    scene.once("pull", &early).expect(1).says(&["2001-01-01"]);
    let unknown = scene.pull_with("snapshot = \"20260101T000000Z-push-0123456789ab\"");
    scene
        .once("pull", &unknown)
        .expect(1)
        .says(&["20260101T000000Z-push-0123456789ab"]);
    scene.live_is_new();
}

#[test]
fn an_archive_from_staging_never_lands_in_production() {
    let scene = Scene::of_this_test();
    let push = scene.push().flow("staging", "integration");
    let environments = "[environments.integration]\nparent = \"staging\"\n";
    let file = scene
        .bed
        .file("push.toml", &format!("{push}{environments}"));
    scene.bed.once(&file).expect(0);
    // Whatever the job says that it is of.
    for (from, to) in [("production", "staging"), ("staging", "production")] {
        let pull = scene.pull().flow(from, to);
        scene.once("pull", &pull).expect(3);
        scene.live_is_old();
    }
    let pull = scene.pull().flow("staging", "integration");
    let file = scene
        .bed
        .file("pull.toml", &format!("{pull}{environments}"));
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
}

#[test]
fn an_archive_of_another_store_is_refused() {
    let scene = Scene::of_this_test();
    scene.once("push", &scene.push()).expect(0);
    let target = format!("sqlite://{}", scene.bed.path("x.db").display());
    let pull = crate::support::job::Job::between("sqlite", &scene.archive_url(), &target);
    scene
        .once("pull", &pull)
        .expect(2)
        .says(&["postgresql", "sqlite"]);
    assert!(!scene.bed.path("x.db").exists());
}

/// A snapshot's file that begins so.
fn file(folder: &Path, beginning: &str) -> PathBuf {
    let directory = folder.join(beginning).parent().unwrap().to_owned();
    let wanted = folder.join(beginning).display().to_string();
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.display().to_string().starts_with(&wanted))
        .unwrap_or_else(|| panic!("no {wanted}"))
}

/// What it is, what does it, and what is said.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);

#[test]
fn what_was_tampered_with_is_refused_and_live_stays() {
    let scene = Scene::of_this_test();
    scene.source("CREATE TABLE other (id integer); INSERT INTO other VALUES (1)");
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let damages: &[Damage<'_>] = &[
        (
            "changed rows",
            &|folder| flip(&file(folder, "rows/000000")),
            "is not what was written",
        ),
        (
            "changed definitions",
            &|folder| flip(&file(folder, "definitions/envsyncd.json")),
            "is not what was written",
        ),
        (
            "truncated rows",
            &|folder| {
                let path = file(folder, "rows/000000");
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
            },
            "it ends after",
        ),
        (
            "longer rows",
            &|folder| {
                let path = file(folder, "rows/000000");
                let mut bytes = fs::read(&path).unwrap();
                bytes.push(0);
                fs::write(&path, bytes).unwrap();
            },
            "longer",
        ),
        (
            "missing rows",
            &|folder| fs::remove_file(file(folder, "rows/000000")).unwrap(),
            "rows/000000",
        ),
        (
            "swapped rows",
            &|folder| {
                let (a, b) = (file(folder, "rows/000000"), file(folder, "rows/000001"));
                let other = folder.join("other");
                fs::rename(&a, &other).unwrap();
                fs::rename(&b, &a).unwrap();
                fs::rename(&other, &b).unwrap();
            },
            "rows/00000",
        ),
        (
            "damaged manifest",
            &|folder| fs::write(folder.join("manifest.json"), "{\"version\": 1").unwrap(),
            "manifest",
        ),
        (
            "another name",
            &|folder| {
                fs::rename(
                    folder,
                    folder.with_file_name("20990101T000000Z-push-0123456789ab"),
                )
                .unwrap();
            },
            "20990101T000000Z-push-0123456789ab",
        ),
        (
            "a newer format",
            &|folder| {
                let path = folder.join("manifest.json");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, text.replacen("\"version\": 1", "\"version\": 3", 1)).unwrap();
            },
            "upgrade envsyncd",
        ),
    ];
    for (what, damage, said) in damages {
        scene.once("push", &scene.push()).expect(0);
        let folder = scene.snapshots().pop().unwrap();
        damage(&folder);
        let outcome = scene.once("pull", &scene.pull()).expect(1);
        assert!(outcome.stderr.contains(said), "{what}: {}", outcome.stderr);
        scene.live_is_old();
        for folder in scene.folders() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
}

#[test]
fn with_a_key_a_manifest_that_was_changed_is_refused() {
    let scene = Scene::of_this_test();
    scene.bed.file("key", "our common key");
    scene.bed.file("other", "another key");
    let with = |file: &str| format!("key = {{ file = \"{file}\" }}");
    scene.once("push", &scene.push_with(&with("key"))).expect(0);
    scene
        .once("pull", &scene.pull_with(&with("other")))
        .expect(1)
        .says(&["key"]);
    scene.live_is_old();
    let folder = scene.snapshots().pop().unwrap();
    let path = folder.join("manifest.json");
    let honest = fs::read_to_string(&path).unwrap();
    fs::write(&path, honest.replace("\"rows\": 3", "\"rows\": 2")).unwrap();
    scene
        .once("pull", &scene.pull_with(&with("key")))
        .expect(1)
        .says(&["manifest"]);
    fs::write(&path, honest).unwrap();
    let mac = fs::read(folder.join("manifest.mac")).unwrap();
    fs::remove_file(folder.join("manifest.mac")).unwrap();
    scene
        .once("pull", &scene.pull_with(&with("key")))
        .expect(1)
        .says(&["manifest"]);
    scene.live_is_old();
    fs::write(folder.join("manifest.mac"), mac).unwrap();
    scene.once("pull", &scene.pull_with(&with("key"))).expect(0);
    scene.live_is_new();
}

#[test]
fn checksums_of_a_snapshot_are_held_against_the_copy() {
    let scene = Scene::of_this_test();
    scene.once("push", &scene.push()).expect(0);
    let pull = scene.pull().task("verify = \"checksum\"");
    scene.once("pull", &pull).expect(2).says(&["no checksums"]);
    scene.live_is_old();
    scene
        .once("push", &scene.push().task("verify = \"checksum\""))
        .expect(0);
    scene.once("pull", &pull).expect(0);
    scene.live_is_new();
}

#[test]
fn a_pull_that_is_killed_leaves_live_and_the_next_one_works() {
    let scene = Scene::of_this_test();
    scene.once("push", &scene.push()).expect(0);
    let gate = scene.bed.gate("on");
    let slow = scene.pull().hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.bed.job("pull", &slow));
    gate.wait(&mut running);
    running.kill();
    assert_eq!(scene.live("SELECT id, name FROM users"), "9|old");
    scene
        .once("pull", &scene.pull().task("previous = \"drop\""))
        .expect(0);
    scene.live_is_new();
    scene.nothing_is_beside();
}

#[test]
fn snapshots_of_several_jobs_are_told_apart() {
    let scene = Scene::of_this_test();
    scene.once("mine", &scene.push()).expect(0);
    scene.source("UPDATE users SET name = 'theirs'");
    scene.once("theirs", &scene.push()).expect(0);
    scene
        .once("pull", &scene.pull())
        .expect(1)
        .says(&["mine", "theirs"]);
    scene.live_is_old();
    scene
        .once("pull", &scene.pull_with("job = \"mine\""))
        .expect(0);
    scene.live_is_new();
}

#[test]
fn a_snapshot_that_is_removed_while_it_is_pulled_fails_the_pull_alone() {
    let scene = Scene::of_this_test();
    scene.source("INSERT INTO users SELECT i, md5(i::text) FROM generate_series(10, 400000) i; CREATE TABLE zzz (a integer)");
    scene.once("push", &scene.push()).expect(0);
    let folder = scene.snapshots().pop().unwrap();
    let pull = scene.pull().task("throttle = \"2 MiB/s\"").task("jobs = 1");
    let running = scene.bed.start(&scene.bed.job("pull", &pull));
    crate::support::wait_until("it copies", || {
        scene.bed.path("status/pull.json").exists()
            && scene.bed.status("pull")["tasks"][0]["bytes"].as_u64() > Some(0)
    });
    fs::remove_dir_all(&folder).unwrap();
    running.end().expect(1).says(&["zzz"]);
    scene.live_is_old();
}

#[test]
fn what_an_excluded_table_leaves_open_is_refused_in_a_pull_as_in_a_sync() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE secret (id serial PRIMARY KEY, who text);
         CREATE FUNCTION known(text) RETURNS bool LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT $1 NOT IN (SELECT who FROM secret); END;
         CREATE TABLE numbered (a int DEFAULT nextval('secret_id_seq') NOT NULL, b int DEFAULT 7, CONSTRAINT unknown CHECK (known(b::text)));
         CREATE DOMAIN quiet AS text CONSTRAINT unknown CHECK (known(VALUE)); CREATE TABLE speaks (q quiet DEFAULT 'x')",
    );
    scene.once("push", &scene.push()).expect(0);
    let excluding = |more: &str| {
        scene
            .pull()
            .task(&format!("exclude = [\"secret\"]\n{more}"))
    };
    let sync =
        crate::support::job::Job::between("postgresql", &scene.source_url(), &scene.target_url());
    let said = [
        "constraint unknown on table public.numbered",
        "of domain public.quiet",
        "leave_out = [\"public.numbered.unknown\", \"public.quiet.unknown\"]",
    ];
    for job in [excluding(""), sync.task("exclude = [\"secret\"]")] {
        scene.once("pull", &job).expect(1).says(&said);
        scene.live_is_old();
    }
    let let_go = "leave_out = [\"*.unknown\"]";
    scene.once("pull", &excluding(let_go)).expect(0).says(&[
        "default value for column a of table public.numbered",
        "function public.known(text)",
    ]);
    scene.live_is_new();
    scene.live("INSERT INTO numbered (a) VALUES (1); INSERT INTO speaks DEFAULT VALUES");
    assert_eq!(scene.live("SELECT a, b, q FROM numbered, speaks"), "1|7|x");
    scene.source("CREATE TABLE made (a text, b bool GENERATED ALWAYS AS (known(a)) STORED)");
    scene.once("push", &scene.push()).expect(0);
    scene
        .once("pull", &excluding(let_go))
        .expect(1)
        .says(&["public.made.b is generated"]);
}
