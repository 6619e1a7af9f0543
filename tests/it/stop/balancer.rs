//! One address before several copies of hookgate: each connection goes to the next copy that says it is ready.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, yield_now};

use crate::support::program::Running;

/// Where a copy listens.
#[derive(Clone, Copy)]
struct Copy {
    webhooks: SocketAddr,
    admin: SocketAddr,
}

/// Passes connections on.
pub struct Balancer {
    pub address: SocketAddr,
    copies: Arc<Mutex<Vec<Copy>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let copies = Arc::new(Mutex::new(Vec::new()));
        let known = copies.clone();
        let task = tokio::spawn(async move {
            let mut turn: usize = 0;
            while let Ok((client, _)) = listener.accept().await {
                turn += 1;
                tokio::spawn(pass_on(client, known.clone(), turn));
            }
        });
        Self { address, copies, task }
    }

    /// Sets which copy stands in a place.
    pub fn set(&self, place: usize, copy: &Running) {
        let mut copies = self.copies.lock().expect("no panic while held");
        let copy = Copy { webhooks: copy.webhooks, admin: copy.admin };
        if place < copies.len() { copies[place] = copy } else { copies.push(copy) }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut client: TcpStream, copies: Arc<Mutex<Vec<Copy>>>, turn: usize) {
    for place in turn.. {
        let copies = copies.lock().expect("no panic while held").clone();
        let copy = copies[place % copies.len()];
        if is_ready(copy.admin).await.unwrap_or(false)
            && let Ok(mut server) = TcpStream::connect(copy.webhooks).await
        {
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
        yield_now().await;
    }
}

async fn is_ready(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    Ok(reply.starts_with("HTTP/1.1 200 "))
}
