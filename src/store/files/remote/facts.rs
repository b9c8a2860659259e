//! What a far machine says of itself and of a place on it, before anything is done there.

use rustix::fs::{major, minor};

use super::connection::Connection;
use super::failure;
use super::send::OPTIONS as UNPACKING;
use super::tar::OPTIONS as PACKING;
use super::url::SshUrl;
use crate::config::job::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::process::Process;
use crate::store::Context;
use crate::store::files::connection::stat::Moment;
use crate::store::files::connection::told::told;

/// Says what there is, each as `KEY VALUE` with a NUL behind it. Its arguments: the tree, the directory that it is in, its
/// name, and how tar is called to pack and to unpack.
const SCRIPT: &str = r#"
LC_ALL=C; export LC_ALL; unset TAR_OPTIONS
say() { printf '%s %s\0' "$1" "$2"; }
say now "$(date +%s)"
say user "$(id -u)"
boot=; { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
say boot "$boot"
case "$(find --version 2>/dev/null)" in *GNU*) say find gnu;; esac
say rsync "$(rsync --version 2>/dev/null)"
[ -z "$( (cd / && printf '.\0' | tar $4) 2>&1 >/dev/null)" ] && say tar gnu
[ -z "$( (cd / && set -f && head -c 10240 /dev/zero | tar $5) 2>&1)" ] && say untar gnu
command -v flock >/dev/null 2>&1 && say flock yes
there=no
if cd -P -- "$1" 2>/dev/null; then
  there=yes; say real "$PWD"
