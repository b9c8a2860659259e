//! A snapshot's manifest: what it is of, what it consists of, and what was changed on the way. It is written last: a
//! folder without one is no snapshot.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::layout::{MAC, MANIFEST, Name, WRITER, is_pooled, pooled_by};
use crate::config::job::StoreKind;
use crate::error::{Error, Kind, Result};
use crate::policy::Environment;
use crate::store::{Checksum, Fate, Masking, Part};

/// The newest format that this envsyncd reads. It writes it where files lie in the job's pool.
pub const VERSION: u32 = 2;

/// The format of a snapshot all of whose files lie in its folder, and of the small files beside a manifest.
pub const SELF_CONTAINED: u32 = 1;

/// Bytes of a manifest. One of a terabyte, as stored, has some 20 MB; what is parsed takes several times as much memory.
pub const LONGEST: usize = 64 * 1024 * 1024;

/// No snapshot has more rows, nor more bytes.
const MOST: u64 = 1 << 53;

/// What is in `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's version.
    pub version: u32,
    /// The snapshot's name, which is its folder's: one that was put under another name is found out.
    pub snapshot: String,
    /// The job that made it.
    pub job: String,
    /// The run that made it, a UUID.
    pub run: String,
    /// The machine that made it.
    pub host: String,
    /// The envsyncd that made it.
    pub tool_version: String,
    /// The environment that the data is of.
    pub origin: String,
    /// The store.
    #[serde(deserialize_with = "crate::store::registry::read_kind")]
    pub kind: StoreKind,
    /// The server's version as it prints it.
    pub server_version: String,
    /// The server's major version.
    pub server_major: u32,
    /// The point in time that the data is of, or a little before it. UTC.
    pub taken_at: DateTime<Utc>,
    /// When it was complete. UTC.
    pub finished_at: DateTime<Utc>,
    /// The files' compression: `zstd`.
    pub compression: String,
    /// What the files are encrypted with: `age`, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// What is not as it was on the source: tables left out, or without their rows.
    pub changes: Vec<Change>,
    /// What was masked on its way here, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masking: Option<Masking>,
    /// What a pull needs beside rows, as files: definitions for us and SQL for people.
    pub definitions: Vec<File>,
    /// The rows.
    pub parts: Vec<Stored>,
}

/// Something that is not as it was on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The table.
    pub name: String,
    /// What became of it.
    pub fate: Fate,
}

/// A part as it lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The part as the source's survey had it; its rows and bytes are estimates.
    pub part: Part,
    /// How many rows there are.
    pub rows: u64,
    /// How many bytes they are in files, before compression.
    pub bytes: u64,
    /// The files, to be read one after the other.
    pub files: Vec<File>,
    /// The source's own checksum of the whole table, if the push verified by checksums; of a table in slices, at the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// What is in the files, as a digest ([`super::pool`]), where later snapshots of the job may share them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What was known of the part before it was read, as a digest of the same kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likeness: Option<String>,
}

/// One object in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path in the snapshot's folder; of one in the job's pool, in the archive.
    pub path: String,
    /// Whether it lies in the job's pool, where several snapshots may share it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pool: bool,
    /// Its length in bytes, as stored.
    pub size: u64,
    /// The length of a block.
    pub block: u64,
    /// BLAKE3 of each block of it as stored, in hexadecimal: so a block is known to be good before it is used.
    #[serde(deserialize_with = "hashes")]
    pub blocks: Vec<String>,
}

