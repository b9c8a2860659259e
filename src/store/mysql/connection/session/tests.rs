use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

/// A session with a server that answers the next command with this, `again` and again at its end.
fn answered(head: Vec<u8>, again: Vec<u8>) -> Session {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move {
        let mut command = [0; 1 << 10];
        let _ = theirs.read(&mut command).await;
        let _ = serve(&mut theirs, &head, &again).await;
    });
    Session {
        link: Link::over(ours),
        id: 1,
        version: Version::parse("8.0.36").expect("a version"),
        busy: false,
        asked: Vec::new(),
        own: Vec::new(),
        status: 0,
        warnings: 0,
        packet: 1 << 20,
        obeys: false,
        is_ordinary: false,
        room: 1 << 20,
    }
}

async fn serve(to: &mut DuplexStream, head: &[u8], again: &[u8]) -> std::io::Result<()> {
    to.write_all(head).await?;
    while !again.is_empty() {
        to.write_all(again).await?;
    }
    Ok(())
}

/// These in packets, numbered from this number on.
fn packets(first: u8, all: &[&[u8]]) -> Vec<u8> {
    let mut made = Vec::new();
    for (at, data) in all.iter().enumerate() {
        made.extend_from_slice(&(data.len() as u32).to_le_bytes()[..3]);
        made.push(first.wrapping_add(at as u8));
        made.extend_from_slice(data);
    }
    made
}

const COLUMN: &[u8] = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0";
const END: &[u8] = b"\xfe\0\0\x02\0";
const DONE: &[u8] = b"\0\0\0\x02\0\0\0";
const AND_MORE: &[u8] = b"\0\0\0\x0a\0\0\0";

async fn refused(head: &[u8], again: &[u8]) -> [String; 2] {
    let run = answered(head.to_vec(), again.to_vec()).run("DO 1").await;
    let query = answered(head.to_vec(), again.to_vec())
        .query("SELECT 1")
        .await;
    [
        run.expect_err("it is refused").to_string(),
        query.map(drop).expect_err("it is refused").to_string(),
    ]
}

#[tokio::test]
async fn an_answer_that_is_one_is_taken() {
    let rows = packets(1, &[b"\x01", COLUMN, END, b"\x011", b"\xfb", END]);
    let found = answered(rows.clone(), Vec::new()).query("SELECT 1").await;
    assert_eq!(found.expect("rows").len(), 2);
    answered(rows, Vec::new())
        .run("SELECT 1")
        .await
        .expect("rows");
    answered(packets(1, &[DONE]), Vec::new())
        .run("DO 1")
        .await
        .expect("nothing");
    let both = packets(1, &[AND_MORE, DONE]);
    assert!(
        answered(both.clone(), Vec::new())
            .run("DO 1; DO 1")
            .await
            .is_ok()
    );
    // But not where there is one statement.
    assert!(
        answered(both, Vec::new())
            .execute_one(b"DO 1")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_answer_without_end_is_left_after_a_megabyte() {
    // What begins it is as long as packets get.
    let long = [&b"\xff\xff\xff\x01"[..], &[b'x'; 1000]].concat();
    for said in refused(&long, &vec![b'x'; 1 << 16]).await {
        assert!(said.contains("more than 262144 bytes"), "{said}");
    }
    // Rows, small ones and large ones.
    let head = packets(1, &[b"\x01", COLUMN, END]);
    for row in [&b"\x01a"[..], &[b'x'; 200]] {
        let row = if row.len() == 200 {
            [&[200], row].concat()
        } else {
            row.to_vec()
        };
        let mut again = Vec::new();
        for number in 0..=255_u8 {
            again.extend(packets(number.wrapping_add(4), &[&row]));
        }
        for said in refused(&head, &again).await {
            assert!(said.contains("more than 1048576 bytes"), "{said}");
        }
    }
    // A row that goes on for ever.
    let head = [head, b"\xff\xff\xff\x04".to_vec()].concat();
    for said in refused(&head, &vec![b'x'; 1 << 16]).await {
        assert!(said.contains("bytes, which is more"), "{said}");
    }
    // Results.
    let mut again = Vec::new();
    for number in 0..=255_u8 {
        again.extend(packets(number.wrapping_add(1), &[AND_MORE]));
    }
    let mut session = answered(Vec::new(), again);
    assert!(session.run("DO 1").await.is_err());
}

#[tokio::test]
async fn an_answer_that_lies_is_refused() {
    let columns = |count: &[u8]| packets(1, &[count, COLUMN, END, b"\x01a", END]);
    for answer in [
        // More columns than there can be, numbers that are none.
        columns(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"),
        columns(b"\xfd\xff\xff\xff"),
        columns(b"\xfc\x01"),
        columns(b"\x01\x01"),
        packets(1, &[b""]),
        packets(1, &[b"\0"]),
        packets(1, &[b"\0\xff\0\0\0"]),
        // More or fewer definitions than columns, or something else.
        columns(b"\x02"),
        packets(1, &[b"\x01", COLUMN, COLUMN, END, b"\x01a", END]),
        packets(1, &[b"\x01", b"\x03abc", END, b"\x01a", END]),
        packets(1, &[b"\x01", END, b"\x01a", END]),
        packets(1, &[b"\x01", COLUMN, b"\xfe", b"\x01a", END]),
        // It asks for a file.
        packets(1, &[b"\xfb/etc/passwd"]),
        // An error that is none.
        packets(1, &[b"\xff"]),
    ] {
        refused(&answer, &[]).await;
    }
    // Values that are longer than their row, too many or too few.
    for row in [
        &b"\x05a"[..],
        b"\x01a\x01b",
        b"",
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\xfc",
        b"\xfd\xff\xff",
    ] {
        let answer = packets(1, &[b"\x01", COLUMN, END, row, END]);
        let found = answered(answer, Vec::new()).query("SELECT 1").await;
        assert!(found.is_err(), "{row:?}");
    }
}

#[tokio::test]
async fn packets_out_of_order_are_refused_and_an_error_may_come_unasked() {
    let mut rows = packets(1, &[b"\x01", COLUMN, END]);
    rows.extend(packets(9, &[b"\x011", END]));
    for said in refused(&rows, &[]).await {
        assert!(said.contains("out of order"), "{said}");
    }
    for said in refused(&packets(0, &[b"\xff\x88\x13#70100killed"]), &[]).await {
        assert!(!said.contains("out of order"), "{said}");
    }
}

proptest! {
    #[test]
    fn whatever_is_answered_is_an_answer_or_an_error(
        junk in prop::collection::vec(any::<u8>(), 0..300),
        good in 0_usize..4,
        first in 0_u8..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let pieces: [&[u8]; 3] = [b"\x01", COLUMN, END];
            let mut head = packets(1, &pieces[..good.min(3)]);
            head.extend(packets(first + good as u8, &[&junk]));
            head.extend(&junk);
            let _ = answered(head.clone(), Vec::new()).query("SELECT 1").await;
            let _ = answered(head, Vec::new()).run("SELECT 1").await;
        });
    }
}
