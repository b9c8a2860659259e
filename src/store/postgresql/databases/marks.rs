//! Marks: what a run makes, renames or drops beside a live database says so in its comment. What bears no mark is somebody
//! else's, whatever its name: it is refused, and never dropped or swapped in.
//!
//! A mark is a comment's first line; what follows is the comment that the database has, or had, when it is live. A database
//! has it as long as it is not live: it comes in the transaction that takes live's name away, and goes in the one that gives
//! it. `CREATE DATABASE` knows no comments: until it has one, a database that was just made bears its mark in its limit of
//! connections.

use super::names::Names;
use crate::error::{Error, Kind, Result};
use crate::store::Claim;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::sql::quoting::{literal, quoted};

/// What every mark begins with.
const START: &str = "envsyncd: ";

/// The comment by which an operator marks a previous database of a version of envsyncd that made no marks yet.
const MARKED_BY_HAND: &str = "envsyncd: previous";

/// The beginning of a shell's mark; see `in_place`.
pub(in crate::store::postgresql) const EMPTIED: &str = "envsyncd: emptied by run ";

/// The limit of connections that no one else would give to a database.
const NEWBORN: i32 = 1_701_738_099;

/// The role of a database beside live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::postgresql) enum Standing {
    Incoming,
    Previous,
    /// What was previous, or was emptied in place, until it is dropped.
    Discarded,
    /// A database that a dump is restored into.
    Staging,
}

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Previous => "previous",
            Self::Discarded => "discarded",
            Self::Staging => "staging",
        }
    }
}

/// The mark of a run.
pub(in crate::store::postgresql) fn mark(standing: Standing, live: &str, claim: &Claim) -> String {
    format!(
        "{START}{} of {}; job {}, run {}, since {}",
        standing.word(),
        live.replace(['\n', '\r'], " "),
        claim.job,
        claim.run,
        chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    )
}

/// Whether a comment begins with a mark.
pub(in crate::store::postgresql) fn is_marked(comment: &str) -> bool {
    let line = comment.lines().next().unwrap_or_default().trim_end();
    let words = [
        Standing::Incoming,
        Standing::Previous,
        Standing::Discarded,
        Standing::Staging,
    ];
    line == MARKED_BY_HAND
        || line.starts_with(EMPTIED)
        || line.strip_prefix(START).is_some_and(|said| {
            words.iter().any(|standing| {
                said.strip_prefix(standing.word())
                    .is_some_and(|rest| rest.starts_with(" of ") && rest.contains("; job "))
            })
        })
}

/// A comment without its mark; nothing if that was all.
pub(in crate::store::postgresql) fn own_comment(comment: String) -> Option<String> {
    if is_marked(&comment) {
        return comment.split_once('\n').map(|(_, own)| own.to_owned());
    }
    Some(comment)
}

/// A database's comment, without a mark.
pub(in crate::store::postgresql) async fn own_comment_of(
    admin: &Session,
    database: &str,
) -> Result<Option<String>> {
    let row = admin
        .query_opt(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1",
            &[&database],
        )
        .await
        .map_err(admin.explain())?;
    let comment: Option<String> = row.map(|row| row.read(0)).transpose()?.flatten();
    Ok(comment.and_then(own_comment))
}

/// The statement that gives a database this mark, if it is to have one, and this comment of its own.
pub(in crate::store::postgresql) fn comment(
    database: &str,
    mark: Option<&str>,
    own: Option<&str>,
) -> String {
    let parts: Vec<&str> = mark.into_iter().chain(own).collect();
    let text = if parts.is_empty() {
        "NULL".to_owned()
    } else {
        literal(&parts.join("\n"))
    };
    format!("COMMENT ON DATABASE {} IS {text}", quoted(database))
}

/// What a new database's `CREATE DATABASE` ends with: its mark, and who owns it, if that is not who makes it.
pub(in crate::store::postgresql) fn birth(owner: Option<&str>) -> String {
    let owner = owner.map_or_else(String::new, |owner| format!(" OWNER {}", quoted(owner)));
    format!("{owner} CONNECTION LIMIT {NEWBORN}")
}

