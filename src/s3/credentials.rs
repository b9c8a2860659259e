//! Credentials for an S3 server: keys of the configuration, else the usual chain of Amazon's own tools
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>).

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};
use secrecy::ExposeSecret as _;

use super::profile::{Files, Profile};
use crate::config::bucket::BucketAccess;
use crate::config::is_here;
use crate::error::{Error, Kind, Result};
use crate::secret::Lookup;

/// Where nothing else says one.
const REGION: &str = "us-east-1";

/// The keys that requests are signed with.
pub(super) struct Credentials {
    how: How,
    /// The region of the bucket.
    pub(super) region: String,
    /// Where the keys come from, for errors: `the environment`.
    pub(super) origin: String,
    /// The server that stands beside the keys, as Amazon's own tools have it, and who says so: `AWS_ENDPOINT_URL`.
    pub(super) endpoint: Option<(String, String)>,
    /// The provider that the keys come from, so that its failures are not taken for the server's.
    pub(super) provider: Option<CredentialProvider>,
}

/// A service that provides keys: the machine's metadata, a container's, or STS.
#[derive(Debug, Clone)]
pub(super) struct CredentialProvider {
    /// With the port.
    pub(super) host: String,
    /// It is of this machine: no proxy stands between, and where there is none nobody answers.
    pub(super) neighbour: bool,
}

enum How {
    Keys(AwsCredential),
    /// A token in a file, changed for keys by Amazon's security token service.
    WebIdentity {
        token_file: String,
        role: String,
        session: Option<String>,
        service: Option<String>,
    },
    /// A container's task, on ECS.
    Task {
        path: String,
    },
    /// A container's pod, on EKS.
    Pod {
        url: String,
        token_file: String,
    },
    /// The virtual machine.
    Instance {
        service: Option<String>,
    },
}

/// Hosts that give keys to who is on their machine, without encryption.
const NEIGHBOURS: &[&str] = &[
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "[fd00:ec2::254]",
    "[fd00:ec2::23]",
];

impl Credentials {
    /// Finds out. Asks nobody over the network.
    pub(super) async fn find(access: &BucketAccess, place: &str, lookup: &Lookup) -> Result<Self> {
        let variable = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let files = files(&variable);
        let (how, origin, profile) = if let Some(key_id) = &access.access_key_id {
            let Some(secret) = &access.secret_access_key else {
                return Err(Error::new(
                    Kind::Config,
                    format!("{place} has an access_key_id and no secret_access_key"),
                ));
            };
            let what = format!("the `secret_access_key` of {place}");
            let secret = secret.resolve(&what, &**lookup).await?;
            let keys = AwsCredential {
                key_id: key_id.clone(),
                secret_key: secret.expose_secret().to_owned(),
                token: None,
            };
            (How::Keys(keys), "the configuration".to_owned(), None)
        } else if let Some(name) = &access.profile {
            named(name, place, &files)?
        } else {
            chain(place, &variable, &files)?
        };
        let endpoint = server_beside(&variable, profile.as_ref());
        let region = access
            .region
            .clone()
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .or_else(|| profile.and_then(|profile| profile.region))
            .unwrap_or_else(|| REGION.to_owned());
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            refuse_unsendable(&format!("the variable {name}"), variable(name).as_deref())?;
        }
        refuse_unsendable(&format!("the region of {place}"), Some(&region))?;
        // It stands in hosts' names.
        if !region
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        {
            let what = format!("{region:?} is not a region's name, which {place} would be in");
            return Err(Error::new(Kind::Config, what).hint(
                "see the bucket's `region`, AWS_REGION, AWS_DEFAULT_REGION and the profile's",
            ));
        }
        how.refuse_unsendable(&origin)?;
        let provider = how.provider(&region);
        Ok(Self {
            how,
            region,
            origin,
            endpoint,
            provider,
        })
    }

    /// Tells the library.
    pub(super) fn apply(self, builder: AmazonS3Builder) -> AmazonS3Builder {
        use AmazonS3ConfigKey as Key;
        let set = |builder: AmazonS3Builder, key, value: Option<String>| match value {
            Some(value) => builder.with_config(key, value),
            None => builder,
        };
        match self.how {
            How::Keys(keys) => set(
                builder
                    .with_access_key_id(keys.key_id)
                    .with_secret_access_key(keys.secret_key),
                Key::Token,
                keys.token,
            ),
            How::WebIdentity {
                token_file,
                role,
                session,
                service,
            } => {
                let builder = set(builder, Key::WebIdentityTokenFile, Some(token_file));
                let builder = set(builder, Key::RoleArn, Some(role));
                let builder = set(builder, Key::RoleSessionName, session);
                set(builder, Key::StsEndpoint, service)
            }
            How::Task { path } => set(builder, Key::ContainerCredentialsRelativeUri, Some(path)),
            How::Pod { url, token_file } => {
                let builder = set(builder, Key::ContainerCredentialsFullUri, Some(url));
                set(
                    builder,
                    Key::ContainerAuthorizationTokenFile,
                    Some(token_file),
                )
            }
            How::Instance { service } => set(builder, Key::MetadataEndpoint, service),
        }
    }
}

