//! The HTTP client of the commands: for the URL that OpenIM posts webhooks to, and for the admin listener.

mod server_url;

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

pub(crate) use server_url::ServerUrl;

use crate::config::{self, Roots};

/// Maximum bytes of a reply.
const REPLY_LIMIT: usize = 64 << 20;

/// Time limit of a request, longer than OpenIM's and than a hookgate takes.
const LIMIT: Duration = Duration::from_secs(60);

/// Sends requests to one server over kept-alive connections: TCP, TLS or a Unix socket.
#[derive(Clone)]
pub(crate) struct Client {
    client: legacy::Client<BoxCloneSyncService<Uri, AnyStream, io::Error>, Full<Bytes>>,
    to: ServerUrl,
}

/// A connection of any kind.
type AnyStream = TokioIo<Box<dyn Stream>>;

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
    pub(crate) fn new(to: ServerUrl, authorities: Option<Roots>) -> Self {
        let is_tls = to.url.scheme_str() == Some("https");
        let tls = is_tls.then(|| config::connector(authorities.map(|roots| roots.store.0), None, b"http/1.1"));
        let socket = to.socket.clone();
        let connect = service_fn(move |url| connect(url, socket.clone(), tls.clone()));
        let connector = BoxCloneSyncService::new(connect);
        Self { client: legacy::Client::builder(TokioExecutor::new()).build(connector), to }
    }

    /// Sends a JSON request with one more header perhaps, and waits for the complete reply, at most 60 s. The path begins with
    /// a slash; it is appended to the path of the server's URL.
    ///
    /// # Errors
    ///
    /// If there is no complete reply: no connection, a broken one, too large a reply, or none in time.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        header: Option<(HeaderName, &str)>,
        body: Bytes,
    ) -> io::Result<Response<Bytes>> {
        let request = Request::builder().method(method).uri(self.to.join(path));
        let mut request = request.header(CONTENT_TYPE, "application/json");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        if let Some(value) = &self.to.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::new(body)).map_err(broken)?;
        let reply = async {
            let response = self.client.request(request).await.map_err(|error| match error.is_connect() {
                true => io::Error::other(format!("nobody answers at {}: {}", self.to, root_cause(&error))),
                false if is_not_http1(&error) => broken("what answers is no HTTP/1.1: a gRPC server, or one with TLS?"),
                false => broken(root_cause(&error)),
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, REPLY_LIMIT).collect().await.map_err(broken)?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        timeout(LIMIT, reply).await.unwrap_or_else(|_| Err(io::Error::other(format!("no reply within {LIMIT:?}"))))
    }
}

fn broken(why: impl Display) -> io::Error {
    io::Error::other(format!("no whole reply: {why}"))
}

async fn connect(url: Uri, socket: Option<Arc<Path>>, tls: Option<TlsConnector>) -> io::Result<AnyStream> {
    if let Some(path) = socket {
        return Ok(TokioIo::new(Box::new(UnixStream::connect(path).await?)));
    }
    let (host, port) = config::host_and_port(&url);
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(TokioIo::new(Box::new(stream))) };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = tls.connect(name, stream).await;
    let stream = stream.map_err(|error| io::Error::new(error.kind(), config::handshake_failure(&error)))?;
    Ok(TokioIo::new(Box::new(stream)))
}

/// Returns true if what came is no reply of HTTP/1, or came before the request, as from a gRPC server: some send HTTP/2's first
/// bytes at once.
fn is_not_http1(error: &(dyn Error + 'static)) -> bool {
    let by_hyper = error.downcast_ref::<hyper::Error>();
    by_hyper.is_some_and(|error| error.is_parse() || error.to_string().contains("unexpected message"))
        || error.source().is_some_and(is_not_http1)
}

/// Returns the text of the innermost error, which is the system's.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}
