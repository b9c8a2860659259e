//! `include`: masks in a file of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::stores::Store;

const TABLES: &str = "CREATE TABLE users (id integer PRIMARY KEY, email text, name text, kind text);
    INSERT INTO users VALUES (1, 'planted1@corp.example', 'planted', 'staff'), (2, 'planted2@corp.example', 'planted', 'guest');
    CREATE TABLE posts (id integer PRIMARY KEY, user_id int, body text);
    INSERT INTO posts VALUES (1, 1, 'one'), (2, 2, 'two');";

const FILE: &str = r#"
[[mask]]
table = "users"
columns = { email = "email", name = { kind = "fixed", value = "from the file" } }
[[rows]]
table = "users"
where = "kind = 'staff'"
cascade = true
[[reference]]
table = "posts"
columns = ["user_id"]
references = "users"
referenced = ["id"]
[[pass]]
table = "*"
columns = ["id", "user_id", "kind", "body"]
reason = "looked at by the tests"
"#;

#[test]
fn what_a_file_says_is_a_part_of_each_task_that_includes_it() {
    let store = Store::new("sqlite", TABLES, "require_masks = true");
    store.bed.file("masks/users.toml", FILE);
    let include = "include = [\"masks/users.toml\"]";
    store.with(&["validate"], include).expect(0);
    store.with(&["--once"], include).expect(0);
    assert_eq!(store.live("SELECT name FROM users"), "from the file");
    assert_eq!(store.live("SELECT id FROM posts"), "1");
    // The task's own come first.
    let own = "[[task.mask]]\ntable = \"users\"\ncolumns = { name = { kind = \"fixed\", value = \"of the task\" } }";
    store
        .with(&["--once"], &format!("{include}\n{own}"))
        .expect(0);
    assert_eq!(store.live("SELECT name FROM users"), "of the task");
}

#[test]
fn errors_point_at_the_file_that_they_are_in() {
    let store = Store::new("sqlite", TABLES, "");
    let include = "include = [\"masks/users.toml\"]";
    store
        .with(&["validate"], include)
        .expect(2)
        .says(&["users.toml", "cannot be read"]);
    for (text, says) in [
        (
            "\n\n[[mask]]\ntable = \"users\"\ncolumns = { email = \"emial\" }",
            &["users.toml:5", "did you mean `email`?"][..],
        ),
        (
            "[mask]\ntable = \"users\"",
            &["users.toml:1", "write [[mask]] with two brackets"],
        ),
        (
            "exclude = [\"users\"]",
            &["users.toml:1", "`exclude` does not belong here"],
        ),
        (
            "include = [\"other.toml\"]",
            &["users.toml:1", "`include` does not belong here"],
        ),
        (
            "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\" }",
            &["users.toml:1", "write [[mask]] for [[task.mask]]"],
        ),
        ("[[mask]\n", &["users.toml:1"]),
        ("maks = 1", &["users.toml:1", "did you mean `mask`?"]),
    ] {
        store.bed.file("masks/users.toml", text);
        store.with(&["validate"], include).expect(2).says(says);
    }
    store
        .with(
            &["validate"],
            "include = [\"masks/users.toml\", \"masks/users.toml\"]",
        )
        .expect(2)
        .says(&["is included twice"]);
}

#[test]
fn a_file_that_others_can_write_is_not_silently_followed() {
    let store = Store::new("sqlite", TABLES, "");
    let file = store.bed.file("masks/users.toml", FILE);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("our file");
    let outcome = store.with(&["validate"], "include = [\"masks/users.toml\"]");
    // Root refuses it, everybody else is warned.
    if nix::unistd::geteuid().is_root() {
        outcome.expect(2).says(&["users.toml"]);
    } else {
        outcome
            .expect(0)
            .says(&["users.toml", "others can write the file"]);
    }
}
