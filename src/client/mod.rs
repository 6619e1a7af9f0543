//! The HTTP client of the commands: for the URL that OpenIM posts webhooks to, and for the admin listener.

mod server_url;

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

pub use server_url::ServerUrl;

use crate::config::{self, Roots};

/// Maximum bytes of a reply.
const REPLY_LIMIT: usize = 64 << 20;

/// Reason why a request has no reply.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No connection.
    #[error("nobody answers at {to}: {why}")]
    Connect {
        /// The URL.
        to: Box<ServerUrl>,
        /// The system's reason.
        why: String,
    },
    /// The connection ended before the reply did, or the reply is larger than 64 MiB.
    #[error("no whole reply: {0}")]
    Broken(String),
    /// No reply within this time.
    #[error("no reply within {0:?}")]
    Timeout(Duration),
}

/// Sends requests to one server over kept-alive connections: TCP, TLS or a Unix socket.
#[derive(Clone)]
pub struct Client {
    client: legacy::Client<BoxCloneSyncService<Uri, TokioIo<Box<dyn Stream>>, io::Error>, Full<Bytes>>,
    to: ServerUrl,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Client {
    /// Makes a client that connects at the first request. Over TLS, the server's certificate must come from one of these
    /// authorities, or without them from one of the system's.
    pub fn new(to: ServerUrl, authorities: Option<Roots>) -> Self {
        let is_tls = to.url.scheme_str() == Some("https");
        let tls = is_tls.then(|| config::connector(authorities.map(|roots| roots.store), None, b"http/1.1"));
        let socket = to.socket.clone();
        let connector = BoxCloneSyncService::new(service_fn(move |url: Uri| {
            let (socket, tls) = (socket.clone(), tls.clone());
            async move {
                let stream: Box<dyn Stream> = if let Some(path) = socket {
                    Box::new(UnixStream::connect(path).await?)
                } else {
                    let (host, port) = config::host_and_port(&url);
                    let stream = TcpStream::connect((host, port)).await?;
                    stream.set_nodelay(true)?;
                    match tls {
                        Some(tls) => {
                            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                            Box::new(tls.connect(name, stream).await?)
                        }
                        None => Box::new(stream),
                    }
                };
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        }));
        Self { client: legacy::Client::builder(TokioExecutor::new()).build(connector), to }
    }

    /// Returns the server's URL.
    pub fn to(&self) -> &ServerUrl {
        &self.to
    }

    /// Sends a request, and waits for the whole reply until the time limit. The path begins with a slash; it is appended to
    /// the path of the server's URL.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Response<Bytes>, RequestError> {
        let request = Request::builder().method(method).uri(self.to.join(path)).body(Full::new(body));
        let mut request = request.map_err(|error| RequestError::Broken(error.to_string()))?;
        *request.headers_mut() = headers;
        if let Some(authorization) = &self.to.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let reply = async {
            let response = self.client.request(request).await.map_err(|error| match error.is_connect() {
                true => RequestError::Connect { to: Box::new(self.to.clone()), why: root_cause(&error) },
                false => RequestError::Broken(root_cause(&error)),
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, REPLY_LIMIT).collect().await;
            let body = body.map_err(|error| RequestError::Broken(error.to_string()))?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        timeout(limit, reply).await.unwrap_or(Err(RequestError::Timeout(limit)))
    }
}

/// Returns the text of the innermost error, which is the system's.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}
