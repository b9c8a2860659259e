//! Addresses in the net: `email`, `url`, `ip`, `mac`.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use serde::Deserialize;

use super::contract::{About, Mask, Options, Refused, Site};
use super::names::letters;
use crate::error::Result;
use crate::mask::column::{Column, Fit, Type, Uniqueness};
use crate::mask::key::Prf;
use crate::mask::row::Given;
use crate::mask::value::{Masked, Value, put_number};

pub(in crate::mask) const EMAIL: About = About {
    name: "email",
    what: "Twelve letters and digits at a domain that never gets mail; in short columns fewer of them.",
    options: &[
        (
            "domain",
            "example.com (default), .org or .net, or a name that ends in .example, .invalid or .test",
            "the domain",
        ),
        (
            "keep_domains",
            "a list of domains",
            "addresses at these keep their domain; those below them do not",
        ),
    ],
    examples: &[
        ("\"email\"", "ada@lovelace.org"),
        (
            "{ kind = \"email\", domain = \"mail.invalid\", keep_domains = [\"agency.gov.uk\"] }",
            "ada@agency.gov.uk",
        ),
    ],
    note: "What has no @ becomes such an address all the same. Capitals tell: `Ada@` and `ada@` become two.",
};

pub(in crate::mask) const URL: About = About {
    name: "url",
    what: "An address of thirteen letters and digits at https://example.com; the scheme stays.",
    options: &[(
        "keep_hosts",
        "a list of host names",
        "addresses at these hosts keep scheme, host and port",
    )],
    examples: &[
        ("\"url\"", "http://people.example.org/~ada?from=mail"),
        (
            "{ kind = \"url\", keep_hosts = [\"www.gov.uk\"] }",
            "https://www.gov.uk/done/ada-lovelace",
        ),
    ],
    note: "What is no URL becomes one.",
};

pub(in crate::mask) const IP: About = About {
    name: "ip",
    what: "An address of 10.0.0.0/8 for one of IPv4, of 2001:db8::/32 for one of IPv6. The length of a prefix stays.",
    options: &[],
    examples: &[("\"ip\"", "81.2.69.142"), ("\"ip\"", "2a00:23c4::1/64")],
    note: "What is no address becomes one of IPv4.",
};

pub(in crate::mask) const MAC: About = About {
    name: "mac",
    what: "A locally administered hardware address in the same notation.",
    options: &[],
    examples: &[("\"mac\"", "00:1B:44:11:3A:B7")],
    note: "What is no hardware address becomes one.",
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Email {
    #[serde(default = "example")]
    domain: String,
    #[serde(default)]
    keep_domains: Vec<String>,
}

fn example() -> String {
    "example.com".to_owned()
}

/// Letters and digits of an address at most, and at least.
const LOCAL: (u32, u32) = (12, 4);

/// RFC 2606 and RFC 6761: names that nobody can register.
fn is_reserved(domain: &str) -> bool {
    let is_below = |name: &str| {
        let rest = domain.strip_suffix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    [
        "example.com",
        "example.org",
        "example.net",
        "example",
        "invalid",
        "test",
    ]
    .into_iter()
    .any(is_below)
}

fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.len() < 64 && label.chars().all(fine)
    };
    name.len() < 254 && name.split('.').all(is_label)
}

impl Email {
    /// Without options; `redact` makes such addresses, too.
    pub(super) fn plain() -> Self {
        Self {
            domain: example(),
            keep_domains: Vec::new(),
        }
    }

    /// Letters and digits before the @, by what the column has room for.
    fn local(&self, column: &Column) -> u32 {
        let domains = self.keep_domains.iter().chain([&self.domain]);
        let domain = domains.map(String::len).max().unwrap_or_default() as u32;
        match column.kind {
            Type::Text {
                longest: Some(longest),
                ..
            } => longest.saturating_sub(domain + 1).min(LOCAL.0),
            _ => LOCAL.0,
        }
    }
}

