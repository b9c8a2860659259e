//! The lock of a tree on another machine: the one that envsyncd takes there itself. It is held by the shell at the other end of our
//! connection, and dies with it.

use super::place::Place;
use crate::error::{Error, Kind, Result};
use crate::store::Claim;
use crate::store::files::remote::connection::Connection;
use crate::store::files::remote::failure;
use crate::store::files::remote::quote::quote;

/// Its arguments: the directory that live is in, the folder's name there and its path, the mark, and who we are. Whoever stands in its
/// file is told to others; that it is locked is what counts. What a run that was cut off still does there holds the folder itself.
const TAKING: &str = r#"taking() {
  cd -P -- "$1" || return 9
  mkdir -- "./$2" 2>/dev/null
  cd -P -- "./$2" || return 9
  [ "$PWD" = "$3" ] || { echo "$2 is a link"; return 9; }
  [ -s mark.json ] || { printf '%s\n' "$4" > mark.new && mv -f mark.new mark.json; } || return 9
  [ -L lock ] && { echo "the lock is a link"; return 9; }
  command exec 9>>lock || return 9
  if ! flock -n 9; then printf 'busy '; head -c 300 lock; command exec 9>&-; return 0; fi
  command exec 8<. || return 9
  if ! flock -w 60 8; then printf 'busy a run that was cut off, and still works there'; command exec 8<&- 9>&-; return 0; fi
  command exec 8<&-
  printf '%s\n' "$5" > lock
  printf 'taken'
}
"#;

const MARK: &str = r#"{"version":1,"program":"envsyncd"}"#;

/// A held lock.
pub(super) struct Lock {
    /// The path of its file there.
    file: Vec<u8>,
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
        let mut line = TAKING.as_bytes().to_vec();
        line.extend(b"taking");
        for argument in arguments {
            line.push(b' ');
            line.extend(quote(argument));
        }
        line.extend(b" </dev/null 2>&1; s=$? e=; cd /");
        let what = format!("locking {}", place.shown);
        let (said, ended) = connection.run_line(&what, &line).await?;
        let said = String::from_utf8_lossy(&said);
        if !ended.status.success() {
            let machine = connection.machine();
            return Err(failure::of_files(&what, &said)
                .unwrap_or_else(|| failure::of_command(&machine, &what, ended.status, &said)));
        }
        if said == "taken" {
            let file = place.inner("lock");
            return Ok(Self { file });
        }
        let who = failure::first_lines(said.strip_prefix("busy").unwrap_or(&said));
        let who = if who.is_empty() {
            "another run".to_owned()
        } else {
            who
        };
        let what = format!("{} is being written by {who}", place.shown);
        Err(Error::new(Kind::Busy, what).hint("wait until that run has ended"))
    }

    /// Frees it. With a connection that is lost it is free already.
    pub(super) async fn free(self, connection: &Connection) {
        if connection.shell().is_none() {
            return;
        }
        let mut line = b"{ : > ".to_vec();
        line.extend(quote(&self.file));
        line.extend(b"; } 2>/dev/null; command exec 9>&-; s=0 e=");
        if let Err(error) = connection.run_line("freeing the lock", &line).await {
            tracing::debug!(%error, "the lock is left to end with the connection");
        }
    }
}
