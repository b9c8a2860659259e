//! A source that is no source: a server that answers with whatever it likes gets an error, and nothing of ours.

use std::sync::{Arc, Mutex};

use envsyncd::error::Error;
use envsyncd::store::{self, Claim, Context, Selection};

use super::portable::run;
use crate::support::hostile::mysql::{Client, FINE, Hostile, greeting};
use crate::support::job::{Bed, Job, toml};

/// What comes of opening it as a source.
fn met(server: &Hostile) -> Error {
    let bed = Bed::new();
    let job = Job::new(
        "mysql",
        &toml(&server.url()),
        &toml("mysql://owner@localhost/live"),
    );
    let file = bed.job("app", &job);
    let nothing = std::iter::empty::<(String, String)>;
    let (settings, _) =
        envsyncd::config::load_settings(None, nothing(), envsyncd::store::registry::formats())
            .expect("defaults");
    let (job, _) = envsyncd::config::load_job(&file, &settings).expect("a job");
    let task = job.tasks.into_iter().next().expect("a task");
    let context = Context {
        claim: Claim {
            job: "app".to_owned(),
            run: uuid::Uuid::now_v7().to_string(),
            host: "here".to_owned(),
        },
        cancel: tokio_util::sync::CancellationToken::new(),
        selection: Arc::new(Selection::of(&task, false).expect("globs")),
        workers: 1,
        lookup: Arc::new(|_| None),
    };
    match run(store::registry::open_source(&task, &context)) {
        Ok(_) => panic!("it was taken for a source"),
        Err(error) => error,
    }
}

/// What comes of a server that does this once we are in and have sent a statement.
#[track_caller]
fn refused(
    with: impl Fn(&mut Client) -> std::io::Result<()> + Send + 'static,
    says: &str,
) -> Hostile {
    let server = Hostile::new(move |client| {
        client.let_in()?;
        client.packet()?;
        with(client)
    });
    let error = met(&server).to_string();
    assert!(error.contains(says), "{error}");
    server
}

#[test]
fn packets_that_go_on_for_ever_are_left_at_their_first_header() {
    let body = vec![b'x'; 0xff_ff_ff];
    let server = refused(
        move |client| {
            loop {
                client.send(&body)?;
            }
        },
        "more than 262144 bytes",
    );
    assert!(server.sent() < 64 << 20, "{}", server.sent());
}

#[test]
fn results_that_go_on_for_ever_come_to_an_end() {
    let server = refused(
        |client| {
            loop {
                client.send(b"\0\0\0\x0a\0\0\0")?;
            }
        },
        "not expected",
    );
    assert!(server.sent() < 64 << 20, "{}", server.sent());
}

#[test]
fn more_columns_than_there_are_are_refused() {
    for count in [
        &b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\xfd\xff\xff\xff",
        b"\xfe\xff",
        b"\xfa\x01",
    ] {
        refused(move |client| client.send(count), "not expected");
    }
    // As many as it says, of definitions that are none.
    refused(
        |client| {
            client.send(b"\xfc\xff\xff")?;
            loop {
                client.send(b"\x01a\x01a")?;
            }
        },
        "not expected",
    );
}

#[test]
fn packets_out_of_order_are_refused() {
    refused(
        |client| client.raw(&[&[7, 0, 0, 77][..], FINE].concat()),
        "out of order",
    );
}

#[test]
fn a_file_that_a_server_asks_for_is_not_sent() {
    let got = Arc::new(Mutex::new(None));
    let came = got.clone();
    refused(
        move |client| {
            client.send(b"\xfb/etc/passwd")?;
            *came.lock().expect("no panic") = Some(client.rest());
            Ok(())
        },
        "not expected",
    );
    crate::support::wait_until("the client has gone", || {
        got.lock().expect("no panic").is_some()
    });
    let got = got.lock().expect("no panic").take().expect("it has");
    assert_eq!(got, b"");
}

#[test]
fn an_error_of_a_server_is_told_in_a_line_however_long_it_is() {
    let server =
        Hostile::new(|client| client.send(&[&b"\xff\x15\x04#28000"[..], &[b'x'; 4000]].concat()));
    let error = met(&server).to_string();
    assert!(error.len() < 2000, "{}", error.len());
    refused(
        |client| client.send(&[&b"\xff\x15\x04#28000"[..], &vec![b'x'; 1 << 20]].concat()),
        "more than 262144 bytes",
    );
}

#[test]
fn a_greeting_that_is_cut_or_garbled_is_an_error() {
    let whole = greeting("mysql_native_password");
    // Each beginning of it, and each with a byte that is another one.
    let cut = (0..whole.len()).map(|end| whole[..end].to_vec());
    let garbled = (0..whole.len()).flat_map(|at| {
        let with = |byte: u8| {
            let mut made = whole.clone();
            made[at] = byte;
            made
        };
        [with(0), with(0xff)]
    });
    let all: Vec<Vec<u8>> = cut.chain(garbled).collect();
    let count = all.len();
    let next = Mutex::new(all.into_iter());
    let server = Hostile::new(move |client| {
        let greeting = next.lock().expect("no panic").next();
        client.send(&greeting.unwrap_or_default())?;
        // What follows is no answer to whatever was said.
        client.packet()?;
        client.send(b"\x99")
    });
    for _ in 0..count {
        met(&server);
    }
}

#[test]
fn whatever_a_server_asks_for_to_prove_a_password_is_answered_or_refused() {
    const PLUGINS: [&str; 9] = [
        "mysql_native_password",
        "caching_sha2_password",
        "sha256_password",
        "mysql_clear_password",
        "mysql_old_password",
        "client_ed25519",
        "parsec",
        "auth_gssapi_client",
        "",
    ];
    let mut all = Vec::new();
    for plugin in PLUGINS {
        for length in [0, 8, 20, 33] {
            for more in [
                &b"\x01\x04"[..],
                b"\x01-----BEGIN PUBLIC KEY-----\n",
                b"\x01P\x7fxxxxxxxxxxxxxxxxxx",
            ] {
                let mut switch = vec![0xfe];
                switch.extend_from_slice(plugin.as_bytes());
                switch.push(0);
                switch.extend(std::iter::repeat_n(b'A', length));
                all.push((switch, more));
            }
        }
    }
    let count = all.len();
    let next = Mutex::new(all.into_iter());
    let server = Hostile::new(move |client| {
        let Some((switch, more)) = next.lock().expect("no panic").next() else {
            return Ok(());
        };
        client.send(&greeting("mysql_native_password"))?;
        client.packet()?;
        client.send(&switch)?;
        client.packet()?;
        client.send(more)?;
        client.packet()?;
        client.send(more)
    });
    for _ in 0..count {
        met(&server);
    }
}
