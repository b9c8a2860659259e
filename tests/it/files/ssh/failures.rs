//! What goes wrong on the way to another machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Far;
use crate::files::trees::Trees;
use crate::support::ssh::Sshd;

#[test]
fn a_host_that_is_not_known_or_has_another_key_is_refused() {
    let far = Far::new();
    far.trees.write(&["source/a=1"]);
    let url = far.sshd.url(&far.trees.source(""));
    for (hosts, says) in [
        ("wrong_hosts", "another host key"),
        ("no_hosts", "host key that is not known"),
    ] {
        let side = far.sshd.side_with(&url, "key", hosts);
        far.trees
            .once(&far.pulls_from(&side))
            .expect(1)
            .says(&[says, "known_hosts"]);
    }
    assert!(!far.trees.live("").exists());
}

#[test]
fn a_wrong_key_is_told_in_words_and_what_is_no_key_too() {
    let far = Far::new();
    let url = far.sshd.url(&far.trees.source(""));
    let side = far.sshd.side_with(&url, "other_key", "known_hosts");
    far.trees
        .once(&far.pulls_from(&side))
        .expect(1)
        .says(&["does not let us in"]);
    let side = far.sshd.side_with(&url, "missing", "known_hosts");
    far.trees
        .once(&far.pulls_from(&side))
        .expect(1)
        .says(&["missing", "cannot be read"]);
}

#[test]
fn a_key_that_others_may_read_works_as_it_is_never_used_from_there() {
    let far = Far::new();
    far.trees.write(&["source/a=1"]);
    fs::set_permissions(far.sshd.path("key"), fs::Permissions::from_mode(0o644)).expect("a mode");
    far.trees
        .once(&far.pulls())
        .expect(0)
        .says(&["can be read by others"]);
}

#[test]
fn nobody_who_listens_is_told_in_words() {
    let far = Far::new();
    let url = format!("ssh://127.0.0.1:1{}", far.trees.source("").display());
    let side = far.sshd.side_with(&url, "key", "known_hosts");
    far.trees
        .once(&far.pulls_from(&side))
        .expect(1)
        .says(&["refused"]);
}

#[test]
fn a_machine_without_rsync_or_find_is_told_what_to_install() {
    for (missing, says) in [("rsync", "install rsync"), ("find", "install findutils")] {
        let trees = Trees::new();
        trees.write(&["source/a=1"]);
        let programs = trees.bed.path("programs");
        fs::create_dir(&programs).expect("a directory");
        for name in [
            "sh", "find", "rsync", "stat", "cat", "head", "id", "date", "env", "flock",
        ] {
            let real = ["/usr/bin", "/bin"].map(|place| format!("{place}/{name}"));
            let real = real
                .iter()
                .find(|path| fs::exists(path).unwrap_or(false))
                .expect(name);
            if name != missing {
                std::os::unix::fs::symlink(real, programs.join(name)).expect("a link");
            }
        }
        let sshd = Sshd::with(&format!("SetEnv PATH={}", programs.display()));
        let far = Far { trees, sshd };
        far.trees.once(&far.pulls()).expect(2).says(&[says]);
    }
}

#[test]
fn a_source_that_is_not_there_or_no_directory_is_told_in_words() {
    let far = Far::new();
    far.trees.write(&["source/a=1"]);
    for (path, code, says) in [("none", 1, "is not there"), ("a", 2, "is no directory")] {
        let side = far.sshd.side(&far.trees.source(path));
        far.trees
            .once(&far.pulls_from(&side))
            .expect(code)
            .says(&[says]);
    }
}

#[test]
fn a_connection_that_is_cut_in_mid_file_leaves_live_as_it_was() {
    let far = Far::new();
    let trees = &far.trees;
    fs::write(trees.source("large"), vec![7; 30 << 20]).expect("a file");
    trees.write(&["live/large=old"]);
    let wire = far.sshd.wire();
    let side = far
        .sshd
        .side_with(&wire.url(&trees.source("")), "key", "known_hosts");
    wire.break_after(10 << 20);
    trees
        .once(&far.pulls_from(&side))
        .expect(1)
        .says(&["127.0.0.1"]);
    assert!(wire.is_broken());
    assert_eq!(trees.in_live(), ["large=old"]);
    assert_eq!(trees.beside(), Vec::<String>::new());
}

#[test]
fn a_shell_that_says_something_of_its_own_is_told() {
    let trees = Trees::new();
    trees.write(&["source/a=1"]);
    let far = Far {
        sshd: Sshd::with("ForceCommand echo hello; exec sh -c \"$SSH_ORIGINAL_COMMAND\""),
        trees,
    };
    far.trees
        .once(&far.pulls())
        .expect(2)
        .says(&["says something of its own"]);
}

#[test]
fn nothing_of_a_run_stays_behind_neither_its_key_nor_its_connection() {
    let far = Far::new();
    far.trees.write(&["source/a=1"]);
    let place = far.trees.bed.path("temporary");
    fs::create_dir(&place).expect("a directory");
    let file = far.trees.bed.job("app", &far.pulls());
    let mut command = far.trees.bed.command();
    command
        .env("TMPDIR", &place)
        .args(["--once", "-f"])
        .arg(file);
    assert!(command.output().expect("the binary").status.success());
    assert_eq!(fs::read_dir(&place).expect("it").count(), 0);
}
