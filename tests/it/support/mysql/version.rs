//! The servers that there are to test against, and what a fresh one of each starts from.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::super::postgres::{Must, tools};
use super::super::programs::readable;
use super::PASSWORD;
use super::place::Place;

/// What a target's user needs, and no more: neither `SUPER` nor any other right over the whole server.
pub(super) const OWNER: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, \
    LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER";

/// What a source's user needs for one point in time over several connections.
pub(super) const READER: &str = "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, RELOAD";

/// Who made a server, and when.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The system's MariaDB.
    #[default]
    System,
    /// A newer MariaDB: see `script/mysql-tools`.
    Newer,
    /// Oracle's MySQL: likewise.
    Oracle,
}

/// Small and quick, and deaf to the machine's own option files. What a server is made with and runs with.
const SETTINGS: &[&str] = &[
    "--no-defaults",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-buffer-size=2M",
    "--table-definition-cache=400",
    "--table-open-cache=400",
    "--max-heap-table-size=16M",
    "--innodb-use-native-aio=0",
    "--key-buffer-size=4M",
    "--max-connections=200",
];

const MARIADB: &[&str] = &[
    "--collation-server=utf8mb4_general_ci",
    "--innodb-log-file-size=32M",
    "--aria-pagecache-buffer-size=8M",
];

const ORACLE: &[&str] = &[
    "--innodb-redo-log-capacity=32M",
    "--mysqlx=OFF",
    "--table-open-cache-instances=1",
    // It is on, as it is at people's, with little to look at.
    "--performance-schema-events-statements-history-long-size=100",
    "--performance-schema-events-stages-history-long-size=100",
    "--performance-schema-events-waits-history-long-size=100",
    "--performance-schema-events-transactions-history-long-size=100",
    "--performance-schema-digests-size=200",
    "--performance-schema-error-size=100",
    "--performance-schema-max-digest-length=256",
    "--max-digest-length=256",
    "--skip-log-bin",
    "--secure-file-priv=",
    "--local-infile=1",
];

impl Version {
    /// The options that all of its servers run with; the first has to be the first.
    pub(super) fn settings(self) -> Vec<String> {
        let own = if self == Self::Oracle {
            ORACLE
        } else {
            MARIADB
        };
        let mut all: Vec<String> = [SETTINGS, own]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        if self != Self::System {
            let programs = self.programs().expect("only the system's have none");
            all.push(format!("--basedir={}/usr", programs.display()));
            all.push(format!(
                "--plugin-dir={}/usr/lib/mysql/plugin",
                programs.display()
            ));
        }
        all
    }

    /// The server's program.
    pub(super) fn program(self) -> PathBuf {
        let name = if self == Self::Oracle {
            "mysqld"
        } else {
            "mariadbd"
        };
        self.programs()
            .map_or_else(|| PathBuf::from(name), |place| place.join("bin").join(name))
    }

    /// Where its programs are, if not where the system has them: a copy that the server's user may read.
    fn programs(self) -> Option<PathBuf> {
        let name = match self {
            Self::System => return None,
            Self::Newer => "mariadb",
            Self::Oracle => "mysql",
        };
        let from = tools(name);
        assert!(
            from.join("bin").exists(),
            "{} is not there: run script/install-test-deps",
            from.display()
        );
        Some(readable(&from))
    }

    /// What a fresh server starts from: made once, since that takes seconds.
    pub(super) fn template(self) -> &'static Place {
        static ALL: [OnceLock<Place>; 3] = [const { OnceLock::new() }; 3];
        ALL[self as usize].get_or_init(|| self.make_template())
    }

    fn make_template(self) -> Place {
        let place = Place::new();
        let programs = self.programs();
        let users = place.root.join("users.sql");
        let password = PASSWORD.replace('\'', "''");
        let sql = format!(
            "CREATE USER owner IDENTIFIED BY '{password}';\n\
             GRANT {OWNER} ON *.* TO owner;\n\
             CREATE USER reader IDENTIFIED BY '{password}';\n\
             GRANT {READER} ON *.* TO reader;\n"
        );
        let data = format!("--datadir={}", place.data().display());
        if self == Self::Oracle {
            fs::write(&users, sql).expect("a file");
            place
                .as_server(self.program())
                .args(self.settings())
                .arg("--initialize-insecure")
                .arg(format!("--init-file={}", users.display()))
                .arg(data)
                .must("mysqld --initialize-insecure");
        } else {
            // As it is made, nobody's rights are looked at, and some users are made for other hosts.
            let sql = format!(
                "DELETE FROM mysql.global_priv WHERE User = '' OR Host <> 'localhost';\nFLUSH PRIVILEGES;\n{sql}\
                 GRANT DELETE HISTORY ON *.* TO owner;\n"
            );
            fs::write(&users, sql).expect("a file");
            let program = programs.as_ref().map_or_else(
                || PathBuf::from("mariadb-install-db"),
                |programs| programs.join("bin/mariadb-install-db"),
            );
            let mut command = place.as_server(program);
            command.args([SETTINGS, MARIADB].concat());
            if let Some(programs) = &programs {
                command.arg(format!("--basedir={}/usr", programs.display()));
            }
            command
                .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
                .arg(format!("--extra-file={}", users.display()))
                .arg(data)
                .must("mariadb-install-db");
        }
        place
    }
}
