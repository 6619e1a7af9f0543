//! The TLS handshake of a connection, where TLS is configured.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::caller::{Caller, ClientCertificate};
use crate::config::ServerTls;
use crate::observe::rejected::Reason;
use crate::server::listener::Stream;

/// A connection, with TLS or without. TLS is boxed: it is large, and most connections have none.
pub(super) type Io = Either<Stream, Box<TlsStream<TcpStream>>>;

/// First byte of a TLS handshake, which no HTTP request begins with.
const TLS_HANDSHAKE: u8 = 0x16;

/// Performs the TLS handshake within `limit`, where TLS is configured, and learns the client's certificate. Plain HTTP is
/// accepted there too, to be refused with a reply that names the mistake.
pub(super) async fn accept(
    stream: Stream,
    peer: Option<IpAddr>,
    tls: Option<&ServerTls>,
    limit: Duration,
) -> Result<(Io, Caller), (Reason, String)> {
    let caller = Caller { address: peer, ..Caller::default() };
    match (stream, tls) {
        (Either::Left(stream), Some(tls)) => match timeout(limit, Box::pin(encrypted(stream, tls, caller))).await {
            Ok(accepted) => accepted.map_err(|error| (Reason::Handshake, error.to_string())),
            Err(_) => Err((Reason::HandshakeTimeout, format!("no TLS within {limit:?}"))),
        },
        (stream, _) => Ok((Either::Left(stream), caller)),
    }
}

async fn encrypted(stream: TcpStream, tls: &ServerTls, caller: Caller) -> io::Result<(Io, Caller)> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ if first[0] != TLS_HANDSHAKE => {
            return Ok((Either::Left(Either::Left(stream)), Caller { is_plaintext: true, ..caller }));
        }
        _ => {}
    }
    let stream = tls.acceptor().accept(stream).await?;
    let chain = stream.get_ref().1.peer_certificates().zip(tls.client_ca.as_ref());
    let certificate = chain.map(|(chain, ca)| Arc::new(ClientCertificate::verify(chain, ca)));
    Ok((Either::Right(Box::new(stream)), Caller { certificate, is_encrypted: true, ..caller }))
}
