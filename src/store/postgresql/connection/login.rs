//! Reaching a server: each of a URL's places in turn, TLS as the URL wants it, and the login, all within `connect_timeout`.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::tls::ChannelBinding;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_rustls::TlsConnector;

use super::approach::Approach;
use super::cells::Row;
use super::inspector::{Inspector, Refusal, Road, Rules};
use super::server_error::{ServerError, explain, explain_start};
use super::wire::{Holder, Through, Wire};
use super::{advice, channel_binding};
use crate::config::is_here;
use crate::error::{Error, Kind, Result};
use crate::tls;

/// Moves a connection's bytes; the server's notices are its own affair.
pub(super) async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut messages = poll_fn(move |cx| connection.poll_message(cx));
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                let (notice, _) = ServerError::of(&notice).told("");
                tracing::debug!(notice, "the server remarks");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = %explain(&error, "a session"), "a connection ended");
                return;
            }
        }
    }
}

/// A session that has just begun.
pub(in crate::store::postgresql) struct Begun {
    pub(in crate::store::postgresql) client: Client,
    pub(in crate::store::postgresql) connection: JoinHandle<()>,
    /// Until when it has to be ready.
    pub(in crate::store::postgresql) until: Instant,
}

/// One of the places where a server may be.
enum Spot {
    Socket(PathBuf),
    /// A host's name or address, and what is connected to if that is something else.
    Tcp(String, Option<IpAddr>, u16),
}

/// One thing to connect to.
enum Door {
    Socket(PathBuf),
    /// With the host that its certificate is for.
    Tcp(String, SocketAddr),
}

/// A URL's places, in the order in which they are tried.
fn spots(config: &Config) -> Vec<Spot> {
    let (hosts, addresses, ports) = (
        config.get_hosts(),
        config.get_hostaddrs(),
        config.get_ports(),
    );
    let mut spots: Vec<Spot> = (0..hosts.len().max(addresses.len()))
        .map(|at| {
            let port = *ports.get(at).or(ports.first()).unwrap_or(&5432);
            let address = addresses.get(at).copied();
            match (hosts.get(at), address) {
                (Some(Host::Unix(directory)), None) => {
                    Spot::Socket(directory.join(format!(".s.PGSQL.{port}")))
                }
                (Some(Host::Tcp(host)), _) => Spot::Tcp(host.clone(), address, port),
                (_, Some(address)) => Spot::Tcp(address.to_string(), Some(address), port),
                (None, None) => unreachable!("there are as many as the longer list has"),
            }
        })
        .collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        let random = RandomState::new();
        let mut at = 0_usize;
        spots.sort_by_cached_key(|_| {
            at += 1;
            random.hash_one(at)
        });
    }
    spots
}

impl Spot {
    /// The addresses to connect to.
    async fn doors(self) -> io::Result<Vec<Door>> {
        Ok(match self {
            Self::Socket(file) => vec![Door::Socket(file)],
            Self::Tcp(host, Some(address), port) => vec![Door::Tcp(host, (address, port).into())],
            Self::Tcp(host, None, port) => lookup_host((host.as_str(), port))
                .await?
                .map(|address| Door::Tcp(host.clone(), address))
                .collect(),
        })
    }
}

/// Opens a session at the first place that lets us in; `place` is what messages call the server.
pub(super) async fn enter(
    config: &Config,
    approach: &Approach,
    wire: &Holder,
    place: &str,
) -> Result<Begun> {
    let mut failed = None;
    for spot in spots(config) {
        let until = Instant::now() + approach.patience;
        let doors = timeout_at(until, spot.doors())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let doors = match doors {
            Ok(doors) => doors,
            Err(error) => {
                failed = Some(unreachable_at(place, &error));
                continue;
            }
        };
        for door in doors {
            let until = Instant::now() + approach.patience;
            let attempt = Attempt {
                config,
                approach,
                wire,
                place,
            };
            match timeout_at(until, attempt.at(&door)).await {
                Ok(Ok((client, connection))) => {
                    return Ok(Begun {
                        client,
                        connection,
                        until,
                    });
                }
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(silent(place, approach.patience)),
            }
        }
    }
    Err(failed.unwrap_or_else(|| Error::new(Kind::Config, format!("{place}: no host is named"))))
}

/// For a server that has not made a session ready in time.
pub(super) fn silent(place: &str, patience: Duration) -> Error {
    Error::new(
        Kind::Connection,
        format!(
            "{place}: the server did not let us in within {} seconds",
            patience.as_secs()
        ),
    )
    .hint("is it overloaded, or something else than PostgreSQL? connect_timeout in the URL is how long it may take")
}

fn unreachable_at(place: &str, error: &io::Error) -> Error {
    Error::new(
        Kind::Connection,
        format!("{place}: error connecting to server: {error}"),
    )
    .hint("check that the server is up and can be reached from here")
}

struct Attempt<'a> {
    config: &'a Config,
    approach: &'a Approach,
    wire: &'a Holder,
    place: &'a str,
}

