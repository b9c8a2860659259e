//! Logging in: the handshake, TLS in the middle of it, and whatever way to prove a password the server asks for. The
//! packets and the proofs are `mysql_common`'s.

use std::collections::HashMap;
use std::sync::Arc;

use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context, Response};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{
    AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest,
};
use mysql_common::proto::MySerialize;
use secrecy::ExposeSecret;
use tokio_rustls::TlsConnector;

use super::address::{Address, Encryption, Way};
use super::server_error;
use super::server_key;
use super::wire::Link;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::sql::version::Version;
use crate::tls;

/// What the server said when it let us in.
pub(in crate::store::mysql) struct Welcome {
    pub(in crate::store::mysql) id: u32,
    pub(in crate::store::mysql) version: Version,
}

/// The longest packet that we say we take; the servers do not look at it.
const MAX_PACKET: u32 = 1 << 30;
/// What caching_sha2_password says when it does not know the user's password yet, and wants all of it
/// (`perform_full_authentication` in MySQL's source).
const WHOLE_PASSWORD: u8 = 4;
/// utf8mb4_general_ci (servers' `information_schema.COLLATIONS`).
const UTF8MB4: u8 = 45;

/// What we can, and a server has to.
const NEEDED: CapabilityFlags = CapabilityFlags::CLIENT_PROTOCOL_41
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH);

/// All that we can.
const WANTED: CapabilityFlags = NEEDED
    .union(CapabilityFlags::CLIENT_LONG_PASSWORD)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(CapabilityFlags::CLIENT_CONNECT_ATTRS)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    .union(CapabilityFlags::CLIENT_MULTI_RESULTS)
    .union(CapabilityFlags::CLIENT_LOCAL_FILES);

/// Logs in on a fresh connection.
pub(in crate::store::mysql) async fn log_in(
    link: &mut Link,
    address: &Address,
    database: Option<&str>,
) -> Result<Welcome> {
    let greeting = link.greeting().await?;
    let greeting = greeting.ok_or_else(|| foreign(address))?;
    if greeting.first() == Some(&0xff) {
        return Err(link.refusal(&greeting));
    }
    let greeting = handshake(&greeting).map_err(|error| foreign(address).because(error))?;
    let version = Version::parse(&greeting.server_version_str())?;
    if !greeting.capabilities().contains(NEEDED) {
        return Err(foreign(address));
    }
    let can_encrypt = greeting
        .capabilities()
        .contains(CapabilityFlags::CLIENT_SSL);
    let mut wanted = WANTED & (greeting.capabilities() | CapabilityFlags::CLIENT_LONG_PASSWORD);
    let encrypt = match address.encryption {
        Encryption::Off => false,
        Encryption::Preferred => can_encrypt,
        Encryption::Required if !can_encrypt => return Err(without_tls(address)),
        Encryption::Required => true,
    };
    if encrypt {
        wanted |= CapabilityFlags::CLIENT_SSL;
        if database.is_some() {
            wanted |= CapabilityFlags::CLIENT_CONNECT_WITH_DB;
        }
        link.send_packet(&serialized(&SslRequest::new(wanted, MAX_PACKET, UTF8MB4)))
            .await?;
        encrypt_link(link, address).await?;
        address.note_encrypted();
    }
    let plugin = greeting
        .auth_plugin()
        .map_or(AuthPlugin::MysqlNativePassword, AuthPlugin::into_owned);
    let mut secret = Secret {
        password: address
            .password
            .as_ref()
            .map(|password| password.expose_secret().as_bytes().to_vec())
            .unwrap_or_default(),
        local: matches!(address.way, Way::Socket(_)),
        encrypted: encrypt,
        scramble: greeting.nonce(),
        server_key: match &address.server_key {
            Some(file) if !encrypt => Some(server_key::read(file)?),
            _ => None,
        },
    };
    // What the server names first may not be the user's way, or none of ours: it then asks for another.
    let (proof, first) = match proof(&plugin, &mut secret, address) {
        Ok((proof, first)) => (Some(proof), first),
        Err(_) => (None, Vec::new()),
    };
    let named = if proof.is_some() {
        plugin
    } else {
        AuthPlugin::MysqlNativePassword
    };
    let response = HandshakeResponse::new(
        Some(first),
        version.number,
        Some(address.user().as_bytes().to_vec()),
        database.map(|database| database.as_bytes().to_vec()),
        Some(named),
        wanted,
        Some(attributes(address)),
        MAX_PACKET,
    );
    link.send_packet(&serialized(&response)).await?;
    prove(link, address, secret, proof).await?;
    Ok(Welcome {
        id: greeting.connection_id(),
        version,
    })
}

