//! Fuzz targets: what a PostgreSQL server and its programs say. See `docs/fuzzing.md`.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::fuzz::{bytes, config, lengths, pieces, runtime, texts};
use crate::store::postgresql::connection::server_error::ServerError;
use crate::store::postgresql::connection::{complaints, harmless, url_options};
use crate::store::postgresql::databases::{marks, room};
use crate::store::postgresql::rows::codec::{TextDecoder, TextEncoder};
use crate::store::postgresql::rows::copy_stream::{CopyStream, Out, rows_of};
use crate::store::postgresql::schema::toc::{Entry, Toc};
use crate::store::postgresql::schema::{named_roles, ownership, search_path};
use crate::store::postgresql::script::reach;
use crate::store::postgresql::script::transactions::Transaction;
use crate::store::postgresql::sql::words::words;
use crate::store::postgresql::sql::{calls, quoting, setting_values};
use crate::store::redact::{Dialect, Names};
use crate::store::{RowDecoder as _, RowEncoder as _};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn table_of_contents(archive in bytes(&["tests/corpus/pg_archive"])) {
        let Ok(toc) = runtime().block_on(Toc::read(&archive[..])) else {
            return Ok(());
        };
        let mut texts = 0;
        for entry in &toc.entries {
            texts += entry.tag().len() + entry.drop().len() + entry.needs().count();
            let _ = (entry.label(), named_roles::names_roles(entry), ownership::owner_as_it_was(entry));
            let mut other = Entry::clone(entry);
            other.redefine("SELECT 1");
            prop_assert_eq!((other.tag(), &*other.definition(), &*other.drop()), (entry.tag(), "SELECT 1", &*entry.drop()));
            prop_assert_eq!(other.needs().collect::<Vec<_>>(), entry.needs().collect::<Vec<_>>());
        }
        prop_assert!(texts <= archive.len() && toc.entries.len() <= archive.len());
        // As it is put away.
        let stored = serde_json::to_vec(&toc).unwrap();
        let again: Toc = serde_json::from_slice(&stored).unwrap();
        prop_assert_eq!(serde_json::to_vec(&again).unwrap(), stored);
    }

    #[test]
    fn server_message(body in bytes(&["tests/corpus/pg_message"]), sql in texts(&["tests/corpus/script"])) {
        let said = ServerError::parse(&body);
        let (told, _) = said.told(&sql);
        prop_assert!(!told.is_empty());
        let error = said.explain("source").to_string();
        prop_assert!(error.starts_with("source: ") && !error.contains('\n'), "{:?}", error);
        let _ = rows_of(&body);
    }

    #[test]
    fn message_words(code in "[0-9A-Z]{0,6}|22P02|23505|42601|53100", text in texts(&["tests/corpus/message"]), file in prop::sample::select(vec!["", "elog.c", "fd.c", "execMain.c", "scan.l", "parse_relation.c", "nbtinsert.c", "int.c"])) {
        let names = Names::of("SELECT a FROM users", Dialect::Postgresql);
        let message = harmless::Message { code: &code, text: &text, file, has_context: false };
        if let Some(told) = harmless::told(&message, &names) {
            prop_assert!(told.len() <= text.len() + 100);
        }
    }

    #[test]
    fn copy_out(said in bytes(&["tests/corpus/pg_copy_out"]), binary: bool) {
        runtime().block_on(async {
            let mut out = Out::that_says(&said, binary).unwrap();
            let (mut came, mut rows) = (0, 0);
            while let Ok(Some(chunk)) = out.next().await {
                came += chunk.data.len();
                rows += chunk.rows;
                prop_assert!(!chunk.data.is_empty());
            }
            prop_assert!(came <= said.len() && rows <= said.len() as u64);
            let mut talk = CopyStream::that_says(&said).unwrap();
            let mut came = 0;
            while let Ok((_, body)) = talk.message().await {
                came += body.len() + 5;
            }
            prop_assert!(came <= said.len());
            Ok(())
        })?;
    }

    #[test]
    fn copy_framing(wire in bytes(&["tests/corpus/pg_copy_out", "tests/corpus/rows_on_the_wire"]), lengths in lengths()) {
        let lines = |lengths: &[usize]| {
            let (mut unframe, mut out) = (TextEncoder::default(), BytesMut::new());
            for piece in pieces(&wire, lengths) {
                unframe.feed(&Bytes::copy_from_slice(piece), &mut out).ok()?;
            }
            unframe.end(&mut out).ok()?;
            Some(out)
        };
        let found = lines(&lengths);
        prop_assert_eq!(&found, &lines(&[usize::MAX]));
        if let Some(found) = found {
            prop_assert!(found.len() <= wire.len());
            let chunk = TextDecoder::default().feed(&found).unwrap();
            let rows = memchr::memchr_iter(b'\n', &found).count() as u64;
            prop_assert_eq!(chunk.map_or(0, |chunk| chunk.rows), rows);
        }
    }

    #[test]
    fn definition(text in texts(&["tests/corpus/pg_definition", "tests/corpus/script"])) {
        if let Some((name, rest)) = quoting::identifier(&text) {
            prop_assert!(name.len() <= text.len() && text.ends_with(rest));
        }
        if let Some((from, until)) = named_roles::policy_roles(&text) {
            prop_assert!(from <= until && text.get(from..until).is_some());
        }
        prop_assert!(words(&text).len() <= 8);
        let _ = Transaction::default().step(&text);
    }

    #[test]
    fn statement_of_a_stranger(text in texts(&["tests/corpus/pg_definition", "tests/corpus/script"])) {
        let dear = HashSet::from(["lo_export".to_owned()]);
        let _ = (calls::of_statement(&text, &dear), reach::reached(&text));
        // Whatever stands behind it, or before it in a comment, what is called and reached is seen.
        for before in ["", "--\n", "/* ' */ ", "/* /* $$ */ \" */"] {
            let calling = format!("{before}SELECT lo_export(1, 'x') {text}");
            prop_assert!(calls::of_statement(&calling, &dear).is_some(), "{}", calling);
            let reaching = format!("{before}DROP DATABASE x {text}");
            prop_assert!(reach::reached(&reaching).is_some(), "{}", reaching);
        }
    }

    #[test]
    fn setting(stored in texts(&["tests/corpus/pg_setting"])) {
        if let Some(elements) = setting_values::elements(&stored) {
            prop_assert!(elements.iter().map(String::len).sum::<usize>() <= stored.len());
        }
        for name in ["search_path", "DateStyle", "temp_tablespaces"] {
            let sql = setting_values::as_sql(name, &stored);
            // Strings and commas, and nothing that ends a statement.
            let alone = crate::store::statements::split(&sql);
            prop_assert!(stored.contains('\\') || alone.is_ok_and(|all| all.len() == 1), "{}", sql);
        }
        let _ = search_path::path_of(&stored, Some("owner"));
        for (name, _) in url_options::settings_of_url(&stored) {
            prop_assert!(!name.contains('-'));
        }
    }

    #[test]
    fn complaint(line in texts(&["tests/corpus/message"])) {
        let names = Names::of("CREATE TABLE public.users (mail text)", Dialect::Postgresql);
        let told = complaints::complaint(&line, &names).text;
        prop_assert!(!told.contains('\n') || line.trim().contains('\n'));
    }

    #[test]
    fn pid_file_of_a_server(content in bytes(&["tests/corpus/postmaster_pid"]), started: i64) {
        if room::was_begun_at(&content, started) {
            prop_assert!(content.split(|byte| *byte == b'\n').count() >= 3);
        }
    }

    #[test]
    fn comment_of_a_database(comment in texts(&["tests/corpus/pg_comment"])) {
        let marked = marks::is_marked(&comment);
        match marks::own_comment(comment.clone()) {
            Some(own) => prop_assert!(comment.ends_with(&own) && (marked || own == comment)),
            None => prop_assert!(marked && !comment.contains('\n')),
        }
    }
}
