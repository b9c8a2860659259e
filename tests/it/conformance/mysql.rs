//! The suite over MariaDB.

use super::Lab;
use crate::support::mysql::Databases;
use crate::support::postgres::unique;

pub(super) struct Mysql(Databases);

impl Lab for Mysql {
    const KIND: &'static str = "mysql";

    fn new() -> Self {
        Self(Databases::new())
    }

    fn source_url(&self) -> String {
        self.0.source_url()
    }

    fn target_url(&self) -> String {
        self.0.target_url()
    }

    fn computed() -> &'static str {
        crate::profiles::mysql::COMPUTED
    }

    fn source(&self, sql: &str) -> String {
        self.0.source_server().ansi(&self.0.from, sql)
    }

    fn live(&self, sql: &str) -> String {
        self.0.make_live();
        self.0.target_server().ansi(&self.0.to, sql)
    }

    fn beside(&self) -> Vec<String> {
        self.0.beside()
    }

    fn tables(&self) -> Vec<String> {
        self.0.make_live();
        self.0.tables()
    }

    fn environment(&self) -> Vec<(String, String)> {
        self.0.environment()
    }

    fn rows_of_others(&self) -> u64 {
        self.0.rows_of_others()
    }

    fn assert_published(&self) {
        self.0.assert_published();
    }

    fn missing(&self) -> (String, String) {
        let name = unique("missing");
        (self.0.source_url_of(&name), name)
    }

    fn names() -> &'static [&'static str] {
        // Identifiers have no characters beyond the Basic Multilingual Plane.
        &[
            "Capital",
            "dot.ted",
            "quo\"te",
            "it's",
            "50% [off]",
            "größe ☃",
            "select",
            "back\\slash",
            "back`tick",
        ]
    }
}

super::conforms!(Mysql);
