//! As much of DER as is needed to look into a certificate or a key that somebody else sent: a tag, a length, a content
//! (ITU-T X.690, section 10).

/// SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// OBJECT IDENTIFIER.
pub(crate) const OID: u8 = 0x06;

/// The content of the value that begins here, and what follows it; `None`: it has another tag, or is cut short.
pub(crate) fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = length(rest)?;
    rest.split_at_checked(length)
}

/// A length, and what follows it.
fn length(der: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = der.split_first()?;
    let count = usize::from(first & 0x7f);
    if first & 0x80 == 0 {
        return Some((count, rest));
    }
    // Of indefinite length is nothing in DER; four bytes are more than anyone sends.
    if count == 0 || count > 4 {
        return None;
    }
    let (bytes, rest) = rest.split_at_checked(count)?;
    let length = bytes
        .iter()
        .fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
    Some((length, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_told_from_what_follows_it() {
        assert_eq!(
            take(b"\x30\x02ab!", SEQUENCE),
            Some((&b"ab"[..], &b"!"[..]))
        );
        let long = [&b"\x30\x82\x01\x00"[..], &[7; 256], b"!"].concat();
        let (content, rest) = take(&long, SEQUENCE).unwrap();
        assert_eq!((content.len(), rest), (256, &b"!"[..]));
    }

    #[test]
    fn what_is_cut_short_or_lies_about_its_length_is_nothing() {
        for der in [
            &b""[..],
            b"\x30",
            b"\x30\x03ab",
            b"\x30\x80ab\0\0",
            b"\x30\x82\x01",
            b"\x30\x84\xff\xff\xff\xffab",
            b"\x30\x89\x01\x01\x01\x01\x01\x01\x01\x01\x01",
            b"\x02\x01a",
        ] {
            assert_eq!(take(der, SEQUENCE), None, "{der:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(der in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some((content, rest)) = take(&der, SEQUENCE) {
                prop_assert!(content.len() + rest.len() < der.len());
            }
        }
    }
}
