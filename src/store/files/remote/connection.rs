//! One connection of ssh, over which all commands of a run go: it costs one handshake, and ends with us.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::MutexGuard;
use tokio_util::sync::CancellationToken;

use super::failure;
use super::login;
use super::private::Private;
use super::quote::shell;
use super::shell::{BEGIN, Ended, Shell};
use super::url::SshUrl;
use crate::config::job::Endpoint;
use crate::error::{Error, Kind, Result, io};
use crate::limits;
use crate::process::program;
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
/// A connection whose shell is gone ends as soon as that.
const ENDING: Duration = Duration::from_secs(10);
/// What a pipe from ssh holds, in bytes: as much as the system lets everybody have (`pipe-max-size` in proc_sys_fs(5)).
const PIPE: i32 = 1 << 20;
/// More than any answer that is read whole.
const LONGEST: u64 = 1 << 20;
/// What lies in our directory for the login.
const FILES: [&str; 3] = ["identity", "identity-cert.pub", "known_hosts"];
/// What the far shell says first,
const GREETING: &[u8] = b"envsyncd is here\n";
/// and what it says behind its answers, each of which has a NUL behind it.
const DONE: &[u8] = b"\0done\0";

/// A connection to another machine.
pub(super) struct Connection {
    /// What was connected to.
    pub(super) url: SshUrl,
    /// Ends with us.
    master: Mutex<Option<Child>>,
    /// The shell at the other end, which ends as its standard input does.
    shell: tokio::sync::Mutex<Shell>,
    /// What ssh said of the connection, as soon as it has ended.
    said: tokio::sync::watch::Receiver<Option<String>>,
    cancel: CancellationToken,
    private: Private,
}

impl Connection {
    /// Logs in, and has a script run with its arguments; returns what it said. `side` is what an error calls the endpoint.
    pub(super) async fn open(
        url: &SshUrl,
        endpoint: &Endpoint,
        side: &str,
        asked: (&str, &[&[u8]]),
        context: &Context,
    ) -> Result<(Self, Vec<u8>)> {
        let private = Private::new()?;
        let mut command = master(url, endpoint, side, &private, context).await?;
        command.arg(OsStr::from_bytes(&keeper(asked)));
        let (child, stdin, stdout, stderr) = start(&mut command, "ssh")?;
        let (sender, said) = tokio::sync::watch::channel(None);
        tokio::spawn(async move {
            let text = login::said(stderr).await;
            let _ = sender.send(Some(text));
        });
        let connection = Self {
            url: url.clone(),
            master: Mutex::new(Some(child)),
            shell: tokio::sync::Mutex::new(Shell::new(stdin, stdout)),
            said,
            cancel: context.cancel.clone(),
            private,
        };
        let greeted = tokio::time::timeout(LOGIN, connection.greeting()).await;
        let said = greeted.map_err(|_| failure::of_ssh(&connection.machine(), "timed out"))??;
        // Whoever is in needs no key any more, and what is not there is not left behind by who is killed.
        connection.private.clear(&FILES);
        Ok((connection, said))
    }

    /// What is said at the beginning, without the greeting.
    async fn greeting(&self) -> Result<Vec<u8>> {
        let mut found = Vec::new();
        let mut shell = self.shell.lock().await;
        let mut limited = (&mut shell.stdout).take(LONGEST);
        let reading = async {
            let is_greeted = |found: &[u8]| {
                let length = found.len().min(GREETING.len());
                found[..length] == GREETING[..length]
            };
            while is_greeted(&found) && !found.ends_with(DONE) {
                if limited.read_buf(&mut found).await? == 0 {
                    break;
                }
            }
            std::io::Result::Ok(())
        };
        tokio::select! {
            read = reading => read.map_err(io("cannot read what ssh says"))?,
            () = self.cancel.cancelled() => return Err(self.lost().await),
        }
        let said = found.strip_prefix(GREETING);
        if let Some(said) = said.and_then(|said| said.strip_suffix(&DONE[1..])) {
            return Ok(said.to_vec());
        }
        if found.is_empty() || said.is_some() {
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
        command.arg(OsStr::from_bytes(&shell(&login::begun(script), arguments)));
        command
    }

    /// The shell at the other end, if nobody has it do anything.
    pub(super) fn shell(&self) -> Option<MutexGuard<'_, Shell>> {
        let shell = self.shell.try_lock().ok();
        shell.filter(|shell| shell.is_ready)
    }

