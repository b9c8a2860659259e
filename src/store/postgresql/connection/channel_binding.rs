//! Channel binding: what ties a login to the certificate that the server showed, `tls-server-end-point` (RFC 5929,
//! section 4.1). It is the certificate's hash, by the hash function that its own signature is made with.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use tokio_postgres::tls::ChannelBinding;

use crate::tls::der::{self, OID, SEQUENCE};

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// 1.2.840.113549.1.1, which `rsaEncryption` and its signatures begin with (RFC 8017, appendix C).
const PKCS1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01";

/// 1.2.840.10045.4, the same for ECDSA (RFC 5758).
const ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04";

/// 2.16.840.1.101.3.4.2, the same for SHA-2 itself (RFC 5754).
const SHA2: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02";

/// 1.3.14.3.2.26, SHA-1.
const SHA1: &[u8] = b"\x2b\x0e\x03\x02\x1a";

/// That of a connection whose server showed this certificate, in DER; none where its signature has no hash function of its
/// own, as Ed25519.
pub(in crate::store::postgresql) fn of(certificate: &[u8]) -> ChannelBinding {
    end_point(certificate).map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
}

fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(match hash(certificate)? {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

/// Certificate: a sequence of what is signed, how, and the signature (RFC 5280, section 4.1).
fn hash(certificate: &[u8]) -> Option<Hash> {
    let (inner, _) = der::take(certificate, SEQUENCE)?;
    let (_, after) = der::take(inner, SEQUENCE)?;
    let (algorithm, _) = der::take(after, SEQUENCE)?;
    let (oid, parameters) = der::take(algorithm, OID)?;
    if let Some(kind) = oid.strip_prefix(PKCS1) {
        // MD5 and SHA-1 are too weak: SHA-256 stands in for them.
        return match kind {
            [4 | 5 | 11] => Some(Hash::Sha256),
            [12] => Some(Hash::Sha384),
            [13] => Some(Hash::Sha512),
            [14] => Some(Hash::Sha224),
            [10] => hash_of_pss(parameters),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(Hash::Sha256),
        [3, 1] => Some(Hash::Sha224),
        [3, 3] => Some(Hash::Sha384),
        [3, 4] => Some(Hash::Sha512),
        _ => None,
    }
}

/// RSASSA-PSS says in its parameters which one it is; nothing: SHA-1 (RFC 4055, section 3.1).
fn hash_of_pss(parameters: &[u8]) -> Option<Hash> {
    let (inner, _) = der::take(parameters, SEQUENCE)?;
    let Some((tagged, _)) = der::take(inner, 0xa0) else {
        return Some(Hash::Sha256);
    };
    let (algorithm, _) = der::take(tagged, SEQUENCE)?;
    let (oid, _) = der::take(algorithm, OID)?;
    if oid == SHA1 {
        return Some(Hash::Sha256);
    }
    match oid.strip_prefix(SHA2)? {
        [1] => Some(Hash::Sha256),
        [2] => Some(Hash::Sha384),
        [3] => Some(Hash::Sha512),
        [4] => Some(Hash::Sha224),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        assert!(length < 0x80);
        [&[tag, length][..], content].concat()
    }

    /// A certificate that was signed so, with nothing in it.
    fn signed_by(algorithm: &[u8]) -> Vec<u8> {
        let parts = [
            value(SEQUENCE, b"\x02\x01\x07"),
            value(SEQUENCE, algorithm),
            value(0x03, b"\0signature"),
        ];
        value(SEQUENCE, &parts.concat())
    }

    fn oid(prefix: &[u8], last: &[u8]) -> Vec<u8> {
        value(OID, &[prefix, last].concat())
    }

    #[test]
    fn each_signature_has_its_own_hash() {
        for (algorithm, expected) in [
            (oid(PKCS1, &[4]), Some(Hash::Sha256)),
            (oid(PKCS1, &[5]), Some(Hash::Sha256)),
            (oid(PKCS1, &[11]), Some(Hash::Sha256)),
            (oid(PKCS1, &[12]), Some(Hash::Sha384)),
            (oid(PKCS1, &[13]), Some(Hash::Sha512)),
            (oid(PKCS1, &[14]), Some(Hash::Sha224)),
            (oid(ECDSA, &[1]), Some(Hash::Sha256)),
            (oid(ECDSA, &[3, 1]), Some(Hash::Sha224)),
            (oid(ECDSA, &[3, 2]), Some(Hash::Sha256)),
            (oid(ECDSA, &[3, 3]), Some(Hash::Sha384)),
            (oid(ECDSA, &[3, 4]), Some(Hash::Sha512)),
            // Ed25519 (RFC 8410) hashes as it likes.
            (value(OID, b"\x2b\x65\x70"), None),
            (oid(PKCS1, &[1]), None),
        ] {
            assert_eq!(hash(&signed_by(&algorithm)), expected, "{algorithm:?}");
        }
        let pss = |parameters: &[u8]| {
            let algorithm = [oid(PKCS1, &[10]), value(SEQUENCE, parameters)].concat();
            hash(&signed_by(&algorithm))
        };
        let of = |oid: &[u8]| value(0xa0, &value(SEQUENCE, oid));
        assert_eq!(pss(b""), Some(Hash::Sha256));
        assert_eq!(pss(&of(&value(OID, SHA1))), Some(Hash::Sha256));
        assert_eq!(pss(&of(&oid(SHA2, &[2]))), Some(Hash::Sha384));
        assert_eq!(pss(&of(&oid(SHA2, &[9]))), None);
    }

    #[test]
    fn the_binding_is_the_hash_of_the_whole_certificate() {
        let certificate = signed_by(&oid(PKCS1, &[13]));
        let expected = Sha512::digest(&certificate).to_vec();
        assert_eq!(end_point(&certificate), Some(expected));
        assert_eq!(end_point(&certificate[..certificate.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn no_certificate_breaks_it(der in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = end_point(&der);
        }
    }
}
