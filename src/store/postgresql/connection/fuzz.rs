//! Fuzz targets: what a server says on the wire, from its first byte on. See `docs/fuzzing.md`.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::ChannelBinding;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::cells::Row;
use super::inspector::{Inspector, Road, Rules};
use super::server_error::{explain, explain_start};
use super::wire::{Holder, Through};
use super::{channel_binding, session_settings};
use crate::fuzz::{bytes, config, lengths, pieces, runtime};
use crate::store::postgresql::url::AuthMethods;
use crate::tls::der::{self, OID, SEQUENCE};

const SAID: &[&str] = &["tests/corpus/pg_session"];

/// How the server says that it waits: its tag and its length.
const READY: &[u8] = b"Z\0\0\0\x05";

fn rules(road: Road, methods: &str) -> Rules {
    Rules {
        road,
        methods: AuthMethods::parse(methods),
        warned: std::sync::Arc::default(),
    }
}

fn road() -> impl Strategy<Value = Road> {
    prop::sample::select(vec![Road::Socket, Road::Tls, Road::Loopback, Road::Open])
}

/// A server that says this, a turn whenever it was told something, or when it is waited for in vain.
struct Server {
    turns: VecDeque<Vec<u8>>,
    asked: u32,
}

impl Server {
    fn that_says(mut said: &[u8]) -> Self {
        let mut turns = VecDeque::new();
        while let Some(at) = memchr::memmem::find(said, READY) {
            let (turn, rest) = said.split_at((at + READY.len() + 1).min(said.len()));
            turns.push_back(turn.to_vec());
            said = rest;
        }
        turns.push_back(said.to_vec());
        Self { turns, asked: 0 }
    }
}

impl AsyncRead for Server {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.asked += 1;
        if self.asked < 4 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(mut turn) = self.turns.pop_front() else {
            return Poll::Ready(Ok(()));
        };
        let rest = turn.split_off(turn.len().min(buffer.remaining()));
        buffer.put_slice(&turn);
        if rest.is_empty() {
            self.asked = 0;
        } else {
            self.turns.push_front(rest);
        }
        // Nothing would be the end.
        if turn.is_empty() && !self.turns.is_empty() {
            return self.poll_read(cx, buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = 4;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Asks as the store does: by text, and with types.
async fn ask(client: Client, most: usize) -> Result<(), TestCaseError> {
    let one_line = |error: &tokio_postgres::Error| {
        let text = explain(error, "source").to_string();
        prop_assert!(
            text.starts_with("source: ") && !text.contains('\n'),
            "{:?}",
            text
        );
        Ok(())
    };
    match client
        .simple_query("SELECT name, setting, 'MARKER' FROM pg_settings")
        .await
    {
        Ok(messages) => {
            prop_assert!(messages.len() <= most);
            for message in &messages {
                if let SimpleQueryMessage::Row(row) = message {
                    let _ = (
                        session_settings::cell(row, 0),
                        session_settings::cell(row, 9),
                    );
                }
            }
            let _ = session_settings::read(&messages);
        }
        Err(error) => one_line(&error)?,
    }
    match client.query("SELECT 1, $1::int4", &[&7_i32]).await {
        Ok(rows) => {
            prop_assert!(rows.len() <= most);
            for row in rows {
                let row = Row::of(row, "source".into());
                let _ = (
                    row.read::<i32>(0),
                    row.read::<Option<String>>(1),
                    row.read::<bool>(2),
                );
                let _ = (
                    row.read::<Vec<String>>(0),
                    row.read::<Option<i64>>(0),
                    row.read::<u32>(0),
                );
            }
        }
        Err(error) => one_line(&error)?,
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    /// However it comes, it is judged alike, and a password is shown to nobody in plain.
    #[test]
    fn before_a_session(said in bytes(SAID), lengths in lengths(), road in road(), methods in prop::sample::select(vec!["", "scram-sha-256", "!password,!md5", "none"])) {
        let look = |lengths: &[usize]| {
            let mut inspector = Inspector::new(rules(road, methods));
            pieces(&said, lengths).into_iter().find_map(|piece| inspector.look(piece).err())
        };
        let refusal = look(&lengths);
        prop_assert_eq!(refusal, look(&[usize::MAX]));
        if let Some(refusal) = refusal {
            let text = refusal.told("source").to_string();
            prop_assert!(text.starts_with("source: ") && !text.contains('\n'), "{}", text);
        }
        let cleartext = [b"R\0\0\0\x08\0\0\0\x03", &said[..]].concat();
        let refused = Inspector::new(rules(road, methods)).look(&cleartext).is_err();
        prop_assert!(refused || matches!(road, Road::Socket | Road::Tls) && methods.is_empty());
    }

    #[test]
    fn session(said in bytes(SAID), road in road()) {
        runtime().block_on(async {
            let tap = Holder::default().tap(
                Box::new(Server::that_says(&said)),
                ChannelBinding::none(),
                Inspector::new(rules(road, "")),
            );
            let mut settings = Config::new();
            settings.user("reader").password("s3cret").dbname("d");
            match settings.connect_raw(tokio::io::empty(), Through(tap)).await {
                Ok((client, connection)) => {
                    let (_, asked) = tokio::join!(connection, ask(client, said.len()));
                    asked
                }
                Err(error) => {
                    let text = explain_start(&error, "source").to_string();
                    prop_assert!(!text.contains('\n') && !text.contains("s3cret"), "{:?}", text);
                    Ok(())
                }
            }
        })?;
    }

    #[test]
    fn certificate(sent in bytes(&["tests/corpus/certificate"])) {
        let _ = channel_binding::of(&sent);
        let mut rest = &sent[..];
        while let Some((inner, after)) = [SEQUENCE, OID, 2, 3, 0xa0].into_iter().find_map(|tag| der::take(rest, tag)) {
            prop_assert!(inner.len() + after.len() < rest.len());
            rest = if inner.is_empty() { after } else { inner };
        }
    }
}
