//! How a database was created: its encoding and locale, and what follows from them for sessions and COPY.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::store::Encoding;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::row_encodings::COPY_BINARY;
use crate::store::postgresql::sql::quoting::literal;

/// The search path where nobody has set one.
pub(in crate::store::postgresql) const DEFAULT_PATH: &str = "\"$user\", public";

/// How a database was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::postgresql) struct Properties {
    pub(in crate::store::postgresql) encoding: String,
    /// The encoding of rows that come as text, where it is another one: of a dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store::postgresql) rows_encoding: Option<String>,
    pub(super) collate: String,
    pub(super) ctype: String,
    /// `c`: the C library, `i`: ICU, `b`: built in.
    pub(super) provider: String,
    pub(super) locale: Option<String>,
    pub(super) icu_rules: Option<String>,
    pub(super) collation_version: Option<String>,
    /// The search path that the database or its owner is given, as it is stored: functions in indexes and constraints may
    /// count on it.
    pub(in crate::store::postgresql) search_path: String,
}

/// The database's properties.
pub(in crate::store::postgresql) async fn read(
    session: &Session,
    version: u32,
) -> Result<Properties> {
    let (locale, rules) = match version / 10_000 {
        17.. => ("datlocale", "daticurules"),
        16 => ("daticulocale", "daticurules"),
        15 => ("daticulocale", "NULL::text"),
        _ => ("NULL::text", "NULL::text"),
    };
    let (provider, collation_version) = if version >= 150_000 {
        ("datlocprovider::text", "datcollversion")
    } else {
        ("'c'", "NULL::text")
    };
    let row = session
        .query_one(
            &format!(
                "SELECT pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text, {provider}, {locale}, {rules}, {collation_version},
                        (SELECT substr(set, 13) FROM pg_db_role_setting s, unnest(s.setconfig) AS set
                         WHERE s.setdatabase IN (0, d.oid) AND s.setrole IN (0, d.datdba) AND starts_with(set, 'search_path=')
                         ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1)
                 FROM pg_database d WHERE datname = current_database()"
            ),
            &[],
        )
        .await
        .map_err(session.explain())?;
    Ok(Properties {
        encoding: row.read(0)?,
        rows_encoding: None,
        collate: row.read(1)?,
        ctype: row.read(2)?,
        provider: row.read(3)?,
        locale: row.read(4)?,
        icu_rules: row.read(5)?,
        collation_version: row.read(6)?,
        search_path: row
            .read::<Option<String>>(7)?
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| DEFAULT_PATH.to_owned()),
    })
}

impl Properties {
    /// What sessions speak: UTF-8, which has every name; a database without an encoding has bytes alone.
    pub(in crate::store::postgresql) fn client_encoding(&self) -> &'static str {
        if self.encoding == "SQL_ASCII" {
            "SQL_ASCII"
        } else {
            "UTF8"
        }
    }

    /// Whether rows in binary come as they are stored. If not, text does, for COPY can be told: not every character of
    /// every encoding has a counterpart in UTF-8.
    pub(in crate::store::postgresql) fn binary_is_raw(&self) -> bool {
        self.encoding == self.client_encoding()
    }

    /// The encoding of rows as text.
    pub(in crate::store::postgresql) fn encoding_of_rows(&self) -> &str {
        self.rows_encoding.as_deref().unwrap_or(&self.encoding)
    }

    /// What COPY is told for rows that come as they are stored, if anything.
    pub(in crate::store::postgresql) fn copy_option(&self, encoding: &Encoding) -> Option<String> {
        if *encoding == COPY_BINARY {
            return Some("FORMAT binary".to_owned());
        }
        let rows = self.encoding_of_rows();
        (rows != self.client_encoding()).then(|| format!("ENCODING {}", literal(rows)))
    }

    /// The same, as it stands behind `FROM STDIN` or `TO STDOUT`.
    pub(in crate::store::postgresql) fn copy_options(&self, encoding: &Encoding) -> String {
        self.copy_option(encoding)
            .map_or_else(String::new, |option| format!(" WITH ({option})"))
    }

    /// As `CREATE DATABASE` wants them.
    pub(in crate::store::postgresql) fn clause(&self) -> String {
        let mut clause = format!(
            "ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            literal(&self.encoding),
            literal(&self.collate),
            literal(&self.ctype)
        );
        let (provider, name) = match self.provider.as_str() {
            "i" => ("icu", "ICU_LOCALE"),
            "b" => ("builtin", "BUILTIN_LOCALE"),
            _ => return clause,
        };
        clause.push_str(&format!(" LOCALE_PROVIDER {provider}"));
        if let Some(locale) = &self.locale {
            clause.push_str(&format!(" {name} {}", literal(locale)));
        }
        if let Some(rules) = &self.icu_rules {
            clause.push_str(&format!(" ICU_RULES {}", literal(rules)));
        }
        clause
    }
}
