//! TLS: which servers are trusted, and the certificate that is shown to them.
//!
//! Database servers have the levels of trust that libpq's `sslmode` has (PostgreSQL manual, "SSL Support" in the libpq
//! chapter) and MySQL's clients' `--ssl-mode`, too; all others have to prove that they are the host that was asked.

pub(crate) mod der;
#[cfg(test)]
mod fuzz;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};

use crate::error::{Error, Kind, Result};
use crate::limits;

/// How much of the server's certificate has to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Encrypt; believe anybody (`prefer`, `require` without a root certificate).
    Anybody,
    /// The certificate is signed by a known authority (`verify-ca`).
    Authority,
    /// It is also valid for the host's name (`verify-full`).
    Host,
}

/// The TLS side of an endpoint's URL.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) trust: Trust,
    /// `sslrootcert`; `None`: the machine's own authorities.
    pub(crate) root: Option<PathBuf>,
    /// `sslcert` and `sslkey`.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

/// Why a file's certificates, or its key, cannot be used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It cannot be read as PEM.
    Unreadable(pem::Error),
    /// A certificate in it is none.
    Malformed(rustls::Error),
    /// There is none in it.
    Empty,
}

impl Fault {
    /// As the cause of an error that says which file it is.
    pub(crate) fn because_of(self, error: Error) -> Error {
        match self {
            Self::Unreadable(cause) => error.because(cause),
            Self::Malformed(cause) => error.because(cause),
            Self::Empty => error,
        }
    }
}

/// More than all authorities of the world take in PEM.
const LONGEST: u64 = 4 << 20;

/// The authorities in a file; without one, those that this machine trusts, which may be none.
pub(crate) fn authorities(file: Option<&Path>) -> Result<RootCertStore, Fault> {
    if let Some(file) = file {
        return authorities_in(&read(file)?);
    }
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(store)
}

fn authorities_in(pem: &[u8]) -> Result<RootCertStore, Fault> {
    let mut store = RootCertStore::empty();
    for certificate in certificates_in(pem)? {
        store.add(certificate).map_err(Fault::Malformed)?;
    }
    Ok(store)
}

/// The certificates in a file.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    certificates_in(&read(file)?)
}

fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(Fault::Unreadable)?;
    if found.is_empty() {
        return Err(Fault::Empty);
    }
    Ok(found)
}

/// The private key in a file.
pub(crate) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    key_in(&read(file)?)
}

fn key_in(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(Fault::Unreadable)
}

fn read(file: &Path) -> Result<Vec<u8>, Fault> {
    let content = std::fs::File::open(file).and_then(|file| limits::read_all(file, LONGEST));
    content.map_err(|error| Fault::Unreadable(pem::Error::Io(error)))
}

/// Begins the set-up of a client.
pub(crate) fn client() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Kind::Internal, "TLS cannot be set up").because(error))
}

/// The set-up of a connection to a database server.
pub(crate) fn config(settings: &Settings) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = client()?;
    let builder = match settings.trust {
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Lenient {
                provider,
                roots: None,
            })),
        Trust::Authority => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Lenient {
                provider,
                roots: Some(roots(settings)?),
            })),
        Trust::Host => {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots(settings)?), provider)
                    .build()
                    .map_err(|error| {
                        Error::new(Kind::Config, "there is no certificate authority to trust")
                            .because(error)
                            .hint("name one in the endpoint's URL (PostgreSQL: sslrootcert=FILE, MySQL: tls_ca=FILE)")
                    })?;
            builder.with_webpki_verifier(verifier)
        }
    };
    let Some((certificate, key_file)) = &settings.client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate).map_err(|fault| unusable(certificate, fault))?;
    let key = key(key_file).map_err(|fault| {
        let what = format!("client key {} cannot be read", key_file.display());
        fault.because_of(Error::new(Kind::Config, what))
    })?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        let what = format!(
            "client certificate {} and its key do not fit",
            certificate.display()
        );
        Error::new(Kind::Config, what).because(error)
    })
}

/// The authorities that an endpoint's URL names.
fn roots(settings: &Settings) -> Result<RootCertStore> {
    let file = settings.root.as_deref();
    authorities(file).map_err(|fault| unusable(file.unwrap_or(Path::new("")), fault))
}

fn unusable(file: &Path, fault: Fault) -> Error {
    let file = file.display();
    let what = match fault {
        Fault::Unreadable(_) => format!("certificate {file} cannot be read"),
        Fault::Malformed(_) => format!("{file} holds a certificate that is none"),
        Fault::Empty => format!("{file} holds no certificate in PEM"),
    };
    fault.because_of(Error::new(Kind::Config, what))
}

/// Encrypts without asking for whom the certificate is; asks who signed it if there are roots.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
