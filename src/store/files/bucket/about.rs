//! What an object keeps of a file beside its content: permissions, owner, time, and where a link leads, in its metadata. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::s3::put::About;
use crate::store::files::connection::stat::{FileKind, Moment, Stat};

const MODE: HeaderName = HeaderName::from_static("x-amz-meta-envsyncd-mode");
const OWNER: HeaderName = HeaderName::from_static("x-amz-meta-envsyncd-owner");
const TIME: HeaderName = HeaderName::from_static("x-amz-meta-envsyncd-mtime");
const LINK: HeaderName = HeaderName::from_static("x-amz-meta-envsyncd-link");

/// What is taken over from an object that we copy through us, beside its metadata.
const TAKEN: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];

/// All user metadata of an object has so many bytes at the most.
const LONGEST: usize = 2048;

/// What is kept of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store::files) struct Kept {
    /// Permissions.
    pub(in crate::store::files) mode: Option<u32>,
    /// User and group, by number.
    pub(in crate::store::files) owner: Option<(u32, u32)>,
    /// When it was changed.
    pub(in crate::store::files) modified: Option<Moment>,
    /// Whether it is a link, whose text is the object's content.
    pub(in crate::store::files) is_link: bool,
}

impl Kept {
    /// What an object's headers say; what cannot be read is as if it were not there.
    pub(in crate::store::files) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let mode = text(&MODE).and_then(|mode| u32::from_str_radix(mode, 8).ok());
        let owner = text(&OWNER).and_then(|owner| {
            let (user, group) = owner.split_once(':')?;
            Some((user.parse().ok()?, group.parse().ok()?))
        });
        let modified = text(&TIME).and_then(|time| {
            let (seconds, nanoseconds) = time.split_once('.')?;
            let nanoseconds: u32 = nanoseconds.parse().ok()?;
            Some((seconds.parse().ok()?, nanoseconds))
        });
        Self {
            mode: mode.filter(|mode| *mode <= 0o7777),
            // The number that stands for "as it is" names nobody.
            owner: owner.filter(|(user, group)| *user != u32::MAX && *group != u32::MAX),
            modified: modified.filter(|(_, nanoseconds)| *nanoseconds < 1_000_000_000),
            is_link: headers.contains_key(&LINK),
        }
    }
}

/// The headers of an object that a file becomes.
pub(in crate::store::files) fn of_file(found: &Stat) -> About {
    let mut headers = HeaderMap::new();
    let (user, group) = found.owner;
    let (seconds, nanoseconds) = found.modified;
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(MODE, format!("{:04o}", found.mode));
    set(OWNER, format!("{user}:{group}"));
    set(TIME, format!("{seconds}.{nanoseconds:09}"));
    if found.kind == FileKind::Link {
        set(LINK, "1".to_owned());
    }
    About(headers)
}

/// The headers of an object that is a copy of another one, which came through us.
pub(in crate::store::files) fn of_object(headers: &HeaderMap) -> About {
    let mut taken = HeaderMap::new();
    let mut length = 0;
    for (name, value) in headers {
        let is_own = name.as_str().starts_with("x-amz-meta-");
        if !is_own && !TAKEN.contains(&name.as_str()) {
            continue;
        }
        // What is signed is text.
        let Ok(text) = value.to_str() else { continue };
        length += if is_own {
            name.as_str().len() + text.len()
        } else {
            0
        };
        if length <= LONGEST + 11 * 64 {
            taken.append(name.clone(), value.clone());
        }
    }
    About(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_file_is_read_again() {
        let stat = Stat {
            kind: FileKind::Link,
            mode: 0o4755,
            owner: (33, 1000),
            size: 3,
            stored: 8,
            modified: (-7, 999_999_999),
            changed: (1, 2),
            id: (3, 4),
            is_mounted_on: false,
            is_fixed: false,
        };
        let kept = Kept::of(&of_file(&stat).0);
        assert_eq!(kept.mode, Some(0o4755));
        assert_eq!(kept.owner, Some((33, 1000)));
        assert_eq!(kept.modified, Some((-7, 999_999_999)));
        assert!(kept.is_link);
    }

    #[test]
    fn what_no_file_can_have_is_not_taken() {
        let mut headers = HeaderMap::new();
        headers.insert(MODE, HeaderValue::from_static("177777"));
        headers.insert(OWNER, HeaderValue::from_static("4294967295:0"));
        headers.insert(TIME, HeaderValue::from_static("1.9999999999"));
        assert_eq!(Kept::of(&headers), Kept::default());
    }
}
