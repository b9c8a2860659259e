//! A server's RSA key, which a password is encrypted with where there is no TLS: the `public_key.pem` of its data directory.
//! `mysql_common` takes it as it is, and panics at a wrong one: it is looked at before.

use std::path::Path;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::tls::der::{self, OID, SEQUENCE};
use crate::trust;

/// INTEGER and BIT STRING.
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
/// 1.2.840.113549.1.1.1, `rsaEncryption` (RFC 8017, appendix C).
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
/// In bytes: MySQL's own have 256.
const LENGTHS: std::ops::RangeInclusive<usize> = 128..=2048;
const BEGIN: &[u8] = b"-----BEGIN PUBLIC KEY-----";
const END: &[u8] = b"-----END PUBLIC KEY-----";
/// Of a file.
const LONGEST: u64 = 64 * 1024;

/// Reads a file with one.
pub(in crate::store::mysql) fn read(file: &Path) -> Result<Vec<u8>> {
    let failed = |why: &str| {
        Error::new(
            Kind::Config,
            format!("server_public_key {}: {why}", file.display()),
        )
        .hint("it is the server's public_key.pem: a line BEGIN PUBLIC KEY, and an RSA key")
    };
    let text = trust::open(file)
        .and_then(|file| limits::read_all(file, LONGEST))
        .map_err(|error| failed("cannot be read").because(error))?;
    Ok(find(&text)
        .ok_or_else(|| failed("is not an RSA key in PEM"))?
        .to_vec())
}

/// The key in a text, in PEM and nothing else, if it is one that can be used.
pub(in crate::store::mysql) fn find(text: &[u8]) -> Option<&[u8]> {
    let from = memchr::memmem::find(text, BEGIN)?;
    let until = from + memchr::memmem::find(&text[from..], END)? + END.len();
    let pem = &text[from..until];
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let (inner, _) = der::take(&key, SEQUENCE)?;
    let (algorithm, rest) = der::take(inner, SEQUENCE)?;
    let (kind, _) = der::take(algorithm, OID)?;
    let (bits, _) = der::take(rest, BITS)?;
    let numbers = bits.strip_prefix(&[0])?;
    let (numbers, _) = der::take(numbers, SEQUENCE)?;
    let (modulus, rest) = der::take(numbers, INTEGER)?;
    let (exponent, _) = der::take(rest, INTEGER)?;
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    // The top bit is set in each that was made well, and the last one; mysql_common counts on both.
    let is_full = modulus.first().is_some_and(|first| first & 0x80 != 0)
        && modulus.last().is_some_and(|last| last & 1 == 1);
    let is_usable =
        is_full && LENGTHS.contains(&modulus.len()) && (1..=8).contains(&exponent.len());
    (kind == RSA && is_usable).then_some(pem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = include_str!("server_key/example.pem");

    #[test]
    fn a_servers_key_is_taken_and_what_is_none_is_not() {
        let key = find(KEY.as_bytes()).expect("a key");
        let encrypted = mysql_common::crypto::encrypt(b"a password", key);
        assert_eq!(encrypted.expect("a good key").len(), 256);
        // Another key beside it, which would be taken first.
        let two =
            format!("-----BEGIN RSA PUBLIC KEY-----\nMAA=\n-----END RSA PUBLIC KEY-----\n{KEY}");
        assert_eq!(find(two.as_bytes()), Some(key));
        for wrong in [
            "",
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK5i\n-----END PUBLIC KEY-----\n",
            &KEY.replacen("MIIBIj", "MIIBIk", 1),
            &KEY.replacen("MIIBIj", "gIIBIj", 1),
        ] {
            assert_eq!(find(wrong.as_bytes()), None, "{wrong}");
        }
        let cut: String = KEY.lines().filter(|line| line.len() < 64).collect();
        assert_eq!(find(cut.as_bytes()), None);
    }

    proptest! {
        /// One byte is another one: it is refused, or breaks nothing.
        #[test]
        fn a_key_that_is_taken_breaks_nothing(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut pem = KEY.as_bytes().to_vec();
            let at = at.index(pem.len());
            pem[at] = byte;
            if let Some(key) = find(&pem) {
                let _ = mysql_common::crypto::encrypt(b"a password", key);
            }
        }
    }
}
