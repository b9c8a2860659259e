//! Names in an archive. A snapshot is a folder (see [`Name`]), and `manifest.json` in it is written last.

pub use crate::config::archive::Name;

/// What makes a folder a snapshot.
pub const MANIFEST: &str = "manifest.json";

/// The manifest's authentication, where there is a key; written just before the manifest.
pub const MAC: &str = "manifest.mac";

/// The file that says who is writing the snapshot; it is written first.
pub const WRITER: &str = "writer.json";

/// The folder of marks: who is reading a snapshot.
pub const READING: &str = "reading";

/// The definitions as a pull reads them.
pub const DEFINITIONS: &str = "envsyncd.json";

/// Everything that has a definition, as the source printed it: what a pull is held against.
pub const CATALOGUE: &str = "catalogue.json";

/// The shapes of tables, for masks of a pull.
pub const SHAPES: &str = "shapes.json";

/// The folder of what several snapshots of a job share: `pool/JOB/ID/FILE`, where the id is that of the run that wrote it.
pub const POOL: &str = "pool";

/// A job's pool.
pub fn pool(job: &str) -> String {
    format!("{POOL}/{job}")
}

/// What a run has written into its job's pool.
pub fn pool_of(job: &str, id: &str) -> String {
    format!("{POOL}/{job}/{id}")
}

/// Whether this is the path of a file in a job's pool.
pub fn is_pooled(path: &str, job: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let file = path
        .strip_prefix(POOL)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.strip_prefix(job))
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.split_once('/'));
    file.is_some_and(|(id, file)| {
        let name = file.strip_suffix(".age").unwrap_or(file);
        let name = name.strip_suffix(".zst").unwrap_or_default();
        is_id(id) && name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(plain)
    })
}

/// The id of the run that wrote a file in a pool.
pub fn pooled_by(path: &str) -> Option<&str> {
    path.split('/').nth(2).filter(|id| is_id(id))
}

fn is_id(text: &str) -> bool {
    text.len() == 12
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A file for a part's rows: its number, then what of its name every file system and shell can do with, then the ending.
pub fn rows(number: usize, label: &str, sequence: usize, ending: &str) -> String {
    format!("rows/{}", part(number, label, sequence, ending))
}

/// The name of a file for a part's rows.
pub fn part(number: usize, label: &str, sequence: usize, ending: &str) -> String {
    let plain: String = label
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .take(100)
        .collect();
    format!("{number:06}-{plain}.{sequence:04}.{ending}")
}

/// A file for definitions.
pub fn definitions(name: &str, sequence: usize, ending: &str) -> String {
    format!("definitions/{name}.{sequence:04}.{ending}")
}

/// Whether a path in a snapshot's folder is that of one of its own files. Whatever else lies there is somebody else's.
pub fn is_own(path: &str) -> bool {
    match path.split_once('/') {
        None => [MANIFEST, MAC, WRITER].contains(&path),
        Some(("rows" | "definitions", name)) => {
            !name.contains('/')
                && name
                    .strip_suffix(".age")
                    .unwrap_or(name)
                    .strip_suffix(".zst")
                    .is_some()
        }
        Some(_) => false,
    }
}

/// The mark of somebody who reads a snapshot.
pub fn mark(snapshot: &str, id: &str) -> String {
    format!("{READING}/{snapshot}.{id}.json")
}

/// The snapshot that a mark is about; what else lies there is none.
pub fn marked(path: &str) -> Option<Name> {
    let mark = path.strip_prefix(READING)?.strip_prefix('/')?;
    let (name, _) = mark.strip_suffix(".json")?.rsplit_once('.')?;
    Name::parse(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_which_snapshot_it_is_about() {
        let name = "20260102T030405Z-my-job.x-0123456789ab";
        let path = mark(name, "ba9876543210");
        assert_eq!(marked(&path).unwrap().to_string(), name);
        for other in ["reading/x.json", "reading", "readings/x", "rows/x.y.json"] {
            assert_eq!(marked(other), None, "{other}");
        }
    }

    #[test]
    fn all_that_a_snapshot_consists_of_is_its_own_and_nothing_else() {
        for own in [
            MANIFEST,
            MAC,
            WRITER,
            &rows(7, "public.users", 0, "copy.zst"),
            &rows(7, "..", 0, "tsv.zst.age"),
            &definitions("1-before-rows.sql", 0, "zst"),
            &definitions(CATALOGUE, 3, "zst.age"),
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "app.db",
            "README",
            "rows",
            "rows/app.db",
            "rows/more/000001-t.0000.sql.zst",
            "notes/000001-t.0000.sql.zst",
            "definitions/x.age",
            "manifest.json/x.zst",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn what_is_in_a_pool_is_known_by_its_path_and_so_is_the_run_that_wrote_it() {
        let name = part(7, "files", 0, "tar.zst.age");
        let path = format!("{}/{name}", pool_of("my-job.x", "0123456789ab"));
        assert!(is_pooled(&path, "my-job.x") && !is_pooled(&path, "my-job"));
        assert!(path.starts_with(&format!("{}/", pool("my-job.x"))));
        assert_eq!(pooled_by(&path), Some("0123456789ab"));
        assert_eq!(pooled_by("pool/x/y/z"), None);
    }

    #[test]
    fn a_file_for_rows_has_no_character_that_leads_elsewhere() {
        assert_eq!(
            rows(7, "public.od/d \"näme\"", 2, "copy.zst"),
            "rows/000007-public.od_d__n_me_.0002.copy.zst"
        );
        assert_eq!(rows(1, "..", 0, "tsv"), "rows/000001-...0000.tsv");
    }
}
