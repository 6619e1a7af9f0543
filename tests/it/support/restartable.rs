//! A policy that can go away, its connections and all, and come back to the same address.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// What the policy does with a call.
#[derive(Clone, Copy)]
pub enum Act {
    Allow,
    AllowAfter(Duration),
    Fail,
    Hang,
}

/// Decides by a call's metadata.
pub type Decide = Arc<dyn Fn(&HeaderMap) -> Act + Send + Sync>;

pub struct Policy {
    pub address: SocketAddr,
    cut: Arc<Notify>,
    task: JoinHandle<()>,
}

/// A free port where no outgoing connection of this machine takes it while the policy is down: those to 127.0.0.2 have
/// 127.0.0.1 as their own address.
pub fn anywhere() -> SocketAddr {
    let host = if cfg!(target_os = "linux") { [127, 0, 0, 2] } else { [127, 0, 0, 1] };
    (host, 0).into()
}

impl Policy {
    pub async fn start(address: SocketAddr, decide: Decide) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("bound");
        let cut = Arc::new(Notify::new());
        let cut_now = cut.clone();
        let task = tokio::spawn(async move {
            // Dropped with the task, and every connection with it.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        connections.spawn(serve(accepted.expect("a connection").0, decide.clone()));
                    }
                    () = cut_now.notified() => connections.abort_all(),
                }
            }
        });
        Self { address, cut, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection, and goes on accepting new ones.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Goes away; gives the address to come back to.
    pub async fn stop(self) -> SocketAddr {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "it served until now");
        self.address
    }
}

async fn serve(stream: TcpStream, decide: Decide) {
    stream.set_nodelay(true).expect("a socket");
    let service = service_fn(move |request| answer(request, decide.clone()));
    let http = http2::Builder::new(TokioExecutor::new());
    // How it ends is the client's affair.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    decide: Decide,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    body.collect().await?;
    if head.uri.path().starts_with("/grpc.health.") {
        return Ok(status("12"));
    }
    match decide(&head.headers) {
        Act::Allow => {}
        Act::AllowAfter(time) => tokio::time::sleep(time).await,
        Act::Fail => return Ok(status("13")),
        Act::Hang => std::future::pending().await,
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = Full::from(&b"\0\0\0\0\0"[..]).with_trailers(async { Some(Ok(trailers)) });
    Ok(grpc(message.boxed()))
}

fn grpc(body: BoxBody<Bytes, Infallible>) -> Response<BoxBody<Bytes, Infallible>> {
    Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
}

fn status(code: &'static str) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = grpc(Empty::new().boxed());
    response.headers_mut().insert("grpc-status", HeaderValue::from_static(code));
    response
}
