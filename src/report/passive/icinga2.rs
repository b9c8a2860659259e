//! Icinga 2's API: `POST /v1/actions/process-check-result` (Icinga 2's manual, chapter "API", "process-check-result").

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::ACCEPT;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::message::{Failure, Lookup, Message, TRY};
use crate::config::monitoring::{Icinga2, Login};
use crate::error::{Error, Kind, Result};
use crate::guard::process::host_name;
use crate::report::status_file::StatusFile;
use crate::tls;

/// Later than it should is not yet too late: jitter, a queue of other runs.
const SLACK: Duration = Duration::from_secs(3600);
/// The time that a run without a `timeout` is given.
const RUN: Duration = Duration::from_secs(3600);
/// How much of what a server says is repeated.
const SAID: usize = 200;
/// Bytes of an answer that are read: one about a single service has some hundred.
const LONGEST_ANSWER: usize = 64 * 1024;

/// What every try has in common.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    /// `None`: by certificate.
    login: Option<(String, SecretString)>,
    /// `HOST!SERVICE`.
    service: String,
    source: String,
    ttl: Option<Duration>,
}

/// As the API reads it. Times and lengths are in seconds.
#[derive(Serialize)]
struct CheckResult<'a> {
    r#type: &'static str,
    service: &'a str,
    exit_status: u8,
    plugin_output: &'a str,
    performance_data: &'a [String],
    check_source: &'a str,
    execution_start: f64,
    execution_end: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
}

impl Client {
    /// Reads certificates, fetches the password.
    pub(super) async fn new(
        receiver: &Icinga2,
        lookup: Lookup<'_>,
        status: &StatusFile,
    ) -> Result<Self> {
        let (login, certificate) = match &receiver.login {
            Login::Password { user, password } => {
                let password = password
                    .resolve("the password", lookup)
                    .await
                    .map_err(|error| error.within("[icinga2]"))?;
                (Some((user.clone(), password)), None)
            }
            Login::Certificate { certificate, key } => {
                (None, Some((certificate.as_path(), key.as_path())))
            }
        };
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls_config(receiver.ca.as_deref(), certificate)?)
            // A monitoring system is of the house; what proxies are set is for the world outside.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("envsyncd/", env!("CARGO_PKG_VERSION")))
            .timeout(TRY)
            .build()
            .map_err(|error| {
                Error::new(Kind::Internal, "an HTTP client cannot be made").because(error)
            })?;
        let source = host_name();
        let host = receiver.host.as_deref().unwrap_or(&source);
        Ok(Self {
            http,
            url: format!("{}/v1/actions/process-check-result", receiver.url),
            login,
            service: format!("{host}!{}", receiver.service.of(&status.job)),
            source,
            ttl: receiver.ttl.or_else(|| ttl(status, Utc::now())),
        })
    }

    /// One try.
    pub(super) async fn post(&self, message: &Message) -> Result<(), Failure> {
        // The check's own time, not the run's: Icinga drops results that are older than the last one, and its
        // freshness check may have made one while the run went on.
        let now = Utc::now().timestamp_micros() as f64 / 1e6;
        let mut request = self
            .http
            .post(&self.url)
            .header(ACCEPT, "application/json")
            .json(&CheckResult {
                r#type: "Service",
                service: &self.service,
                exit_status: message.exit_code,
                plugin_output: &message.output,
                performance_data: &message.perfdata,
                check_source: &self.source,
                execution_start: now,
                execution_end: now,
                ttl: self.ttl.map(|ttl| ttl.as_secs().max(1)),
            });
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password.expose_secret()));
        }
        let mut response = request.send().await.map_err(|error| self.unsent(error))?;
        let code = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| self.unsent(error))? {
            // Cut off, it is no answer of Icinga's, and is told so.
            let left = LONGEST_ANSWER - body.len();
            body.extend_from_slice(&bytes[..bytes.len().min(left)]);
            if body.len() == LONGEST_ANSWER {
                break;
            }
        }
        answer(code, &String::from_utf8_lossy(&body), &self.service)
    }

    fn unsent(&self, error: reqwest::Error) -> Failure {
        let at = self.url.split("/v1/").next().unwrap_or_default();
        let untrusted = certificate_problem(&error);
        let what = if untrusted {
            format!("Icinga 2's API at {at} cannot be trusted")
        } else {
            format!("Icinga 2's API at {at} cannot be reached")
        };
        let error = Error::new(Kind::Connection, what).because(error.without_url());
        if untrusted {
            Failure::for_good(error.hint(
                "`ca` in [icinga2] has to be the authority that signed its certificate (on the server /var/lib/icinga2/certs/ca.crt), and the host in `url` a name in that certificate",
            ))
        } else {
            Failure::for_now(error.hint(
                "see `url` in [icinga2], that Icinga 2 runs, and that its feature `api` is enabled",
            ))
        }
    }
}