impl Options for Email {
    fn check(&self) -> Result<(), String> {
        if !is_domain(&self.domain) || !is_reserved(&self.domain) {
            return Err(format!(
                "`domain` is {}, where mail could arrive: example.com, .org and .net, and names that end in .example, .invalid or \
                 .test are allowed",
                self.domain
            ));
        }
        match self.keep_domains.iter().find(|domain| !is_domain(domain)) {
            Some(wrong) => Err(format!("`keep_domains` has {wrong:?}, which is no domain")),
            None => Ok(()),
        }
    }

    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Text { longest, .. } => match self.local(column) {
                local if local < LOCAL.1 => Fit::not(
                    format!(
                        "makes longer addresses than the column's {} characters",
                        longest.unwrap_or_default()
                    ),
                    "a shorter `domain`, as x.test, or null would do",
                ),
                local if local == LOCAL.0 => Fit::Fits,
                _ => Fit::Cut(longest.unwrap_or_default()),
            },
            other => Fit::no_text(other),
        }
    }

    fn uniqueness(&self, column: &Column) -> Uniqueness {
        Uniqueness::Distinct {
            bits: 5 * self.local(column) as u16,
        }
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(EmailMask {
            prf: site.key.prf(EMAIL.name, ""),
            domain: self.domain.clone(),
            kept: self.keep_domains.clone(),
            local: self.local(site.column) as usize,
        }))
    }
}

struct EmailMask {
    prf: Prf,
    domain: String,
    kept: Vec<String>,
    local: usize,
}

impl Mask for EmailMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        letters(&self.prf.of(&met), self.local, out);
        out.push(b'@');
        let domain = if self.kept.is_empty() {
            None
        } else {
            met.rsplit(|byte| *byte == b'@').next()
        };
        let is_met =
            |kept: &&String| domain.is_some_and(|met| met.eq_ignore_ascii_case(kept.as_bytes()));
        let domain = self.kept.iter().find(is_met).unwrap_or(&self.domain);
        out.extend_from_slice(domain.as_bytes());
        Ok(Masked::Text)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Url {
    #[serde(default)]
    keep_hosts: Vec<String>,
}

const HOST: &str = "example.com";

/// Letters and digits of a path.
const PATH: u32 = 13;

/// What stays of schemes.
const SCHEMES: [&str; 4] = ["https", "http", "ftp", "sftp"];

impl Url {
    /// Room for the path.
    fn path(&self, column: &Column) -> u32 {
        let hosts = self.keep_hosts.iter().map(String::len);
        // A port has five digits and a colon.
        let host = hosts
            .map(|length| length + 6)
            .max()
            .unwrap_or_default()
            .max(HOST.len()) as u32;
        match column.kind {
            Type::Text {
                longest: Some(longest),
                ..
            } => longest
                .saturating_sub("https:///".len() as u32 + host)
                .min(PATH),
            _ => PATH,
        }
    }
}

impl Options for Url {
    fn check(&self) -> Result<(), String> {
        match self.keep_hosts.iter().find(|host| !is_domain(host)) {
            Some(wrong) => Err(format!("`keep_hosts` has {wrong:?}, which is no host name")),
            None => Ok(()),
        }
    }

    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Text { longest, .. } => match self.path(column) {
                PATH => Fit::Fits,
                0..4 => Fit::not(
                    format!(
                        "makes longer URLs than the column's {} characters",
                        longest.unwrap_or_default()
                    ),
                    "null or fixed would do",
                ),
                _ => Fit::Cut(longest.unwrap_or_default()),
            },
            other => Fit::no_text(other),
        }
    }

    fn uniqueness(&self, column: &Column) -> Uniqueness {
        Uniqueness::Distinct {
            bits: 5 * self.path(column) as u16,
        }
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(UrlMask {
            prf: site.key.prf(URL.name, ""),
            hosts: self.keep_hosts.clone(),
            path: self.path(site.column) as usize,
        }))
    }
}

struct UrlMask {
    prf: Prf,
    hosts: Vec<String>,
    path: usize,
}

impl UrlMask {
    /// Scheme, host and port of a URL at a host that stays.
    fn kept<'a>(&self, scheme: &str, met: &'a [u8]) -> Option<&'a [u8]> {
        let rest = met.strip_prefix(scheme.as_bytes())?.strip_prefix(b"://")?;
        let end = rest
            .iter()
            .position(|byte| b"/?#".contains(byte))
            .unwrap_or(rest.len());
        let mut parts = rest[..end].splitn(2, |byte| *byte == b':');
        let host = parts.next()?;
        let is_port = |port: &[u8]| port.len() < 6 && port.iter().all(u8::is_ascii_digit);
        let is_kept = self
            .hosts
            .iter()
            .any(|kept| host.eq_ignore_ascii_case(kept.as_bytes()));
        (is_kept && parts.next().is_none_or(is_port)).then_some(&rest[..end])
    }
}

