//! Extended attributes, of which ACLs are some.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};

use super::trees::Trees;

/// An ACL as Linux keeps it (acl(5), `linux/posix_acl_xattr.h`): user 1234 may read and write.
pub(super) fn acl() -> Vec<u8> {
    let none = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, none),
        (0x02, 6, 1234),
        (0x04, 4, none),
        (0x10, 6, none),
        (0x20, 4, none),
    ];
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, who) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(rights.to_le_bytes());
        value.extend(who.to_le_bytes());
    }
    value
}

/// Its name: of what is there, and of what is made in a directory.
pub(super) const ACL: &str = "system.posix_acl_access";

/// An attribute that has to be there.
#[track_caller]
pub(super) fn attribute(path: &Path, name: &str) -> Vec<u8> {
    let mut value = vec![0; 1024];
    let length = getxattr(path, name, &mut value[..])
        .unwrap_or_else(|error| panic!("{}: {name}: {error}", path.display()));
    value.truncate(length);
    value
}

pub(super) const DEFAULT_ACL: &str = "system.posix_acl_default";

/// Sets one. The tests' file system has to have them.
#[track_caller]
pub(super) fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).expect(name);
}

pub(super) fn has_attribute(path: &Path, name: &str) -> bool {
    getxattr(path, name, &mut [0; 1024][..]).is_ok()
}

#[test]
fn a_copy_has_no_acl_of_the_directory_that_it_is_made_in() {
    for (publish, folder) in [("swap", "live.envsyncd"), ("in_place", "live/.envsyncd")] {
        let trees = Trees::new();
        trees.write(&[
            "source/a/b/file=x",
            "source/own/file=x",
            "source/both/file=x",
        ]);
        trees.write(&["live/kept=x", "live/both/file=old"]);
        let all = ["", "a", "a/b", "a/b/file", "both/file"];
        for name in [ACL, DEFAULT_ACL] {
            for path in all {
                let _ = removexattr(trees.source(path), name);
            }
            set_attribute(&trees.source("own"), name, &acl());
        }
        set_attribute(&trees.source("a/b"), "user.note", b"x");
        for path in [".", "live", "live/both"] {
            set_attribute(&trees.bed.path(path), DEFAULT_ACL, &acl());
        }
        fs::set_permissions(trees.source("a/b/file"), fs::Permissions::from_mode(0o640))
            .expect("a mode");
        let job = trees.with(&format!("publish = \"{publish}\"\nverify = \"checksum\""));
        trees.once(&job).expect(0);
        assert!(trees.bed.path(folder).is_dir());
        for path in ["a", "a/b", "a/b/file", "both/file"] {
            for name in [ACL, DEFAULT_ACL] {
                assert!(
                    !has_attribute(&trees.live(path), name),
                    "{publish} {path} {name}"
                );
            }
            let [found, meant] = [trees.live(path), trees.source(path)]
                .map(|path| path.metadata().expect("it").mode());
            assert_eq!(found, meant, "{publish} {path}");
        }
        for name in [ACL, DEFAULT_ACL] {
            assert_eq!(attribute(&trees.live("own"), name), acl(), "{publish}");
        }
        assert_eq!(
            attribute(&trees.live("a/b"), "user.note"),
            b"x",
            "{publish}"
        );
        // In place, a directory that live has keeps its own.
        let keeps = publish == "in_place";
        assert_eq!(has_attribute(&trees.live("both"), DEFAULT_ACL), keeps);
    }
}

#[test]
fn who_is_not_root_copies_attributes_of_what_they_may_not_write() {
    let trees = Trees::new();
    trees.write(&["source/file=x", "source/d/file=x"]);
    let own = [("file", 0o444), ("d/file", 0o400), ("d", 0o555)];
    for (path, mode) in own {
        let path = trees.source(path);
        set_attribute(&path, "user.note", b"x");
        set_attribute(&path, "user.z", b"z");
        if path.is_file() {
            set_attribute(&path, ACL, &acl());
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).expect("root");
    }
    let file = trees.bed.job("app", &trees.job());
    let outcome = trees.as_nobody(&file).end().expect(0);
    assert!(!outcome.stderr.contains("attributes"), "{}", outcome.stderr);
    for (path, _) in own {
        let [found, meant] = [trees.live(path), trees.source(path)];
        assert_eq!(attribute(&found, "user.note"), b"x", "{path}");
        assert_eq!(attribute(&found, "user.z"), b"z", "{path}");
        if found.is_file() {
            assert_eq!(attribute(&found, ACL), attribute(&meant, ACL), "{path}");
        }
        let mode = |path: &Path| path.metadata().expect("it").mode();
        assert_eq!(mode(&found), mode(&meant), "{path}");
    }
}
