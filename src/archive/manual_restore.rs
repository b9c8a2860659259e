//! For people who have a snapshot and no envsyncd: a shell script that loads the rows with `zstd` and the store's own client.

use super::manifest::{File, Stored};
use crate::store::ManualClient;

/// The script's name among the definitions: between what comes before rows and what comes after.
pub(super) const NAME: &str = "2-rows.sh";

/// The script for these parts; each with the statement that loads it from standard input, or an empty one if its files
/// are statements themselves. Encrypted files need `age`, and the identity's file in the variable `IDENTITY`, which is asked for at once.
pub(super) fn script(client: ManualClient, parts: &[(Stored, String)], encrypted: bool) -> String {
    let unpack = if encrypted {
        "age -d -i \"$IDENTITY\" \"$file\" | zstd -dcq"
    } else {
        "zstd -dcq \"$file\""
    };
    let mut text = format!(
        "#!/usr/bin/env bash\n\
         # Loads this snapshot's rows, after scripts with a smaller number (if there are any) and before those with a larger one.\n\
         # Run it in the snapshot's folder, with the client's own options for the target as arguments:\n\
         #     {}bash 2-rows.sh {}\n\
         set -euo pipefail\n\
         {}\
         unpacked() {{ for file in \"$@\"; do {unpack}; done; }}\n",
        if encrypted {
            "IDENTITY=FILE-OF-THE-AGE-IDENTITY "
        } else {
            ""
        },
        client.database,
        if encrypted {
            ": \"${IDENTITY:?is not set: it has to be the name of the file with the age identity that reads this snapshot}\"\n"
        } else {
            ""
        },
    );
    text.push_str(client.before);
    for (stored, statement) in parts {
        // From the snapshot's folder.
        let place = |file: &File| {
            if file.pool {
                format!("../{}", file.path)
            } else {
                file.path.clone()
            }
        };
        let files: Vec<String> = stored.files.iter().map(place).collect();
        let files = files.join(" ");
        text.push_str(&format!("unpacked {files} | {} \"$@\"", client.command));
        if !statement.is_empty() {
            text.push_str(&format!(" {} {}", client.statement, quoted(statement)));
        }
        text.push('\n');
    }
    text
}

/// As one word of a POSIX shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