impl Attempt<'_> {
    async fn at(&self, door: &Door) -> Result<(Client, JoinHandle<()>)> {
        let (stream, binding, road) = match door {
            Door::Socket(file) => {
                let stream = UnixStream::connect(file)
                    .await
                    .map_err(|error| unreachable_at(self.place, &error))?;
                let stream = self.approach.pulse.listen(stream);
                (
                    Box::new(stream) as Wire,
                    ChannelBinding::none(),
                    Road::Socket,
                )
            }
            Door::Tcp(host, address) => self.encrypted(host, *address).await?,
        };
        let gate = Inspector::new(Rules {
            road,
            methods: self.approach.methods.clone(),
            warned: self.approach.warned.clone(),
        });
        // What is encrypted is so already.
        let mut config = self.config.clone();
        config.ssl_mode(SslMode::Require);
        config.ssl_negotiation(SslNegotiation::Direct);
        let tap = self.wire.tap(stream, binding, gate);
        let (client, connection) = config
            .connect_raw(tokio::io::empty(), Through(tap))
            .await
            .map_err(|error| match Refusal::in_error(&error) {
                Some(refusal) => refusal.told(self.place),
                None => explain_start(&error, self.place),
            })?;
        let connection = tokio::spawn(drive(connection));
        match self.suits(&client).await {
            Ok(()) => Ok((client, connection)),
            Err(error) => {
                connection.abort();
                Err(error)
            }
        }
    }

    /// A connection by TCP, encrypted as the URL wants it.
    async fn encrypted(
        &self,
        host: &str,
        address: SocketAddr,
    ) -> Result<(Wire, ChannelBinding, Road)> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.and_then(|stream| {
            self.approach.keepalive.apply(&stream)?;
            Ok(stream)
        });
        let stream = stream.map_err(|error| unreachable_at(self.place, &error))?;
        let mut stream = self.approach.pulse.listen(stream);
        let plain = if is_here(&address.ip().to_string()) {
            Road::Loopback
        } else {
            Road::Open
        };
        if self.approach.mode == SslMode::Disable {
            return Ok((Box::new(stream), ChannelBinding::none(), plain));
        }
        if self.config.get_ssl_negotiation() != SslNegotiation::Direct {
            let answer = ask_for_tls(&mut stream)
                .await
                .map_err(|error| self.handshake(&error))?;
            match answer {
                b'S' => {}
                b'N' if self.approach.mode == SslMode::Prefer => {
                    return Ok((Box::new(stream), ChannelBinding::none(), plain));
                }
                b'N' => return Err(self.without_tls()),
                _ => return Err(self.foreign()),
            }
        }
        let config = tls::config(&self.approach.tls)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            Error::new(
                Kind::Config,
                format!("{}: `{host}` cannot be a certificate's host", self.place),
            )
            .because(error)
        })?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| self.handshake(&error))?;
        let certificate = stream.get_ref().1.peer_certificates();
        let binding = certificate
            .and_then(|chain| chain.first())
            .map_or_else(ChannelBinding::none, |own| channel_binding::of(own));
        self.approach.encrypted.store(true, Ordering::Relaxed);
        Ok((Box::new(stream), binding, Road::Tls))
    }

    fn handshake(&self, error: &io::Error) -> Error {
        Error::new(
            Kind::Connection,
            format!("{}: error performing TLS handshake: {error}", self.place),
        )
        .hint("check the server's certificate, and sslmode and sslrootcert in the URL")
    }

    fn without_tls(&self) -> Error {
        let made = Error::new(
            Kind::Connection,
            format!("{}: the server has no TLS, which is required", self.place),
        );
        if self.approach.mode_is_default {
            made.hint(
                "set up TLS on the server; sslmode=prefer in the URL does without, at the risk that it names (TLS is required \
                 by default of servers on other machines, where it was preferred before)",
            )
        } else {
            made.hint("set up TLS on the server, or write sslmode=prefer in the URL")
        }
    }

    fn foreign(&self) -> Error {
        Error::new(
            Kind::Connection,
            format!(
                "{}: what answers there does not speak as PostgreSQL does",
                self.place
            ),
        )
        .hint("check the host and the port")
    }

    /// Whether the server is of the kind that `target_session_attrs` asks for.
    async fn suits(&self, client: &Client) -> Result<()> {
        let wanted = match self.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite => "off",
            TargetSessionAttrs::ReadOnly => "on",
            _ => return Ok(()),
        };
        let row = client
            .query_one("SELECT current_setting('transaction_read_only')", &[])
            .await
            .map_err(|error| match self.wire.refusal() {
                Some(refusal) => refusal.told(self.place),
                None => explain(&error, self.place),
            })?;
        if Row::of(row, self.place.into()).read::<&str>(0)? == wanted {
            return Ok(());
        }
        Err(Error::new(
            Kind::Connection,
            format!(
                "{}: the server is not of the kind that target_session_attrs wants",
                self.place
            ),
        )
        .hint(advice::SESSION_ATTRS))
    }
}

/// A request for TLS: its length and its code (PostgreSQL manual, "Message Formats", SSLRequest).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Asks for TLS, and reads the one byte of the answer: what comes behind it is TLS already.
async fn ask_for_tls<S>(stream: &mut S) -> io::Result<u8>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(&SSL_REQUEST).await?;
    stream.read_u8().await
}
