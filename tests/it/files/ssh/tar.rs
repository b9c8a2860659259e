//! Files that come as a stream of the far tar: what is in it, and what a machine that does not play by the rules may do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::XattrFlags;

use super::Far;
use crate::files::trees::{Trees, inode, lines};
use crate::support::ssh::Sshd;

/// A machine whose `tar` is this script, which finds the real one as `$real`; asked for the root alone, as at first, it is the
/// real one. Where `count` lies is how often it was called after that, a line for each.
pub(super) fn with_tar(script: &str) -> (Far, PathBuf) {
    with_programs(&[("tar", script)], "")
}

/// The same of several programs, with these lines in the server's configuration.
pub(super) fn with_programs(scripts: &[(&str, &str)], lines: &str) -> (Far, PathBuf) {
    let trees = Trees::new();
    let programs = trees.bed.path("programs");
    fs::create_dir(&programs).expect("a directory");
    let count = programs.join("count");
    for (name, script) in scripts {
        let text = format!(
            "#!/bin/sh\nreal=/usr/bin/{name}; [ -x $real ] || real=/bin/{name}\n[ \"$PWD\" = / ] && exec $real \"$@\"\n\
             echo x >>{count}\nonce() {{ [ $(wc -l <{count}) = 1 ]; }}\n{script}\n",
            count = count.display()
        );
        let program = programs.join(name);
        fs::write(&program, text).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let path = format!("SetEnv PATH={}:/usr/bin:/bin\n{lines}", programs.display());
    let sshd = Sshd::with(&path);
    (Far { trees, sshd }, count)
}

pub(super) fn calls(count: &Path) -> usize {
    fs::read_to_string(count).map_or(0, |text| text.lines().count())
}

/// An ACL as the kernel has it: for the owner, user 7, the group, the mask and others.
fn acl() -> Vec<u8> {
    let entries = [
        (1, 6, !0),
        (2, 6, 7),
        (4, 4, !0),
        (16, 6, !0),
        (32, 0, !0_u32),
    ];
    let entry = |(tag, may, id): (u16, u16, u32)| {
        [
            &tag.to_le_bytes()[..],
            &may.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    };
    let entries: Vec<u8> = entries.into_iter().flat_map(entry).collect();
    [vec![2, 0, 0, 0], entries].concat()
}

fn has(path: &Path, attribute: &str) -> bool {
    rustix::fs::getxattr(path, attribute, &mut [0; 100][..]).is_ok()
}

#[test]
fn what_is_copied_has_the_source_s_acl_and_attributes_and_not_those_of_the_folder_that_it_is_made_in()
 {
    let far = Far::new();
    let trees = &far.trees;
    let none = XattrFlags::empty();
    if rustix::fs::setxattr(trees.bed.path(""), "system.posix_acl_default", &acl(), none).is_err() {
        return;
    }
    // There, a folder that its group may write to is refused.
    fs::create_dir(trees.bed.path("sent")).expect("a directory");
    rustix::fs::removexattr(trees.bed.path("sent"), "system.posix_acl_default").expect("an ACL");
    for job in [
        far.pulls(),
        far.pushes_to(&far.sshd.side(&trees.bed.path("sent/live"))),
    ] {
        trees.write(&["source/a/plain=1", "source/a/noted=2"]);
        for path in ["", "a", "a/plain", "a/noted"] {
            for acl in ["system.posix_acl_default", "system.posix_acl_access"] {
                let _ = rustix::fs::removexattr(trees.source(path), acl);
            }
        }
        trees.once(&job).expect(0);
        let live = [trees.live(""), trees.bed.path("sent/live")];
        let live = live.into_iter().rfind(|path| path.exists()).expect("live");
        for path in ["a/plain", "a/noted"] {
            assert!(!has(&live.join(path), "system.posix_acl_access"), "{path}");
        }
        trees.write(&["source/a/noted=another"]);
        let noted = trees.source("a/noted");
        rustix::fs::setxattr(&noted, "user.note", b"kept", none).expect("an attribute");
        trees.once(&job).expect(0);
        assert!(has(&live.join("a/noted"), "user.note"));
        fs::remove_dir_all(trees.source("")).expect("the source");
    }
}

#[test]
fn what_a_file_has_arrives_in_the_stream_of_the_far_tar() {
    let (far, count) = with_tar("exec $real \"$@\"");
    let trees = &far.trees;
    trees.write(&[
        "source/a=1",
        "source/set=2",
        "source/old=3",
        "source/attributes=4",
    ]);
    let a = trees.source("a");
    fs::hard_link(&a, trees.source("b")).expect("a link");
    fs::set_permissions(trees.source("set"), fs::Permissions::from_mode(0o4751)).expect("a mode");
    let old = fs::File::options()
        .write(true)
        .open(trees.source("old"))
        .expect("a file");
    let before = SystemTime::UNIX_EPOCH - Duration::new(5, 250_000_000);
    old.set_modified(before).expect("a time");
    let deep = format!("{}/file", ["directory-with-a-name"; 12].join("/"));
    trees.write(&[&format!("source/{deep}=5")]);
    symlink(&deep, trees.source("link")).expect("a link");
    let set = [
        ("user.a=b%", b"ke\npt\0".to_vec()),
        ("system.posix_acl_access", acl()),
    ];
    let path = trees.source("attributes");
    let set: Vec<_> = set
        .into_iter()
        .filter(|(name, value)| {
            rustix::fs::setxattr(&path, *name, value, XattrFlags::empty()).is_ok()
        })
        .collect();
    let all = ["a", "b", "set", "old", "attributes", &deep];
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&a, Some(3_000_000), Some(5)).expect("an owner");
    }
    trees
        .once(&far.pulls().task("verify = \"checksum\""))
        .expect(0);
    assert_eq!(calls(&count), 1);
    assert_eq!(trees.in_live(), lines(&trees.source("")));
    for path in all {
        let [one, other] =
            [trees.source(path), trees.live(path)].map(|p| p.metadata().expect("it"));
        let said = |m: &fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
        assert_eq!(said(&one), said(&other), "{path}");
    }
    // Each is a file of its own.
    let inodes: std::collections::BTreeSet<u64> =
        all.iter().map(|path| inode(&trees.live(path))).collect();
    assert_eq!(inodes.len(), all.len());
    for (name, value) in set {
        let mut found = [0; 100];
        let found_length = rustix::fs::getxattr(trees.live("attributes"), name, &mut found[..]);
        assert_eq!(&found[..found_length.expect("it")], value, "{name}");
    }
}

