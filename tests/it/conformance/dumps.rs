//! The suite through dumps of the stores' own tools: each run is a push with `format = "govuk"`, then a pull of what it wrote.

use super::Lab;
use super::mysql::Mysql;
use super::postgresql::Postgresql;
use crate::support::job::{Bed, Job, toml};

/// A store whose data rests in a dump on its way.
struct Dumped<L> {
    lab: L,
    bed: Bed,
}

impl<L: Lab> Lab for Dumped<L> {
    const KIND: &'static str = L::KIND;

    fn new() -> Self {
        let (lab, bed) = (L::new(), Bed::new());
        Self { lab, bed }
    }

    fn source_url(&self) -> String {
        format!("file://{}", self.bed.path("archive").display())
    }

    fn source_value(&self) -> String {
        format!(
            "{{ url = {}, format = \"govuk\", database = \"app\" }}",
            toml(&self.source_url())
        )
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
        // Two dumps of one second have one name.
        let _ = std::fs::remove_dir_all(self.bed.path("archive"));
        let push = Job::new(L::KIND, &toml(&self.lab.source_url()), &self.source_value());
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
    super::super::conforms!(super::Dumped<super::Mysql>);
}

mod of_postgresql {
    super::super::conforms!(super::Dumped<super::Postgresql>);
}
