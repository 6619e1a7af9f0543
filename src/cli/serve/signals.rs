//! The signals that stop hookgate.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::observe::logging::Log;
use crate::server::Stop;

/// Waits for a signal: SIGTERM, which service managers send, drains; Ctrl-C stops at once. A second one ends the process.
pub(super) fn stop(log: Log) -> io::Result<impl Future<Output = Stop>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let stop = tokio::select! {
            _ = terminate.recv() => Stop::Drain,
            _ = interrupt.recv() => Stop::Now,
        };
        info!("stopping: finishing what is in flight; a second signal ends it at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            log.flush();
            std::process::exit(1);
        });
        stop
    })
}
