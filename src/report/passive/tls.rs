//! TLS for [`super::icinga2`]: whom to trust, and who we are.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Kind, Result};

/// Trusts the authorities in `ca`, or else the machine's, and shows `client` (certificate and key) to who asks.
pub(super) fn config(ca: Option<&Path>, client: Option<(&Path, &Path)>) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Kind::Internal, "TLS cannot be set up").because(error))?
        .with_root_certificates(roots(ca)?);
    let Some((certificate, key)) = client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("certificate", certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable("key", key))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| {
            let what = format!(
                "certificate {} and key {} do not fit",
                certificate.display(),
                key.display()
            );
            Error::new(Kind::Config, what).because(error)
        })
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match ca {
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            for certificate in certificates("ca", file)? {
                store.add(certificate).map_err(unreadable("ca", file))?;
            }
        }
    }
    if store.is_empty() {
        return Err(match ca {
            Some(file) => Error::new(Kind::Config, format!("{} is empty", file.display())),
            None => Error::new(Kind::Config, "this machine trusts no certificate authority"),
        }
        .hint("name the authority's PEM file with `ca` in [icinga2]"));
    }
    Ok(store)
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(file)
        .map_err(unreadable(key, file))?
        .collect::<std::result::Result<_, _>>()
        .map_err(unreadable(key, file))
}

fn unreadable<E>(key: &'static str, file: &Path) -> impl FnOnce(E) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    let what = format!("{} cannot be read as PEM", file.display());
    move |error| {
        Error::new(Kind::Config, what)
            .because(error)
            .hint(format!("see `{key}` in [icinga2]"))
    }
}
