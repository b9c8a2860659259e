//! Out of a bucket, into a directory.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::{Place, someone};
use crate::files::attributes::{ACL, DEFAULT_ACL, acl, attribute, has_attribute, set_attribute};
use crate::files::trees::{Image, inode, lines};
use crate::support::job::Job;

#[test]
fn objects_become_files_and_what_has_not_changed_is_not_read_again() {
    let place = Place::new();
    place.put(&["a/b/c=1", "a/d=22", "e=", "same=x"]);
    let job = place.out().task("verify = \"checksum\"");
    place.trees.once(&job).expect(0);
    let all = ["a/", "a/b/", "a/b/c=1", "a/d=22", "e=", "same=x"];
    assert_eq!(place.trees.in_live(), all);
    let found = place.trees.live("same").metadata().expect("a file");
    let object = place.object("same").metadata().expect("an object");
    assert_eq!(found.mtime(), object.mtime());
    assert_eq!(found.permissions().mode() & 0o7777, 0o644);
    let mode = |path: &str| {
        place
            .trees
            .live(path)
            .metadata()
            .expect("it")
            .permissions()
            .mode()
    };
    assert_eq!(mode("a") & 0o7777, 0o755);
    let (before, gets) = (inode(&place.trees.live("same")), place.gets());
    place
        .trees
        .once(&job)
        .expect(0)
        .says(&["nothing has changed"]);
    assert_eq!(place.gets(), gets, "nothing but lists");
    place.put(&["a/d=33"]);
    place.trees.once(&job).expect(0);
    assert_eq!(place.gets(), gets + 1);
    assert_eq!(inode(&place.trees.live("same")), before);
    assert_eq!(place.trees.in_live()[3], "a/d=33");
    assert_eq!(place.remote.network.asked("HEAD", ""), 0);
}

#[test]
fn run_after_run_is_built_on_the_spare_whatever_has_changed_there() {
    let place = Place::new();
    let trees = &place.trees;
    for number in 0..20 {
        place.put(&[&format!("{}/{number}={number}", number % 2)]);
    }
    let options = "mode = \"replace\"\nprevious = \"drop\"\nverify = \"checksum\"";
    let job = place.out().task(options);
    trees.once(&job).expect(0);
    let mut gone = Vec::new();
    for round in 0..3 {
        place.put(&[&format!("1/1=new {round}"), &format!("new-{round}/x=1")]);
        gone.push(format!("0/{}", 2 * round));
        place.delete(&gone[round]);
        fs::write(trees.folder("spare/0/stray"), "stray").expect("a file");
        let spare = inode(&trees.folder("spare"));
        trees.once(&job).expect(0);
        assert_eq!(inode(&trees.live("")), spare);
        let live = trees.in_live();
        let files = live.iter().filter(|line| line.contains('='));
        assert_eq!(
            files.count(),
            20,
            "one more and one less in each round: {live:?}"
        );
        assert!(live.contains(&format!("1/1=new {round}")));
        assert!(!gone.iter().any(|path| trees.live(path).exists()));
        for directory in ["", "0", "1", "new-0"] {
            let found = trees.live(directory).metadata().expect("it");
            assert_eq!(found.permissions().mode() & 0o7777, 0o755, "{directory}");
        }
    }
}

#[test]
fn an_object_of_the_same_length_that_was_written_in_the_same_second_is_noticed() {
    let place = Place::new();
    for number in 0..6 {
        place.put(&[&format!("a={number}")]);
        place.trees.once(&place.out()).expect(0);
        assert_eq!(place.trees.in_live(), [format!("a={number}")]);
    }
}

#[test]
fn by_default_what_only_the_target_has_stays_and_with_replace_it_goes() {
    let place = Place::new();
    place.put(&["new=1", "both=new", "skip/x=1"]);
    place
        .trees
        .write(&["live/own/x=mine", "live/both=old", "live/skip/y=kept"]);
    let job = || place.out().task("exclude = [\"skip\"]");
    place.trees.once(&job()).expect(0);
    let all = [
        "both=new",
        "new=1",
        "own/",
        "own/x=mine",
        "skip/",
        "skip/y=kept",
    ];
    assert_eq!(place.trees.in_live(), all);
    place.delete("new");
    let replace = || job().task("mode = \"replace\"");
    place
        .trees
        .once(&replace().task("max_delete = 1"))
        .expect(3)
        .says(&["max_delete"]);
    assert_eq!(place.trees.in_live(), all);
    place
        .trees
        .once(&replace().task("max_delete = 2"))
        .expect(0);
    assert_eq!(place.trees.in_live(), ["both=new", "skip/", "skip/y=kept"]);
    place.delete("both");
    place
        .trees
        .once(&replace())
        .expect(3)
        .says(&["no file that is copied"]);
    assert_eq!(place.trees.in_live(), ["both=new", "skip/", "skip/y=kept"]);
}