#[test]
fn a_file_that_was_written_while_it_was_read_is_read_once_more() {
    let words = "tar: ./a\\: b: File shrank by 2 bytes; padding with zeros";
    let (far, count) = with_tar(&format!(
        "if once; then $real \"$@\"; echo '{words}' >&2; exit 1; fi\nexec $real \"$@\""
    ));
    far.trees.write(&["source/a: b=1", "source/c=2"]);
    let outcome = far.trees.once(&far.pulls()).expect(0);
    assert!(
        !outcome.stderr.contains("written while they were read"),
        "{}",
        outcome.stderr
    );
    assert_eq!(calls(&count), 2);
    assert_eq!(far.trees.in_live(), ["a: b=1", "c=2"]);
}

#[test]
fn a_file_that_is_written_again_is_copied_with_a_warning_that_names_it() {
    let words = "tar: ./a: file changed as we read it";
    let (far, count) = with_tar(&format!("$real \"$@\"; echo '{words}' >&2; exit 1"));
    far.trees.write(&["source/a=1", "source/c=2"]);
    far.trees
        .once(&far.pulls())
        .expect(0)
        .says(&["written while they were read", "first=a"]);
    assert_eq!(calls(&count), 2);
    assert_eq!(far.trees.in_live(), ["a=1", "c=2"]);
}

