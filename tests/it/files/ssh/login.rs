//! What a login says as an error before the command that it is for: it is nobody's failure, whatever it sounds like.

use std::fs;

use super::tar::{calls, with_programs};
use crate::files::trees::lines;
use crate::support::ssh::Sshd;

/// A server whose login has words to say that would be a failure in the mouth of tar or rsync, the last of them without an end.
const LOGIN: &str = "ForceCommand echo 'tar: a: Cannot open: Permission denied' >&2; echo 'rsync: not found' >&2; \
     printf 'mktemp: No space left on device' >&2; exec sh -c \"$SSH_ORIGINAL_COMMAND\"";
const QUICK: &str = "throttle = \"500MB/s\"";

#[test]
fn what_a_login_says_does_not_make_a_failure_of_a_file_that_was_changed() {
    let words = "tar: ./a: file changed as we read it";
    let script = format!("$real \"$@\"; echo '{words}' >&2; exit 1");
    let (far, count) = with_programs(&[("tar", &script)], LOGIN);
    far.trees.write(&["source/a=1", "source/c=2"]);
    let outcome = far.trees.once(&far.pulls()).expect(0);
    outcome.says(&["written while they were read", "first=a"]);
    assert_eq!(calls(&count), 2);
    assert_eq!(far.trees.in_live(), ["a=1", "c=2"]);
}

#[test]
fn what_a_login_says_does_not_make_a_failure_of_a_file_that_vanished_under_rsync() {
    for way in 0..2 {
        let script = "case \"$*\" in *--version*) exec $real \"$@\";; esac\n\
            $real \"$@\"; echo 'file has vanished: \"/x\"' >&2; exit 24";
        let (far, _) = with_programs(&[("rsync", script)], LOGIN);
        far.trees.write(&["source/a=1", "source/c=2"]);
        let job = [far.pulls(), far.pushes()].into_iter().nth(way);
        let job = job.expect("a way").task(QUICK);
        far.trees.once(&job).expect(0);
        assert_eq!(far.trees.in_live(), ["a=1", "c=2"]);
    }
}

#[test]
fn what_a_login_says_stops_no_stream_that_is_sent_there() {
    let (far, count) = with_programs(&[("tar", "exec $real \"$@\"")], LOGIN);
    let trees = &far.trees;
    trees.write(&["source/a=1", "source/d/x=2"]);
    fs::write(trees.source("large"), vec![7; 3 << 20]).expect("a file");
    let job = far.pushes().task("verify = \"checksum\"");
    trees.once(&job).expect(0);
    assert_eq!(calls(&count), 1);
    assert_eq!(trees.in_live(), lines(&trees.source("")));
}

#[test]
fn of_what_fails_there_its_own_words_are_told_and_none_of_the_login_s() {
    let tars: [(&str, &[&str]); 3] = [
        (
            "cat >/dev/null; exit 3",
            &["tar ended with 3", "without a word"],
        ),
        (
            "cat >/dev/null; echo 'tar: own words' >&2; exit 2",
            &["tar: own words"],
        ),
        (
            "head -c 100000 | $real \"$@\"",
            &["Unexpected EOF in archive"],
        ),
    ];
    for (script, says) in tars {
        let (far, _) = with_programs(&[("tar", script)], LOGIN);
        fs::write(far.trees.source("large"), vec![7; 3 << 20]).expect("a file");
        far.trees.write(&["live/a=old"]);
        let outcome = far.trees.once(&far.pushes()).expect(1).says(says);
        assert!(!outcome.stderr.contains("mktemp"), "{}", outcome.stderr);
        assert_eq!(far.trees.in_live(), ["a=old"]);
    }
}

#[test]
fn a_login_that_ends_before_its_command_begins_is_told_in_its_own_words() {
    let mut far = super::Far::new();
    far.sshd = Sshd::with("ForceCommand echo 'this account is closed' >&2; exit 1");
    far.trees.write(&["source/a=1"]);
    let outcome = far.trees.once(&far.pulls()).expect(1);
    outcome.says(&["this account is closed"]);
}