/// `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or the profile's
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>).
fn server_beside(
    variable: &dyn Fn(&str) -> Option<String>,
    profile: Option<&Profile>,
) -> Option<(String, String)> {
    let is_ignored = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_ignored {
        return None;
    }
    let of_variable = |name: &str| variable(name).map(|url| (url, name.to_owned()));
    of_variable("AWS_ENDPOINT_URL_S3")
        .or_else(|| of_variable("AWS_ENDPOINT_URL"))
        .or_else(|| {
            let url = profile?.endpoint.clone()?;
            Some((url, "the profile's endpoint_url".to_owned()))
        })
}

/// Refuses what cannot stand in a header of HTTP. Files that are made into variables like to end with a line feed.
fn refuse_unsendable(what: &str, value: Option<&str>) -> Result<()> {
    let Some(bad) = value.and_then(|value| value.chars().find(|c| !matches!(c, '!'..='~'))) else {
        return Ok(());
    };
    let bad = match bad {
        '\n' | '\r' => "a line break",
        ' ' | '\t' => "a blank",
        c if c.is_control() => "a control character",
        _ => "a character that is not ASCII",
    };
    Err(Error::new(Kind::Config, format!("{what} has {bad} in it"))
        .hint("write it without, as one word"))
}

/// Whether a URL can be asked: the library panics where it cannot.
pub(super) fn is_sendable(url: &str) -> bool {
    let parsed = reqwest::Url::parse(url);
    let is_http = parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    is_http
        && url
            .parse::<http::Uri>()
            .is_ok_and(|uri| uri.host().is_some())
}

fn refuse_unaskable(variable: &str, url: &str) -> Result<()> {
    refuse_unsendable(&format!("the variable {variable}"), Some(url))?;
    if is_sendable(url) {
        return Ok(());
    }
    let what = format!("the variable {variable} is no URL that can be asked for keys");
    Err(Error::new(Kind::Config, what).hint("http://HOST/PATH or https://HOST/PATH"))
}

/// Keys as somebody else gives them, while the run goes on: the metadata service, a container's agent, a security token
/// service. They are held to what the configuration's keys are held to.
#[derive(Debug)]
pub(super) struct Checked {
    provider: AwsCredentialProvider,
    origin: String,
}

impl Checked {
    pub(super) fn new(provider: AwsCredentialProvider, origin: &str) -> Self {
        Self {
            provider,
            origin: origin.to_owned(),
        }
    }
}

#[async_trait]
impl object_store::CredentialProvider for Checked {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let unusable = |why: Box<dyn std::error::Error + Send + Sync>| {
            Err(object_store::Error::Generic {
                store: "S3",
                source: why,
            })
        };
        // The library panics at a token or a role's name that cannot stand in a header or a URL.
        let asked = AssertUnwindSafe(self.provider.get_credential()).catch_unwind();
        let Ok(given) = asked.await else {
            let why = format!("{} gives what no request can be made with", self.origin);
            return unusable(why.into());
        };
        let given = given?;
        match refuse_unsendable_keys(&given, &self.origin) {
            Ok(()) => Ok(given),
            Err(error) => unusable(Box::new(error)),
        }
    }
}

pub(super) fn refuse_unsendable_keys(keys: &AwsCredential, origin: &str) -> Result<()> {
    refuse_unsendable(
        &format!("the access key's id from {origin}"),
        Some(&keys.key_id),
    )?;
    refuse_unsendable(
        &format!("the session's token from {origin}"),
        keys.token.as_deref(),
    )
}

impl How {
    /// Refuses keys that no request could be made with.
    fn refuse_unsendable(&self, origin: &str) -> Result<()> {
        match self {
            Self::Keys(keys) => refuse_unsendable_keys(keys, origin),
            Self::Pod { token_file, url } => {
                refuse_unaskable("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)?;
                // Whoever cannot read it is told when it is asked for.
                let token = std::fs::read_to_string(token_file).ok();
                refuse_unsendable(&format!("the token in {token_file}"), token.as_deref())
            }
            Self::Task { path } => refuse_unaskable(
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                &format!("http://169.254.170.2{path}"),
            ),
            Self::WebIdentity {
                service: Some(service),
                ..
            } => refuse_unaskable("AWS_ENDPOINT_URL_STS", service),
            Self::Instance {
                service: Some(service),
            } => refuse_unaskable("AWS_EC2_METADATA_SERVICE_ENDPOINT", service),
            Self::WebIdentity { service: None, .. } | Self::Instance { service: None } => Ok(()),
        }
    }

    fn provider(&self, region: &str) -> Option<CredentialProvider> {
        let host = |url: &str| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            rest.split('/').next().unwrap_or_default().to_owned()
        };
        let host = match self {
            Self::Keys(_) => return None,
            Self::WebIdentity { service, .. } => service
                .as_deref()
                .map_or_else(|| format!("sts.{region}.amazonaws.com"), host),
            Self::Task { .. } => "169.254.170.2".to_owned(),
            Self::Pod { url, .. } => host(url),
            Self::Instance { service } => service
                .as_deref()
                .map_or_else(|| "169.254.169.254".to_owned(), host),
        };
        let neighbour = !matches!(self, Self::WebIdentity { .. });
        Some(CredentialProvider { host, neighbour })
    }
}