impl Manifest {
    /// Reads one. What is newer than we are is refused by its version before anything else is looked at.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let broken = |error: serde_json::Error| {
            Error::new(Kind::Verify, "the manifest is damaged").because(error)
        };
        if let Some(version) = Self::version_of(json).filter(|version| *version > VERSION) {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "the snapshot's format is {version}, and this envsyncd reads up to {VERSION}"
                ),
            )
            .hint(
                "upgrade envsyncd on this host, at least to the version that made the snapshot",
            ));
        }
        let manifest: Self = serde_json::from_slice(json).map_err(broken)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The version that a manifest says it has; `None` if it says none.
    pub fn version_of(json: &[u8]) -> Option<u32> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_slice(json).ok()?;
        Some(head.version)
    }

    /// Whether it makes sense: what reads the files relies on this, and on no path that leads elsewhere.
    fn check(&self) -> Result<()> {
        let broken = |what: String| {
            Err(Error::new(
                Kind::Verify,
                format!("the manifest is damaged: {what}"),
            ))
        };
        match Name::parse(&self.snapshot) {
            Some(name) if name.job == self.job => {}
            Some(_) => return broken("the snapshot's name and its job differ".to_owned()),
            None => return broken("it has no snapshot's name".to_owned()),
        }
        let mut paths = HashSet::new();
        let mut sum: u64 = 0;
        for file in self.files() {
            let path = &file.path;
            let is_right = if file.pool {
                self.version > SELF_CONTAINED && is_pooled(path, &self.job)
            } else {
                is_inside(path)
            };
            if !is_right {
                return broken(format!("{path:?} is not the path of a file in a snapshot"));
            }
            if !paths.insert((file.pool, path)) {
                return broken(format!("it has {path} twice"));
            }
            let blocks = if file.block == 0 {
                return broken(format!("the blocks of {path} have no length"));
            } else {
                file.size.div_ceil(file.block)
            };
            if file.blocks.len() as u64 != blocks {
                return broken(format!("{path} has not as many blocks as its size says"));
            }
            match sum.checked_add(file.size) {
                Some(more) => sum = more,
                None => return broken("its files are larger than anything".to_owned()),
            }
        }
        // What copies them adds these up, and multiplies the sums by the number of workers.
        let sums: [fn(&Stored) -> u64; 4] = [
            |stored| stored.rows,
            |stored| stored.bytes,
            |stored| stored.part.rows,
            |stored| stored.part.bytes,
        ];
        for sum in sums {
            let sum = self.parts.iter().map(sum).fold(0, u64::saturating_add);
            if sum > MOST {
                return broken("its rows are more than anything".to_owned());
            }
        }
        let mut ids = HashSet::new();
        if let Some(twice) = self.parts.iter().find(|one| !ids.insert(one.part.id)) {
            return broken(format!("it has part {} twice", twice.part.id));
        }
        Ok(())
    }

    /// As it is written. One that nobody would read is `Kind::Full`.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec_pretty(self).map_err(|error| {
            Error::new(Kind::Internal, "the manifest cannot be written").because(error)
        })?;
        if json.len() <= LONGEST {
            return Ok(json);
        }
        let what = format!(
            "the snapshot's manifest would have {} bytes, and {LONGEST} is the limit",
            json.len()
        );
        Err(Error::new(Kind::Full, what)
            .hint("exclude what nobody needs, or push the tables by several jobs with `exclude`"))
    }

    /// The environment that the data is of.
    pub fn origin(&self) -> Environment {
        Environment::new(self.origin.clone())
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Bytes that its own push has stored, without the manifest itself: the others are older snapshots', too.
    pub fn own_size(&self) -> u64 {
        let id = Name::parse(&self.snapshot).map(|name| name.id);
        let is_own = |file: &&File| !file.pool || pooled_by(&file.path) == id.as_deref();
        self.files().filter(is_own).map(|file| file.size).sum()
    }

    /// All bytes as stored, without the manifest itself.
    pub fn size(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.definitions
            .iter()
            .chain(self.parts.iter().flat_map(|part| &part.files))
    }
}

impl File {
    /// Its path in the archive, of a snapshot in this folder.
    pub fn place(&self, folder: &str) -> String {
        if self.pool {
            self.path.clone()
        } else {
            format!("{folder}/{}", self.path)
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(value: &bool) -> bool {
    !value
}

/// Whether a path leads to a file in a snapshot, other than those that are not the manifest's to name.
fn is_inside(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fine = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(plain)
    };
    path.split('/').all(fine) && ![MANIFEST, MAC, WRITER].contains(&path)
}

/// Looks at each hash as it is read: a list of millions of empty ones never gets into memory.
fn hashes<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    struct Hashes;
    impl<'de> Visitor<'de> for Hashes {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("hashes of blocks, each of 64 hexadecimal digits")
        }

        fn visit_seq<A: SeqAccess<'de>>(
            self,
            mut all: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            let mut hashes = Vec::new();
            while let Some(hash) = all.next_element::<String>()? {
                if !is_hash(&hash) {
                    return Err(A::Error::custom("a block has no hash"));
                }
                hashes.push(hash);
            }
            Ok(hashes)
        }
    }
    from.deserialize_seq(Hashes)
}