/// Goes on until the server lets us in, or does not. `proof`: the way that it asked for first, if that is one of ours.
async fn prove(
    link: &mut Link,
    address: &Address,
    mut secret: Secret,
    mut proof: Option<AuthProc>,
) -> Result<()> {
    loop {
        let packet = link.login_packet().await?;
        let packet = packet.ok_or_else(|| foreign(address))?;
        match packet.first() {
            Some(0x00) => return Ok(()),
            Some(0xff) => return Err(refused(link.refusal(&packet), address, secret.encrypted)),
            Some(0xfe) if packet.len() > 1 => {
                let switch: AuthSwitchRequest<'_> =
                    parse(&packet).map_err(|error| foreign(address).because(error))?;
                secret.scramble = switch.plugin_data().to_vec();
                let (next, answer) = self::proof(&switch.auth_plugin(), &mut secret, address)?;
                proof = Some(next);
                link.send_packet(&answer).await?;
            }
            Some(0x01) => {
                let proof = proof.as_mut().ok_or_else(|| foreign(address))?;
                let response = answer(proof, &packet, &secret, address)?;
                if let Some(data) = response.data() {
                    link.send_packet(data).await?;
                }
            }
            _ => return Err(foreign(address)),
        }
    }
}

/// What is sent for a packet of the server's that goes on with a proof.
fn answer(
    proof: &mut AuthProc,
    packet: &[u8],
    secret: &Secret,
    address: &Address,
) -> Result<Response> {
    if matches!(proof, AuthProc::CachingSha2Password(_))
        && packet[1..] == [WHOLE_PASSWORD]
        && secret.is_for_a_stranger()
    {
        return Err(stranger(address));
    }
    // Through a socket, the server's own key is asked for, and may be anything.
    let is_key = match proof {
        AuthProc::Sha256Password(_) => true,
        AuthProc::CachingSha2Password(_) => packet.len() > 2,
        _ => false,
    };
    let said = if is_key {
        server_key::find(&packet[1..]).ok_or_else(|| {
            unproven(address).hint("its RSA key is not valid: check the server's configuration")
        })?
    } else {
        &packet[1..]
    };
    proof
        .run(secret, said)
        .map_err(|error| unproven(address).because(error))
}

/// Starts a way to prove the password; returns what to send first.
fn proof(
    plugin: &AuthPlugin<'_>,
    secret: &mut Secret,
    address: &Address,
) -> Result<(AuthProc, Vec<u8>)> {
    let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
    let open = matches!(plugin, AuthPlugin::MysqlClearPassword);
    if open && !secret.encrypted && !secret.local {
        return Err(Error::new(
            Kind::Permission,
            format!(
                "{}: the server asks for the password in clear text",
                address.label()
            ),
        )
        .hint("write tls=require in the URL: a password is never sent readable"));
    }
    if matches!(plugin, AuthPlugin::Sha256Password)
        && !secret.password.is_empty()
        && secret.is_for_a_stranger()
    {
        return Err(stranger(address));
    }
    if matches!(plugin, AuthPlugin::MysqlOldPassword) {
        return Err(unproven(address));
    }
    let mut proof = plugin.init().map_err(|_| {
        Error::new(
            Kind::Permission,
            format!("{}: the server wants to authenticate the user by `{name}`, which is not supported", address.label()),
        )
        .hint("give the user a password of mysql_native_password, caching_sha2_password, ed25519 or parsec")
    })?;
    let scramble = secret.scramble.clone();
    let response = proof
        .run(&*secret, &scramble)
        .map_err(|error| unproven(address).because(error))?;
    let data = match response {
        Response::Next { packet } | Response::Last { packet } => packet.unwrap_or_default(),
    };
    Ok((proof, data))
}

async fn encrypt_link(link: &mut Link, address: &Address) -> Result<()> {
    let config = tls::config(&address.tls)?;
    let host = match &address.way {
        Way::Tcp(host, _) => host.clone(),
        Way::Socket(_) => "localhost".to_owned(),
    };
    let name = rustls::pki_types::ServerName::try_from(host.clone()).map_err(|error| {
        Error::new(
            Kind::Config,
            format!("`{host}` cannot be a certificate's host"),
        )
        .because(error)
    })?;
    link.encrypt(TlsConnector::from(Arc::new(config)), name)
        .await
        .map_err(|error| {
            Error::new(
                Kind::Connection,
                format!("{}: TLS with the server failed", address.label()),
            )
            .because(error)
            .hint("check the server's certificate and tls, tls_ca in the URL")
        })
}

