//! A webhook client that chooses where it comes from, and what it speaks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use hookgate::config::Address;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use super::Reply;

/// A connection of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How to connect.
#[derive(Clone)]
pub struct Way {
    pub to: Address,
    /// The address that it comes from, where there is one: any of 127.0.0.0/8.
    pub from: IpAddr,
    pub tls: Option<Arc<ClientConfig>>,
}

/// An open connection.
pub struct Connection(http1::SendRequest<Full<Bytes>>);

impl Way {
    pub fn to(address: &Address) -> Self {
        Self { to: address.clone(), from: Ipv4Addr::LOCALHOST.into(), tls: None }
    }

    pub fn from(self, from: [u8; 4]) -> Self {
        Self { from: from.into(), ..self }
    }

    pub fn tls(self, tls: &Arc<ClientConfig>) -> Self {
        Self { tls: Some(tls.clone()), ..self }
    }

    /// Connects.
    pub async fn connect(&self) -> io::Result<Connection> {
        let stream: Box<dyn Stream> = match &self.to {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(to) => {
                let stream = tcp(self.from, *to).await?;
                match &self.tls {
                    None => Box::new(stream),
                    Some(tls) => Box::new(shake_hands(stream, tls).await?),
                }
            }
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Connection(sender))
    }

    /// Sends one request, on a connection of its own.
    pub async fn send(&self, request: http::Request<Full<Bytes>>) -> io::Result<Reply> {
        self.connect().await?.send(request).await
    }
}

impl Connection {
    pub async fn send(&mut self, mut request: http::Request<Full<Bytes>>) -> io::Result<Reply> {
        request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("hookgate.test"));
        self.0.ready().await.map_err(io::Error::other)?;
        let response = self.0.send_request(request).await.map_err(io::Error::other)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }
}

pub async fn tcp(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub async fn shake_hands(stream: TcpStream, tls: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let name = "hookgate.test".try_into().expect("a name");
    TlsConnector::from(tls.clone()).connect(name, stream).await
}
