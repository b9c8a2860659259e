//! Fuzz targets: dumps in `pg_dump`'s custom format. See `docs/fuzzing.md`.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use proptest::prelude::*;

use super::blocks::Blocks;
use super::copy_statement::CopyStatement;
use super::counting::Counter;
use super::head::{Head, Trouble};
use super::pg_restore;
use super::rows::{Kept, Rows};
use super::unpack::{Compression, Unpack};
use super::{fitting, within};
use crate::config::job::Roles as Wanted;
use crate::error::Error;
use crate::fuzz::{bytes, config, lengths, pieces, runtime};
use crate::process::stderr::Lines;
use crate::store::postgresql::schema::roles::Roles;
use crate::store::redact::Names;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn head(dump in bytes(&["tests/corpus/pg_archive"])) {
        match Head::parse(&dump) {
            Ok((mut head, length)) => {
                prop_assert!(length <= dump.len() && head.entries.len() <= dump.len());
                let _ = (head.server_major(), head.tables().count(), head.extensions().count());
                for entry in &head.entries {
                    let _ = (entry.object(), entry.needs().count(), entry.label());
                    if let Err(error) = within::stay(entry) {
                        prop_assert!(!error.to_string().contains('\n'));
                    }
                }
                // What is written is read again, and written as the same.
                let written = head.to_bytes();
                let again = Head::parse(&written);
                prop_assert!(again.is_ok());
                let (again, whole) = again.unwrap();
                prop_assert_eq!(whole, written.len());
                prop_assert_eq!(again.to_bytes(), written);
                for wanted in [Wanted::Map, Wanted::Skip, Wanted::Fail] {
                    let roles = Roles::of(&["postgres", "owner"], "owner", wanted);
                    let count = head.entries.len();
                    let _ = fitting::refuse_missing(&head, &roles, "dump");
                    if fitting::fit(&mut head, &roles, 15).is_ok() {
                        prop_assert!(head.entries.len() <= count);
                        prop_assert!(Head::parse(&head.to_bytes()).is_ok());
                    }
                }
            }
            // It may go on, but not for less than there is.
            Err(Trouble::Short) => {}
            Err(Trouble::Wrong(why)) => prop_assert!(!why.is_empty()),
        }
    }

    #[test]
    fn words_of_pg_restore(said in bytes(&["tests/corpus/pg_restore", "tests/corpus/message"])) {
        let heard = runtime().block_on(pg_restore::listen(Lines::of(&said[..]), &Names::default()));
        if let Ok(Some(error)) = heard {
            let told = error.to_string();
            prop_assert!(!told.is_empty() && !told.contains('\n'), "{}", told);
            // Of a statement and its values no more than its beginning.
            prop_assert!(told.len() <= 4 * said.len() + 1000);
        }
    }

    #[test]
    fn rows_that_pass(dump in bytes(&["tests/corpus/pg_archive"]), lengths in lengths()) {
        let Ok((head, length)) = Head::parse(&dump) else {
            return Ok(());
        };
        let counted = |lengths: &[usize]| {
            let mut counter = Counter::new(&head)?;
            for piece in pieces(&dump[length..], lengths) {
                counter.feed(piece);
            }
            counter.counts()
        };
        prop_assert_eq!(counted(&lengths), counted(&[usize::MAX]));
    }

    #[test]
    fn rows_that_are_read(dump in bytes(&["tests/corpus/pg_archive"]), lengths in lengths()) {
        let Ok((head, length)) = Head::parse(&dump) else {
            return Ok(());
        };
        let read = |lengths: &[usize]| {
            let pieces: Vec<Bytes> = pieces(&dump[length..], lengths).into_iter().map(Bytes::copy_from_slice).collect();
            let pieces = stream::iter(pieces).map(Ok).boxed();
            runtime().block_on(async {
                let blocks = Blocks::new(pieces, head.int(), "dump".to_owned());
                let kept = Kept::of(&head, &blocks)?;
                let tables = head.entries.iter().filter(|entry| entry.kept().is_some());
                let tables = tables.map(|entry| ((String::new(), entry.id.to_string()), entry.id));
                let tables: HashMap<_, _> = tables.collect();
                let rows = Rows::new(kept, tables.clone(), blocks);
                let mut found = 0;
                for entry in &head.entries {
                    let name = (String::new(), entry.id.to_string());
                    let mut chunks = rows.read(&name).await?;
                    while let Some(chunk) = chunks.try_next().await? {
                        found += chunk.rows;
                    }
                }
                rows.finish().await?;
                Ok::<_, Error>(found)
            })
        };
        let (one, other) = (read(&lengths), read(&[usize::MAX]));
        prop_assert_eq!(one.map_err(|error| error.to_string()), other.map_err(|error| error.to_string()));
    }

    #[test]
    fn statement_of_rows(statement in bytes(&["tests/corpus/pg_archive"])) {
        for start in 0..statement.len() {
            if let Some(copy) = CopyStatement::parse(&statement[start..]) {
                prop_assert!(!copy.schema.is_empty() && !copy.table.is_empty());
            }
        }
        let mut framed = b"COPY ".to_vec();
        framed.extend_from_slice(&statement);
        framed.extend(b" FROM stdin;");
        let _ = CopyStatement::parse(&framed);
    }

    #[test]
    fn rows_in_lz4(packed in bytes(&["tests/corpus/zstd", "tests/corpus/gzip"]), lengths in lengths()) {
        let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0xc0];
        frame.extend_from_slice(&packed);
        for compression in [Compression::Lz4, Compression::Gzip, Compression::Zstd] {
            let read = |lengths: &[usize]| {
                let mut unpack = Unpack::new(compression)?;
                let mut out = BytesMut::new();
                for piece in pieces(if compression == Compression::Lz4 { &frame } else { &packed }, lengths) {
                    unpack.feed(piece, &mut out)?;
                }
                unpack.end()?;
                Ok::<_, &'static str>(out)
            };
            prop_assert_eq!(read(&lengths).ok(), read(&[usize::MAX]).ok());
        }
    }
}
