//! A policy service whose streams end as the test says, which no server library does on request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// It is answered with this gRPC status; 0 allows.
    Status(u16),
    /// Its stream is reset.
    Reset(Reason),
}

/// A policy service that does with its calls what the list says, and then allows. Of health it knows nothing.
pub struct Refusing {
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Refusing {
    pub async fn start(acts: &'static [Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = calls.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, acts, seen.clone()));
            }
        });
        Self { address, calls }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The headers of the calls so far.
    pub fn calls(&self) -> Vec<HeaderMap> {
        self.calls.lock().expect("no panic while held").clone()
    }
}

async fn serve(stream: TcpStream, acts: &'static [Act], seen: Arc<Mutex<Vec<HeaderMap>>>) {
    let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let act = if request.uri().path().starts_with("/grpc.health") {
            Act::Status(12)
        } else {
            let mut seen = seen.lock().expect("no panic while held");
            seen.push(request.headers().clone());
            acts.get(seen.len() - 1).copied().unwrap_or(Act::Status(0))
        };
        match act {
            Act::Reset(reason) => respond.send_reset(reason),
            Act::Status(status) => {
                let head = http::Response::builder().header("content-type", "application/grpc").body(());
                let mut body = respond.send_response(head.expect("a head"), false).expect("a stream");
                if status == 0 {
                    body.send_data(Bytes::from_static(b"\0\0\0\0\0"), false).expect("a stream");
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.into());
                body.send_trailers(trailers).expect("a stream");
            }
        }
    }
}
