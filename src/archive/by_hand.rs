//! For people who have a snapshot and no envsyncd: a shell script that loads the rows with `zstd` and the store's own client.

use super::manifest::Stored;
use crate::config::job::StoreKind;

/// The script's name among the definitions: between what comes before rows and what comes after.
pub(super) const NAME: &str = "2-rows.sh";

/// The script for these parts; each with the statement that loads it from standard input, or an empty one if its files
/// are statements themselves. Encrypted files need `age`, and the identity's file in the variable `IDENTITY`, which is asked for at once.
pub(super) fn script(kind: StoreKind, parts: &[(Stored, String)], encrypted: bool) -> String {
    let (client, how) = match kind.as_str() {
        "postgresql" => ("psql -X -q -v ON_ERROR_STOP=1", "-c"),
        "mysql" => ("${CLIENT:-mariadb} --local-infile=1", "-e"),
        _ => ("sqlite3 -bail", ""),
    };
    let unpack = if encrypted {
        "age -d -i \"$IDENTITY\" \"$file\" | zstd -dcq"
    } else {
        "zstd -dcq \"$file\""
    };
    let mut text = format!(
        "#!/usr/bin/env bash\n\
         # Loads this snapshot's rows, after 1-before-rows.sql and before what follows it. Run it in the snapshot's folder, with the\n\
         # client's own options for the database as arguments:\n\
         #     {}bash 2-rows.sh {}\n\
         set -euo pipefail\n\
         {}\
         unpacked() {{ for file in \"$@\"; do {unpack}; done; }}\n",
        if encrypted {
            "IDENTITY=FILE-OF-THE-AGE-IDENTITY "
        } else {
            ""
        },
        match kind.as_str() {
            "postgresql" => "-h HOST -U USER -d DATABASE",
            "mysql" => "-h HOST -u USER DATABASE",
            _ => "FILE.db",
        },
        if encrypted {
            ": \"${IDENTITY:?is not set: it has to be the name of the file with the age identity that reads this snapshot}\"\n"
        } else {
            ""
        },
    );
    if kind.as_str() == "postgresql" {
        // Names in the statements are in UTF-8, whatever the database is; rows say their own encoding.
        text.push_str("export PGCLIENTENCODING=UTF8\n");
    }
    for (stored, statement) in parts {
        let files: Vec<&str> = stored.files.iter().map(|file| file.path.as_str()).collect();
        let files = files.join(" ");
        text.push_str(&format!("unpacked {files} | {client} \"$@\""));
        if !statement.is_empty() {
            text.push_str(&format!(" {how} {}", quoted(statement)));
        }
        text.push('\n');
    }
    text
}

/// As one word of a POSIX shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
