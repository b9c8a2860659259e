//! One connection of ssh, over which all commands of a run go: it costs one handshake, and ends with us.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use super::failure;
use super::private::Private;
use super::quote::shell;
use super::url::SshUrl;
use crate::config::job::Endpoint;
use crate::error::{Error, Kind, Result, io};
use crate::limits;
use crate::process::{program, stderr};
use crate::secret::Secret;
use crate::store::Context;
use crate::sync::Mutex;

/// A machine that has said nothing for so long is not there.
const CONNECT: &str = "ConnectTimeout=20";
/// Each so many seconds it is asked whether it is still there,
const ALIVE: &str = "ServerAliveInterval=15";
/// and is not, when it has not answered so often.
const UNANSWERED: &str = "ServerAliveCountMax=4";
/// A login takes no longer, jump hosts included.
const LOGIN: Duration = Duration::from_secs(90);
/// More than any answer that is read whole.
const LONGEST: u64 = 1 << 20;
/// What lies in our directory for the login.
const FILES: [&str; 3] = ["identity", "identity-cert.pub", "known_hosts"];
/// What the far shell says first.
const GREETING: &[u8] = b"envsyncd is here\n";

/// A connection to another machine.
pub(super) struct Connection {
    /// What was connected to.
    pub(super) url: SshUrl,
    /// Ends with us, as its standard input does.
    master: Mutex<Option<(Child, ChildStdin)>>,
    /// What ssh said of the connection, as soon as it has ended.
    said: tokio::sync::watch::Receiver<Option<String>>,
    cancel: CancellationToken,
    private: Private,
}

impl Connection {
    /// Logs in. `side` is what an error calls the endpoint.
    pub(super) async fn open(
        url: &SshUrl,
        endpoint: &Endpoint,
        side: &str,
        context: &Context,
    ) -> Result<Self> {
        let private = Private::new()?;
        let mut command = login(url, endpoint, side, &private, context).await?;
        let (child, stdin, mut stdout, stderr) = start(&mut command, "ssh")?;
        let (sender, said) = tokio::sync::watch::channel(None);
        tokio::spawn(async move {
            let text = stderr::beginning(stderr).await;
            let _ = sender.send(Some(text));
        });
        let connection = Self {
            url: url.clone(),
            master: Mutex::new(Some((child, stdin))),
            said,
            cancel: context.cancel.clone(),
            private,
        };
        let greeting = connection.greeting(&mut stdout);
        let greeted = tokio::time::timeout(LOGIN, greeting).await;
        greeted.map_err(|_| failure::of_ssh(&connection.machine(), "timed out"))??;
        // Whoever is in needs no key any more, and what is not there is not left behind by who is killed.
        connection.private.clear(&FILES);
        Ok(connection)
    }

    async fn greeting(&self, stdout: &mut ChildStdout) -> Result<()> {
        let mut found = Vec::new();
        let mut limited = stdout.take(GREETING.len() as u64);
        tokio::select! {
            read = limited.read_to_end(&mut found) => {
                read.map_err(io("cannot read what ssh says"))?;
            }
            () = self.cancel.cancelled() => {}
        }
        if found == GREETING {
            return Ok(());
        }
        if found.is_empty() {
            return Err(self.lost().await);
        }
        let what = format!("the shell on {} says something of its own", self.machine());
        Err(Error::new(Kind::Config, what)
            .hint("see that `ssh HOST true` prints nothing: what its profile says belongs behind a check for a terminal"))
    }

    /// The machine as people know it.
    pub(super) fn machine(&self) -> String {
        self.url.machine()
    }

    /// Waits until the connection has ended, and says why.
    pub(super) async fn lost(&self) -> Error {
        let mut said = self.said.clone();
        let text = match said.wait_for(Option::is_some).await {
            Ok(text) => text.clone().unwrap_or_default(),
            Err(_) => String::new(),
        };
        failure::of_ssh(&self.machine(), &text)
    }

    /// How ssh is called for a command over this connection, and over no other: the words before the command.
    pub(super) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["ssh".into()];
        // None of the user's configuration is of use any more, and without the connection there is no way.
        words.extend(["-F", "none", "-T", "-S"].map(OsString::from));
        words.push(self.private.path("c").into());
        for option in [
            "ControlMaster=no",
            "ProxyCommand=false",
            "BatchMode=yes",
            "LogLevel=ERROR",
        ] {
            words.extend(["-o", option].map(OsString::from));
        }
        words
    }

    /// A command over it, which is not started yet.
    pub(super) fn command(&self, script: &str, arguments: &[&[u8]]) -> Command {
        let words = self.words();
        let mut command = program::other(&words[0]);
        command.args(&words[1..]).args(["--", "far"]);
        command.arg(OsStr::from_bytes(&shell(script, arguments)));
        command
    }

    /// Runs a script to its end; what it prints is no more than a page. `what` it does is for an error.
    pub(super) async fn run(
        &self,
        what: &str,
        script: &str,
        arguments: &[&[u8]],
    ) -> Result<Vec<u8>> {
        let mut command = self.command(script, arguments);
        let (mut child, stdin, stdout, stderr) = start(&mut command, "ssh")?;
        drop(stdin);
        let mut printed = Vec::new();
        let mut limited = stdout.take(LONGEST);
        let working = async {
            let (read, said) =
                tokio::join!(limited.read_to_end(&mut printed), stderr::beginning(stderr));
            read.map_err(io("cannot read what ssh says"))?;
            let status = child.wait().await.map_err(io("cannot wait for ssh"))?;
            if status.success() {
                return Ok(());
            }
            Err(failure::of_command(&self.machine(), what, status, &said))
        };
        working.await?;
        Ok(printed)
    }

    /// Ends it.
    pub(super) fn close(&self) {
        // Dropped, ssh is ended.
        drop(self.master.lock().take());
    }
}

