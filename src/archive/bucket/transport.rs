//! HTTP to an S3 server and to those that give keys for it: how long to wait, what to try again, and what an answer that
//! is no success says. The library above signs and understands; it tries nothing again itself.

use std::error::Error as StdError;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};

use super::credentials::Giver;
use super::refusal::Refusal;
use super::tls;
use super::watched::{Moved, Watched};
use crate::error::{Error, Kind, Result};

/// The first pause before another try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long those are asked who give keys to this machine: where there are none, nobody answers.
const NEIGHBOUR: Duration = Duration::from_secs(3);
/// Bytes of an answer that is no object's content: a list has 1000 names of 1024 bytes, each of them written as `%XX` at the
/// worst, with their dates and sums.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;
/// Bytes of an answer that is no success: what is read of one is a code and a message.
const LONGEST_REFUSAL: usize = 64 * 1024;
/// Bytes of an answer's headers, names and values: Amazon's have two thousand, and as many again of an object's own.
const LONGEST_HEADERS: usize = 32 * 1024;

/// How long to wait for a server.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A request is tried again for so long.
    pub total: Duration,
    /// The same with a server that has not answered yet: its name or port may be wrong.
    pub first: Duration,
    /// A connection may stand still for so long.
    pub still: Duration,
    /// To make a connection.
    pub connect: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(180),
            first: Duration::from_secs(30),
            still: Duration::from_secs(60),
            connect: Duration::from_secs(10),
        }
    }
}

/// Makes requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Transport(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    /// Who gives keys, if anybody has to be asked, and how: `ca` is not for it.
    giver: Option<(Giver, reqwest::Client)>,
    patience: Patience,
    reached: AtomicBool,
}

/// Why a request failed, in the end.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) trouble: Trouble,
    pub(super) tries: u32,
    pub(super) waited: Duration,
    /// It was not the S3 server that was asked, but who gives keys.
    pub(super) for_keys: bool,
}

/// Why a try failed.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// No connection.
    Away(String),
    /// What answered does not speak TLS.
    Plain(String),
    /// Whoever answered could not prove to be the server.
    Untrusted(String),
    /// The connection broke.
    Cut(String),
    /// It stood still.
    Still(Duration),
    /// The server said no.
    Refused(Refusal),
    /// The request could not be made at all.
    Impossible(String),
}

impl Transport {
    pub(super) fn new(ca: Option<&Path>, giver: Option<Giver>, patience: Patience) -> Result<Self> {
        let giver = match giver {
            None => None,
            Some(giver) => {
                let builder = reqwest::Client::builder();
                let builder = if giver.neighbour {
                    builder.no_proxy()
                } else {
                    builder
                };
                let client = client(builder, None, patience.connect.min(NEIGHBOUR))?;
                Some((giver, client))
            }
        };
        Ok(Self(Arc::new(Shared {
            http: client(reqwest::Client::builder(), ca, patience.connect)?,
            giver,
            patience,
            reached: AtomicBool::new(false),
        })))
    }

    pub(super) fn patience(&self) -> Patience {
        self.0.patience
    }

