//! The suite through archives: each run is a push to a directory, then a pull from it.

use super::Lab;
use super::mysql::Mysql;
use super::postgresql::Postgresql;
use super::sqlite::Sqlite;
use crate::support::job::{Bed, Job};

/// A store whose data rests in an archive on its way.
struct Archived<L> {
    lab: L,
    bed: Bed,
}

impl<L: Lab> Lab for Archived<L> {
    const KIND: &'static str = L::KIND;

    fn new() -> Self {
        let (lab, bed) = (L::new(), Bed::new());
        Self { lab, bed }
    }

    fn source_url(&self) -> String {
        format!("file://{}", self.bed.path("archive").display())
    }

    fn target_url(&self) -> String {
        self.lab.target_url()
    }

    fn source(&self, sql: &str) -> String {
        self.lab.source(sql)
    }

    fn live(&self, sql: &str) -> String {
        self.lab.live(sql)
    }

    fn beside(&self) -> Vec<String> {
        self.lab.beside()
    }

    fn tables(&self) -> Vec<String> {
        self.lab.tables()
    }

    fn ready(&self) {
        let push = Job::between(L::KIND, &self.lab.source_url(), &self.source_url())
            .task("verify = \"checksum\"");
        self.bed.once(&self.bed.job("push", &push)).expect(0);
    }

    fn missing(&self) -> (String, String) {
        let place = self.bed.path("nothing").display().to_string();
        (format!("file://{place}"), place)
    }

    fn refused_statement() -> &'static str {
        L::refused_statement()
    }

    fn names() -> &'static [&'static str] {
        L::names()
    }
}

mod of_mysql {
    super::super::conforms!(super::Archived<super::Mysql>);
}

mod of_postgresql {
    super::super::conforms!(super::Archived<super::Postgresql>);
}

mod of_sqlite {
    super::super::conforms!(super::Archived<super::Sqlite>);
}
