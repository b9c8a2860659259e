//! The suite over PostgreSQL.

use super::Lab;
use crate::support::postgres::{Databases, unique};

pub(super) struct Postgresql(Databases);

impl Lab for Postgresql {
    const KIND: &'static str = "postgresql";

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
        crate::profiles::postgresql::COMPUTED
    }

    fn source(&self, sql: &str) -> String {
        self.0.source(sql)
    }

    fn live(&self, sql: &str) -> String {
        self.0.live(sql)
    }

    fn beside(&self) -> Vec<String> {
        self.0.beside()
    }

    fn tables(&self) -> Vec<String> {
        let sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename";
        self.live(sql).lines().map(str::to_owned).collect()
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
}

super::conforms!(Postgresql);
