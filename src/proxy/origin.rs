//! The origin: how it is asked, and what of its answers is believed.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue,
    LAST_MODIFIED, LOCATION, RETRY_AFTER, TRANSFER_ENCODING,
};
use reqwest::Response;
use url::Url;

use super::conditions::parse_date;
use super::media::Promise;
use super::name::Name;
use super::pace::Turn;
use super::reply::Refusal;
use super::rules::Rules;
use crate::config::file_proxy::FileProxy;
use crate::error::{Error, Kind, Result};
use crate::tls;

/// How many redirects are followed, on the origin's own host.
const REDIRECTS: usize = 3;

/// Where missing files are.
pub(super) struct Origin {
    base: Url,
    client: reqwest::Client,
    timeout: Duration,
    max_size: u64,
    rules: Arc<Rules>,
}

/// The head of an answer that may be kept.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) length: Option<u64>,
    pub(super) changed: Option<i64>,
}

/// Why there is no such answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is what it is: asking again would change nothing soon.
    Final(Refusal),
    /// The origin is silent, slow, or has too much to do; and for how long it asks to be left alone.
    Passing(Option<Duration>),
}

impl Origin {
    pub(super) fn new(proxy: &FileProxy, rules: Arc<Rules>) -> Result<Self> {
        let file = proxy.ca_file.as_deref();
        let roots = tls::authorities(file).map_err(|fault| {
            let file = file.map_or_else(String::new, |file| format!(" {}", file.display()));
            let what = format!("certificate authorities{file} cannot be read");
            let error = Error::new(Kind::Config, what).hint("see `ca_file` under [[file_proxy]]");
            fault.because_of(error)
        })?;
        let tls = tls::client()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .http1_only()
            .connect_timeout(proxy.limits.timeout)
            .tcp_keepalive(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!(
                "envsyncd/",
                env!("CARGO_PKG_VERSION"),
                " (file proxy)"
            ))
            .build()
            .map_err(|error| {
                Error::new(Kind::Internal, "an HTTP client cannot be made").because(error)
            })?;
        Ok(Self {
            base: proxy.origin.clone(),
            client,
            timeout: proxy.limits.timeout,
            max_size: proxy.limits.max_size,
            rules,
        })
    }

    /// A file's URL there: nothing of the request but its path, and no query.
    pub(super) fn url_of(&self, name: &Name) -> Url {
        let mut url = self.base.clone();
        // What is escaped stays as it is.
        url.set_path(&format!(
            "{}/{}",
            self.base.path().trim_end_matches('/'),
            name.in_url()
        ));
        url
    }

    /// Asks for a file. Nothing of who asks us is passed on. Each redirect that is followed is another request of the turn.
    pub(super) async fn ask(
        &self,
        name: &Name,
        promise: Promise,
        turn: &mut Turn<'_>,
    ) -> Result<Answer, Trouble> {
        let ending = name.ending();
        let mut url = self.url_of(name);
        let mut followed = 0;
        loop {
            let response = self.request(&url).await?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED
            {
                return self.judge(response, promise);
            }
            if followed == REDIRECTS {
                let why = "the origin redirects in circles";
                return Err(Trouble::Final(Refusal::Origin(why)));
            }
            followed += 1;
            url = self.follow(&url, response.headers(), ending.as_deref())?;
            drop(response);
            turn.again().await.map_err(Trouble::Final)?;
        }
    }

    /// One request, as far as the answer's head.
    async fn request(&self, url: &Url) -> Result<Response, Trouble> {
        let request = self.client.get(url.clone());
        let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        match tokio::time::timeout(self.timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if is_nonsense(&error) => {
                let why = "the origin's answer is no HTTP";
                Err(Trouble::Final(Refusal::Origin(why)))
            }
            _ => Err(Trouble::Passing(None)),
        }
    }

