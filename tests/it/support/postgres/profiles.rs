//! PostgreSQL's profiles: how the two servers are, who owns what on them and who connects, and what else is there.

use super::pooler::Pooler;
use super::{Builder, Cluster, Pair};
use crate::support::lease::{Leased, lease};
use crate::support::profile::{self, profiles};

/// Settings with their values as SQL has them.
type Settings = &'static [(&'static str, &'static str)];

/// Who owns the databases and all in them, and who connects to copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The superuser `postgres`, both.
    Postgres,
    /// Another superuser, who copies what is `app`'s.
    Admin,
    /// `app` itself, which may make databases; the source is read by one who may read all.
    Owner,
    /// A member of `app` who may make databases, as on Rails' and Django's hosts; the source likewise.
    Member,
}

/// Surroundings of one kind.
pub(crate) struct Profile {
    name: &'static str,
    /// Major versions of the source's and the target's server, if not the system's.
    versions: Option<(u32, u32)>,
    /// Options of initdb.
    initdb: &'static [&'static str],
    /// Lines of postgresql.conf.
    server: Settings,
    /// Settings of both databases.
    database: Settings,
    /// Settings of whoever connects, and of `app`.
    role: Settings,
    who: Who,
    /// Schema `public` is as a database of version 14 leaves it: of `postgres`, and everyone may create in it.
    public_of_14: bool,
    /// A pgbouncer stands in front of both servers, and drops what it does not know of a session's start.
    pooled: bool,
    /// An invalid index, an idle transaction with a snapshot, an idle session in live, a database that is called almost
    /// like a previous one of ours.
    leftovers: bool,
    /// Somebody writes into the source all the time.
    writers: bool,
}

/// As the tests' servers always were.
const PLAIN: Profile = Profile {
    name: "plain",
    versions: None,
    initdb: &[],
    server: &[],
    database: &[],
    role: &[],
    who: Who::Postgres,
    public_of_14: false,
    pooled: false,
    leftovers: false,
    writers: false,
};