/// Statements that give a new database the mark that stays, and let it be used.
pub(in crate::store::postgresql) fn christened(
    database: &str,
    mark: &str,
    own: Option<&str>,
) -> [String; 2] {
    [
        comment(database, Some(mark), own),
        format!("ALTER DATABASE {} CONNECTION LIMIT -1", quoted(database)),
    ]
}

/// A database whose name is one that a run uses beside live.
pub(in crate::store::postgresql) struct Beside {
    pub(in crate::store::postgresql) name: String,
    /// It bears a mark.
    pub(super) is_ours: bool,
}

/// All of them.
pub(in crate::store::postgresql) async fn beside(
    admin: &Session,
    names: &Names,
) -> Result<Vec<Beside>> {
    let rows = admin
        .query(
            "SELECT datname::text, shobj_description(oid, 'pg_database'), datconnlimit FROM pg_database ORDER BY datname",
            &[],
        )
        .await
        .map_err(admin.explain())?;
    let mut found = Vec::new();
    for row in &rows {
        let comment: Option<String> = row.read(1)?;
        let one = Beside {
            name: row.read(0)?,
            is_ours: comment.is_some_and(|comment| is_marked(&comment))
                || row.read::<i32>(2)? == NEWBORN,
        };
        if one.name == names.previous || names.is_leftover(&one.name) {
            found.push(one);
        }
    }
    Ok(found)
}

/// Refuses what stands where a run would put something, and bears no mark.
pub(in crate::store::postgresql) async fn refuse_strangers(
    admin: &Session,
    names: &Names,
) -> Result<()> {
    let all = beside(admin, names).await?;
    match all.iter().find(|one| !one.is_ours) {
        Some(stranger) => Err(no_mark(&stranger.name, names)),
        None => Ok(()),
    }
}

/// Refuses to go on with a database that bears no mark.
pub(in crate::store::postgresql) async fn refuse_stranger(
    admin: &Session,
    database: &str,
    names: &Names,
) -> Result<()> {
    let all = beside(admin, names).await?;
    let is_stranger = |one: &Beside| one.name == database && !one.is_ours;
    if all.iter().any(is_stranger) {
        return Err(no_mark(database, names));
    }
    Ok(())
}

fn no_mark(database: &str, names: &Names) -> Error {
    let made = Error::new(
        Kind::Policy,
        format!(
            "the database {database} bears no mark of envsyncd, and has a name that it uses beside {}",
            names.live
        ),
    );
    let name = quoted(database);
    made.hint(if database == names.previous {
        format!(
            "rename it, if it is somebody else's; drop it, if nobody needs it; or, if an earlier version of envsyncd made it, \
             COMMENT ON DATABASE {name} IS '{MARKED_BY_HAND}'"
        )
    } else {
        format!("rename it, if it is somebody else's; drop it (DROP DATABASE {name}), if an earlier version of envsyncd left it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            job: "app".to_owned(),
            run: "0190-1".to_owned(),
            host: "h".to_owned(),
        }
    }

    #[test]
    fn a_mark_is_no_part_of_the_comment_and_nothing_else_is_a_mark() {
        let mark = mark(Standing::Previous, "a\nb", &claim());
        for (comment, own) in [
            ("ours".to_owned(), Some("ours")),
            (
                "envsyncd: refreshed nightly".to_owned(),
                Some("envsyncd: refreshed nightly"),
            ),
            (
                "envsyncd: previous attempts failed".to_owned(),
                Some("envsyncd: previous attempts failed"),
            ),
            ("envsyncd: emptied by run 1; closed".to_owned(), None),
            ("envsyncd: previous".to_owned(), None),
            (mark.clone(), None),
            (format!("{mark}\nours\nand more"), Some("ours\nand more")),
            (
                "envsyncd: emptied by run 1; closed\nours\nand more".to_owned(),
                Some("ours\nand more"),
            ),
        ] {
            assert_eq!(own_comment(comment.clone()).as_deref(), own, "{comment}");
        }
    }

    #[test]
    fn a_comment_without_mark_and_text_is_none() {
        assert_eq!(
            comment("a", None, None),
            "COMMENT ON DATABASE \"a\" IS NULL"
        );
        assert_eq!(
            comment("a", Some("m"), Some("it's")),
            "COMMENT ON DATABASE \"a\" IS 'm\nit''s'"
        );
    }
}