    /// The shell has gone while it was to do `what`.
    pub(super) async fn shell_is_gone(&self, what: &str) -> Error {
        let lost = tokio::time::timeout(ENDING, self.lost()).await;
        lost.unwrap_or_else(|_| failure::of_ssh(&self.machine(), ""))
            .within(what)
    }

    /// Runs a script to its end; what it prints is no more than a page. `what` it does is for an error.
    pub(super) async fn run(
        &self,
        what: &str,
        script: &str,
        arguments: &[&[u8]],
    ) -> Result<Vec<u8>> {
        let begun = std::time::Instant::now();
        let (printed, ended) = match self.shell() {
            Some(mut shell) => match by_shell(&mut shell, script, arguments).await {
                Ok(answer) => answer,
                Err(_) => return Err(self.shell_is_gone(what).await),
            },
            None => self.by_itself(script, arguments).await?,
        };
        let milliseconds = begun.elapsed().as_millis() as u64;
        tracing::debug!(what, milliseconds, "done on the other machine");
        if ended.status.success() {
            return Ok(printed);
        }
        let (machine, said) = (self.machine(), &ended.said);
        Err(failure::of_command(&machine, what, ended.status, said))
    }

    /// Has the shell itself do what stands in a line; it returns what that printed, which is no more than a page.
    pub(super) async fn run_line(&self, what: &str, line: &[u8]) -> Result<(Vec<u8>, Ended)> {
        let Some(mut shell) = self.shell() else {
            return Err(self.shell_is_gone(what).await);
        };
        let answered = match shell.begin_line(line).await {
            Ok(()) => answer(&mut shell).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.shell_is_gone(what).await),
        }
    }

    /// Runs a script in a session of its own.
    async fn by_itself(&self, script: &str, arguments: &[&[u8]]) -> Result<(Vec<u8>, Ended)> {
        let mut command = self.command(script, arguments);
        let (mut child, stdin, stdout, stderr) = start(&mut command, "ssh")?;
        drop(stdin);
        let mut printed = Vec::new();
        let mut limited = stdout.take(LONGEST);
        let (read, said) = tokio::join!(limited.read_to_end(&mut printed), login::said(stderr));
        read.map_err(io("cannot read what ssh says"))?;
        let status = child.wait().await.map_err(io("cannot wait for ssh"))?;
        Ok((printed, Ended { status, said }))
    }

    /// Ends it.
    pub(super) fn close(&self) {
        // Dropped, ssh is ended.
        drop(self.master.lock().take());
    }
}

/// Has the shell run a script.
async fn by_shell(
    shell: &mut Shell,
    script: &str,
    arguments: &[&[u8]],
) -> std::io::Result<(Vec<u8>, Ended)> {
    shell.begin(script, arguments).await?;
    answer(shell).await
}

/// What it prints, and how that ended.
async fn answer(shell: &mut Shell) -> std::io::Result<(Vec<u8>, Ended)> {
    let mut printed = Vec::new();
    loop {
        if let Some(ended) = shell.read(&mut printed).await? {
            return Ok((printed, ended));
        }
        if printed.len() as u64 > LONGEST {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// How ssh is called to log in, and to have others' commands go over its connection.
async fn master(
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
    command.args(["--", &url.host]);
    Ok(command)
}

/// A command that says what a script says, and becomes a shell. That ends when nobody writes to it any more: with this process,
/// however that ends.
fn keeper((script, arguments): (&str, &[&[u8]])) -> Vec<u8> {
    let script = format!(
        "printf 'envsyncd is here\\n'; ( {script}\n) </dev/null; printf '\\0done\\0'; {BEGIN}"
    );
    shell(&login::begun(&script), arguments)
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
        (Some(stdin), Some(stdout), Some(stderr)) => {
            widen(&stdout);
            Ok((child, stdin, stdout, stderr))
        }
        _ => Err(Error::new(
            Kind::Internal,
            "a program was started without its streams",
        )),
    }
}

/// Lets a pipe that ssh writes to hold more. What does not fit into it ssh keeps in memory of its own, which it makes, moves and gives
/// back again and again: that takes it longer than all else that it does.
fn widen(pipe: impl AsFd) {
    // Where that is not allowed, it stays as it is.
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE));
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
