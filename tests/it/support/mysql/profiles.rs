//! MariaDB's and MySQL's profiles: how the two servers are, who connects to them, and what else is there.

use super::version::{OWNER, READER};
use super::{Pair, Server, Version, shared};
use crate::support::lease::lease;
use crate::support::profile::{self, profiles};

/// Surroundings of one kind.
pub(crate) struct Profile {
    name: &'static str,
    /// The source's and the target's maker and version.
    versions: (Version, Version),
    /// Options of the source's server.
    source: &'static [&'static str],
    /// Options of the target's.
    target: &'static [&'static str],
    /// The time zones of their machines.
    zones: (&'static str, &'static str),
    /// What CREATE DATABASE says besides.
    create: &'static str,
    /// Whether users connect who may do nothing with their servers but what a copy needs, instead of `root`.
    modest: bool,
    /// An idle transaction with a snapshot, an idle session in live, a database that is called almost like a previous
    /// one of ours.
    leftovers: bool,
    /// Somebody writes into the source all the time.
    writers: bool,
}

/// As the tests' servers always were.
const PLAIN: Profile = Profile {
    name: "plain",
    versions: (Version::System, Version::System),
    source: &[],
    target: &[],
    zones: ("UTC", "UTC"),
    create: "",
    modest: false,
    leftovers: false,
    writers: false,
};

profiles! { $ Profile under_each_mysql
    plain {}
    lenient_to_strict {
        source: &["--sql-mode=ALLOW_INVALID_DATES"],
        target: &["--sql-mode=STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"],
    }
    other_words {
        source: &["--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,IGNORE_SPACE"],
        target: &["--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,IGNORE_SPACE,REAL_AS_FLOAT"],
        modest: true,
    }
    latin1_servers {
        source: &["--character-set-server=latin1", "--collation-server=latin1_swedish_ci"],
        target: &["--character-set-server=latin1", "--collation-server=latin1_german2_ci"],
        create: "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
    }
    small_packets {
        source: &["--max-allowed-packet=64M"],
        target: &["--max-allowed-packet=1M", "--net-buffer-length=1024"],
        modest: true,
    }
    hasty {
        source: &[
            "--wait-timeout=1", "--interactive-timeout=1", "--lock-wait-timeout=1", "--net-read-timeout=1",
            "--net-write-timeout=1",
        ],
        target: &[
            "--wait-timeout=1", "--interactive-timeout=1", "--lock-wait-timeout=1", "--net-read-timeout=1",
            "--net-write-timeout=1", "--innodb-lock-wait-timeout=1", "--max-statement-time=2",
        ],
    }
    // Who may do everything is spared `init_connect`.
    odd_sessions {
        source: &["--init-connect=SET time_zone = '-03:30', sql_mode = 'NO_ZERO_DATE', autocommit = 0"],
        target: &[
            "--init-connect=SET time_zone = '+05:45', sql_mode = 'NO_ZERO_DATE', autocommit = 0, tx_read_only = 1, \
              foreign_key_checks = 1, sql_select_limit = 1, sql_auto_is_null = 1",
        ],
        modest: true,
    }
    far_zones {
        source: &["--default-time-zone=+05:45"],
        zones: ("America/St_Johns", "Pacific/Chatham"),
    }
    names_in_lower_case {
        source: &["--lower-case-table-names=1"],
        target: &["--lower-case-table-names=1"],
    }
    newer { versions: (Version::Newer, Version::Newer), modest: true }
    system_to_newer { versions: (Version::System, Version::Newer) }
    oracle { versions: (Version::Oracle, Version::Oracle) }
    leftovers_of_others { leftovers: true }
    busy { writers: true, modest: true }
}

impl profile::Profile for Profile {
    const KIND: &'static str = "mysql";

    fn all() -> &'static [Self] {
        ALL
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

impl Profile {
    /// Its servers, started now if they are not yet there.
    pub(super) fn servers(&'static self) -> &'static Pair {
        if self.name == PLAIN.name {
            return shared();
        }
        lease(("mysql", self.name), || Pair {
            source: Self::start(self.versions.0, self.source, self.zones.0),
            target: Self::start(self.versions.1, self.target, self.zones.1),
        })
    }

    fn start(version: Version, options: &[&str], zone: &'static str) -> Server {
        let builder = Server::builder().of(version).timezone(zone);
        let server = options
            .iter()
            .fold(builder, |builder, option| builder.set(option))
            .start();
        server.sql(
            "",
            &format!(
                "CREATE USER modest_reader@localhost; GRANT {READER} ON *.* TO modest_reader@localhost;
                 CREATE USER modest_owner@localhost; GRANT {OWNER} ON *.* TO modest_owner@localhost"
            ),
        );
        if version != Version::Oracle {
            server.sql("", "GRANT DELETE HISTORY ON *.* TO modest_owner@localhost");
        }
        server
    }

    /// Who reads the source.
    pub(super) fn reader(&self) -> &'static str {
        if self.modest { "modest_reader" } else { "root" }
    }

    /// Who writes the target.
    pub(super) fn writer(&self) -> &'static str {
        if self.modest { "modest_owner" } else { "root" }
    }

    /// Whether `root` copies between servers of the system's version, and nobody writes.
    pub(super) fn is_quiet(&self) -> bool {
        !self.modest && !self.writers && self.versions == PLAIN.versions
    }

    /// Whether a dump of one side can be loaded into the other with the same outcome.
    pub(super) fn is_of_one_maker(&self) -> bool {
        (self.versions.0 == Version::Oracle) == (self.versions.1 == Version::Oracle)
    }

    /// Whether things of others lie about.
    pub(super) fn has_leftovers(&self) -> bool {
        self.leftovers
    }

    /// Whether the source is written to.
    pub(super) fn has_writers(&self) -> bool {
        self.writers
    }

    /// What CREATE DATABASE says besides.
    pub(super) fn create(&self) -> &'static str {
        self.create
    }
}
