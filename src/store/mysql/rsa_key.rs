//! Whether what a server calls its RSA key is one. The library that encrypts a password with it takes its lengths for true,
//! and panics where they are not. Pure.

use memchr::memmem;

/// What begins a key in PEM, of either kind.
const BEGIN: &[u8] = b"-----BEGIN";

/// The forms that the library reads, and whether the key is wrapped (PKCS #8, RFC 5208) or bare (PKCS #1, RFC 8017, A.1.1).
const FORMS: [(&[u8], &[u8], bool); 2] = [
    (
        b"-----BEGIN PUBLIC KEY-----",
        b"-----END PUBLIC KEY-----",
        true,
    ),
    (
        b"-----BEGIN RSA PUBLIC KEY-----",
        b"-----END RSA PUBLIC KEY-----",
        false,
    ),
];

/// In bytes: from 512 bits, below which a password does not fit, to 16384.
const MODULUS: std::ops::RangeInclusive<usize> = 64..=2048;

/// Types of elements (X.690, 8.1.2).
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const SEQUENCE: u8 = 0x30;

/// Whether what a server sent may be taken for what it says: a key that is one, or none at all.
pub(super) fn is_fit(challenge: &[u8]) -> bool {
    memmem::find(challenge, BEGIN).is_none() || is_key(challenge.trim_ascii()).is_some()
}

fn is_key(pem: &[u8]) -> Option<()> {
    let (body, is_wrapped) = FORMS.iter().find_map(|(begin, end, is_wrapped)| {
        let body = pem.strip_prefix(*begin)?;
        // The rest of a server's answer may end with a zero byte.
        let body = body.strip_suffix(b"\0").unwrap_or(body).trim_ascii_end();
        Some((body.strip_suffix(*end)?, *is_wrapped))
    })?;
    let der = decoded(body)?;
    let mut rest = &der[..];
    let mut key = element(&mut rest, SEQUENCE)?;
    let bits;
    if is_wrapped {
        element(&mut key, SEQUENCE)?;
        bits = element(&mut key, BIT_STRING)?;
        let (unused, mut inner) = bits.split_first()?;
        if *unused != 0 {
            return None;
        }
        key = element(&mut inner, SEQUENCE)?;
    }
    let modulus = without_zeros(element(&mut key, INTEGER)?);
    let exponent = without_zeros(element(&mut key, INTEGER)?);
    let is_odd = modulus.last()? & 1 == 1;
    (is_odd && MODULUS.contains(&modulus.len()) && (1..=8).contains(&exponent.len())).then_some(())
}

/// Takes an element of this type; its length is not more than there is.
fn element<'a>(der: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let (found, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (bytes, after) = rest.split_at_checked(length - 0x80)?;
        if !(1..=4).contains(&bytes.len()) {
            return None;
        }
        length = bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    *der = after;
    (*found == kind && !content.is_empty()).then_some(content)
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Base64 (RFC 4648, 4) with blanks in it.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut digits = Vec::with_capacity(text.len());
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        digits.push(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        });
    }
    let mut made = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit))
            << (6 * (4 - group.len()));
        made.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(made)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of 2048 bits, made by `openssl genrsa`.
    pub(in super::super) const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxSKOcxiet8lLMn8ImyUE
bGGKob5EdRz/4wdiw12ED0GfKKTKhVnodFCfm1mdy7bKOX5QxL9skrvYodpW43eR
R5bfOzIgy1qIB8RYb6qOXRBw1oA4snBDqtUjDv/lbHLJN+IbzM4oU+e3Lt9rXyLX
VY289ewONPweXHqSCnTL91w+wkU1peIFV2QhZ+upUCdCtwOn5hnJPNgxtbklFoya
C8W3Z7Xx7He2QDJsEWAqX197efw0L6j8X8Tyd8Uwb7zUB1tfMGhHfm9EwejPAtzx
4GztQNtNMtGS2oGZLQBLV9hib4dDL92iiZeckg2LAf4GsJofLLR8mcHCRoqVbQJ1
YQIDAQAB
-----END PUBLIC KEY-----
";

    #[test]
    fn a_servers_key_is_one_and_what_is_none_of_its_lengths_is_not() {
        assert!(is_fit(KEY.as_bytes()) && is_fit(KEY.replace('\n', "\r\n").as_bytes()));
        for none in [&b"\x03"[..], b"", b"abc", &[0xff; 32]] {
            assert!(is_fit(none), "{none:?}");
        }
        for key in [
            "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK5i\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----",
            "-----BEGIN RSA PUBLIC KEY-----\nMAYCAQECAQM=\n-----END RSA PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----",
            &KEY[..200],
            &format!("{KEY}{KEY}"),
            &KEY.replacen("MIIBIj", "MIIBIk", 1),
            &KEY.replacen("MIIBIj", "gIIBIj", 1),
        ] {
            assert!(!is_fit(key.as_bytes()), "{key}");
        }
    }
}
