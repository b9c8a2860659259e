//! URLs of buckets, `s3://BUCKET[/PREFIX]`, in one spelling: of archives, and of trees of files where the kind says so.

use std::fmt;

use crate::config::document::quote;
use crate::config::flaw::Flaw;
use crate::config::percent::percent_encoded;

const BUCKET: &str = "s3://BUCKET or s3://BUCKET/PREFIX";
const BESIDE: &str = "what a URL does not say stands beside it: { url = \"s3://BUCKET/PREFIX\", endpoint = \"https://HOST\", region = \"...\" }";

/// Bytes of a prefix. A key has 1024 at the most (S3's user guide, "Naming Amazon S3 objects"); a snapshot's own names take
/// fewer than 400 of them.
const LONGEST_PREFIX: usize = 600;

/// Names that Amazon gives to other things (S3's user guide, "General purpose bucket naming rules").
const RESERVED_STARTS: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_ENDS: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

/// The URL of a bucket, or of what is below a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUrl {
    /// Its name.
    pub bucket: String,
    /// The prefix of all keys, without slashes at its ends; may be empty.
    pub prefix: String,
}

impl BucketUrl {
    /// What is below a prefix; empty: all of the bucket.
    pub fn new(bucket: &str, prefix: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    /// Reads what stands behind `s3:`.
    pub fn read(rest: &str) -> Result<Self, Flaw> {
        read(rest)
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() {
            return Ok(());
        }
        let prefix = percent_encoded(&self.prefix, &[' ', '%', '?', '#']);
        write!(f, "/{prefix}")
    }
}

/// Reads what stands behind `s3:`.
fn read(rest: &str) -> Result<BucketUrl, Flaw> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(Flaw::new("`//` is missing behind the scheme").allowed(BUCKET));
    };
    let (bucket, prefix) = bucket_and_prefix(rest);
    if rest.contains('@') {
        return Err(Flaw::with_help(
            "a bucket's URL has no user in it",
            "write access_key_id = \"...\" and secret_access_key = { file = \"PATH\" } beside `url`",
        ));
    }
    if rest.contains(['?', '#']) {
        return Err(Flaw::with_help("a bucket's URL has no parameters", BESIDE));
    }
    if bucket.contains(':') {
        return Err(Flaw::with_help("a bucket's URL has no port in it", BESIDE));
    }
    check_bucket(bucket)?;
    check_prefix(prefix)?;
    Ok(BucketUrl::new(bucket, prefix))
}

fn bucket_and_prefix(rest: &str) -> (&str, &str) {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    (bucket, prefix.strip_suffix('/').unwrap_or(prefix))
}

fn check_bucket(name: &str) -> Result<(), Flaw> {
    const RULES: &str =
        "3 to 63 lower-case letters, digits, `.` and `-`, a letter or digit at each end";
    let wrong = |why: &str| {
        Err(Flaw::new(format!("{} cannot be a bucket's name{why}", quote(name))).allowed(RULES))
    };
    if name.is_empty() {
        return Err(Flaw::new("the URL names no bucket").allowed(BUCKET));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !(3..=63).contains(&name.len())
        || !name.chars().all(|c| plain(c) || matches!(c, '.' | '-'))
        || !name.starts_with(plain)
        || !name.ends_with(plain)
    {
        return wrong("");
    }
    if name.contains("..") {
        return wrong(": two dots stand side by side");
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return wrong(": it is an IP address");
    }
    let starts = RESERVED_STARTS.iter().find(|end| name.starts_with(**end));
    let ends = RESERVED_ENDS.iter().find(|end| name.ends_with(**end));
    if let Some(part) = starts.or(ends) {
        return wrong(&format!(": `{part}` is reserved"));
    }
    Ok(())
}

/// Only characters that every server, URL and file system takes as they are: then a prefix has one spelling.
fn check_prefix(prefix: &str) -> Result<(), Flaw> {
    if prefix.is_empty() {
        return Ok(());
    }
    if prefix.len() > LONGEST_PREFIX {
        return Err(Flaw::with_help(
            "the prefix is too long",
            "up to 600 characters, so that what is below it has names of at most 1024",
        ));
    }
    for part in prefix.split('/') {
        if matches!(part, "" | "." | "..") {
            return Err(Flaw::with_help(
                "the prefix has an empty part, or `.` or `..` as one",
                "a prefix is a path without a slash at its start: s3://BUCKET/team/database",
            ));
        }
    }
    let fine = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(
                c,
                '/' | '-' | '_' | '.' | '!' | '\'' | '(' | ')' | '=' | '+' | ','
            )
    };
    match prefix.chars().find(|c| !fine(*c)) {
        Some(c) => Err(Flaw::new(format!(
            "the prefix has a character that not everybody writes alike: {c:?}"
        ))
        .allowed("letters, digits, and / - _ . ! ' ( ) = + ,")),
        None => Ok(()),
    }
}
