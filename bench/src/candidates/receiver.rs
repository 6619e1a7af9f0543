//! What the two receivers have in common: the server, and the reply that OpenIM reads.

use anyhow::Result;
use axum::Router;
use axum::serve::ListenerExt;
use serde::Serialize;
use tokio::net::TcpListener;

use super::READY;

/// An allow, unless it is filled in.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    action_code: i32,
    err_code: i64,
    err_msg: String,
    err_dlt: String,
    next_code: i32,
}

impl Reply {
    pub fn denial(code: i64, message: String) -> Self {
        Self { action_code: 0, err_code: code, err_dlt: message.clone(), err_msg: message, next_code: 1 }
    }
}

/// Serves on a port of the system's choice, and says on which.
pub async fn serve(app: Router) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("{READY}{}", listener.local_addr()?);
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    Ok(axum::serve(listener, app).await?)
}
