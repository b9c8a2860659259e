//! What is too long for one answer: lines for a shell on the other machine, files that are written there, and files that are read.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::{Connection, start};
use super::failure;
use super::login;
use crate::error::{Error, Result, io};
use crate::store::files::rows::spool::{Spool, Spooled};

/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;

/// Runs a script whose input is made piece by piece.
pub(super) async fn feed(
    connection: &Connection,
    what: &str,
    (script, arguments): (&str, &[&[u8]]),
    mut next: impl FnMut() -> Result<Option<Vec<u8>>> + Send,
) -> Result<()> {
    let mut command = connection.command(script, arguments);
    let (mut child, mut stdin, stdout, said) = start(&mut command, "ssh")?;
    drop(stdout);
    let writing = async {
        while let Some(piece) = next()? {
            // That the program has ended is told by what it said.
            if stdin.write_all(&piece).await.is_err() {
                break;
            }
        }
        let _ = stdin.shutdown().await;
        drop(stdin);
        Ok::<_, Error>(())
    };
    let (written, said) = tokio::join!(writing, login::said(said));
    let status = child.wait().await.map_err(io("cannot wait for ssh"))?;
    written?;
    if status.success() {
        return Ok(());
    }
    let machine = connection.machine();
    Err(failure::of_files(what, &said)
        .unwrap_or_else(|| failure::of_command(&machine, what, status, &said)))
}

/// All that a script prints, in little memory.
pub(super) async fn printed(
    connection: &Connection,
    what: &str,
    script: &str,
    arguments: &[&[u8]],
) -> Result<Spooled> {
    let mut command = connection.command(script, arguments);
    let (mut child, stdin, mut stdout, said) = start(&mut command, "ssh")?;
    drop(stdin);
    let mut spool = Spool::new();
    let reading = async {
        let mut piece = vec![0; PIECE];
        loop {
            let read = stdout.read(&mut piece).await;
            let read = read.map_err(io("cannot read what ssh says"))?;
            if read == 0 {
                return Ok::<_, Error>(());
            }
            let kept = spool.write(&piece[..read]);
            kept.map_err(io("cannot keep what another machine says in /var/tmp"))?;
        }
    };
    let (read, said) = tokio::join!(reading, login::said(said));
    let status = child.wait().await.map_err(io("cannot wait for ssh"))?;
    read?;
    if !status.success() {
        return Err(failure::of_command(
            &connection.machine(),
            what,
            status,
            &said,
        ));
    }
    spool
        .finish()
        .map_err(io("cannot keep what another machine says in /var/tmp"))
}
