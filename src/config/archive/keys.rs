//! The keys that stand beside an archive's `url`: in `[endpoints.NAME]`, and in a task's `source` and `target`.

mod format;
mod refuse;
mod server;
mod sides;

use std::path::Path;

use self::refuse::refuse;
use crate::config::archive::Archive;
use crate::config::bucket::BucketAccess;
use crate::config::reader::{Table, optional};
use crate::config::secrets::read_key;
use crate::config::stores::StoreKind;
use crate::config::url::ArchiveUrl;
use crate::config::way::Way;

const SERVER: [&str; 9] = [
    "access_key_id",
    "ca",
    "checksum",
    "endpoint",
    "path_style",
    "profile",
    "region",
    "secret_access_key",
    "sse",
];
const SOURCE: [&str; 4] = ["at", "identity", "job", "snapshot"];
const TARGET: [&str; 5] = [
    "keep_daily",
    "keep_last",
    "keep_weekly",
    "max_age",
    "recipients",
];
const BOTH: [&str; 3] = ["database", "format", "key"];

/// Reads what stands beside `url`. `way` is the table's side; `None`: it has a name and may serve on both. Only what an
/// archive of this place and side has is read; whatever else is there is reported.
pub(in crate::config) fn read(
    table: &Table<'_>,
    url: &ArchiveUrl,
    way: Option<Way>,
    directory: &Path,
) -> Option<Archive> {
    if !url.is_bucket() {
        refuse(table, &SERVER, |key| {
            (
                format!("`{key}` is for a bucket, and this is a directory"),
                "it belongs beside url = \"s3://BUCKET/PREFIX\"",
            )
        });
    }
    if way == Some(Way::To) {
        refuse(table, &SOURCE, |key| {
            (
                format!("`{key}` belongs to a source, and this archive is written to"),
                "put it into the table of the task that pulls: source = { url = \"...\" }",
            )
        });
    }
    if way == Some(Way::From) {
        refuse(table, &TARGET, |key| {
            (
                format!("`{key}` belongs to a target, and this archive is read from"),
                "put it into the table of the task that pushes: target = { url = \"...\" }",
            )
        });
    }
    if let Some(value) = table.get("password") {
        let (what, help) = if url.is_bucket() {
            (
                "a bucket has no password",
                "write access_key_id = \"...\" and secret_access_key = { file = \"PATH\" }",
            )
        } else {
            ("a directory has no password", "leave `password` out")
        };
        value.report(value.wrong(what).help(help));
    }
    let mut archive = Archive::default();
    // All of it is read, whatever is wrong with a part: a key that nobody asked for is an unknown one.
    let read = [
        format::read(table, &mut archive),
        read_authentication(table, directory, &mut archive),
        if way == Some(Way::To) {
            Some(())
        } else {
            sides::read_source(table, directory, &mut archive)
        },
        if way == Some(Way::From) {
            Some(())
        } else {
            sides::read_target(table, &mut archive)
        },
    ];
    read.into_iter().collect::<Option<()>>()?;
    Some(archive)
}

/// Reads how a bucket's server is reached, of an archive or a tree.
pub(in crate::config) fn read_access(table: &Table<'_>, directory: &Path) -> Option<BucketAccess> {
    server::read(table, directory)
}

/// Reads what manifests are authenticated with.
fn read_authentication(table: &Table<'_>, directory: &Path, archive: &mut Archive) -> Option<()> {
    archive.key = optional(read_key(table, "key", directory))?;
    Some(())
}

/// Refuses an archive's keys beside a store's URL, but for those that are the store's, too; those of a bucket's server may be
/// there if it is in one.
pub(in crate::config) fn refuse_all(
    table: &Table<'_>,
    kind: StoreKind,
    own: &[&str],
    is_in_bucket: bool,
) {
    let refused = |keys: &[&'static str], help| {
        let mut keys = keys.to_vec();
        keys.retain(|key| !own.contains(key));
        refuse(table, &keys, |key| {
            let what = if is_in_bucket {
                format!("`{key}` is for an archive, and with kind = \"{kind}\" this is none")
            } else {
                format!("`{key}` is for an archive, and this is a {kind} URL")
            };
            (what, help)
        });
    };
    if is_in_bucket {
        let all = [&SOURCE[..], &TARGET[..], &BOTH[..]].concat();
        return refused(&all, "leave it out");
    }
    refused(&SERVER, "it belongs beside url = \"s3://BUCKET/PREFIX\"");
    let archive = "it belongs beside url = \"s3://BUCKET/PREFIX\" or url = \"file:///DIRECTORY\"";
    refused(&[&SOURCE[..], &TARGET[..], &BOTH[..]].concat(), archive);
}

/// Knows an archive's keys, right or wrong, where nothing can be said of them.
pub(in crate::config) fn pass_over(table: &Table<'_>) {
    table.get("password");
    for key in [&SERVER[..], &SOURCE[..], &TARGET[..], &BOTH[..]].concat() {
        table.get(key);
    }
}