    /// Asks until there is an answer that says yes, or one that will not change, or the time is over.
    pub(super) async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, Failed> {
        let host = request.uri().authority().map(ToString::to_string);
        let giver = self.0.giver.as_ref();
        let giver = giver.filter(|(giver, _)| Some(&giver.host) == host.as_ref());
        let for_keys = giver.is_some();
        let near = giver.is_some_and(|(giver, _)| giver.neighbour);
        let client = giver.map_or(&self.0.http, |(_, client)| client);
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        loop {
            tries += 1;
            let trouble = match self.attempt(request.clone(), client, for_keys).await {
                Ok(response) => {
                    self.0.reached.fetch_or(!for_keys, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(trouble) => trouble,
            };
            let answered = matches!(trouble, Trouble::Refused(_));
            if answered && !for_keys {
                self.0.reached.store(true, Ordering::Relaxed);
            }
            let patience = match &self.0.patience {
                patience if near => NEIGHBOUR.min(patience.total),
                patience if !answered && !self.0.reached.load(Ordering::Relaxed) => patience.first,
                patience => patience.total,
            };
            let waited = begun.elapsed();
            let asked = trouble.asks_for().unwrap_or_default().min(patience);
            let wait = jitter(pause).max(asked);
            if !trouble.may_pass() || waited + wait > patience {
                return Err(Failed {
                    trouble,
                    tries,
                    waited,
                    for_keys,
                });
            }
            tracing::debug!(tries, ?wait, %trouble, "a bucket's server is asked again");
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(
        &self,
        request: HttpRequest,
        client: &reqwest::Client,
        for_keys: bool,
    ) -> Result<HttpResponse, Trouble> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let url = reqwest::Url::parse(&url)
            .map_err(|_| Trouble::Impossible("the endpoint and the path make no URL".to_owned()))?;
        // Only an object's content is long enough to be read as it comes; all else is read here, so that it can be asked
        // for again as a whole.
        let content = parts.method == reqwest::Method::GET && parts.uri.query().is_none();
        let mut asked = reqwest::Request::new(parts.method, url);
        *asked.headers_mut() = parts.headers;
        let moved = Arc::new(Moved::default());
        if body.content_length() > 0 {
            *asked.body_mut() = Some(reqwest::Body::wrap(Watched::new(body, Arc::clone(&moved))));
        }
        let still = self.0.patience.still;
        let answer = client.execute(asked);
        tokio::pin!(answer);
        let response = loop {
            tokio::select! {
                response = &mut answer => break response.map_err(Trouble::of)?,
                () = tokio::time::sleep((moved.last() + still).saturating_duration_since(Instant::now())) => {
                    if moved.last().elapsed() >= still {
                        return Err(Trouble::Still(still));
                    }
                }
            }
        };
        let (parts, mut body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let headers = parts.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if headers > LONGEST_HEADERS {
            return Err(Trouble::Impossible(format!(
                "the answer's headers are longer than {LONGEST_HEADERS} bytes"
            )));
        }
        if parts.status.is_success() && content && !for_keys {
            let body = body
                .map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error.without_url()));
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)));
        }
        let mut read = BytesMut::new();
        let until = Instant::now() + self.0.patience.total;
        // One byte now and then would do for `still`.
        while let Some(frame) =
            tokio::time::timeout(still.min(until - Instant::now()), body.frame())
                .await
                .map_err(|_| {
                    if Instant::now() < until {
                        Trouble::Still(still)
                    } else {
                        Trouble::Cut("the answer did not end in time".to_owned())
                    }
                })?
        {
            let frame = frame.map_err(Trouble::of)?;
            read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
            if !parts.status.is_success() && read.len() >= LONGEST_REFUSAL {
                // What it has to say stands at its start.
                break;
            }
            if read.len() > LONGEST_ANSWER {
                return Err(Trouble::Impossible(format!(
                    "the answer is longer than {LONGEST_ANSWER} bytes"
                )));
            }
        }
        if !parts.status.is_success() || Refusal::is_in(&read) {
            return Err(Trouble::Refused(Refusal::read(
                parts.status.as_u16(),
                &parts.headers,
                &read,
            )));
        }
        Ok(HttpResponse::from_parts(parts, read.freeze().into()))
    }
}

fn client(
    builder: reqwest::ClientBuilder,
    ca: Option<&Path>,
    connect: Duration,
) -> Result<reqwest::Client> {
    builder
        .use_preconfigured_tls(tls::config(ca)?)
        .connect_timeout(connect)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("envsyncd/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::new(Kind::Internal, "an HTTP client cannot be made").because(error))
}

impl HttpConnector for Transport {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.ask(request)
            .await
            // Of a kind that the library does not try again.
            .map_err(|failed| HttpError::new(HttpErrorKind::Unknown, failed))
    }
}

impl Trouble {
    /// From what reqwest says, without the URL, which may have a token.
    pub(super) fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut deepest: &(dyn StdError + 'static) = &error;
        while let Some(inner) = deepest.source() {
            deepest = inner;
        }
        let text = deepest.to_string();
        if text.contains("InvalidContentType") {
            Self::Plain(text)
        } else if is_untrusted(&error) {
            Self::Untrusted(text)
        } else if error.is_connect() {
            Self::Away(text)
        } else if error.is_builder() {
            Self::Impossible(text)
        } else {
            Self::Cut(text)
        }
    }

    /// Whether another try may end otherwise.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Away(_) | Self::Cut(_) | Self::Still(_) => true,
            Self::Plain(_) | Self::Untrusted(_) | Self::Impossible(_) => false,
            Self::Refused(refusal) => refusal.may_pass(),
        }
    }

    fn asks_for(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

/// Whether a certificate is at the bottom of it. What an I/O error wraps is not among its sources.
fn is_untrusted(error: &(dyn StdError + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>();
    matches!(
        error.downcast_ref(),
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
    ) || wrapped
        .and_then(std::io::Error::get_ref)
        .is_some_and(|inner| is_untrusted(inner))
        || error.source().is_some_and(is_untrusted)
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(text)
            | Self::Plain(text)
            | Self::Untrusted(text)
            | Self::Cut(text)
            | Self::Impossible(text) => f.write_str(text),
            Self::Still(time) => {
                write!(f, "nothing came for {}", humantime::format_duration(*time))
            }
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trouble.fmt(f)?;
        if self.tries > 1 {
            write!(
                f,
                " (tried {} times in {} s)",
                self.tries,
                self.waited.as_secs()
            )?;
        }
        Ok(())
    }
}

impl StdError for Failed {}

impl Failed {
    /// The one that an error of the library is about.
    pub(super) fn of<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(inner) = cause {
            if let Some(failed) = inner.downcast_ref() {
                return Some(failed);
            }
            cause = inner.source();
        }
        None
    }

    /// What the server said, if it said anything.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match &self.trouble {
            Trouble::Refused(refusal) if !self.for_keys => Some(refusal),
            _ => None,
        }
    }
}

/// Between a half of it and the whole, so that workers that met the same trouble do not come back at once.
pub(super) fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1000;
    pause / 2 + pause * random as u32 / 2000
}
