//! TLS to buckets: whom to trust.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Kind, Result};

/// Trusts the authorities in `ca`, or else the machine's.
pub(super) fn config(ca: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let unreadable = |error: Box<dyn StdError + Send + Sync>| {
                let what = format!("`ca`, {}, cannot be read as PEM", file.display());
                Error::new(Kind::Config, what).because(error)
            };
            for certificate in
                CertificateDer::pem_file_iter(file).map_err(|error| unreadable(error.into()))?
            {
                let certificate = certificate.map_err(|error| unreadable(error.into()))?;
                roots
                    .add(certificate)
                    .map_err(|error| unreadable(error.into()))?;
            }
            if roots.is_empty() {
                let what = format!("`ca`, {}, holds no certificate in PEM", file.display());
                return Err(Error::new(Kind::Config, what));
            }
        }
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(Kind::Internal, "TLS cannot be set up").because(error))?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}
