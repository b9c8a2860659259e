//! TLS to database servers, with the levels of trust that libpq's `sslmode` has (PostgreSQL manual, "SSL Support" in the
//! libpq chapter) and MySQL's clients' `--ssl-mode`, too.

pub(super) mod der;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, Kind, Result};

/// How much of the server's certificate has to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Encrypt; believe anybody (`prefer`, `require` without a root certificate).
    Anybody,
    /// The certificate is signed by a known authority (`verify-ca`).
    Authority,
    /// And it is for the host that was asked (`verify-full`).
    Host,
}

/// The TLS side of an endpoint's URL.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) trust: Trust,
    /// `sslrootcert`; `None`: the machine's own authorities.
    pub(super) root: Option<PathBuf>,
    /// `sslcert` and `sslkey`.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

/// What a connection needs to be encrypted.
pub(super) fn config(settings: &Settings) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Kind::Internal, "TLS cannot be set up").because(error))?;
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
    let config = match &settings.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                Error::new(
                    Kind::Config,
                    format!("client key {} cannot be read", key.display()),
                )
                .because(error)
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                Error::new(
                    Kind::Config,
                    format!(
                        "client certificate {} and its key do not fit",
                        certificate.display()
                    ),
                )
                .because(error)
            })?
        }
    };
    Ok(config)
}

fn certificates(file: &std::path::Path) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |error| {
        Error::new(
            Kind::Config,
            format!("certificate {} cannot be read", file.display()),
        )
        .because(error)
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(unreadable)?
        .collect::<std::result::Result<_, _>>()
        .map_err(unreadable)?;
    if found.is_empty() {
        return Err(Error::new(
            Kind::Config,
            format!("{} holds no certificate in PEM", file.display()),
        ));
    }
    Ok(found)
}

fn roots(settings: &Settings) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match &settings.root {
        Some(file) => {
            for certificate in certificates(file)? {
                store.add(certificate).map_err(|error| {
                    Error::new(
                        Kind::Config,
                        format!("{} holds a certificate that is none", file.display()),
                    )
                    .because(error)
                })?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
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
