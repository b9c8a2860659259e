//! What a column's values are, and how each of them stands in a line for `LOAD DATA`. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::conversion::Conversion;
use crate::store::mysql::rows::result_rows::escape;

/// What a column's values are.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// Bytes as they are; dates and times, too.
    Bytes,
    Number,
    /// A BIT of so many bytes.
    Bits(usize),
    /// What is written as text, and travels as bytes.
    Uuid,
    Inet6,
    Inet4,
    /// Text that has to be brought into the column's character set.
    Text(Arc<Conversion>),
}

fn unfit(what: &str) -> String {
    format!("a value that is no {what} in a column of that type")
}

impl Form {
    /// Appends a number. `Err`: it is no value of such a column.
    pub(super) fn put_number(&self, text: &[u8], out: &mut BytesMut) -> Result<(), String> {
        match self {
            Self::Bytes | Self::Number => out.put_slice(text),
            Self::Text(_) => return self.put_text(text, out),
            Self::Bits(_) => {
                let number = std::str::from_utf8(text).ok();
                let number: Option<u64> = number.and_then(|text| text.parse().ok());
                let number = number.ok_or_else(|| unfit("BIT"))?;
                return self.put_bytes(&number.to_be_bytes(), out);
            }
            Self::Uuid | Self::Inet6 | Self::Inet4 => return Err(unfit("UUID or address")),
        }
        Ok(())
    }

    /// The same of bytes that are of no character set.
    pub(super) fn put_bytes(&self, bytes: &[u8], out: &mut BytesMut) -> Result<(), String> {
        let trimmed = || {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            &bytes[zeros..]
        };
        match self {
            Self::Number => {
                let bytes = trimmed();
                if bytes.len() > 8 {
                    return Err(unfit("number"));
                }
                let digits = bytes.iter();
                let number = digits.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
                out.put_slice(number.to_string().as_bytes());
            }
            Self::Bits(width) => {
                let bytes = trimmed();
                let zeros = width.checked_sub(bytes.len()).ok_or_else(|| unfit("BIT"))?;
                out.put_bytes(0, zeros);
                escape(bytes, out);
            }
            Self::Uuid | Self::Inet6 if bytes.len() == 16 => escape(bytes, out),
            Self::Inet4 if bytes.len() == 4 => escape(bytes, out),
            Self::Uuid | Self::Inet6 | Self::Inet4 => return self.put_text(bytes, out),
            Self::Bytes | Self::Text(_) => escape(bytes, out),
        }
        Ok(())
    }

    /// The same of a string in the dump's character set.
    pub(super) fn put_text(&self, bytes: &[u8], out: &mut BytesMut) -> Result<(), String> {
        let text = || std::str::from_utf8(bytes).ok();
        match self {
            Self::Bytes | Self::Number => escape(bytes, out),
            Self::Bits(_) => return self.put_bytes(bytes, out),
            Self::Text(conversion) => {
                let mut made = Vec::with_capacity(bytes.len());
                conversion.put(bytes, &mut made)?;
                escape(&made, out);
            }
            Self::Inet4 => {
                let found = text().and_then(|text| text.parse::<Ipv4Addr>().ok());
                escape(&found.ok_or_else(|| unfit("INET4"))?.octets(), out);
            }
            Self::Inet6 => {
                let found = text().and_then(|text| text.parse::<Ipv6Addr>().ok());
                escape(&found.ok_or_else(|| unfit("INET6"))?.octets(), out);
            }
            Self::Uuid => escape(&uuid(text()).ok_or_else(|| unfit("UUID"))?, out),
        }
        Ok(())
    }
}

fn uuid(text: Option<&str>) -> Option<[u8; 16]> {
    let digits: String = text?.chars().filter(|letter| *letter != '-').collect();
    let is_whole = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(&digits, 16).ok();
    number.filter(|_| is_whole).map(u128::to_be_bytes)
}
