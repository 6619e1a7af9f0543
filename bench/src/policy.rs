//! A policy that allows everything at little cost, so that the candidate is the limit: any rpc gets an empty message.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tokio::net::{TcpListener, TcpStream};

use crate::candidates::READY;

/// A message of no bytes, after its flag and length.
const EMPTY: Bytes = Bytes::from_static(&[0, 0, 0, 0, 0]);
/// `grpc.health.v1`: SERVING.
const SERVING: Bytes = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);

/// Serves on as many addresses, 127.0.0.1 and on, with one port.
pub async fn run(addresses: u8) -> Result<()> {
    let mut port = 0;
    for last in 1..=addresses {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port));
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        port = listener.local_addr()?.port();
        tokio::spawn(accept(listener));
    }
    eprintln!("{READY}127.0.0.1:{port}");
    std::future::pending().await
}

async fn accept(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Err(error) = serve(socket).await {
                eprintln!("a connection ended: {error:#}");
            }
        });
    }
}

async fn serve(socket: TcpStream) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut builder = Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 30).max_concurrent_streams(100_000);
    let mut connection = builder.handshake(socket).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tokio::spawn(async move {
            // A caller that has gone away misses nothing.
            drop(answer(request, respond).await);
        });
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let message = if request.uri().path().starts_with("/grpc.health.v1.") { SERVING } else { EMPTY };
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    let mut head = Response::new(());
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(message, false)?;
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}