type Choice = (How, String, Option<Profile>);

fn named(name: &str, place: &str, files: &Files) -> Result<Choice> {
    let Some(mut profile) = files.profile(name)? else {
        let paths: Vec<String> = [&files.credentials, &files.config]
            .into_iter()
            .flatten()
            .map(|path| path.display().to_string())
            .collect();
        let what = format!("there is no profile `{name}`, which {place} names");
        return Err(Error::new(Kind::Config, what).hint(if paths.is_empty() {
            "set HOME, AWS_SHARED_CREDENTIALS_FILE or AWS_CONFIG_FILE: nothing says where profiles are".to_owned()
        } else {
            format!("looked in {}", paths.join(" and "))
        }));
    };
    let Some(keys) = profile.credential.take() else {
        let what = format!("profile `{name}` has no aws_access_key_id and aws_secret_access_key");
        return Err(Error::new(Kind::Config, what));
    };
    Ok((How::Keys(keys), format!("profile `{name}`"), Some(profile)))
}

fn chain(place: &str, variable: &dyn Fn(&str) -> Option<String>, files: &Files) -> Result<Choice> {
    if let Some(keys) = keys_in_variables(place, variable)? {
        return Ok((How::Keys(keys), "the environment".to_owned(), None));
    }
    if let Some(token_file) = variable("AWS_WEB_IDENTITY_TOKEN_FILE") {
        let Some(role) = variable("AWS_ROLE_ARN") else {
            let what = "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not";
            return Err(Error::new(Kind::Config, what));
        };
        let how = How::WebIdentity {
            token_file,
            role,
            session: variable("AWS_ROLE_SESSION_NAME"),
            service: variable("AWS_ENDPOINT_URL_STS"),
        };
        return Ok((how, "the web identity".to_owned(), None));
    }
    let mut found = match variable("AWS_PROFILE") {
        Some(name) => return named(&name, place, files),
        None => files.profile("default")?,
    };
    if let Some(keys) = found.as_mut().and_then(|profile| profile.credential.take()) {
        return Ok((How::Keys(keys), "profile `default`".to_owned(), found));
    }
    if let Some(path) = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let origin = "the container's task".to_owned();
        return Ok((How::Task { path }, origin, found));
    }
    if let Some(url) = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
        let how = of_pod(url, variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))?;
        return Ok((how, "the container's pod".to_owned(), found));
    }
    if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return Err(Error::new(
            Kind::Config,
            format!("there are no credentials for {place}"),
        )
        .hint(NONE));
    }
    let how = How::Instance {
        service: variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")
            .map(|url| url.trim_end_matches('/').to_owned()),
    };
    Ok((how, "this machine's metadata service".to_owned(), found))
}

/// An access key and its secret; `None`: neither is set.
fn keys_in_variables(
    place: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<AwsCredential>> {
    let missing = match (
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
    ) {
        (None, None) => return Ok(None),
        (Some(key_id), Some(secret_key)) => {
            return Ok(Some(AwsCredential {
                key_id,
                secret_key,
                token: variable("AWS_SESSION_TOKEN"),
            }));
        }
        (Some(_), None) => "AWS_SECRET_ACCESS_KEY",
        (None, Some(_)) => "AWS_ACCESS_KEY_ID",
    };
    let what = format!("only half of a key is set for {place}: {missing} is missing");
    Err(Error::new(Kind::Config, what))
}

/// The service of a container's pod, which is asked with a token: by https, or beside the container.
fn of_pod(url: String, token_file: Option<String>) -> Result<How> {
    let Some(token_file) = token_file else {
        let what = "AWS_CONTAINER_CREDENTIALS_FULL_URI is supported only with AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        return Err(Error::new(Kind::Config, what));
    };
    // As whoever sends the request understands it: what looks like a host may be a user, or stand behind `?` or `#`.
    let is_fine = url::Url::parse(&url).is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default();
        let is_near = NEIGHBOURS.contains(&host) || is_here(host);
        url.scheme() == "https" || url.scheme() == "http" && is_near
    });
    if !is_fine {
        let what = "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https:// nor of this machine";
        return Err(Error::new(Kind::Config, what));
    }
    Ok(How::Pod { url, token_file })
}

/// What to do where there are none.
pub(super) const NONE: &str = "set access_key_id and secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a `profile`, or give this machine a role";

fn files(variable: &dyn Fn(&str) -> Option<String>) -> Files {
    let home = variable("HOME").map(PathBuf::from);
    let file = |name: &str, usual: &str| {
        variable(name)
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join(usual)))
    };
    Files {
        credentials: file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
        config: file("AWS_CONFIG_FILE", ".aws/config"),
    }
}

#[cfg(test)]
mod tests;
