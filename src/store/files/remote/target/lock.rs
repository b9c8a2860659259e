//! The lock of a tree on another machine: the one that envsyncd takes there itself. It is held by a program at the other end of our
//! connection, and dies with it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};

use super::place::Place;
use crate::error::{Error, Kind, Result, io};
use crate::process::stderr;
use crate::store::Claim;
use crate::store::files::remote::connection::{Connection, start};
use crate::store::files::remote::failure;

/// Its arguments: the directory that live is in, the folder's name there and its path, the mark, and who we are. Whoever stands in its
/// file is told to others; that it is locked is what counts.
const SCRIPT: &str = r#"umask 077
cd -P -- "$1" || exit 9
mkdir -- "./$2" 2>/dev/null
cd -P -- "./$2" || exit 9
[ "$PWD" = "$3" ] || { echo "$2 is a link" >&2; exit 9; }
if ! [ -s mark.json ]; then printf '%s\n' "$4" > mark.new && mv -f mark.new mark.json || exit 9; fi
[ -L lock ] && { echo "the lock is a link" >&2; exit 9; }
exec 9>>lock || exit 9
if ! flock -n 9; then printf 'busy '; head -c 300 lock; exit 0; fi
printf '%s\n' "$5" > lock
printf 'taken'
cat >/dev/null
: > lock"#;

const MARK: &str = r#"{"version":1,"program":"envsyncd"}"#;

/// Whoever frees it waits so long at the most.
const PATIENCE: Duration = Duration::from_secs(5);

/// A held lock.
pub(super) struct Lock {
    child: Child,
    stdin: ChildStdin,
}

impl Lock {
    /// Takes the lock, or fails with [`Kind::Busy`] and says who has it.
    pub(super) async fn take(
        connection: &Connection,
        place: &Place,
        claim: &Claim,
    ) -> Result<Self> {
        let since = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let (job, run, host) = (&claim.job, &claim.run, &claim.host);
        let process = std::process::id();
        let who = format!("job {job}, run {run}, process {process} on {host}, since {since}");
        let name = [&place.name, &b".envsyncd"[..]].concat();
        let folder = place.folder();
        let arguments = [
            &*place.above,
            &name,
            &folder,
            MARK.as_bytes(),
            who.as_bytes(),
        ];
        let mut command = connection.command(SCRIPT, &arguments);
        let (mut child, stdin, mut stdout, said) = start(&mut command, "ssh")?;
        let mut answer = [0; 5];
        if stdout.read_exact(&mut answer).await.is_err() {
            drop(stdin);
            let said = stderr::beginning(said).await;
            let status = child.wait().await.map_err(io("cannot wait for ssh"))?;
            let what = format!("locking {}", place.shown);
            let machine = connection.machine();
            return Err(failure::of_files(&what, &said)
                .unwrap_or_else(|| failure::of_command(&machine, &what, status, &said)));
        }
        if &answer == b"taken" {
            tokio::spawn(stderr::beginning(said));
            return Ok(Self { child, stdin });
        }
        let mut who = Vec::new();
        let _ = stdout.take(300).read_to_end(&mut who).await;
        let who = failure::first_lines(&String::from_utf8_lossy(&who));
        let who = if who.is_empty() {
            "another run".to_owned()
        } else {
            who
        };
        let what = format!("{} is being written by {who}", place.shown);
        Err(Error::new(Kind::Busy, what).hint("wait until that run has ended"))
    }

    /// Frees it.
    pub(super) async fn free(mut self) {
        let _ = self.stdin.shutdown().await;
        drop(self.stdin);
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
    }
}
