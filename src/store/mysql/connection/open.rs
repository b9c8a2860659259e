//! Opens sessions: connects, logs in and sets them up, in the time that the URL allows.

use std::time::Duration;

use tokio::sync::Mutex;

use super::address::Address;
use super::session::Session;
use super::wire::Link;
use super::{login, session, settings};
use crate::error::{Error, Kind, Result};

impl Session {
    /// Connects and logs in; `database`: the one that statements are in. Statements are UTF-8, times are UTC, and nothing
    /// that the server has set for applications touches a copy.
    pub(in crate::store::mysql) async fn open(
        address: &Address,
        database: Option<&str>,
    ) -> Result<Self> {
        let opened = async {
            let mut session = Self::connect(address, database).await?;
            session.packet = settings::fix(&mut session).await?;
            Ok(session)
        };
        in_time(address, opened).await
    }

    /// The same with the settings that applications get there, for what a person wrote.
    pub(in crate::store::mysql) async fn open_ordinary(
        address: &Address,
        database: Option<&str>,
    ) -> Result<Self> {
        let opened = async {
            let mut session = Self::connect(address, database).await?;
            session.is_ordinary = true;
            session.packet = settings::leave(&mut session).await?;
            Ok(session)
        };
        in_time(address, opened).await
    }

    async fn connect(address: &Address, database: Option<&str>) -> Result<Self> {
        let mut link = Link::connect(address).await?;
        let welcome = login::log_in(&mut link, address, database).await?;
        let asked = address.clone();
        address.pulse.watch(move || {
            let address = asked.clone();
            async move {
                // Whatever the server says to it, it has said something.
                let asking = async {
                    let mut link = Link::connect(&address).await?;
                    login::log_in(&mut link, &address, None).await?;
                    link.restart();
                    link.send_packet(&[session::QUIT]).await
                };
                let _ = tokio::time::timeout(address.patience, asking).await;
            }
        });
        let own = [Some(address.user()), database];
        let own = own.into_iter().flatten().map(str::to_owned).collect();
        Ok(Self::new(link, welcome.id, welcome.version, own))
    }
}

/// A session that is opened within the time that the URL allows for it.
async fn in_time(
    address: &Address,
    opened: impl Future<Output = Result<Session>>,
) -> Result<Session> {
    let opened = tokio::time::timeout(address.patience, opened).await;
    opened
        .unwrap_or_else(|_| {
            Err(Error::new(
                Kind::Connection,
                format!(
                    "{}: the server did not let us in within {} seconds",
                    address.label(),
                    address.patience.as_secs()
                ),
            )
            .hint("is it overloaded, or something else than MySQL or MariaDB? connect_timeout in the URL is how long it may take"))
        })
        .map_err(|error| as_whom(error, address))
}

/// Says whose login was refused.
fn as_whom(error: Error, address: &Address) -> Error {
    match error.kind() {
        Kind::Permission => error.within(format!("logging in as `{}`", address.user())),
        _ => error,
    }
}

/// Ends when the server does not answer this session any more.
pub(in crate::store::mysql) async fn lost(session: &Mutex<Session>) -> Error {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(error) = session.lock().await.ping().await {
            return error;
        }
    }
}