elif [ -L "$1" ]; then say kind link
elif [ -d "$1" ]; then say kind closed
elif [ -e "$1" ]; then say kind file
else say kind nothing; fi
if [ $there = yes ]; then
  name=${PWD##*/}
  say id "$(stat -c '%d %i' .)"; [ "$PWD" = / ] || cd ..
else
  name=$3; cd -P -- "$2" 2>/dev/null || exit 0
fi
say above "$PWD"; say name "$name"; [ -w . ] && say may write
say room "$(stat -f -c '%a %S' .)"
if [ -L "$name.envsyncd" ]; then say folder link
elif [ -e "$name.envsyncd" ]; then
  say folder "$(stat -c '%u %a %F' "./$name.envsyncd")"
  say inside "$(ls -A "./$name.envsyncd" 2>/dev/null | head -n 1)"
  say mark "$(head -c 4096 "./$name.envsyncd/mark.json" 2>/dev/null)"
  for tree in "./$name.envsyncd"/*/; do
    [ -d "$tree" ] && say beside "$(stat -c '%d %i' "$tree")"
  done
fi
above=$PWD; up=.; set -- .
while [ -n "${above#/}" ]; do above=${above%/*}; up=$up/..; set -- "$@" "$up"; done
say chain "$(stat -c '%d %i' "$@")"
say end yes
"#;

/// No rsync older than this knows all options that are used.
const OLDEST: (u32, u32) = (3, 1);

/// Device and inode.
pub(super) type Id = (u64, u64);

/// What an rsync is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Rsync {
    /// Its version.
    pub(super) version: (u32, u32),
    /// It keeps ACLs.
    pub(super) acls: bool,
    /// It keeps extended attributes.
    pub(super) attributes: bool,
}

impl Rsync {
    /// The same, which keeps neither.
    pub(super) fn without_attributes(&self) -> Self {
        Self {
            acls: false,
            attributes: false,
            ..self.clone()
        }
    }
}

/// The folder beside a tree, as far as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Beside {
    /// It is a directory.
    Directory(Folder),
    /// It is something else.
    Other,
}

/// A directory beside a tree.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    /// Whose it is.
    pub(super) user: u32,
    /// Its permissions.
    pub(super) mode: u32,
    /// Whether there is nothing in it.
    pub(super) is_empty: bool,
    /// What stands in its mark.
    pub(super) mark: Vec<u8>,
    /// The directories in it.
    pub(super) trees: Vec<Id>,
}

/// What there is.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    /// The machine's clock.
    pub(super) now: Option<Moment>,
    /// Who we are there.
    pub(super) user: Option<u32>,
    boot: String,
    /// Whether its find is GNU's.
    has_find: bool,
    /// Its rsync.
    pub(super) rsync: Option<Rsync>,
    /// Whether its tar takes our options, without a word.
    pub(super) has_tar: bool,
    /// The same of those with which it unpacks.
    pub(super) has_untar: bool,
    /// Whether it has flock.
    pub(super) has_flock: bool,
    /// The tree's path without links, if it is a directory that we may enter.
    pub(super) real: Option<Vec<u8>>,
    /// What is in the tree's place, where that is no such directory.
    kind: String,
    /// The tree itself.
    pub(super) id: Option<Id>,
    /// The path of the directory that it is in.
    pub(super) above: Option<Vec<u8>>,
    /// Its name there.
    pub(super) name: Vec<u8>,
    /// Whether we may write to that directory.
    pub(super) may_write: bool,
    /// Bytes that are free there.
    pub(super) room: Option<u64>,
    /// The folder beside it.
    pub(super) folder: Option<Beside>,
    /// The directory that it is in, and all above.
    pub(super) chain: Vec<Id>,
    is_whole: bool,
}

impl Facts {
    /// Connects, and asks on the way in: a command of its own would take as long as a file takes. `side` is what an error calls
    /// the endpoint.
    pub(super) async fn connect(
        url: &SshUrl,
        endpoint: &Endpoint,
        side: &str,
        context: &Context,
    ) -> Result<(Connection, Self)> {
        let (name, above) = url.split();
        let asked = (
            SCRIPT,
            &[
                &*url.path,
                above,
                name,
                PACKING.as_bytes(),
                UNPACKING.as_bytes(),
            ][..],
        );
        let (connection, said) = Connection::open(url, endpoint, side, asked, context).await?;
        let facts = Self::read(&said);
        if facts.user.is_none() || (facts.above.is_some() && !facts.is_whole) {
            let what = format!("{} did not say what it has", connection.machine());
            return Err(Error::new(Kind::Config, what)
                .hint("envsyncd needs sh, stat, head and GNU find on the other machine, and a login that may run commands"));
        }
        Ok((connection, facts))
    }

    pub(super) fn read(said: &[u8]) -> Self {
        let mut facts = Self::default();
        for field in said.split(|byte| *byte == 0) {
            let at = field.iter().position(|byte| *byte == b' ');
            let Some((key, value)) = at.map(|at| (&field[..at], &field[at + 1..])) else {
                continue;
            };
            let text = String::from_utf8_lossy(value);
            match key {
                b"now" => facts.now = text.trim().parse().ok().map(|seconds| (seconds, 0)),
                b"user" => facts.user = text.parse().ok(),
                b"boot" => text.trim().clone_into(&mut facts.boot),
                b"find" => facts.has_find = true,
                b"rsync" => facts.rsync = rsync(&text),
                b"tar" => facts.has_tar = true,
                b"untar" => facts.has_untar = true,
                b"flock" => facts.has_flock = true,
                b"real" => facts.real = Some(value.to_vec()),
                b"kind" => facts.kind = text.into_owned(),
                b"id" => facts.id = read_id(&text),
                b"above" => facts.above = Some(value.to_vec()),
                b"name" => facts.name = value.to_vec(),
                b"may" => facts.may_write = true,
                b"room" => {
                    facts.room = two(&text).map(|(blocks, size)| blocks.saturating_mul(size));
                }
                b"folder" => facts.folder = Some(beside(&text)),
                b"inside" | b"mark" | b"beside" => facts.read_folder(key, value),
                b"chain" => facts.chain.extend(text.lines().filter_map(read_id)),
                b"end" => facts.is_whole = true,
                _ => {}
            }
        }
        facts
    }

    fn read_folder(&mut self, key: &[u8], value: &[u8]) {
        if let Some(Beside::Directory(folder)) = &mut self.folder {
            match key {
                b"inside" => folder.is_empty = value.is_empty(),
                b"mark" => value.clone_into(&mut folder.mark),
                _ => folder
                    .trees
                    .extend(read_id(&String::from_utf8_lossy(value))),
            }
        }
    }

    /// The machine's clock when it was asked.
    pub(super) fn clock(&self, machine: &str) -> Result<Moment> {
        let what = || format!("{machine} does not say what time it is");
        (self.now).ok_or_else(|| Error::new(Kind::Config, what()))
    }

    /// Refuses a machine without what is needed there.
    pub(super) fn check_programs(&self, machine: &str) -> Result<&Rsync> {
        if !self.has_find {
            let what = format!("there is no GNU find on {machine}");
            return Err(Error::new(Kind::Config, what)
                .hint("install findutils there: the tree is listed by it"));
        }
        let known = self.rsync.as_ref().filter(|found| found.version >= OLDEST);
        known.ok_or_else(|| failure::no_rsync(machine))
    }

    /// Refuses what is no directory that can be read.
    pub(super) fn check_directory(&self, url: &SshUrl, side: &str) -> Result<()> {
        if self.real.is_some() {
            return Ok(());
        }
        let (kind, what) = match &*self.kind {
            "file" => (Kind::Config, "is no directory"),
            "link" => (Kind::Absent, "is a link that leads to no directory"),
            "closed" => (Kind::Permission, "may not be entered"),
            _ => (Kind::Absent, "is not there"),
        };
        Err(Error::new(kind, format!("the {side} {url} {what}"))
            .hint("check the URL's path, and who logs in"))
    }

    /// Whether there is nothing in the tree's place.
    pub(super) fn is_missing(&self) -> bool {
        self.kind == "nothing"
    }

    /// Whether the machine is this one, under whatever name: then devices and inodes are this kernel's.
    pub(super) fn is_here(&self) -> bool {
        !self.boot.is_empty() && self.boot == Process::own().boot
    }

    /// How policy tells this machine's devices from another's.
    fn machine(&self, url: &SshUrl) -> String {
        if self.is_here() {
            String::new()
        } else if self.boot.is_empty() {
            format!("{} ", url.machine())
        } else {
            format!("{} ", self.boot)
        }
    }

    /// The trees in the folder beside it, as policy knows them.
    pub(super) fn beside(&self, url: &SshUrl) -> Vec<Identity> {
        let Some(Beside::Directory(folder)) = &self.folder else {
            return Vec::new();
        };
        let machine = self.machine(url);
        let trees = folder.trees.iter().map(|(device, inode)| {
            let thing = format!("files {machine}{device}/{inode}");
            Identity {
                place: thing.clone(),
                thing: Some(thing),
            }
        });
        trees.collect()
    }

    /// The tree, as policy knows it: on this machine as a directory is known here.
    pub(super) fn identity(&self, url: &SshUrl) -> Identity {
        let machine = self.machine(url);
        let name = told(&self.name);
        let place = match self.chain.first() {
            Some((device, inode)) => format!("files {machine}{device}/{inode}/{name}"),
            None => format!("files {url}"),
        };
        Identity {
            thing: (self.id).map(|(device, inode)| format!("files {machine}{device}/{inode}")),
            place,
        }
    }

    /// Whether this tree lies in the other, or around it.
    pub(super) fn is_nested_with(&self, own: &[Id]) -> bool {
        if !self.is_here() {
            return false;
        }
        let is_in = own.first().is_some_and(|root| self.chain.contains(root));
        let is_around = self.id.is_some_and(|id| own.contains(&id));
        is_in || is_around
    }
}

/// Device and inode as this kernel has them.
pub(super) fn id(device: u64, inode: u64) -> Id {
    (
        u64::from(major(device)) << 32 | u64::from(minor(device)),
        inode,
    )
}

fn read_id(text: &str) -> Option<Id> {
    two(text).map(|(device, inode)| id(device, inode))
}

fn two(text: &str) -> Option<(u64, u64)> {
    let (one, other) = text.trim().split_once(' ')?;
    Some((one.parse().ok()?, other.parse().ok()?))
}

fn beside(text: &str) -> Beside {
    let mut words = text.splitn(3, ' ');
    let user = words.next().and_then(|word| word.parse().ok());
    let mode = words
        .next()
        .and_then(|word| u32::from_str_radix(word, 8).ok());
    match (user, mode, words.next()) {
        (Some(user), Some(mode), Some("directory")) => Beside::Directory(Folder {
            user,
            mode,
            ..Folder::default()
        }),
        _ => Beside::Other,
    }
}

/// What `rsync --version` says.
pub(super) fn rsync(text: &str) -> Option<Rsync> {
    let rest = text.trim_start().strip_prefix("rsync")?.trim_start();
    let version = rest.strip_prefix("version")?.split_whitespace().next()?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut number = || numbers.next()?.parse().ok();
    let has = |name: &str| text.contains(name) && !text.contains(&format!("no {name}"));
    Some(Rsync {
        version: (number()?, number()?),
        acls: has("ACLs"),
        attributes: has("xattrs"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rsync_is_known_by_what_it_says() {
        let text = "rsync  version 3.2.7  protocol version 31\nCapabilities:\n    hardlinks, no ACLs, xattrs, optional";
        let expected = Rsync {
            version: (3, 2),
            acls: false,
            attributes: true,
        };
        assert_eq!(rsync(text), Some(expected));
        for none in [
            "",
            "openrsync: protocol version 29",
            "rsync: not found",
            "rsync  version x",
        ] {
            assert_eq!(rsync(none), None, "{none}");
        }
    }

    #[test]
    fn facts_are_read_whatever_a_name_has_in_it() {
        let said = b"user 5\0boot b\0real /a\nb\0id 66 7\0above /\0name a\nb\0folder 5 700 directory\0mark {}\0chain 66 2\n66 1\0end yes\0";
        let facts = Facts::read(said);
        assert_eq!(facts.user, Some(5));
        assert_eq!(facts.real.as_deref(), Some(&b"/a\nb"[..]));
        let Some(Beside::Directory(folder)) = &facts.folder else {
            panic!("{facts:?}");
        };
        assert_eq!((folder.user, folder.mode), (5, 0o700));
        assert_eq!(folder.mark, b"{}");
        assert_eq!(facts.chain, [id(66, 2), id(66, 1)]);
        assert!(facts.is_whole && !facts.is_here());
        let url = super::super::url::read("//h/a").unwrap().url;
        assert!(facts.check_programs("h").is_err());
        assert!(facts.identity(&url).thing.is_some());
    }
}
