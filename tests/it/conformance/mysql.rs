//! The suite over MariaDB.

use super::Lab;
use crate::support::mysql::{Pair, shared};
use crate::support::postgres::unique;

pub(super) struct Mysql {
    pair: &'static Pair,
    from: String,
    to: String,
}

impl Lab for Mysql {
    const KIND: &'static str = "mysql";

    fn new() -> Self {
        let lab = Self {
            pair: shared(),
            from: unique("from"),
            to: unique("to"),
        };
        lab.pair.source.create_db(&lab.from);
        lab
    }

    fn source_url(&self) -> String {
        self.pair.source.url("root", &self.from)
    }

    fn target_url(&self) -> String {
        self.pair.target.url("root", &self.to)
    }

    fn source(&self, sql: &str) -> String {
        self.pair.source.ansi(&self.from, sql)
    }

    fn live(&self, sql: &str) -> String {
        if !self.pair.target.databases().contains(&self.to) {
            self.pair.target.create_db(&self.to);
        }
        self.pair.target.ansi(&self.to, sql)
    }

    fn beside(&self) -> Vec<String> {
        let mut all = self.pair.target.databases();
        all.retain(|name| name.contains(&self.to) && *name != self.to);
        all
    }

    fn tables(&self) -> Vec<String> {
        self.live("SELECT 1");
        self.pair.target.tables(&self.to)
    }

    fn missing(&self) -> (String, String) {
        let name = unique("missing");
        (self.pair.source.url("root", &name), name)
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
