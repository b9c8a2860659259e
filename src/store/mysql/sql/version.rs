//! What a server says it is.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::store::Server;

/// What both lines are to job files.
pub(in crate::store::mysql) use crate::store::mysql::url::KIND;

/// The two lines of servers that speak this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::store::mysql) enum Flavour {
    /// MariaDB.
    MariaDb,
    /// Oracle's MySQL, and those that are built from it.
    MySql,
}

impl Flavour {
    /// Whose server or tool calls itself so: MariaDB's say their name.
    fn of(text: &str) -> Self {
        if text.contains("MariaDB") {
            Self::MariaDb
        } else {
            Self::MySql
        }
    }
}

impl std::fmt::Display for Flavour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
        })
    }
}

/// A server's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::mysql) struct Version {
    /// Which line.
    pub(in crate::store::mysql) flavour: Flavour,
    /// Major, minor, patch.
    pub(in crate::store::mysql) number: (u16, u16, u16),
    /// As the server prints it.
    pub(in crate::store::mysql) text: String,
}

impl Version {
    /// Reads what `VERSION()` or the handshake says: `10.11.6-MariaDB-0+deb12u1`, `8.0.36`. MariaDB may put `5.5.5-` in
    /// front for old replicas ("Connecting", MariaDB's protocol documentation).
    pub(in crate::store::mysql) fn parse(text: &str) -> Result<Self> {
        let flavour = Flavour::of(text);
        let rest = match flavour {
            Flavour::MariaDb => text.strip_prefix("5.5.5-").unwrap_or(text),
            Flavour::MySql => text,
        };
        let mut numbers = rest
            .split(|c: char| !c.is_ascii_digit())
            .map(str::parse::<u16>);
        let mut next = || numbers.next().and_then(std::result::Result::ok);
        let number = match (next(), next(), next()) {
            (Some(major), Some(minor), Some(patch)) => (major, minor, patch),
            _ => {
                return Err(Error::new(
                    Kind::Connection,
                    format!("the server's version `{text}` cannot be read"),
                )
                .hint("only MySQL and MariaDB servers are supported"));
            }
        };
        Ok(Self {
            flavour,
            number,
            text: rest.to_owned(),
        })
    }

    /// Reads what a dump tool says of itself: `mysqldump Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu`. MariaDB's tools
    /// name the version that they are of; of others it is not known.
    pub(in crate::store::mysql) fn of_tool(text: &str) -> (Flavour, Option<Self>) {
        let mut words = text.split([' ', ',']);
        let version = words.find(|word| word.contains("-MariaDB"));
        let version = version.and_then(|word| Self::parse(word).ok());
        (Flavour::of(text), version)
    }

    /// A server of this version, as the rest of the house has it.
    pub(in crate::store::mysql) fn server(&self) -> Server {
        Server {
            kind: KIND,
            version: self.text.clone(),
            major: u32::from(self.number.0),
        }
    }

    /// MariaDB of this version or a later one.
    pub(in crate::store::mysql) fn is_mariadb(&self, major: u16, minor: u16) -> bool {
        self.flavour == Flavour::MariaDb && (self.number.0, self.number.1) >= (major, minor)
    }

    /// Whether it takes rows with a past (`system_versioning_insert_history`).
    pub(in crate::store::mysql) fn takes_past(&self) -> bool {
        self.is_mariadb(10, 11)
    }

    /// MySQL of this version or a later one.
    pub(in crate::store::mysql) fn is_mysql(&self, major: u16, minor: u16) -> bool {
        self.flavour == Flavour::MySql && (self.number.0, self.number.1) >= (major, minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_and_old_replicas_prefix_are_understood() {
        for (text, flavour, number) in [
            ("10.11.6-MariaDB-0+deb12u1", Flavour::MariaDb, (10, 11, 6)),
            ("5.5.5-10.6.12-MariaDB-log", Flavour::MariaDb, (10, 6, 12)),
            ("8.0.36", Flavour::MySql, (8, 0, 36)),
            ("5.7.44-log", Flavour::MySql, (5, 7, 44)),
        ] {
            let version = Version::parse(text).expect("a version");
            assert_eq!(
                (version.flavour, version.number),
                (flavour, number),
                "{text}"
            );
        }
        assert!(Version::parse("none").is_err());
    }
}
