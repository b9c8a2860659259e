//! What answers in place of Icinga 2, with a certificate that is trusted.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::http::{Answer, Asked, Server};
use crate::support::certificates;

/// The server, and its authority's directory.
pub(crate) struct Icinga {
    server: Server,
    directory: tempfile::TempDir,
}

impl Icinga {
    /// Starts one that answers so.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        certificates::make(directory.path());
        Self {
            server: Server::start(Some(tls(directory.path())), answer),
            directory,
        }
    }

    /// Lines of `[icinga2]` that reach it.
    pub(crate) fn settings(&self) -> String {
        format!(
            "[icinga2]\nurl = \"https://localhost:{}\"\nuser = \"envsyncd\"\npassword = {{ env = \"ICINGA_PASSWORD\" }}\nca = \"{}\"\nhost = \"db2\"\n",
            self.server.port(),
            self.directory.path().join("ca.crt").display()
        )
    }
}

fn tls(directory: &Path) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(directory.join("server.crt"));
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("a certificate")],
            key.expect("a key"),
        );
    Arc::new(config.expect("a pair"))
}
