//! The character sets and collations that objects were made in: what a session was set to, and what the schema's default
//! was. Both are part of what a routine does, and of what the server prints.

use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::byte_text;
use crate::store::mysql::sql::names::{literal, quoted};

/// A statement's bytes in a client's character set. The server says what they are; what has none in that set is an error.
pub(in crate::store::mysql) async fn encoded(
    session: &mut Session,
    text: &str,
    charset: &str,
) -> Result<Vec<u8>> {
    let bytes = byte_text::encode(text);
    let is_plain = bytes.is_ascii()
        || byte_text::has_bytes(text)
        || charset.starts_with("utf8")
        || charset == "binary";
    if is_plain {
        return Ok(bytes.into_owned());
    }
    let digits = bytes.iter().fold(String::new(), |digits, byte| {
        digits + &format!("{byte:02X}")
    });
    let there = format!("CONVERT(_utf8mb4 X'{digits}' USING {charset})");
    let row = session
        .query_one(&format!(
            "SELECT HEX({there}), HEX(CONVERT({there} USING utf8mb4)) = '{digits}'"
        ))
        .await?;
    if row.number(1)? != 1 {
        return Err(Error::new(
            Kind::Verify,
            format!("its text has characters that its character set {charset} does not have"),
        ));
    }
    unhex(&row.text(0)?).ok_or_else(|| session.unexpected())
}

pub(in crate::store::mysql) fn unhex(digits: &str) -> Option<Vec<u8>> {
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
        .collect()
}

/// A schema's default collation, which is another one for the moment in which an object is made that was made under that
/// (as the dump tools do it).
pub(in crate::store::mysql) struct Default<'a> {
    schema: &'a str,
    own: String,
    now: String,
}

impl<'a> Default<'a> {
    /// `own`: what it is to be in the end; `None`: what it is.
    pub(in crate::store::mysql) async fn of(
        session: &mut Session,
        schema: &'a str,
        own: Option<&str>,
    ) -> Result<Self> {
        let now = session
            .query_one(&format!(
                "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
                literal(schema)
            ))
            .await?
            .text(0)?;
        Ok(Self {
            schema,
            own: own.map_or_else(|| now.clone(), str::to_owned),
            now,
        })
    }

    /// Lets it be what an object needs: nothing, or its own.
    pub(in crate::store::mysql) async fn be(
        &mut self,
        session: &mut Session,
        wanted: Option<&str>,
    ) -> Result<()> {
        let wanted = wanted.filter(|wanted| !wanted.is_empty());
        let wanted = wanted.unwrap_or(&self.own).to_owned();
        if wanted != self.now {
            session
                .run(&format!(
                    "ALTER DATABASE {} COLLATE {wanted}",
                    quoted(self.schema)
                ))
                .await?;
            self.now = wanted;
        }
        Ok(())
    }
}
