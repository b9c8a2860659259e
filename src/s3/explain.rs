//! Failed requests to an S3 server as errors, with the advice for each.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;

use super::credentials::NONE;
use super::failure::{Failed, Trouble};
use super::refusal::Refusal;
use crate::error::{Error, Kind};

/// What was to be done when it was refused.
#[derive(Debug, Clone)]
pub(super) enum Doing {
    List,
    Read(String),
    Write(String),
    Delete,
}

/// Whom an error is about.
pub(super) struct Whom<'w> {
    /// The archive.
    pub(super) place: &'w str,
    pub(super) bucket: &'w str,
    pub(super) region: &'w str,
    /// The server's URL.
    pub(super) endpoint: &'w str,
    /// Where the keys come from.
    pub(super) origin: &'w str,
}

impl Doing {
    /// The right that it takes, as policies call it.
    fn right(&self) -> &'static str {
        match self {
            Self::List => "s3:ListBucket",
            Self::Read(_) => "s3:GetObject",
            Self::Write(_) => "s3:PutObject",
            Self::Delete => "s3:DeleteObject",
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str("list"),
            Self::Read(path) => write!(f, "read {path} in"),
            Self::Write(path) => write!(f, "write {path} to"),
            Self::Delete => f.write_str("delete from"),
        }
    }
}

