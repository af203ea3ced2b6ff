//! A small HTTP/1.1 client: a connection per request, no proxy, redirects only where they stay on
//! their server. Bodies are bounded.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use a2arun_core::a2a::Method;
use a2arun_core::card::{Host, Scheme, WebUrl};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::a2a::tls::{RootsError, client_config};

/// As everywhere in a2arun.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// FastAPI sends one for a slash too many; more are a circle.
const REDIRECTS_MAX: usize = 3;

/// Why there was no HTTP answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("cannot resolve {host}")]
    Resolve { host: String, source: std::io::Error },
    #[error("cannot connect to {authority}")]
    Connect { authority: String, source: std::io::Error },
    #[error("{authority} did not take a connection within {} s", CONNECT_LIMIT.as_secs())]
    ConnectTimeout { authority: String },
    #[error("cannot speak TLS with {authority}")]
    Tls { authority: String, source: std::io::Error },
    #[error("cannot use https")]
    Roots(#[source] RootsError),
    #[error("the connection to {authority} broke")]
    Broken { authority: String, source: hyper::Error },
    #[error("{authority} sent more than {max} bytes")]
    TooLarge { authority: String, max: usize },
    #[error("{from} redirects to `{to}`, which is not followed")]
    Redirect { from: String, to: String },
}

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Client {
    headers: Vec<(HeaderName, HeaderValue)>,
    cert_file: Option<PathBuf>,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a WebUrl,
    pub(crate) accept: &'static str,
    /// `A2A-Version`.
    pub(crate) version: Option<&'static str>,
    pub(crate) body: Option<Bytes>,
}

/// An answer whose head has come.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    authority: String,
    body: Incoming,
    /// The connection; it ends with the answer.
    _connection: JoinSet<()>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Client {
    /// `headers` go with every request; `cert_file` is `SSL_CERT_FILE`.
    pub(crate) fn new(headers: Vec<(HeaderName, HeaderValue)>, cert_file: Option<PathBuf>) -> Self {
        Self { headers, cert_file, tls: OnceLock::new() }
    }

    /// Whether requests carry something that another server should not see.
    pub(crate) fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection; the agent may have got the request.
    pub(crate) async fn send(&self, ask: Ask<'_>) -> Result<Response, HttpError> {
        let mut url = ask.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let (response, location) = self.send_once(&url, &ask).await?;
            let code = response.status.as_u16();
            let followed = matches!((code, ask.method), (307 | 308, _) | (301 | 302, Method::Get));
            let Some(location) = location.filter(|_| followed) else { return Ok(response) };
            // Anywhere else it would show headers and question to somebody who was not meant.
            let next = url.join(&location).ok();
            let next = next.filter(|n| n.host == url.host && n.port == url.port);
            url =
                next.ok_or_else(|| HttpError::Redirect { from: url.to_string(), to: location })?;
        }
        Err(HttpError::Redirect { from: ask.url.to_string(), to: url.to_string() })
    }

    async fn send_once(
        &self,
        url: &WebUrl,
        ask: &Ask<'_>,
    ) -> Result<(Response, Option<String>), HttpError> {
        let authority = url.authority();
        let broken = |source| HttpError::Broken { authority: authority.clone(), source };
        let stream = self.connect(url).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // What goes wrong on it is told to the request as well.
            let _ = connection.await;
        });
        let response = sender.send_request(self.request(url, ask)).await.map_err(broken)?;
        let text = |name| {
            let value = response.headers().get(name).and_then(|v| v.to_str().ok());
            value.map(str::to_owned)
        };
        let location = text(header::LOCATION);
        let content_type = text(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        let status = response.status();
        let body = response.into_body();
        let answer = Response { status, content_type, authority, body, _connection: task };
        Ok((answer, location))
    }

    fn request(&self, url: &WebUrl, ask: &Ask<'_>) -> Request<Full<Bytes>> {
        let path = if url.path.is_empty() { "/" } else { &url.path };
        let method = match ask.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
        };
        let body = ask.body.clone();
        let has_body = body.is_some();
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = method;
        // A path that was read from a card may have what a request line cannot.
        *request.uri_mut() = path.parse().unwrap_or_default();
        let default = url.authority().parse().ok();
        let headers = request.headers_mut();
        let host = match (url.scheme, url.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => url.host.to_string().parse().ok(),
            _ => default,
        };
        if let Some(host) = host {
            headers.insert(header::HOST, host);
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static(ask.accept));
        let agent = HeaderValue::from_static(concat!("a2arun/", env!("CARGO_PKG_VERSION")));
        headers.insert(header::USER_AGENT, agent);
        if has_body {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        if let Some(version) = ask.version {
            let name = HeaderName::from_static("a2a-version");
            headers.insert(name, HeaderValue::from_static(version));
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        request
    }

    async fn connect(&self, url: &WebUrl) -> Result<Box<dyn Stream>, HttpError> {
        let authority = url.authority();
        let connecting = async {
            let port = url.port;
            let stream = match &url.host {
                Host::Ip(ip) => TcpStream::connect((*ip, port)).await,
                Host::Name(name) => {
                    let found = tokio::net::lookup_host((name.as_str(), port)).await;
                    let found = found
                        .map_err(|source| HttpError::Resolve { host: name.clone(), source })?;
                    TcpStream::connect(found.collect::<Vec<_>>().as_slice()).await
                }
            };
            let stream = stream
                .map_err(|source| HttpError::Connect { authority: authority.clone(), source })?;
            // A question is one small write that should not wait for another.
            let _ = stream.set_nodelay(true);
            match url.scheme {
                Scheme::Http => Ok(Box::new(stream) as Box<dyn Stream>),
                Scheme::Https => self.encrypt(url, stream).await,
            }
        };
        // Cancel safe: what was opened is closed.
        let late = |_| HttpError::ConnectTimeout { authority: url.authority() };
        timeout(CONNECT_LIMIT, connecting).await.map_err(late)?
    }

    async fn encrypt(&self, url: &WebUrl, stream: TcpStream) -> Result<Box<dyn Stream>, HttpError> {
        let authority = url.authority();
        let tls = match self.tls.get() {
            Some(tls) => tls,
            None => {
                let made = client_config(self.cert_file.as_deref()).map_err(HttpError::Roots)?;
                self.tls.get_or_init(|| made)
            }
        };
        let name = match &url.host {
            Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|error| {
                let source = std::io::Error::other(error);
                HttpError::Tls { authority: authority.clone(), source }
            })?,
        };
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await;
        let stream = stream.map_err(|source| HttpError::Tls { authority, source })?;
        Ok(Box::new(stream))
    }
}

impl Response {
    /// The next bytes; `None`: that was all.
    ///
    /// # Cancel safety
    /// May be dropped; nothing that came is lost.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|source| HttpError::Broken {
                authority: self.authority.clone(),
                source,
            })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Everything, at most `max` bytes.
    pub(crate) async fn bytes(mut self, max: usize) -> Result<Vec<u8>, HttpError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > max {
                return Err(HttpError::TooLarge { authority: self.authority, max });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}
