//! Encrypted snapshots: who can read them, and that nobody else can.

use std::fs;
use std::path::Path;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;

use super::{Scene, manifest};

/// Writes an identity's file as `age-keygen` does; returns its recipient.
fn identity(scene: &Scene, name: &str) -> String {
    let identity = Identity::generate();
    let recipient = identity.to_public().to_string();
    let text = format!(
        "# created: 2026-01-02T03:04:05Z\n# public key: {recipient}\n{}\n",
        identity.to_string().expose_secret()
    );
    let file = scene.bed.file(name, &text);
    let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(file, owner).unwrap();
    recipient
}

/// Whether any file below has these bytes.
fn anywhere(place: &Path, needle: &[u8]) -> bool {
    if place.is_dir() {
        return fs::read_dir(place)
            .unwrap()
            .any(|entry| anywhere(&entry.unwrap().path(), needle));
    }
    let bytes = fs::read(place).unwrap();
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_was_encrypted_is_read_by_each_recipient_and_by_nobody_else() {
    let scene = Scene::of_this_test();
    // What zstd leaves as it is.
    let secret: String = (0..64_u8)
        .map(|n| char::from(33 + (u16::from(n) * 37 % 90) as u8))
        .collect();
    let quoted = secret.replace('\'', "''");
    scene.source(&format!("UPDATE users SET name = '{quoted}' WHERE id = 1"));
    scene.once("push", &scene.push()).expect(0);
    let plain = scene.snapshots().pop().unwrap();
    let stored = secret.replace('\\', "\\\\");
    assert!(
        anywhere(&plain, stored.as_bytes()),
        "the test looks for the right thing"
    );
    fs::remove_dir_all(plain).unwrap();

    let (one, two) = (identity(&scene, "one"), identity(&scene, "two"));
    identity(&scene, "stranger");
    let push = scene.push_with(&format!("recipients = [\"{one}\", \"{two}\"]"));
    scene
        .once("push", &push.task("verify = \"checksum\""))
        .expect(0);
    let folder = scene.snapshots().pop().unwrap();
    assert!(!anywhere(&folder, stored.as_bytes()));
    assert!(!anywhere(&folder, b"CREATE TABLE"));
    let found = manifest(&folder);
    assert_eq!(found["encryption"], "age");
    let file = found["parts"][0]["files"][0]["path"].as_str().unwrap();
    assert!(file.ends_with(".copy.zst.age"), "{file}");
    assert!(
        fs::read(folder.join(file))
            .unwrap()
            .starts_with(b"age-encryption.org/v1")
    );

    scene
        .once("pull", &scene.pull())
        .expect(2)
        .says(&["is encrypted", "`identity`"]);
    let with = |name: &str| scene.pull_with(&format!("identity = {{ file = \"{name}\" }}"));
    scene
        .once("pull", &with("stranger"))
        .expect(1)
        .says(&["not encrypted for"]);
    scene.bed.file("nonsense", "no identity at all");
    let outcome = scene.once("pull", &with("nonsense")).expect(2);
    assert!(
        !outcome.stderr.contains("no identity at all"),
        "{}",
        outcome.stderr
    );
    scene.live_is_old();
    for name in ["one", "two"] {
        scene.once("pull", &with(name)).expect(0);
        assert_eq!(scene.live("SELECT name FROM users WHERE id = 1"), secret);
        assert_eq!(scene.live("SELECT count(*) FROM users"), "3");
    }
}

#[test]
fn large_encrypted_rows_come_back_whole() {
    let scene = Scene::of_this_test();
    let recipient = identity(&scene, "one");
    scene.source(
        "INSERT INTO users SELECT i, repeat(md5(i::text), 8) FROM generate_series(10, 60000) i",
    );
    scene
        .once(
            "push",
            &scene.push_with(&format!("recipients = [\"{recipient}\"]")),
        )
        .expect(0);
    scene
        .once("pull", &scene.pull_with("identity = { file = \"one\" }"))
        .expect(0);
    let sum = "SELECT count(*), md5(string_agg(name, ',' ORDER BY id)) FROM users";
    assert_eq!(scene.live(sum), scene.source(sum));
}

#[test]
fn what_an_identity_opens_is_still_held_against_the_manifest() {
    let scene = Scene::of_this_test();
    let recipient = identity(&scene, "one");
    scene
        .once(
            "push",
            &scene.push_with(&format!("recipients = [\"{recipient}\"]")),
        )
        .expect(0);
    let folder = scene.snapshots().pop().unwrap();
    let found = manifest(&folder);
    let file = folder.join(found["parts"][0]["files"][0]["path"].as_str().unwrap());
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    scene
        .once("pull", &scene.pull_with("identity = { file = \"one\" }"))
        .expect(1)
        .says(&["is damaged"]);
    scene.live_is_old();
}
