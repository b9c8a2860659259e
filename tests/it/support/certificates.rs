//! Certificates that a test's server shows.

use std::path::Path;

use super::postgres::{Must, bare};

/// A certificate authority and a certificate from it for 127.0.0.1 and localhost: `ca.crt`, `server.crt`, `server.key`.
pub(crate) fn make(directory: &Path) {
    let openssl = |line: &str| {
        bare("openssl")
            .current_dir(directory)
            .args(line.split_whitespace())
            .must("openssl");
    };
    let names = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n";
    std::fs::write(directory.join("names"), names).expect("a file");
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.crt
         -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    openssl(
        "req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    );
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
    );
}

/// A client's certificate from the authority in this directory: `NAME.crt`, `NAME.key`.
pub(crate) fn make_client(directory: &Path, name: &str) {
    let openssl = |line: &str| {
        bare("openssl")
            .current_dir(directory)
            .args(line.split_whitespace())
            .must("openssl");
    };
    openssl(&format!(
        "req -new -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
    ));
    openssl(&format!(
        "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.crt"
    ));
}
