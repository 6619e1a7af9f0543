//! Connections that are held and say nothing.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::body::Webhook;
use crate::http::{Answer, Connection};

/// Opens connections until there are so many, with one call on each.
pub async fn hold(
    connections: &mut Vec<Connection>,
    count: usize,
    address: SocketAddr,
    webhook: &Webhook,
) -> Result<()> {
    let request = webhook.request(address, 0);
    while connections.len() < count {
        let mut connection = Connection::open(address).await?;
        let answer = connection.ask(&request).await?;
        ensure!(answer != Answer::Other, "connection {} got no allow", connections.len() + 1);
        connections.push(connection);
    }
    Ok(())
}
