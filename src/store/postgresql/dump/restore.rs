//! A dump becomes a source: its definitions are restored into a database of its own beside incoming, its rows stay where they
//! are until they are read.

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::blocks::Blocks;
use super::contents;
use super::fitting::{self, Left};
use super::head::{Head, Trouble, shown};
use super::pg_restore::PgRestore;
use super::rows::{self, Rows};
use super::staging::{self, Staged};
use crate::config::job::{Roles as Wanted, Task};
use crate::error::{Error, Kind, Result};
use crate::store::dump::{Dump, DumpFile};
use crate::store::postgresql::connection::address::Address;
use crate::store::postgresql::databases::names::Names;
use crate::store::postgresql::databases::{destination, user};
use crate::store::postgresql::schema::roles::Roles;
use crate::store::postgresql::schema::{code, requirements, survey};
use crate::store::{Context, Server, Source, Taker};

/// Bytes of the longest head that is gathered: a schema of 100,000 tables has some 100 MB, and what is read of it takes several
/// times as much memory.
const LONGEST_HEAD: usize = 128 << 20;

/// Opens a dump in `pg_dump`'s custom format.
pub(in crate::store::postgresql) async fn restore(
    task: &Task,
    context: &Context,
    file: &dyn DumpFile,
) -> Result<Box<dyn Source>> {
    let name = file.name();
    let address = Address::of(&task.target, context, "target").await?;
    let admin = destination::administer(&address).await?;
    let names = Names::new(address.database(), context.claim.short());
    let (mut head, rest) = cut(file.open().await?, name).await?;
    let within = |error: Error| error.within(name);
    let (number, version) = survey::version(&admin).await?;
    let server = Server::of(task.kind, version, number / 10_000);
    let taker = Taker::Server(server.clone());
    if let Some(major) = head.server_major() {
        survey::refuse_older(major, &shown(&head.server), &taker).map_err(within)?;
    }
    let program = PgRestore::find(&head, server.major).await.map_err(within)?;
    user::refuse_unfit_user(&admin, &names.live, number).await?;
    requirements::refuse_bound(head.extensions()).map_err(within)?;
    let owner = destination::owner_of(&admin, &names.live).await?;
    let roles = Roles::load(&admin, number, owner.as_deref(), task.roles).await?;
    if task.roles == Wanted::Fail {
        fitting::refuse_missing(&head, &roles, name)?;
    }
    let owner = owner.as_deref();
    if let (Some(might), false) = (code::might(&admin).await?, task.trust_source) {
        let all = head.entries.iter();
        let all = all.map(|entry| (entry.label(), shown(&entry.definition)));
        let found = code::of_definitions(&admin, all).await?;
        code::refuse(&might, &found).map_err(within)?;
    }
    staging::create(&admin, &names, &head, server.major, owner, &context.claim)
        .await
        .map_err(within)?;
    let blocks = Blocks::new(rest, head.int(), name.to_owned());
    let of_rows = contents::of(&head, &blocks)?;
    let kept = rows::Kept::of(&head, &blocks)?;
    let left = fitting::fit(&mut head, &roles, server.major).map_err(within)?;
    tell(&left);
    let contents = of_rows.named(&admin).await.map_err(within)?;
    let rows = Rows::new(kept, contents.numbers, blocks);
    head.leave_rows_out();
    tracing::info!(dump = name, "making the dump's definitions beside live");
    let into = address.beside(&names.staging, "staging");
    program
        .run(&into, server.major, &head)
        .await
        .map_err(within)?;
    let staged = Staged::open(admin, into, &names, context, contents.dumped, rows).await?;
    Ok(Box::new(staged))
}

fn tell(left: &Left) {
    for (owner, objects) in &left.owners {
        let owner = owner.as_str();
        tracing::warn!(
            objects,
            owner,
            "the target's user cannot give objects to their owner in the dump; mapped to another role"
        );
    }
    for (role, grants) in &left.grants {
        tracing::warn!(
            grants,
            role,
            "grants of the dump for a role that the target lacks were skipped"
        );
    }
    for object in &left.superuser {
        tracing::info!(object, "only a superuser may restore this; it is left out");
    }
}

/// Cuts a dump into its head and what follows it.
async fn cut(mut dump: Dump, name: &str) -> Result<(Head, Dump)> {
    let mut read = BytesMut::new();
    let mut try_at = 0;
    loop {
        let more = dump.try_next().await.map_err(|error| error.within(name))?;
        let ended = more.is_none();
        read.extend_from_slice(&more.unwrap_or_default());
        if !ended && read.len() < try_at.max(512) {
            continue;
        }
        match Head::parse(&read) {
            Ok((head, length)) => {
                let rows = read.split_off(length).freeze();
                return Ok((head, stream::iter([Ok(rows)]).chain(dump).boxed()));
            }
            // It is read anew each time.
            Err(Trouble::Short) if !ended && read.len() < LONGEST_HEAD => try_at = read.len() * 2,
            Err(Trouble::Short) if read.is_empty() => {
                return Err(Error::new(Kind::Verify, format!("{name} is empty"))
                    .hint("look at how it was written"));
            }
            Err(Trouble::Short) if !ended => {
                let what =
                    format!("{name} has more than {LONGEST_HEAD} bytes in front of its first row");
                return Err(Error::new(Kind::Verify, what)
                    .hint("no pg_dump writes so many definitions: look at how it was written"));
            }
            Err(Trouble::Short) => {
                return Err(Error::new(
                    Kind::Verify,
                    format!("{name} is not whole: it breaks off before its first row"),
                )
                .hint("take another one with `snapshot` or `at`, and look at how this one was written"));
            }
            Err(Trouble::Wrong(why)) => {
                let what = what_it_is(&read).unwrap_or(&why);
                return Err(Error::new(
                    Kind::Verify,
                    format!("{name} is not a dump of PostgreSQL in the custom format: {what}"),
                )
                .hint(
                    "check the task's `kind`, and that it is written by pg_dump --format=custom",
                ));
            }
        }
    }
}

/// What else somebody may have put there.
fn what_it_is(bytes: &[u8]) -> Option<&'static str> {
    let starts = [
        (&b"-- MySQL dump"[..], "it is a dump of MySQL"),
        (b"-- MariaDB dump", "it is a dump of MariaDB"),
        (b"/*M!999999", "it is a dump of MariaDB"),
        (b"--\n-- PostgreSQL database", "it is plain SQL of pg_dump"),
        (b"\x6d\xe2\x99\x81", "it is an archive of mongodump"),
        (b"SQLite format 3\0", "it is an SQLite database"),
        (b"\x28\xb5\x2f\xfd", "it is compressed by zstd"),
        (b"BZh", "it is compressed by bzip2"),
        (b"\x1f\x8b", "it is compressed twice"),
    ];
    let found = starts.iter().find(|(start, _)| bytes.starts_with(start));
    if let Some((_, what)) = found {
        return Some(what);
    }
    (bytes.get(257..262) == Some(b"ustar")).then_some("it is a tar archive")
}