    /// Where a redirect leads: nowhere but to the origin itself, and to a name of the ending that was asked for. A form to log
    /// in is no file, and nothing else tells it from a page that is one.
    fn follow(
        &self,
        from: &Url,
        headers: &HeaderMap,
        ending: Option<&str>,
    ) -> Result<Url, Trouble> {
        let no = |why| Err(Trouble::Final(Refusal::Origin(why)));
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(Ok(to)) = location.map(|location| from.join(location)) else {
            return no("the origin redirects to no URL");
        };
        let is_same = to.scheme() == self.base.scheme()
            && to.host() == self.base.host()
            && to.port_or_known_default() == self.base.port_or_known_default();
        if !is_same || !to.username().is_empty() || to.password().is_some() {
            return no("the origin redirects to another server, which is not asked");
        }
        let Some(name) = self.served(&to) else {
            return no("the origin redirects to a name that is not served");
        };
        if name.ending().as_deref() != ending {
            return no("the origin redirects to a name of another ending");
        }
        Ok(to)
    }

    /// The name that a URL of the origin's has, if it may be served.
    fn served(&self, url: &Url) -> Option<Name> {
        let base = self.base.path().trim_end_matches('/');
        let below = url.path().strip_prefix(base);
        let path = below.filter(|below| below.starts_with('/'));
        let name = Name::parse(path.unwrap_or(url.path()).as_bytes()).ok()?;
        self.rules.serve(&name).then_some(name)
    }

    /// Whether an answer may be kept, by all that its head says.
    fn judge(&self, response: Response, promise: Promise) -> Result<Answer, Trouble> {
        let no = |why| Err(Trouble::Final(Refusal::Origin(why)));
        let absent = |why| Err(Trouble::Final(Refusal::Absent(why)));
        let status = response.status();
        let headers = response.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        match status {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                return Err(Trouble::Passing(text(RETRY_AFTER).and_then(seconds)));
            }
            status if status.is_server_error() => {
                return Err(Trouble::Passing(text(RETRY_AFTER).and_then(seconds)));
            }
            status if status.is_client_error() => return absent("the origin has no such file"),
            _ => return no("the origin answers with neither a file nor an error"),
        }
        if headers.contains_key(CONTENT_ENCODING)
            && !text(CONTENT_ENCODING)
                .is_some_and(|said| said.trim().eq_ignore_ascii_case("identity"))
        {
            return no("the origin sends the file compressed, which it was not asked for");
        }
        if headers.contains_key(CONTENT_RANGE) {
            return no("the origin sends a part of the file");
        }
        if !promise.is_kept_by(text(CONTENT_TYPE)) {
            return absent("the origin sends something else than the file's name says");
        }
        let length = response.content_length();
        if length.is_some_and(|length| length > self.max_size) {
            return no("the file is larger than `max_size`");
        }
        // Closed in mid-file, an answer without a length looks whole unless it comes in chunks; and what is coded besides is
        // not the file.
        if headers.contains_key(TRANSFER_ENCODING) {
            if !is_chunked(headers) {
                return no("the origin sends the file in another transfer coding than chunks");
            }
        } else if length.is_none() {
            return no("the origin does not say how long the file is");
        }
        let changed = text(LAST_MODIFIED).and_then(parse_date);
        // A time to come would make the file look new for ever.
        let changed =
            changed.filter(|changed| (0..=chrono::Utc::now().timestamp()).contains(changed));
        Ok(Answer {
            response,
            length,
            changed,
        })
    }
}

/// Whether the codings of all `Transfer-Encoding` lines together are `chunked`, once, and nothing else (RFC 9112, 6.1).
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    let first = values.next().map(HeaderValue::as_bytes);
    values.next().is_none()
        && first.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Whether an origin has answered, and what it has answered is no HTTP.
fn is_nonsense(error: &reqwest::Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source())
        .filter_map(|error| error.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_parse)
}

/// `Retry-After` in seconds; dates are not looked at.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}