/// Whether it was the server's certificate that we did not like.
fn certificate_problem(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
            return true;
        }
        // An error of TLS travels inside I/O errors, whose `source` is their inner error's source.
        cause = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    false
}

/// How long a result is good: until the next run should have ended. `None` without a schedule.
fn ttl(status: &StatusFile, now: DateTime<Utc>) -> Option<Duration> {
    let wait = (status.next_run_at? - now).to_std().unwrap_or_default();
    let run = match status.timeout_seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => status
            .duration_seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds * 2.0).ok())
            .unwrap_or_default()
            .max(RUN),
    };
    Some(wait.saturating_add(run).saturating_add(SLACK))
}

/// The body of an answer. A refused request has `error` and `status`, an accepted one `results`, each of which may be a
/// refusal by itself.
#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default)]
    status: String,
    results: Option<Vec<Outcome>>,
}

/// What became of one object. The code is a float in Icinga's JSON.
#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    code: f64,
    #[serde(default)]
    status: String,
}

/// Understands an answer: only a result that was taken is a success, whatever HTTP says.
pub(super) fn answer(http: u16, body: &str, service: &str) -> Result<(), Failure> {
    let accepted = (200..300).contains(&http);
    let Ok(parsed) = serde_json::from_str::<Answer>(body) else {
        return if accepted {
            Err(Failure::for_good(
                Error::new(
                    Kind::Connection,
                    "what answered is not Icinga 2's API: its answer makes no sense",
                )
                .hint("see `url` in [icinga2]"),
            ))
        } else {
            refused(http, body, service)
        };
    };
    match parsed.results {
        Some(results) => {
            let taken = |outcome: &Outcome| (200.0..300.0).contains(&outcome.code);
            if let Some(refusal) = results.iter().find(|outcome| !taken(outcome)) {
                return refused(refusal.code as u16, &refusal.status, service);
            }
            match results.first() {
                None if accepted => refused(404, "no objects found", service),
                // A 200 inside a 200, and nothing was done (lib/icinga/apiactions.cpp).
                Some(outcome) if outcome.status.starts_with("Ignoring") => Err(Failure::for_good(
                    Error::new(
                        Kind::Absent,
                        format!("Icinga 2 ignored the result: {}", said(&outcome.status)),
                    )
                    .hint(
                        "a dependency of the service with `disable_checks` has failed: its host, most likely, is down for Icinga 2",
                    ),
                )),
                Some(_) if accepted => Ok(()),
                _ => refused(http, &parsed.status, service),
            }
        }
        None if accepted => Err(Failure::for_good(
            Error::new(
                Kind::Connection,
                "what answered is not Icinga 2's API: its answer has no results",
            )
            .hint("see `url` in [icinga2]"),
        )),
        None => refused(http, &parsed.status, service),
    }
}