#[test]
fn a_file_that_vanishes_is_told_and_one_that_cannot_be_read_fails_the_run() {
    let (far, _) = with_tar("rm -f a; exec $real \"$@\"");
    far.trees.write(&["source/a=1", "source/c=2"]);
    far.trees
        .once(&far.pulls())
        .expect(0)
        .says(&["vanished before they were read"]);
    assert_eq!(far.trees.in_live(), ["c=2"]);
    let words = "tar: ./a: Cannot open: Permission denied";
    let (far, _) = with_tar(&format!("$real \"$@\"; echo '{words}' >&2; exit 2"));
    far.trees.write(&["source/a=1", "source/c=2"]);
    far.trees
        .once(&far.pulls())
        .expect(1)
        .says(&["permission denied", "./a"]);
    assert_eq!(far.trees.in_live(), Vec::<String>::new());
}

#[test]
fn a_stream_that_is_not_whole_or_is_none_fails_the_run() {
    for script in [
        "$real \"$@\" | head -c 700",
        "echo hello",
        "cat >/dev/null",
        "$real \"$@\"; exit 3",
        "$real \"$@\"; kill -9 $$",
    ] {
        let (far, _) = with_tar(script);
        far.trees.write(&["source/a=1", "source/c=2", "live/a=old"]);
        far.trees.once(&far.pulls()).expect(1);
        assert_eq!(far.trees.in_live(), ["a=old"], "{script}");
    }
}

#[test]
fn a_machine_writes_nothing_but_what_was_asked_for_and_through_no_link() {
    // What it sends in the place of `a`, `d/x` and `z`.
    for make in [
        "mkdir m m/n; echo 1 >m/outside; cd m/n; $real -cf - -P --format=posix ../outside",
        "mkdir m; echo 1 >m/evil; $real -cf - --format=posix -C m ./evil",
        "mkdir m; ln -s OUTSIDE m/a; ln -s OUTSIDE m/d; mkdir n; mkdir n/d; echo 1 >n/d/x; \
         $real -cf - --format=posix -C m ./a ./d -C ../n ./d/x",
        "mkdir m; echo 1 >m/a; ln m/a m/z; $real -cf - --format=posix -C m ./a ./z",
    ] {
        let (far, count) = with_tar("cat >/dev/null; cd \"$(dirname \"$0\")\"; . ./make");
        let outside = far.trees.bed.path("theirs");
        fs::create_dir(&outside).expect("a directory");
        let make = make.replace("OUTSIDE", outside.to_str().expect("text"));
        fs::write(count.with_file_name("make"), make).expect("a file");
        far.trees
            .write(&["source/a=1", "source/d/x=1", "source/z=1", "live/a=old"]);
        let outcome = far.trees.once(&far.pulls());
        assert!(
            fs::read_dir(&outside).expect("it").next().is_none(),
            "{}",
            outcome.stderr
        );
        for none in ["outside", "evil"] {
            let found = [far.trees.live(none), far.trees.bed.path(none)];
            assert!(!found.iter().any(|path| path.exists()), "{none}");
        }
        assert!(
            far.trees
                .live("d")
                .symlink_metadata()
                .is_ok_and(|it| it.is_dir())
                || !far.trees.live("d").exists()
        );
    }
}

#[test]
fn a_machine_whose_tar_is_another_is_read_by_rsync() {
    let trees = Trees::new();
    trees.write(&["source/a=1", "source/d/x=2"]);
    let programs = trees.bed.path("programs");
    fs::create_dir(&programs).expect("a directory");
    let text = "#!/bin/sh\necho 'tar: unrecognized option' >&2; exit 1\n";
    fs::write(programs.join("tar"), text).expect("a file");
    fs::set_permissions(programs.join("tar"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let sshd = Sshd::with(&format!("SetEnv PATH={}:/usr/bin:/bin", programs.display()));
    let far = Far { trees, sshd };
    far.trees
        .once(&far.pulls().task("verify = \"checksum\""))
        .expect(0);
    assert_eq!(far.trees.in_live(), lines(&far.trees.source("")));
}