/// Seen in `performance_schema.session_connect_attrs`.
fn attributes(address: &Address) -> HashMap<String, String> {
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    HashMap::from([
        own("_client_name", "envsyncd"),
        own("_client_version", env!("CARGO_PKG_VERSION")),
        own("program_name", &address.application),
    ])
}

struct Secret {
    password: Vec<u8>,
    local: bool,
    encrypted: bool,
    scramble: Vec<u8>,
    /// Checked, in PEM.
    server_key: Option<Vec<u8>>,
}

impl Secret {
    /// Whether the password would be encrypted with a key that whoever answers sends, and that nobody vouches for.
    fn is_for_a_stranger(&self) -> bool {
        !self.encrypted && !self.local && self.server_key.is_none()
    }
}

impl Context for &Secret {
    fn pass(&self) -> &[u8] {
        &self.password
    }

    fn is_ipc_transport(&self) -> bool {
        self.local
    }

    fn is_tls_transport(&self) -> bool {
        self.encrypted
    }

    fn scramble(&self) -> &[u8] {
        &self.scramble
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        self.server_key.as_deref()
    }
}

/// Reads a server's first packet. The library takes the length of its scramble for a signed number, and panics in a build
/// with checks where it computes with one that is none.
pub(in crate::store::mysql) fn handshake(packet: &[u8]) -> std::io::Result<HandshakePacket<'_>> {
    // Behind the version's end come 20 bytes, then this length ("Protocol::HandshakeV10").
    let end = packet.iter().skip(1).position(|byte| *byte == 0);
    let length = end.and_then(|end| packet.get(1 + end + 1 + 20));
    if length.is_some_and(|length| *length > 0x7f) {
        return Err(std::io::Error::other("its scramble is too long"));
    }
    parse(packet)
}

pub(in crate::store::mysql) fn parse<'a, T>(packet: &'a [u8]) -> std::io::Result<T>
where
    T: mysql_common::proto::MyDeserialize<'a, Ctx = ()>,
{
    ParseBuf(packet).parse(())
}

fn serialized(packet: &impl MySerialize) -> Vec<u8> {
    let mut data = Vec::new();
    packet.serialize(&mut data);
    data
}

/// What a user has to show beside a password is not in a server's answer: it says "denied" to all.
fn refused(error: Error, address: &Address, encrypted: bool) -> Error {
    if server_error::code(&error) != Some(1045) {
        return error;
    }
    let also = match &address.way {
        Way::Socket(_) => "",
        Way::Tcp(..) if !encrypted => {
            ", and whether it may connect without TLS (tls=require in the URL)"
        }
        Way::Tcp(..) if address.tls.client.is_none() => {
            ", and whether it has to show a certificate (tls_cert and tls_key in the URL)"
        }
        Way::Tcp(..) => ", and that the certificate of tls_cert is the one that it has to show",
    };
    error.hint(format!(
        "check the endpoint's user, its password, from where it may connect{also}"
    ))
}

fn without_tls(address: &Address) -> Error {
    let label = address.label();
    if address.encryption_is_default {
        return Error::new(
            Kind::Connection,
            format!("{label}: the server has no TLS, which is required"),
        )
        .hint(
            "set up TLS on the server; tls=prefer in the URL does without, at the risk that it names (TLS is required by default \
             of servers on other machines, where it was preferred before)",
        );
    }
    Error::new(
        Kind::Connection,
        format!("{label}: the server has no TLS, and the URL asks for it"),
    )
    .hint("set up TLS on the server, or write tls=prefer in the URL")
}

/// For a server that wants the password encrypted by a key that it sends itself.
fn stranger(address: &Address) -> Error {
    Error::new(
        Kind::Permission,
        format!(
            "{}: without TLS, the server asks for the password by a key of its own, which nobody vouches for",
            address.label()
        ),
    )
    .hint("write tls=require in the URL, or server_public_key=FILE with the server's public_key.pem")
}

fn foreign(address: &Address) -> Error {
    Error::new(
        Kind::Connection,
        format!(
            "{}: what answers there does not speak as MySQL or MariaDB do",
            address.label()
        ),
    )
    .hint("check the host and the port")
}

fn unproven(address: &Address) -> Error {
    Error::new(
        Kind::Permission,
        format!(
            "{}: the password could not be proven to the server",
            address.label()
        ),
    )
    .hint("check the endpoint's password")
}