/// BLAKE3 in hexadecimal, as we write it.
fn is_hash(text: &str) -> bool {
    text.len() == 2 * blake3::OUT_LEN
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn valid() -> Value {
        let hash = blake3::hash(b"12345").to_hex();
        json!({
            "version": 1, "snapshot": "20260102T030405Z-accounts-0123456789ab", "job": "accounts",
            "run": "0199d3a4-7c21-7000-8000-0123456789ab", "host": "db1", "tool_version": "0.1.0",
            "origin": "production", "kind": "postgresql", "server_version": "15.4", "server_major": 15,
            "taken_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:05:05Z",
            "compression": "zstd", "changes": [{"name": "public.cache", "fate": "exclude"}],
            "definitions": [
                {"path": "definitions/survey.json.zst", "size": 5, "block": 4, "blocks": [hash.as_str(), hash.as_str()]},
                {"path": "definitions/empty.sql.zst", "size": 0, "block": 4, "blocks": []},
            ],
            "parts": [],
        })
    }

    fn parse(value: &Value) -> Result<Manifest> {
        Manifest::parse(value.to_string().as_bytes())
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let manifest = parse(&valid()).unwrap();
        assert_eq!((manifest.size(), manifest.rows()), (5, 0));
        let again = Manifest::parse(&manifest.to_json().unwrap()).unwrap();
        assert_eq!(again, manifest);
    }

    #[test]
    fn what_is_newer_is_refused_by_its_version_whatever_else_it_has() {
        let error = Manifest::parse(br#"{"version": 3, "snapshot": 7}"#).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("format is 3") && text.contains("upgrade"),
            "{text}"
        );
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_no_files() {
        for path in [
            "../other/rows",
            "/etc/passwd",
            "rows/../../x",
            "rows//x",
            "rows/",
            "",
            ".",
            "rows/a b",
            "rows\\x",
            "rows/\u{0}",
            "manifest.json",
            "manifest.mac",
            "writer.json",
        ] {
            let mut value = valid();
            value["definitions"][0]["path"] = json!(path);
            let error = parse(&value).unwrap_err();
            assert!(error.to_string().contains("damaged"), "{path}: {error}");
        }
    }

    #[test]
    fn a_file_in_the_pool_lies_in_that_of_the_job_and_nowhere_else() {
        let pooled = |version: u32, path: &str| {
            let mut value = valid();
            value["version"] = json!(version);
            value["definitions"][0]["path"] = json!(path);
            value["definitions"][0]["pool"] = json!(true);
            parse(&value)
        };
        let good = "pool/accounts/0123456789ac/000001-files.0000.tar.zst";
        let manifest = pooled(2, good).unwrap();
        assert_eq!(manifest.definitions[0].place("x"), good);
        assert_eq!(
            manifest.definitions[1].place("x").split('/').next(),
            Some("x")
        );
        assert_eq!((manifest.size(), manifest.own_size()), (5, 0));
        let again = Manifest::parse(&manifest.to_json().unwrap()).unwrap();
        assert_eq!(again, manifest);
        assert!(pooled(1, good).is_err());
        for path in [
            "pool/search/0123456789ac/000001-files.0000.tar.zst",
            "pool/accounts/../000001-files.0000.tar.zst",
            "pool/accounts/0123456789ac/../../x.zst",
            "pool/accounts/0123456789ac/.zst",
            "pool/accounts/0123456789ac/x",
            "pool/accounts/0123456789AC/x.zst",
            "pool/accounts/0123456789ac",
            "20260102T030405Z-accounts-0123456789ab/rows/x.zst",
            "../pool/accounts/0123456789ac/x.zst",
            "/pool/accounts/0123456789ac/x.zst",
            "definitions/x.zst",
        ] {
            assert!(pooled(2, path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_damaged() {
        let change = |change: &dyn Fn(&mut Value)| {
            let mut value = valid();
            change(&mut value);
            let error = parse(&value).unwrap_err();
            assert_eq!(error.kind(), Kind::Verify);
            assert!(error.to_string().contains("damaged"), "{error}");
        };
        change(&|value| value["definitions"][0]["size"] = json!(9));
        change(&|value| value["definitions"][0]["block"] = json!(0));
        change(&|value| value["definitions"][0]["blocks"][1] = json!("../../x"));
        change(&|value| value["definitions"][1]["path"] = value["definitions"][0]["path"].clone());
        change(&|value| value["job"] = json!("search"));
        change(&|value| value["snapshot"] = json!("../accounts"));
        change(&|value| value["definitions"] = json!(null));
        let part = |id: usize, bytes: u64| {
            let part = json!({"id": id, "schema": null, "name": "t", "columns": [], "encoding": "rows",
                "rows": 0, "bytes": 0, "slice": null});
            json!({"part": part, "rows": 0, "bytes": bytes, "files": []})
        };
        let mut good = valid();
        good["parts"] = json!([part(0, 1), part(1, MOST - 1)]);
        parse(&good).unwrap();
        change(&|value| value["parts"] = json!([part(0, 1), part(0, 1)]));
        change(&|value| value["parts"] = json!([part(0, 2), part(1, MOST - 1)]));
        change(&|value| value["parts"] = json!([part(0, 2), part(1, u64::MAX - 1)]));
        change(&|value| drop(value.as_object_mut().unwrap().remove("version")));
    }
}
