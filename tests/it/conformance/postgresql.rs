//! The suite over PostgreSQL.

use super::Lab;
use crate::support::postgres::{Pair, shared, unique};

pub(super) struct Postgresql {
    pair: &'static Pair,
    from: String,
    to: String,
}

impl Lab for Postgresql {
    const KIND: &'static str = "postgresql";

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
        self.pair.source.url("postgres", &self.from)
    }

    fn target_url(&self) -> String {
        self.pair.target.url("postgres", &self.to)
    }

    fn source(&self, sql: &str) -> String {
        self.pair.source.psql(&self.from, sql)
    }

    fn live(&self, sql: &str) -> String {
        if !self.pair.target.databases().contains(&self.to) {
            self.pair.target.create_db(&self.to);
        }
        self.pair.target.psql(&self.to, sql)
    }

    fn beside(&self) -> Vec<String> {
        let mut all = self.pair.target.databases();
        all.retain(|name| name.contains(&self.to) && *name != self.to);
        all
    }

    fn tables(&self) -> Vec<String> {
        let sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename";
        self.live(sql).lines().map(str::to_owned).collect()
    }

    fn missing(&self) -> (String, String) {
        let name = unique("missing");
        (self.pair.source.url("postgres", &name), name)
    }
}

super::conforms!(Postgresql);
