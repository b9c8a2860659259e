//! Ways to another machine: jump hosts, agents, and servers that greet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Far;
use crate::files::trees::Trees;
use crate::support::job::{Outcome, toml};
use crate::support::ssh::Sshd;
use crate::support::wait_until;

/// A home with a configuration of ssh in it. ssh asks the list of users for it, and not its environment: whoever is run there
/// sees a list of its own.
struct Home {
    users: PathBuf,
}

impl Home {
    fn new(trees: &Trees, config: &str) -> Self {
        let place = trees.bed.path("home");
        fs::create_dir_all(place.join(".ssh")).expect("a directory");
        fs::write(place.join(".ssh/config"), config).expect("a file");
        let all = fs::read_to_string("/etc/passwd").expect("users");
        let own = format!("{}:", nix::unistd::geteuid());
        let moved = all.lines().map(|line| {
            let mut fields: Vec<&str> = line.split(':').collect();
            if format!("{}:", fields[2]) == own {
                fields[5] = place.to_str().expect("text");
            }
            fields.join(":") + "\n"
        });
        let users = trees.bed.path("users");
        fs::write(&users, moved.collect::<String>()).expect("a file");
        Self { users }
    }

    fn once(&self, trees: &Trees, file: &Path) -> Outcome {
        let script = "mount --bind \"$0\" /etc/passwd && exec \"$@\"";
        let users = self.users.to_str().expect("text");
        let starter = ["unshare", "--mount", "sh", "-c", script, users];
        trees.run_by(&starter, file).end()
    }
}

/// What ssh's configuration says of a server.
fn host(name: &str, sshd: &Sshd, more: &str) -> String {
    let file = |name: &str| sshd.path(name).display().to_string();
    let url = sshd.url(Path::new("/"));
    let port = url.rsplit(':').next().expect("a port");
    let port = port.trim_end_matches('/');
    let user = url
        .strip_prefix("ssh://")
        .and_then(|url| url.split('@').next());
    format!(
        "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n  {more}\n",
        user.expect("a user"),
        file("key"),
        file("known_hosts"),
    )
}

#[test]
fn ssh_s_own_configuration_leads_over_a_jump_host() {
    let far = Far::new();
    let jump = Sshd::start();
    let trees = &far.trees;
    trees.write(&["source/a=1"]);
    let config = host("inner", &far.sshd, "ProxyJump outer") + &host("outer", &jump, "");
    let home = Home::new(trees, &config);
    let side = |path: PathBuf| toml(&format!("ssh://inner{}", path.display()));
    let pulls = trees
        .bed
        .job("app", &far.pulls_from(&side(trees.source(""))));
    home.once(trees, &pulls).expect(0);
    assert_eq!(trees.in_live(), ["a=1"]);
    trees.write(&["source/b=2"]);
    let pushes = trees.bed.job("back", &far.pushes_to(&side(trees.live(""))));
    home.once(trees, &pushes).expect(0);
    assert_eq!(trees.in_live(), ["a=1", "b=2"]);
    // And over no other way.
    drop(jump);
    trees.write(&["source/c=3"]);
    home.once(trees, &pulls).expect(1).says(&["refused"]);
    assert_eq!(trees.in_live(), ["a=1", "b=2"]);
}

#[test]
fn a_jump_host_whose_key_is_not_known_is_refused_as_any_other() {
    let far = Far::new();
    let jump = Sshd::start();
    let trees = &far.trees;
    trees.write(&["source/a=1"]);
    let outer = host("outer", &jump, "").replace("known_hosts", "no_hosts");
    let home = Home::new(
        trees,
        &(host("inner", &far.sshd, "ProxyJump outer") + &outer),
    );
    let url = format!("ssh://inner{}", trees.source("").display());
    let pulls = trees.bed.job("app", &far.pulls_from(&toml(&url)));
    home.once(trees, &pulls).expect(1).says(&["not known"]);
    assert!(!trees.live("").exists());
}

/// An agent, for as long as it is wanted.
struct Agent {
    socket: PathBuf,
    process: Child,
}

impl Agent {
    fn with(trees: &Trees, key: &Path) -> Self {
        let socket = trees.bed.path("agent");
        let process = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-agent");
        // Its socket is there before it listens.
        wait_until("the agent has the key", || {
            let added = Command::new("ssh-add")
                .arg(key)
                .env("SSH_AUTH_SOCK", &socket)
                .stderr(Stdio::null())
                .status();
            added.expect("ssh-add").success()
        });
        Self { socket, process }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_key_that_is_in_an_agent_alone_lets_us_in() {
    let far = Far::new();
    let trees = &far.trees;
    trees.write(&["source/a=1"]);
    let agent = Agent::with(trees, &far.sshd.path("key"));
    fs::remove_file(far.sshd.path("key")).expect("a key");
    let side = format!(
        "{{ url = {}, known_hosts = {{ file = {} }} }}",
        toml(&far.sshd.url(&trees.source(""))),
        toml(far.sshd.path("known_hosts").to_str().expect("text")),
    );
    let file = trees.bed.job("app", &far.pulls_from(&side));
    let variable = format!("SSH_AUTH_SOCK={}", agent.socket.display());
    trees
        .run_by(&["env", "-u", "SSH_AUTH_SOCK"], &file)
        .end()
        .expect(1)
        .says(&["does not let us in"]);
    trees.run_by(&["env", &variable], &file).end().expect(0);
    assert_eq!(trees.in_live(), ["a=1"]);
}

#[test]
fn a_banner_and_the_message_of_the_day_are_no_part_of_what_is_said() {
    let trees = Trees::new();
    trees.write(&["source/a=1"]);
    let banner = trees
        .bed
        .file("banner", "Authorised use only.\nenvsyncd is here\n");
    let lines = format!(
        "Banner {}\nPrintMotd yes\nPrintLastLog yes",
        banner.display()
    );
    let sshd = Sshd::with(&lines);
    let far = Far { trees, sshd };
    let said = far.trees.once(&far.pulls()).expect(0);
    assert!(!said.stderr.contains("Authorised"), "{}", said.stderr);
    assert_eq!(far.trees.in_live(), ["a=1"]);
    far.trees.write(&["source/b=1"]);
    far.trees.once(&far.pushes()).expect(0);
    assert_eq!(far.trees.in_live(), ["a=1", "b=1"]);
}

#[test]
fn a_shell_that_says_something_as_an_error_is_no_failure() {
    let trees = Trees::new();
    trees.write(&["source/a=1"]);
    let said = "ForceCommand echo hello >&2; exec sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let sshd = Sshd::with(said);
    let far = Far { trees, sshd };
    far.trees.once(&far.pulls()).expect(0);
    far.trees.write(&["source/b=1"]);
    far.trees.once(&far.pushes()).expect(0);
    assert_eq!(far.trees.in_live(), ["a=1", "b=1"]);
}