#[test]
fn live_s_directories_keep_their_acls() {
    let place = Place::new();
    let trees = &place.trees;
    place.put(&["a/new/c=1"]);
    trees.write(&["live/a/x=mine"]);
    let theirs = ["", "a"];
    for path in theirs {
        for name in [ACL, DEFAULT_ACL] {
            set_attribute(&trees.live(path), name, &acl());
        }
        set_attribute(&trees.live(path), "user.note", b"x");
    }
    let mode = |path: &str| trees.live(path).metadata().expect("it").mode() & 0o7777;
    let before = theirs.map(mode);
    // The later ones are built where earlier ones were.
    for round in 0..3 {
        place.put(&[&format!("a/b={round}")]);
        trees.once(&place.out()).expect(0);
        for path in theirs {
            let found = [ACL, DEFAULT_ACL].map(|name| attribute(&trees.live(path), name));
            assert_eq!(found, [acl(), acl()], "{round}: {path}");
            assert_eq!(attribute(&trees.live(path), "user.note"), b"x", "{round}");
        }
        assert_eq!(theirs.map(mode), before, "{round}");
        for path in ["a/b", "a/new", "a/new/c"] {
            for name in [ACL, DEFAULT_ACL] {
                assert!(!has_attribute(&trees.live(path), name), "{round}: {path}");
            }
        }
    }
}

#[test]
fn live_s_directories_keep_their_permissions_and_owners() {
    let place = Place::new();
    place.put(&["a/b=1", "new/c=1"]);
    place.trees.write(&["live/a/x=mine"]);
    for path in ["", "a"] {
        let path = place.trees.live(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o2750)).expect("it");
        std::os::unix::fs::chown(&path, Some(33), Some(34)).expect("root");
    }
    place.trees.once(&place.out()).expect(0);
    let found = |path: &str| {
        let found = place.trees.live(path).metadata().expect("it");
        (found.mode() & 0o7777, found.uid(), found.gid())
    };
    for path in ["", "a"] {
        assert_eq!(found(path), (0o2750, 33, 34), "{path}");
    }
    assert_eq!(found("new"), (0o755, 33, 34));
    assert_eq!(found("new/c"), (0o644, 33, 34));
    place
        .trees
        .once(&place.out())
        .expect(0)
        .says(&["nothing has changed"]);
}

#[test]
fn keys_that_cannot_be_files_are_refused_by_name_unless_they_are_left_out() {
    let place = Place::new();
    place.put(&["fine/x=1", "marked/=", "odd%20name%0A%C3%A4=2"]);
    place.trees.once(&place.out()).expect(0);
    let all = ["fine/", "fine/x=1", "marked/", "odd name\nä=2"];
    assert_eq!(place.trees.in_live(), all);
    // A server that says that it has such keys: ours keeps objects as files, and cannot.
    for (key, why) in [
        ("a%2F%2Fb", "a part of it is empty"),
        ("a%2F..%2F..%2Fetc", "`.` or `..`"),
        ("fine%2Fx%2Fy", "as if it were a directory"),
        ("a%00b", "a NUL"),
        ("a%2F", "has content"),
        (&"x".repeat(256), "longer than 255"),
    ] {
        let liar = super::faults::Liar::listing(&place, key);
        let outcome = place.trees.once(&liar.out());
        outcome
            .expect(1)
            .says(&[why, "cannot be files", "`exclude`"]);
        assert_eq!(place.trees.in_live(), all, "{key}");
    }
    let liar = super::faults::Liar::listing(&place, "left%2F..%2Fout");
    place
        .trees
        .once(&liar.out().task("exclude = [\"/left\"]"))
        .expect(0);
}