fn refused(code: u16, status: &str, service: &str) -> Result<(), Failure> {
    let said = said(status);
    let error = |kind, what: String| Error::new(kind, format!("{what} ({code}: {said})"));
    Err(match code {
        401 => Failure::for_good(
            error(Kind::Permission, "Icinga 2 does not know us".to_owned())
                .hint("see `user` and `password` in [icinga2], or that an ApiUser has the certificate's common name as its client_cn"),
        ),
        403 if status.contains("assive checks") => Failure::for_good(
            error(Kind::Permission, format!("Icinga 2 takes no passive results for `{service}`"))
                .hint("set enable_passive_checks = true in the service, or for all of Icinga 2"),
        ),
        403 => Failure::for_good(
            error(Kind::Permission, "Icinga 2 does not let our ApiUser send check results".to_owned())
                .hint("give it permissions = [ \"actions/process-check-result\" ]"),
        ),
        404 => Failure::for_good(
            error(Kind::Absent, format!("Icinga 2 has no service `{service}`, or our ApiUser may not send results for it"))
                .hint("define it (see packaging/icinga2), set `host` and `service` in [icinga2] to what it is called there, or see that the ApiUser's permissions have \"actions/process-check-result\" and that their filter lets it through"),
        ),
        409 => Failure::for_now(
            error(Kind::Busy, format!("Icinga 2 did not take the result for `{service}`: it has a newer one, or the object is being changed"))
                .hint("if it stays so, compare the clocks of the two machines"),
        ),
        429 | 500..=599 => Failure::for_now(
            error(Kind::Connection, "Icinga 2 cannot take results now".to_owned())
                .hint("it starts, stops or reloads; if it stays so, see its log"),
        ),
        _ => Failure::for_good(
            error(Kind::Connection, "Icinga 2 refused the result".to_owned())
                .hint("see Icinga 2's log, and `url` in [icinga2]"),
        ),
    })
}

/// A server's text, shortened to one line.
fn said(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let line = line.chars().filter(|c| !c.is_control()).take(SAID);
    let line: String = line.collect();
    if line.is_empty() {
        return "nothing was said".to_owned();
    }
    line.trim_end_matches('.').to_owned()
}

/// Trusts the authorities in `ca`, or else the machine's, and shows `client` (certificate and key) to whoever asks.
fn tls_config(ca: Option<&Path>, client: Option<(&Path, &Path)>) -> Result<rustls::ClientConfig> {
    let unreadable = |name: &'static str, file: &Path, fault: tls::Fault| {
        let what = format!("{} cannot be read as PEM", file.display());
        fault
            .because_of(Error::new(Kind::Config, what))
            .hint(format!("see `{name}` in [icinga2]"))
    };
    let roots = match (tls::authorities(ca), ca) {
        (Ok(roots), _) if !roots.is_empty() => Ok(roots),
        (Err(fault @ (tls::Fault::Unreadable(_) | tls::Fault::Malformed(_))), Some(file)) => {
            Err(unreadable("ca", file, fault))
        }
        (_, Some(file)) => Err(nobody(format!("{} is empty", file.display()))),
        (_, None) => Err(nobody(
            "this machine trusts no certificate authority".to_owned(),
        )),
    }?;
    let builder = tls::client()?.with_root_certificates(roots);
    let Some((certificate, key)) = client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = match tls::certificates(certificate) {
        Ok(chain) => chain,
        // Its key does not fit it, then.
        Err(tls::Fault::Empty) => Vec::new(),
        Err(fault) => return Err(unreadable("certificate", certificate, fault)),
    };
    let private = tls::key(key).map_err(|fault| unreadable("key", key, fault))?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| {
            let what = format!(
                "certificate {} and key {} do not fit",
                certificate.display(),
                key.display()
            );
            Error::new(Kind::Config, what).because(error)
        })
}

fn nobody(what: String) -> Error {
    Error::new(Kind::Config, what).hint("name the authority's PEM file with `ca` in [icinga2]")
}

#[cfg(test)]
mod tests;
