//! Fuzz targets: dumps in `pg_dump`'s custom format. See `docs/fuzzing.md`.

use proptest::prelude::*;

use super::counting::Counter;
use super::head::{Head, Trouble};
use super::pg_restore;
use super::{fitting, within};
use crate::config::job::Roles as Wanted;
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
}