#[test]
fn pages_of_a_list_are_one_tree() {
    let place = Place::new();
    for number in 0..2_500 {
        let path = place.object(&format!("{}/{number}", number % 50));
        fs::create_dir_all(path.parent().expect("one")).expect("a directory");
        fs::write(path, format!("{number}")).expect("an object");
    }
    place.trees.once(&place.out().task("jobs = 8")).expect(0);
    let files = |lines: Vec<String>| lines.into_iter().filter(|line| line.contains('=')).count();
    assert_eq!(files(place.trees.in_live()), 2_500);
    assert!(place.remote.network.asked("GET", "continuation-token") >= 2);
    place
        .trees
        .once(&place.out())
        .expect(0)
        .says(&["nothing has changed"]);
}

#[test]
fn a_tree_without_its_marker_is_not_copied() {
    let place = Place::new();
    place.put(&["a=1"]);
    let job = place.out().task("marker = \"x/.whole\"");
    place
        .trees
        .once(&job)
        .expect(1)
        .says(&["no object `x/.whole`"]);
    place.put(&["x/.whole="]);
    place.trees.once(&job).expect(0);
}

#[test]
fn where_masks_are_required_every_object_is_passed_by_its_name() {
    let place = Place::new();
    place.put(&["public/a.css=1", "private/b=2"]);
    let run = |lines: &str| {
        let text = place.out().task(lines).to_string();
        let text = text.replace(
            "[environments.staging]",
            "[environments.staging]\nrequire_masks = true",
        );
        place
            .trees
            .bed
            .once(&place.trees.bed.file("app.toml", &text))
    };
    run("").expect(3).says(&["private/b, public/a.css"]);
    let pass = "[[task.pass]]\npath = [\"/public/\"]\nreason = \"on the web site anyway\"";
    run(pass)
        .expect(3)
        .says(&["nobody has decided on private/b"]);
    run(&format!("exclude = [\"private\"]\n{pass}")).expect(0);
    assert_eq!(place.trees.in_live(), ["public/", "public/a.css=1"]);
}

#[test]
fn plan_says_what_would_be_copied_and_copies_nothing() {
    let place = Place::new();
    place.put(&["a=1"]);
    let file = place.trees.bed.job("app", &place.out());
    place.trees.bed.with_file("plan", &file).expect(0);
    assert_eq!(place.trees.in_live(), Vec::<String>::new());
    assert_eq!(place.gets(), 0);
}

#[test]
fn a_key_that_may_only_read_is_enough_and_one_that_may_not_is_told() {
    let place = Place::new();
    place.put(&["a=1"]);
    let reader = someone(&place, "reader", &["s3:GetObject"], &["s3:ListBucket"]);
    let job = |source: &str| Job::new("files", source, &place.directory("live"));
    place.trees.once(&job(&reader)).expect(0);
    let blind = someone(&place, "blind", &["s3:GetObject"], &["s3:GetBucketAcl"]);
    place
        .trees
        .once(&job(&blind))
        .expect(1)
        .says(&["no permission to list"]);
    place.trees.bed.file("wrong", "not the secret");
    let wrong = place.remote.endpoint("wrong", "");
    let outcome = place.trees.once(&job(&wrong)).expect(1).says(&["is wrong"]);
    assert!(!outcome.stderr.contains("not the secret"));
    let missing = place
        .bucket()
        .replace(&place.remote.bucket, "there-is-no-such");
    place
        .trees
        .once(&job(&missing))
        .expect(1)
        .says(&["there is no bucket"]);
}

#[test]
fn content_that_is_not_what_the_server_says_is_read_again_and_then_refused() {
    let place = Place::new();
    place.put(&["a=right"]);
    fs::write(place.object("a"), "wrong").expect("an object");
    place
        .trees
        .once(&place.out())
        .expect(1)
        .says(&["a in s3://", "another content than its checksum says"]);
    assert_eq!(place.trees.in_live(), Vec::<String>::new());
    assert_eq!(place.trees.beside(), Vec::<String>::new());
}

#[test]
fn where_times_are_kept_to_the_second_what_has_not_changed_is_known() {
    let place = Place::new();
    let _disk = Image::new(&place.trees.bed.path("disk"), &["-I", "128"]);
    place.put(&["a=1", "d/b=1"]);
    let job = Job::new("files", &place.bucket(), &place.directory("disk/live"));
    place.trees.once(&job).expect(0);
    let again = place.trees.once(&job).expect(0);
    again.says(&["nothing has changed"]);
    place.put(&["d/b=22"]);
    place.trees.once(&job).expect(0);
    let found = lines(&place.trees.bed.path("disk/live"));
    assert_eq!(found, ["a=1", "d/", "d/b=22"]);
}
