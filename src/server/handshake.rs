//! From a connection that was accepted to one that HTTP is spoken on: TLS, where that is configured.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::caller::{Caller, Shown};
use crate::config::ServerTls;
use crate::observe::rejected::Reason;
use crate::server::listener::Stream;

/// What HTTP is spoken on. TLS is boxed: it is large, and most connections have none.
pub(super) type Line = Either<Stream, Box<TlsStream<TcpStream>>>;

/// What a TLS handshake begins with, and HTTP does not.
const HANDSHAKE: u8 = 0x16;

/// Shakes hands where TLS is spoken, for no longer than a webhook may take; learns who calls. Plain HTTP sent there is
/// taken too, to be told so: who only saw the connection closed would look for the fault elsewhere.
pub(super) async fn meet(
    stream: Stream,
    peer: Option<IpAddr>,
    tls: Option<&ServerTls>,
    limit: Duration,
) -> Result<(Line, Caller), (Reason, String)> {
    let caller = Caller::at(peer);
    match (stream, tls) {
        (Either::Left(stream), Some(tls)) => match timeout(limit, Box::pin(encrypted(stream, tls, caller))).await {
            Ok(met) => met.map_err(|error| (Reason::Handshake, error.to_string())),
            Err(_) => Err((Reason::HandshakeTimeout, format!("no TLS within {limit:?}"))),
        },
        (stream, _) => Ok((Either::Left(stream), caller)),
    }
}

async fn encrypted(stream: TcpStream, tls: &ServerTls, caller: Caller) -> io::Result<(Line, Caller)> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ if first[0] != HANDSHAKE => {
            return Ok((Either::Left(Either::Left(stream)), Caller { in_the_clear: true, ..caller }));
        }
        _ => {}
    }
    let stream = tls.acceptor().accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates();
    let certificate = shown.zip(tls.client_ca.as_ref()).map(|(chain, ca)| Arc::new(Shown::judged(chain, ca)));
    Ok((Either::Right(Box::new(stream)), Caller { certificate, encrypted: true, ..caller }))
}
