//! Signals: those that stop hookgate, and those that it ignores.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::app::Stop;
use crate::observe::logging::Log;
use crate::observe::notify::{NotifyState, notify};

/// Waits for the next signal to stop: SIGTERM and SIGQUIT, which service managers and container runtimes send, drain; Ctrl-C
/// stops at once.
async fn next([terminate, quit, interrupt]: &mut [Signal; 3]) -> Stop {
    tokio::select! {
        _ = terminate.recv() => Stop::Drain,
        _ = quit.recv() => Stop::Drain,
        _ = interrupt.recv() => Stop::Now,
    }
}

/// Waits for a signal to stop. A second one ends the process.
pub(super) fn stop(log: Log) -> io::Result<impl Future<Output = Stop>> {
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::quit())?, signal(SignalKind::interrupt())?];
    Ok(async move {
        let stop = next(&mut signals).await;
        info!("stopping: finishing what is in flight; a second signal ends it at once");
        notify(&[NotifyState::Stopping]);
        tokio::spawn(async move {
            next(&mut signals).await;
            log.flush();
            std::process::exit(1);
        });
        stop
    })
}

/// Ignores the signals that would end a process and mean something to other servers, and logs each.
pub(super) fn ignore() -> io::Result<()> {
    for (name, kind) in [("SIGUSR1", SignalKind::user_defined1()), ("SIGUSR2", SignalKind::user_defined2())] {
        let mut signals = signal(kind)?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                info!(signal = name, "signal ignored");
            }
        });
    }
    Ok(())
}