profiles! { $ Profile under_each_postgresql
    plain {}
    day_first {
        database: &[
            ("DateStyle", "'ISO, DMY'"),
            ("TimeZone", "'Europe/Berlin'"),
            ("IntervalStyle", "'iso_8601'"),
        ],
        who: Who::Owner,
    }
    month_first {
        database: &[
            ("DateStyle", "'SQL, MDY'"),
            ("TimeZone", "'America/St_Johns'"),
            ("IntervalStyle", "'sql_standard'"),
            ("bytea_output", "'escape'"),
            ("extra_float_digits", "-3"),
            ("search_path", "'$user', public, others"),
            ("xmloption", "'document'"),
            ("standard_conforming_strings", "off"),
        ],
    }
    settings_of_roles {
        role: &[
            ("DateStyle", "'Postgres, DMY'"),
            ("TimeZone", "'Pacific/Auckland'"),
            ("default_tablespace", "'aside'"),
            ("search_path", "others, public"),
            ("default_transaction_isolation", "'serializable'"),
            ("client_min_messages", "'error'"),
            ("check_function_bodies", "on"),
        ],
        who: Who::Owner,
    }
    hasty {
        server: &[("tcp_keepalives_idle", "5")],
        role: &[
            ("statement_timeout", "'2s'"),
            ("lock_timeout", "'300ms'"),
            ("idle_in_transaction_session_timeout", "'300ms'"),
            ("idle_session_timeout", "'300ms'"),
        ],
        who: Who::Owner,
    }
    read_only_by_default {
        role: &[("default_transaction_read_only", "on"), ("default_transaction_deferrable", "on")],
        who: Who::Admin,
    }
    empty_paths {
        database: &[("search_path", "'', public"), ("temp_tablespaces", "''")],
        role: &[("temp_tablespaces", "''")],
        who: Who::Admin,
    }
    member_of_the_owner { who: Who::Member }
    upgraded_from_14 { public_of_14: true, who: Who::Member }
    german_icu {
        initdb: &["--locale-provider=icu", "--icu-locale=de-DE"],
        database: &[("TimeZone", "'Asia/Kathmandu'")],
        who: Who::Admin,
    }
    between_16_and_17 { versions: Some((16, 17)), who: Who::Owner }
    builtin_17_to_18 {
        versions: Some((17, 18)),
        initdb: &["--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
        database: &[("DateStyle", "'ISO, DMY'"), ("transaction_timeout", "'2s'")],
    }
    behind_a_pooler {
        database: &[("DateStyle", "'ISO, DMY'"), ("TimeZone", "'Europe/Berlin'")],
        pooled: true,
        who: Who::Owner,
    }
    leftovers_of_others { leftovers: true, who: Who::Admin }
    busy { writers: true, who: Who::Owner }
}

impl profile::Profile for Profile {
    const KIND: &'static str = "postgresql";

    fn all() -> &'static [Self] {
        ALL
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

/// A profile's servers, and what stands in front of them.
pub(super) struct Servers {
    pub(super) pair: Pair,
    pub(super) poolers: Option<(Pooler, Pooler)>,
}

impl Leased for Servers {
    fn stop(&self) {
        if let Some((before_source, before_target)) = &self.poolers {
            before_source.stop();
            before_target.stop();
        }
        self.pair.source.stop();
        self.pair.target.stop();
    }
}

impl Profile {
    /// The one without anything of others.
    pub(super) fn plain() -> &'static Self {
        &ALL[0]
    }

    /// Its servers, started now if they are not yet there.
    pub(super) fn servers(&'static self) -> &'static Servers {
        lease(("postgresql", self.name), || self.start())
    }

    fn start(&self) -> Servers {
        let (source, target) = self.builders();
        let pair = Pair {
            source: source.start(),
            target: target.start(),
        };
        if !self.is_plain() {
            self.prepare(&pair.source);
            self.prepare(&pair.target);
        }
        let poolers = self
            .pooled
            .then(|| (Pooler::before(&pair.source), Pooler::before(&pair.target)));
        Servers { pair, poolers }
    }

    /// Its source's and its target's server.
    fn builders(&self) -> (Builder, Builder) {
        let builder = |major: Option<u32>| {
            let mut builder = Cluster::builder().initdb(self.initdb);
            if let Some(major) = major {
                builder = builder.of(major);
            }
            self.server
                .iter()
                .fold(builder, |builder, (key, value)| builder.set(key, value))
        };
        (
            builder(self.versions.map(|(source, _)| source)),
            builder(self.versions.map(|(_, target)| target)),
        )
    }

    /// Roles and a tablespace, on a server that has neither.
    fn prepare(&self, cluster: &Cluster) {
        cluster.tablespace("aside");
        cluster.psql(
            "postgres",
            "CREATE ROLE app LOGIN CREATEDB; CREATE ROLE deploy LOGIN CREATEDB IN ROLE app;
             CREATE ROLE admin LOGIN SUPERUSER; CREATE ROLE reader LOGIN IN ROLE pg_read_all_data;
             CREATE ROLE visitor LOGIN; GRANT CREATE ON TABLESPACE aside TO PUBLIC",
        );
        for role in ["app", "deploy", "admin", "reader"] {
            for (key, value) in self.role {
                cluster.psql(
                    "postgres",
                    &format!("ALTER ROLE {role} SET {key} TO {value}"),
                );
            }
        }
    }

    /// Who the databases and all in them belong to.
    pub(crate) fn owner(&self) -> &'static str {
        match self.who {
            Who::Postgres => "postgres",
            Who::Admin | Who::Owner | Who::Member => "app",
        }
    }

    /// Who reads the source.
    pub(crate) fn reader(&self) -> &'static str {
        match self.who {
            Who::Postgres => "postgres",
            Who::Admin => "admin",
            Who::Owner | Who::Member => "reader",
        }
    }

    /// Who writes the target.
    pub(crate) fn writer(&self) -> &'static str {
        match self.who {
            Who::Postgres => "postgres",
            Who::Admin => "admin",
            Who::Owner => "app",
            Who::Member => "deploy",
        }
    }

    /// Whether nothing stands between the binary and its servers.
    pub(super) fn is_direct(&self) -> bool {
        !self.pooled
    }

    /// Whether it is the one without anything of others.
    pub(super) fn is_plain(&self) -> bool {
        self.name == PLAIN.name
    }

    /// Whether they are the system's.
    pub(super) fn is_of_the_system_s_version(&self) -> bool {
        self.versions.is_none()
    }

    /// Whether things of others lie about.
    pub(super) fn has_leftovers(&self) -> bool {
        self.leftovers
    }

    /// Whether the source is written to.
    pub(super) fn has_writers(&self) -> bool {
        self.writers
    }

    /// Whether `public` belongs to `postgres`.
    pub(super) fn has_public_of_14(&self) -> bool {
        self.public_of_14
    }

    /// What gives a database its settings.
    pub(super) fn settings_of(&self, database: &str) -> String {
        let name = super::quote(database);
        self.database
            .iter()
            .fold(String::new(), |sql, (key, value)| {
                sql + &format!("ALTER DATABASE {name} SET {key} TO {value};\n")
            })
    }
}
