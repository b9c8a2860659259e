//! Checked access to what a server answers: one that is none, or is not in its right mind, may answer with other types.

use std::error::Error as StdError;
use std::sync::Arc;

use tokio_postgres::types::{FromSql, WasNull, WrongType};

use crate::error::{Error, Kind, Result};

/// A row of an answer, each of whose columns is read with a check of its type.
pub(in crate::store::postgresql) struct Row {
    row: tokio_postgres::Row,
    /// The server's place, for messages.
    place: Arc<str>,
}

impl Row {
    /// One that came from there.
    pub(in crate::store::postgresql) fn of(row: tokio_postgres::Row, place: Arc<str>) -> Self {
        Self { row, place }
    }

    /// How many columns it has.
    pub(in crate::store::postgresql) fn len(&self) -> usize {
        self.row.len()
    }

    /// The column at this place. One of another type, NULL where that is not expected, or none at all is an error.
    pub(in crate::store::postgresql) fn read<'a, T: FromSql<'a>>(
        &'a self,
        column: usize,
    ) -> Result<T> {
        self.row
            .try_get(column)
            .map_err(|error| self.unexpected(column, &error))
    }

    /// The error of a column that is not what was asked for. What stands in it may be a value, and is not told.
    fn unexpected(&self, column: usize, error: &tokio_postgres::Error) -> Error {
        let cause = error.source();
        let found = match self.row.columns().get(column).map(|it| it.type_().name()) {
            None => "is not there".to_owned(),
            Some(_) if is_of::<WasNull>(cause) => "is NULL".to_owned(),
            Some(name) if is_of::<WrongType>(cause) => {
                format!("is of the type {name}")
            }
            Some(name) => format!("is of the type {name}, and none of its values"),
        };
        Error::new(
            Kind::Connection,
            format!(
                "{}: the server answered with an unexpected column: number {} of a query {found}, which was not asked for",
                self.place,
                column + 1
            ),
        )
        .hint("check that the URL names a PostgreSQL server, and that nothing in between changes its answers")
    }
}

/// The first two columns of each row.
pub(in crate::store::postgresql) fn pairs<'a, A, B, C>(rows: &'a [Row]) -> Result<C>
where
    A: FromSql<'a>,
    B: FromSql<'a>,
    C: FromIterator<(A, B)>,
{
    rows.iter()
        .map(|row| Ok((row.read(0)?, row.read(1)?)))
        .collect()
}

/// Whether an error's cause is of this type.
fn is_of<T: StdError + 'static>(cause: Option<&(dyn StdError + 'static)>) -> bool {
    cause.and_then(<dyn StdError>::downcast_ref::<T>).is_some()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_postgres::{Client, Config, NoTls};

    use super::*;

    /// The type `bool` (`pg_type.dat`).
    const BOOL: u32 = 16;
    /// And `text`.
    const TEXT: u32 = 25;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short");
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    /// What a server says of a statement: no parameters, and columns of these types.
    fn described(types: &[u32]) -> Vec<u8> {
        let mut columns = u16::try_from(types.len())
            .expect("few")
            .to_be_bytes()
            .to_vec();
        for of in types {
            columns.extend(b"c\0");
            columns.extend([0; 6]);
            columns.extend(of.to_be_bytes());
            columns.extend([255; 2]);
            columns.extend([255; 4]);
            columns.extend([0; 2]);
        }
        [
            message(b'1', b""),
            message(b't', &[0, 0]),
            message(b'T', &columns),
            message(b'Z', b"I"),
        ]
        .concat()
    }

    /// And a row of it.
    fn answered(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = u16::try_from(values.len())
            .expect("few")
            .to_be_bytes()
            .to_vec();
        for value in values {
            match value {
                None => row.extend((-1_i32).to_be_bytes()),
                Some(value) => {
                    row.extend(i32::try_from(value.len()).expect("short").to_be_bytes());
                    row.extend(*value);
                }
            }
        }
        [
            message(b'2', b""),
            message(b'D', &row),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
        ]
        .concat()
    }

    /// Waits until the client waits: it has sent a Sync.
    async fn heard(wire: &mut DuplexStream) {
        loop {
            let mut header = [0; 5];
            wire.read_exact(&mut header).await.expect("a message");
            let length = u32::from_be_bytes(header[1..].try_into().expect("four bytes"));
            let mut body = vec![0; length as usize - 4];
            wire.read_exact(&mut body).await.expect("its body");
            if header[0] == b'S' {
                return;
            }
        }
    }

    async fn serve(mut wire: DuplexStream, types: Vec<u32>, values: Vec<Option<&'static [u8]>>) {
        let length = wire.read_u32().await.expect("a start");
        let mut start = vec![0; length as usize - 4];
        wire.read_exact(&mut start).await.expect("its body");
        let ready = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
        wire.write_all(&ready).await.expect("it listens");
        heard(&mut wire).await;
        wire.write_all(&described(&types))
            .await
            .expect("it listens");
        heard(&mut wire).await;
        wire.write_all(&answered(&values))
            .await
            .expect("it listens");
        std::future::pending::<()>().await;
    }

    /// The row that a server with these types and values answers with.
    async fn row(types: &[u32], values: &[Option<&'static [u8]>]) -> (Client, Row) {
        let (here, there) = duplex(4096);
        tokio::spawn(serve(there, types.to_vec(), values.to_vec()));
        let connected = Config::new().user("u").connect_raw(here, NoTls).await;
        let (client, connection) = connected.expect("a session");
        tokio::spawn(connection);
        let row = client.query_one("SELECT", &[]).await.expect("a row");
        (client, Row::of(row, "source db1:5432/app".into()))
    }

    #[tokio::test]
    async fn what_was_not_asked_for_is_an_error_and_no_panic() {
        let (_client, row) = row(&[TEXT, BOOL, TEXT], &[Some(b"a"), Some(b"\x01"), None]).await;
        assert_eq!(row.read::<String>(0).unwrap(), "a");
        assert!(row.read::<bool>(1).unwrap());
        assert_eq!(row.read::<Option<String>>(2).unwrap(), None);
        for (error, found) in [
            (
                row.read::<i64>(0).map(drop),
                "1 of a query is of the type text,",
            ),
            (
                row.read::<String>(1).map(drop),
                "2 of a query is of the type bool,",
            ),
            (row.read::<String>(2).map(drop), "3 of a query is NULL,"),
            (row.read::<bool>(3).map(drop), "4 of a query is not there,"),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), Kind::Connection);
            let text = error.to_string();
            let begin =
                "source db1:5432/app: the server answered with an unexpected column: number ";
            assert!(text.starts_with(&format!("{begin}{found}")), "{text}");
        }
    }

    #[tokio::test]
    async fn a_value_that_none_of_its_type_is_is_an_error_and_is_not_told() {
        let (_client, row) = row(&[TEXT, BOOL], &[Some(b"s3cret\xff"), Some(b"s3cret")]).await;
        for error in [row.read::<&str>(0).map(drop), row.read::<bool>(1).map(drop)] {
            let text = error.unwrap_err().to_string();
            assert!(
                text.contains(", and none of its values") && !text.contains("s3cret"),
                "{text}"
            );
        }
    }
}
