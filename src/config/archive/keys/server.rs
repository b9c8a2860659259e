//! A bucket's server, and who asks it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::config::bucket::{BucketAccess, BucketChecksum, Sse};
use crate::config::diagnostics::Diagnostic;
use crate::config::document::quote;
use crate::config::here::is_here;
use crate::config::reader::{Table, Value, optional};
use crate::config::secrets::read_key;

/// Reads what a bucket's URL does not say of its server.
pub(super) fn read(table: &Table<'_>, directory: &Path) -> Option<BucketAccess> {
    let mut access = BucketAccess::default();
    let endpoint = table.get("endpoint").map(|value| read_endpoint(&value));
    let region = table.get("region").map(|value| {
        word(&value, "a region's name", |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
        })
    });
    let path_style = table
        .get("path_style")
        .map(|value| read_path_style(table, &value));
    let checksums = [
        ("sha256", BucketChecksum::Sha256),
        ("crc64nvme", BucketChecksum::Crc64nvme),
    ];
    let checksum = table
        .get("checksum")
        .map(|value| value.choice(&checksums, &[]));
    let encryptions = [("AES256", Sse::Aes256), ("aws:kms", Sse::Kms)];
    let sse = table
        .get("sse")
        .map(|value| value.choice(&encryptions, &[]));
    let ca = table
        .get("ca")
        .map(|value| read_ca(table, &value, directory));
    read_login(table, directory, &mut access)?;
    access.endpoint = optional(endpoint)?;
    access.region = optional(region)?;
    access.path_style = optional(path_style)?;
    access.ca = optional(ca)?;
    access.checksum = optional(checksum)?;
    access.sse = optional(sse)?;
    Some(access)
}

fn read_path_style(table: &Table<'_>, value: &Value<'_>) -> Option<bool> {
    let in_path = value.boolean()?;
    let host = table.get("endpoint").and_then(|endpoint| {
        let url = url::Url::parse(endpoint.content.as_str()?).ok()?;
        url.host_str().map(str::to_owned)
    });
    if !in_path && host.as_deref().and_then(address).is_some() {
        value.report(
            value
                .wrong("a bucket's name cannot stand before an IP address")
                .help("leave `path_style` out, or give the endpoint a name"),
        );
        return None;
    }
    Some(in_path)
}

/// The file with the server's authorities. Without an endpoint, or with one that is wrong, there is no saying whether it is of use.
fn read_ca(table: &Table<'_>, value: &Value<'_>, directory: &Path) -> Option<PathBuf> {
    let path = directory.join(value.text()?);
    let endpoint = table.get("endpoint")?;
    if endpoint.content.as_str()?.starts_with("http:") {
        value.report(
            value
                .wrong("`ca` is of no use: the endpoint is reached without TLS")
                .help("take endpoint = \"https://HOST\", or leave `ca` out"),
        );
        return None;
    }
    Some(path)
}

/// Reads how to log in: an access key with its secret, a profile, or nothing.
fn read_login(table: &Table<'_>, directory: &Path, access: &mut BucketAccess) -> Option<()> {
    let id = table.get("access_key_id").map(|value| {
        word(&value, "an access key's id", |c| {
            c.is_ascii_graphic() && !matches!(c, '/' | ',')
        })
    });
    let secret = read_key(table, "secret_access_key", directory);
    let profile = table.get("profile").map(|value| {
        word(&value, "a profile's name", |c| {
            !c.is_control() && !matches!(c, '[' | ']')
        })
    });
    let alone = match (&id, &secret) {
        (Some(_), None) => Some(("access_key_id", "secret_access_key = { file = \"PATH\" }")),
        (None, Some(_)) => Some(("secret_access_key", "access_key_id = \"...\"")),
        _ => None,
    };
    if let Some((key, other)) = alone
        && let Some(value) = table.get(key)
    {
        value.report(
            value
                .wrong(format!("`{key}` does not stand alone"))
                .help(format!("write {other} beside it")),
        );
    }
    if (id.is_some() || secret.is_some())
        && let Some(value) = table.get("profile")
    {
        value.report(
            value
                .wrong("there are both a profile and an access key to log in with")
                .allowed("`access_key_id` and `secret_access_key` | `profile`"),
        );
    }
    access.access_key_id = optional(id)?;
    access.secret_access_key = optional(secret)?;
    access.profile = optional(profile)?;
    Some(())
}

/// `https://HOST[:PORT]`.
fn read_endpoint(value: &Value<'_>) -> Option<String> {
    const FORM: &str = "https://HOST or https://HOST:PORT";
    let text = value.text()?.trim();
    let report = |diagnostic: Diagnostic| {
        value.report(diagnostic.allowed(FORM));
        None
    };
    let Ok(url) = url::Url::parse(text) else {
        return report(value.wrong("this is not a URL"));
    };
    if !matches!(url.scheme(), "http" | "https") {
        return report(value.wrong("an S3-compatible server is reached by https or http"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return report(value.wrong("the URL has a user in it").help(
            "write access_key_id = \"...\" and secret_access_key = { file = \"PATH\" } beside it",
        ));
    }
    let whole = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let Some(host) = url.host_str().filter(|_| whole) else {
        return report(
            value
                .wrong("a path does not belong here: only the host, and its port")
                .help("the bucket and the prefix stand in url = \"s3://BUCKET/PREFIX\""),
        );
    };
    if url.scheme() == "http" && !is_here(host) {
        value.report(
            value
                .wrong("rows travel to this server unencrypted")
                .help("take https://, with ca = \"FILE\" if its certificate is signed by an authority of your own")
                .warning(),
        );
    }
    let port = url.port().map(|port| format!(":{port}"));
    Some(format!(
        "{}://{host}{}",
        url.scheme(),
        port.unwrap_or_default()
    ))
}

/// The IP address that a URL's host is.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok()
}

/// A text of certain characters.
fn word(value: &Value<'_>, what: &str, fine: impl Fn(char) -> bool) -> Option<String> {
    let text = value.text()?;
    if text.chars().all(fine) {
        return Some(text.to_owned());
    }
    value.report(value.wrong(format!("{} is not {what}", quote(text))));
    None
}