impl Mask for UrlMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let is_met = |scheme: &&str| {
            let rest = met.strip_prefix(scheme.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"://"))
        };
        let scheme = SCHEMES.into_iter().find(is_met).unwrap_or("https");
        out.extend_from_slice(scheme.as_bytes());
        out.extend_from_slice(b"://");
        out.extend_from_slice(self.kept(scheme, &met).unwrap_or(HOST.as_bytes()));
        out.push(b'/');
        letters(&self.prf.of(&met), self.path, out);
        Ok(Masked::Text)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct Ip {}

/// `2001:db8:` and six groups of four digits, `/128`.
const LONGEST_IP: u32 = 43;

impl Options for Ip {
    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Inet { .. } => Fit::Fits,
            Type::Text {
                longest: Some(longest),
                ..
            } if *longest < 18 => Fit::not(
                format!("makes longer addresses than the column's {longest} characters"),
                "null or fixed would do",
            ),
            _ => Fit::of_text(column, Some(LONGEST_IP)),
        }
    }

    fn uniqueness(&self, column: &Column) -> Uniqueness {
        match column.kind {
            Type::Inet { is_network: true } => Uniqueness::Lossy,
            _ => Uniqueness::Distinct { bits: 24 },
        }
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(IpMask {
            prf: site.key.prf(IP.name, ""),
            is_network: matches!(site.column.kind, Type::Inet { is_network: true }),
        }))
    }
}

struct IpMask {
    prf: Prf,
    is_network: bool,
}

impl Mask for IpMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let text = std::str::from_utf8(&met).unwrap_or_default().trim();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, prefix.parse::<u32>().ok()),
            None => (text, None),
        };
        let seed = self.prf.of(address.as_bytes());
        let prefix = match address.parse() {
            Ok(IpAddr::V6(_)) => {
                let mut number = 0x2001_0db8 << 96
                    | u128::from(seed.number(0)) << 32
                    | u128::from(seed.number(1) >> 32);
                let prefix = prefix.filter(|prefix| *prefix <= 128);
                if let (true, Some(prefix)) = (self.is_network, prefix) {
                    number &= u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                }
                write!(out, "{}", Ipv6Addr::from_bits(number)).expect("memory takes everything");
                prefix
            }
            known => {
                let mut number = 10 << 24 | (seed.number(0) >> 40) as u32;
                let prefix = prefix.filter(|prefix| known.is_ok() && *prefix <= 32);
                if let (true, Some(prefix)) = (self.is_network, prefix) {
                    number &= u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                }
                for (at, byte) in number.to_be_bytes().into_iter().enumerate() {
                    if at > 0 {
                        out.push(b'.');
                    }
                    put_number(byte.into(), out);
                }
                prefix
            }
        };
        if let Some(prefix) = prefix {
            out.push(b'/');
            put_number(prefix.into(), out);
        }
        Ok(Masked::Text)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mask) struct MacAddress {}

impl Options for MacAddress {
    fn fit(&self, column: &Column) -> Fit {
        match &column.kind {
            Type::Mac => Fit::Fits,
            Type::Text {
                longest: Some(longest),
                ..
            } if *longest < 17 => Fit::not(
                format!("makes longer addresses than the column's {longest} characters"),
                "null or fixed would do",
            ),
            _ => Fit::of_text(column, None),
        }
    }

    fn uniqueness(&self, _column: &Column) -> Uniqueness {
        Uniqueness::Distinct { bits: 40 }
    }

    fn compile(&self, site: &Site<'_>) -> Result<Box<dyn Mask>> {
        Ok(Box::new(MacMask(site.key.prf(MAC.name, ""))))
    }
}

struct MacMask(Prf);

impl Mask for MacMask {
    fn mask(
        &self,
        value: Value<'_>,
        _given: &Given<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Masked, Refused> {
        let met = value.canonical();
        let digits = met.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
        let is_one = [12, 16].contains(&digits)
            && met.len() < 24
            && met
                .iter()
                .all(|byte| byte.is_ascii_hexdigit() || b":-.".contains(byte));
        let form: &[u8] = if is_one { &met } else { b"00:00:00:00:00:00" };
        let has_capitals = form.iter().any(u8::is_ascii_uppercase);
        let mut seed = self.0.of(&met);
        // Locally administered, and not a group's.
        seed.0[0] = 2;
        let mut at = 0;
        for byte in form {
            if byte.is_ascii_hexdigit() {
                let half = seed.0[at / 2] >> (4 * (1 - at % 2)) & 15;
                let digits: &[u8; 16] = if has_capitals {
                    b"0123456789ABCDEF"
                } else {
                    b"0123456789abcdef"
                };
                out.push(digits[usize::from(half)]);
                at += 1;
            } else {
                out.push(*byte);
            }
        }
        Ok(Masked::Text)
    }
}
