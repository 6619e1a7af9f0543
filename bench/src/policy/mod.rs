//! A policy that allows everything at the least cost, so that the candidate is the limit: no HPACK, no streams, one
//! write for all calls that came in one read.

mod frames;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::candidates::READY;
use frames::Answers;

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

async fn serve(mut socket: TcpStream) -> Result<()> {
    socket.set_nodelay(true)?;
    let (mut input, mut output) = (Vec::with_capacity(256 << 10), Vec::new());
    let mut answers = Answers::default();
    while socket.read_buf(&mut input).await? > 0 {
        let read = answers.answer(&input, &mut output)?;
        input.drain(..read);
        // A read that is full would grow the buffer a little at a time.
        input.reserve(64 << 10);
        socket.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}
