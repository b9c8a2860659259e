//! HTTP to an S3 server and to those that give keys for it: how long to wait, what to try again, and what an answer that
//! is no success says. The library above signs and understands; it tries nothing again itself.

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

use super::credentials::CredentialProvider;
use super::failure::{Failed, Trouble};
use super::refusal::Refusal;
use super::watched::{Moved, Watched};
use crate::error::{Error, Kind, Result};
use crate::tls;

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
    /// The provider of the keys, if there is one, with a client of its own, since `ca` is not for it.
    provider: Option<(CredentialProvider, reqwest::Client)>,
    patience: Patience,
    reached: AtomicBool,
}

impl Transport {
    pub(super) fn new(
        ca: Option<&Path>,
        provider: Option<CredentialProvider>,
        patience: Patience,
    ) -> Result<Self> {
        let provider = match provider {
            None => None,
            Some(provider) => {
                let builder = reqwest::Client::builder();
                let builder = if provider.neighbour {
                    builder.no_proxy()
                } else {
                    builder
                };
                let client = client(builder, None, patience.connect.min(NEIGHBOUR))?;
                Some((provider, client))
            }
        };
        Ok(Self(Arc::new(Shared {
            http: client(reqwest::Client::builder(), ca, patience.connect)?,
            provider,
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
        let provider = self.0.provider.as_ref();
        let provider = provider.filter(|(provider, _)| Some(&provider.host) == host.as_ref());
        let for_keys = provider.is_some();
        let near = provider.is_some_and(|(provider, _)| provider.neighbour);
        let client = provider.map_or(&self.0.http, |(_, client)| client);
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
        let response = self.answer(client.execute(asked), &moved).await?;
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
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
        let read = self.read_whole(body, parts.status.is_success()).await?;
        if !parts.status.is_success() || Refusal::is_in(&read) {
            return Err(Trouble::Refused(Refusal::read(
                parts.status.as_u16(),
                &parts.headers,
                &read,
            )));
        }
        Ok(HttpResponse::from_parts(parts, read.freeze().into()))
    }

    /// Waits for the answer's beginning for as long as something of the request goes out.
    async fn answer(
        &self,
        answer: impl Future<Output = reqwest::Result<reqwest::Response>>,
        moved: &Moved,
    ) -> Result<reqwest::Response, Trouble> {
        let still = self.0.patience.still;
        tokio::pin!(answer);
        loop {
            tokio::select! {
                response = &mut answer => return response.map_err(Trouble::of),
                () = tokio::time::sleep((moved.last() + still).saturating_duration_since(Instant::now())) => {
                    if moved.last().elapsed() >= still {
                        return Err(Trouble::Still(still));
                    }
                }
            }
        }
    }

    /// Reads a body to its end; of a refusal's as much as says why.
    async fn read_whole(
        &self,
        mut body: reqwest::Body,
        is_success: bool,
    ) -> Result<BytesMut, Trouble> {
        let still = self.0.patience.still;
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
            if !is_success && read.len() >= LONGEST_REFUSAL {
                // What it has to say stands at its start.
                break;
            }
            if read.len() > LONGEST_ANSWER {
                return Err(Trouble::Impossible(format!(
                    "the answer is longer than {LONGEST_ANSWER} bytes"
                )));
            }
        }
        Ok(read)
    }
}

fn client(
    builder: reqwest::ClientBuilder,
    ca: Option<&Path>,
    connect: Duration,
) -> Result<reqwest::Client> {
    builder
        .use_preconfigured_tls(trusting(ca)?)
        .connect_timeout(connect)
        .tcp_keepalive(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("envsyncd/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::new(Kind::Internal, "an HTTP client cannot be made").because(error))
}

/// TLS that trusts the authorities in `ca`, or else the machine's.
fn trusting(ca: Option<&Path>) -> Result<rustls::ClientConfig> {
    let roots = tls::authorities(ca).map_err(|fault| {
        let file = ca.unwrap_or(Path::new("")).display();
        let what = match fault {
            tls::Fault::Empty => format!("`ca`, {file}, holds no certificate in PEM"),
            _ => format!("`ca`, {file}, cannot be read as PEM"),
        };
        fault.because_of(Error::new(Kind::Config, what))
    })?;
    Ok(tls::client()?
        .with_root_certificates(roots)
        .with_no_client_auth())
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

/// Between a half of it and the whole, so that workers that met the same trouble do not come back at once.
pub(super) fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1000;
    pause / 2 + pause * random as u32 / 2000
}