impl Whom<'_> {
    /// An error of the library as an operator understands it.
    pub(super) fn explain(
        &self,
        doing: &Doing,
        error: &(dyn std::error::Error + 'static),
    ) -> Error {
        match Failed::of(error) {
            Some(failed) => self.failed(doing, failed),
            None => Error::new(Kind::Connection, format!("cannot {doing} {}", self.place))
                .because(error.to_string()),
        }
    }

    pub(super) fn failed(&self, doing: &Doing, failed: &Failed) -> Error {
        let Self {
            place,
            endpoint,
            origin,
            ..
        } = self;
        let error = |kind, what: String| Error::new(kind, what).because(failed.clone());
        if failed.for_keys {
            let what = format!("there are no credentials for {place}: {origin} gave none");
            return error(Kind::Permission, what).hint(NONE);
        }
        match &failed.trouble {
            Trouble::Refused(refusal) => self.refused(doing, failed, refusal),
            Trouble::Away(_) => error(
                Kind::Connection,
                format!("{} cannot be reached", self.server()),
            )
            .hint("see the bucket's `endpoint` and `region`, and that the server runs"),
            Trouble::Plain(_) => error(
                Kind::Connection,
                format!("{} does not speak TLS", self.server()),
            )
            .hint("see the bucket's `endpoint`: the port, and whether it is http://"),
            Trouble::Untrusted(_) => error(
                Kind::Connection,
                format!("{} cannot be trusted", self.server()),
            )
            .hint("`ca` has to be the authority that signed its certificate, and the endpoint's host a name in it"),
            Trouble::Cut(_) | Trouble::Still(_) => error(
                Kind::Connection,
                format!("cannot {doing} {place}: the connection to {endpoint} broke again and again"),
            )
            .hint("see the network between, and the bucket's `endpoint`: http or https, host, port"),
            Trouble::Impossible(_) => error(Kind::Connection, format!("cannot {doing} {place}")),
        }
    }

    /// The server, with its URL once.
    fn server(&self) -> String {
        let Self {
            place, endpoint, ..
        } = self;
        if place.contains(endpoint) {
            format!("the server of {place}")
        } else {
            format!("{endpoint}, the server of {place},")
        }
    }

    /// Where the keys come from, for who has to look at them.
    fn advice_on_keys(&self) -> String {
        match self.origin {
            "the configuration" => "see access_key_id and secret_access_key".to_owned(),
            origin => format!("see the keys, which come from {origin}"),
        }
    }

    /// What is wrong with the keys, or with the time at which they were used, if it is that.
    fn refused_keys(&self, failed: &Failed, refusal: &Refusal) -> Option<Error> {
        let Self {
            place, endpoint, ..
        } = self;
        let error = |what: String| Error::new(Kind::Permission, what).because(failed.clone());
        let advice = self.advice_on_keys();
        Some(match refusal.code.as_str() {
            "InvalidAccessKeyId" => error(format!(
                "the server of {place} does not know the access key"
            ))
            .hint(advice),
            "SignatureDoesNotMatch" => {
                error(format!("the secret access key for {place} is wrong")).hint(advice)
            }
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => error(format!(
                "the session's token for {place} is not valid any more"
            ))
            .hint(format!("get a new one; {advice}")),
            "RequestTimeTooSkewed" | "RequestExpired" => {
                let off = refusal.skew().map(|skew| {
                    let length = Duration::from_secs(skew.num_seconds().unsigned_abs());
                    let side = if skew < TimeDelta::zero() {
                        "behind"
                    } else {
                        "ahead of"
                    };
                    format!(
                        ": it is {} {side} the server's",
                        humantime::format_duration(length)
                    )
                });
                let off = off.unwrap_or_default();
                error(format!(
                    "{endpoint} refuses us because this machine's clock is wrong{off}"
                ))
                .hint("set the clock, and keep it set by NTP")
            }
            _ => return None,
        })
    }

    fn refused(&self, doing: &Doing, failed: &Failed, refusal: &Refusal) -> Error {
        let Self {
            place,
            bucket,
            region,
            endpoint,
            ..
        } = self;
        let error = |kind, what: String| Error::new(kind, what).because(failed.clone());
        if let Some(error) = self.refused_keys(failed, refusal) {
            return error;
        }
        match (refusal.code.as_str(), refusal.status) {
            ("NoSuchBucket", _) => error(Kind::Absent, format!("there is no bucket `{bucket}`"))
                .hint(format!("make it, or see the URL {place} and the bucket's `endpoint`")),
            ("NoSuchKey", _) => match doing {
                Doing::Read(path) => error(Kind::Absent, format!("there is no {path} in {place}")),
                _ => error(Kind::Absent, format!("cannot {doing} {place}")),
            },
            ("NoSuchUpload", _) => error(
                Kind::Connection,
                format!("cannot {doing} {place}: the parts that had been sent were removed"),
            )
            .hint("see whether somebody, or a rule of the bucket, aborts uploads that go on"),
            ("PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _)
            | (_, 300..=399) => {
                let what = match &refusal.region {
                    Some(there) => format!("bucket `{bucket}` is not in region {region} but in {there}"),
                    None => format!("bucket `{bucket}` is not in region {region}"),
                };
                error(Kind::Config, what).hint("set the bucket's `region`")
            }
            _ if refusal.is_full() => {
                error(Kind::Full, format!("cannot {doing} {place}: the server has no room"))
                    .hint("free space there, or raise the bucket's quota, and run the job again")
            }
            ("AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidObjectState", _) | (_, 401 | 403) => {
                let advice = format!("allow {}; {}", doing.right(), self.advice_on_keys());
                let unsure = match doing {
                    Doing::Read(_) => " (or it is not there: without permission to list, that looks the same)",
                    _ => "",
                };
                error(Kind::Permission, format!("no permission to {doing} {place}{unsure}")).hint(advice)
            }
            _ if refusal.wants_checksum() => {
                error(Kind::Config, format!("cannot {doing} {place}: its server wants a checksum with each object (Object Lock)"))
                    .hint("set checksum = \"sha256\" beside `url`")
            }
            ("PreconditionFailed", _) | (_, 412) => error(
                Kind::Verify,
                format!("cannot {doing} {place}: it was written anew while it was read"),
            ),
            _ if refusal.is_throttling() => error(
                Kind::Connection,
                format!("cannot {doing} {place}: the server asks for fewer requests, for too long"),
            )
            .hint("run the job at a quieter time, or with fewer `jobs`"),
            _ if refusal.may_pass() => error(
                Kind::Connection,
                format!("cannot {doing} {place}: its server has trouble"),
            )
            .hint("see the server's log"),
            ("", _) => error(
                Kind::Connection,
                format!("cannot {doing} {place}: what answers at {endpoint} does not seem to be an S3 server"),
            )
            .hint("see the bucket's `endpoint` (http or https, host, port) and `path_style`"),
            _ => error(Kind::Connection, format!("cannot {doing} {place}: its server refuses it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn refusal(status: u16, code: &str, message: &str) -> Refusal {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Refusal::read(status, &HeaderMap::new(), body.as_bytes())
    }

    fn said(refusal: Refusal) -> Error {
        let whom = Whom {
            place: "s3://b/p",
            bucket: "b",
            region: "eu-west-1",
            endpoint: "https://s3.example",
            origin: "the configuration",
        };
        let failed = Failed {
            trouble: Trouble::Refused(refusal),
            tries: 1,
            waited: Duration::ZERO,
            for_keys: false,
        };
        whom.failed(&Doing::Write("x".to_owned()), &failed)
    }

    #[test]
    fn a_server_without_room_is_told_from_one_that_forbids_it() {
        for (status, code, message) in [
            (403, "QuotaExceeded", "Bucket quota exceeded"),
            (507, "XMinioStorageFull", ""),
            (400, "XMinioAdminBucketQuotaExceeded", ""),
            (
                403,
                "AccessDenied",
                "Cannot upload files, storage cap exceeded.",
            ),
            (507, "", ""),
        ] {
            let error = said(refusal(status, code, message));
            assert_eq!(error.kind(), Kind::Full, "{error}");
        }
        let error = said(refusal(403, "AccessDenied", "Access Denied"));
        assert_eq!(error.kind(), Kind::Permission);
    }

    #[test]
    fn a_bucket_with_object_lock_asks_for_a_checksum() {
        let error = said(refusal(
            400,
            "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
        ));
        let hint = error.advice().unwrap_or_default();
        assert!(hint.contains("checksum = \"sha256\""), "{error}");
    }

    #[test]
    fn a_wrong_key_is_no_reason_to_delete_one_by_one() {
        for (status, code) in [
            (400, "InvalidArgument"),
            (501, "NotImplemented"),
            (405, ""),
            (404, ""),
        ] {
            assert!(refusal(status, code, "").takes_no_list(), "{status} {code}");
        }
        for (status, code) in [
            (400, "ExpiredToken"),
            (403, "AccessDenied"),
            (404, "NoSuchBucket"),
            (503, "SlowDown"),
        ] {
            assert!(
                !refusal(status, code, "").takes_no_list(),
                "{status} {code}"
            );
        }
    }
}
