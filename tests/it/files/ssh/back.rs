//! Trees on another machine, and what they were before.

use std::os::unix::fs::PermissionsExt;

use super::Far;
use crate::files::back::{self, Case};
use crate::files::trees::{Disk, lines};

fn with(test: impl Fn(&Case<'_>, &Far)) {
    let far = Far::new();
    std::fs::create_dir(far.trees.live("")).expect("a directory");
    let case = Case {
        trees: &far.trees,
        job: &|| far.pushes(),
        folder: far.trees.folder(""),
    };
    test(&case, &far);
}

#[test]
fn a_rollback_there_restores_exactly_what_was() {
    with(|case, _| back::a_rollback_restores_exactly_what_was_and_another_one_what_came(case));
}

#[test]
fn without_previous_there_there_is_nothing_to_go_back_to() {
    with(|case, _| back::without_previous_there_is_nothing_to_go_back_to(case));
}

#[test]
fn what_somebody_has_written_there_since_is_kept_by_a_rollback() {
    with(|case, _| back::what_somebody_has_written_since_is_kept_by_a_rollback(case));
}

#[test]
fn what_is_in_the_place_of_a_directory_there_makes_way() {
    with(|case, _| {
        back::what_is_in_the_place_of_a_directory_makes_way_for_a_rollback_and_no_other(case);
    });
}

#[test]
fn a_file_whose_other_name_goes_keeps_its_permissions() {
    with(|case, far| {
        let trees = case.trees;
        trees.write(&["source/a=new", "live/a=old", "live/deep/c=old"]);
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        for (name, other) in [("a", "b"), ("deep/c", "d")] {
            std::fs::set_permissions(trees.live(name), mode(0o440)).expect("a mode");
            std::fs::hard_link(trees.live(name), trees.live(other)).expect("a link");
        }
        let replaces = "mode = \"replace\"\nmax_delete = \"100%\"\nexclude = [\"/b\", \"/d\"]";
        trees.once(&far.pushes().task(replaces)).expect(0);
        for other in ["b", "d"] {
            let found = trees.live(other).metadata().expect("it");
            assert_eq!(found.permissions().mode() & 0o7777, 0o440, "{other}");
        }
        assert!(!trees.live("deep").exists());
    });
}

#[test]
fn a_tree_there_is_what_it_was_if_another_task_fails_to_publish() {
    with(|case, _| back::a_task_that_fails_to_publish_undoes_the_one_before(case));
}

#[test]
fn whenever_a_run_or_a_rollback_there_is_killed_what_was_is_had_again() {
    with(|case, far| {
        back::whenever_it_is_killed_files_are_whole_and_what_was_is_had_again(
            case,
            (300, 12),
            &|| far.settles(),
        );
    });
}

#[test]
fn what_is_mounted_in_what_a_run_removes_there_stays() {
    with(|case, far| {
        let trees = case.trees;
        let job = far.pushes().task("previous = \"keep\"");
        trees.write(&["source/a=new", "live/a=old"]);
        trees.once(&job).expect(0);
        let disk = Disk::new(&case.folder.join("previous/old/d"), "size=1m");
        std::fs::write(case.folder.join("previous/old/d/x"), "theirs").expect("a file");
        trees.write(&["source/a=newer"]);
        let run = trees.once(&job);
        let mut beside = trees.beside();
        beside.retain(|name| name.starts_with("dropped-"));
        let left = beside
            .first()
            .map(|name| case.folder.join(name).join("old/d"));
        let found = left.as_deref().map(lines);
        // It is no longer where it was mounted.
        if let Some(place) = left {
            let _ = std::process::Command::new("umount").arg(place).status();
        }
        drop(disk);
        run.expect(0)
            .says(&["different device", "another file system is mounted there"]);
        assert_eq!(found, Some(vec!["x=theirs".to_owned()]));
        trees.once(&job).expect(0);
        assert_eq!(trees.beside(), ["previous"]);
    });
}

#[test]
fn what_is_put_into_a_directory_that_goes_stays_in_it() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&[
        "source/a=new",
        "live/a=old",
        "live/gone/x=old",
        "live/going/in/x=old",
        "live/going/out/x=old",
    ]);
    let before = trees.in_live();
    // The run has looked at live by then.
    let script = format!(
        "cd {} && printf mine >live/going/in/new && mv live/gone/x live/gone/y",
        trees.bed.path("").display()
    );
    let hooks =
        format!("maintenance_on = [\"sh\", \"-c\", \"{script}\"]\nmaintenance_off = [\"true\"]");
    let replaces = "mode = \"replace\"\nmax_delete = \"90%\"\nprevious = \"keep\"";
    let job = far.pushes().task(replaces).hooks(&hooks);
    trees.once(&job).expect(0);
    let expected = [
        "a=new",
        "going/",
        "going/in/",
        "going/in/new=mine",
        "gone/",
        "gone/y=old",
    ];
    assert_eq!(trees.in_live(), expected);
    let file = trees.bed.job("app", &far.pushes().task(replaces));
    trees.bed.with_file("rollback", &file).expect(0);
    let mut found = trees.in_live();
    found.retain(|line| !matches!(&**line, "going/in/new=mine" | "gone/y=old"));
    let mut was = before;
    was.retain(|line| line != "gone/x=old");
    assert_eq!(found, was);
}