/// How ssh is called to log in, and to have others' commands go over its connection.
async fn login(
    url: &SshUrl,
    endpoint: &Endpoint,
    side: &str,
    private: &Private,
    context: &Context,
) -> Result<Command> {
    let mut command = program::other("ssh");
    command.args(["-M", "-T", "-S"]).arg(private.path("c"));
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        CONNECT,
        ALIVE,
        UNANSWERED,
        "ControlPersist=no",
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "LogLevel=ERROR",
    ] {
        command.args(["-o", option]);
    }
    if let Some(secret) = endpoint.secrets.get("identity") {
        let what = format!("the {side}'s `identity`");
        let file = file_of(secret, &what, "identity", private, context).await?;
        command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(file);
    }
    if let Some(secret) = endpoint.secrets.get("known_hosts") {
        let what = format!("the {side}'s `known_hosts`");
        // They are no secret, and everybody may read them.
        let file = match secret {
            Secret::File(path) => copy_of(path, &what, "known_hosts", private)?,
            secret => file_of(secret, &what, "known_hosts", private, context).await?,
        };
        let mut option = OsString::from("UserKnownHostsFile=");
        option.push(file);
        command.arg("-o").arg(option);
        command.args(["-o", "GlobalKnownHostsFile=/dev/null"]);
    }
    if let Some(user) = &url.user {
        command.args(["-l", user]);
    }
    if let Some(port) = url.port {
        command.args(["-p", &port.to_string()]);
    }
    let agent = std::env::var_os("SSH_AUTH_SOCK");
    command.envs(agent.map(|agent| ("SSH_AUTH_SOCK", agent)));
    // Ends when nobody writes to it any more: with this process, however that ends.
    let keeper = "printf 'envsyncd is here\\n'; exec cat >/dev/null";
    let keeper = shell(keeper, &[]);
    command
        .args(["--", &url.host])
        .arg(OsStr::from_bytes(&keeper));
    Ok(command)
}

/// Starts a program with all its streams; it does not outlive who waits for it.
pub(super) fn start(
    command: &mut Command,
    name: &str,
) -> Result<(Child, ChildStdin, ChildStdout, ChildStderr)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        io(format!("the program {name} cannot be run"))(error)
            .hint(format!("install {name} on this machine"))
    })?;
    let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    match streams {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok((child, stdin, stdout, stderr)),
        _ => Err(Error::new(
            Kind::Internal,
            "a program was started without its streams",
        )),
    }
}

/// Writes and ends a program's input; that it does not read on is told by its exit.
pub(super) async fn feed(mut stdin: ChildStdin, text: &[u8]) {
    if stdin.write_all(text).await.is_ok() {
        let _ = stdin.shutdown().await;
    }
}

/// A file in our directory with what a secret holds: whatever the place that it came from is called, and whoever may read it.
async fn file_of(
    secret: &Secret,
    what: &str,
    name: &str,
    private: &Private,
    context: &Context,
) -> Result<PathBuf> {
    let text = secret.resolve(what, &*context.lookup).await?;
    // ssh reads no key whose last line does not end.
    let text = format!("{}\n", text.expose_secret().trim_end());
    let file = private.write(name, text.as_bytes())?;
    if let Secret::File(path) = secret {
        // A certificate lies beside its key, see ssh(1).
        let mut beside = path.clone().into_os_string();
        beside.push("-cert.pub");
        if let Ok(certificate) = std::fs::read(&beside) {
            private.write(&format!("{name}-cert.pub"), &certificate)?;
        }
    }
    Ok(file)
}

/// A copy of a file in our directory.
fn copy_of(path: &Path, what: &str, name: &str, private: &Private) -> Result<PathBuf> {
    let read = std::fs::File::open(path).and_then(|file| limits::read_all(file, LONGEST));
    let text = read.map_err(|error| {
        io(format!(
            "{what}: the file {} cannot be read",
            path.display()
        ))(error)
        .hint("it has to be there, and the user that runs envsyncd has to be able to read it")
    })?;
    private.write(name, &text)
}
