//! Signals: those that stop hookgate, and those that it ignores.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::app::Stop;
use crate::observe::logging::Log;
use crate::observe::notify::{NotifyState, notify};

/// The signals that stop hookgate.
struct Stops {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
}

impl Stops {
    /// Waits for the next: SIGTERM and SIGQUIT, which service managers and container runtimes send, drain; Ctrl-C stops at
    /// once.
    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Drain,
            _ = self.quit.recv() => Stop::Drain,
            _ = self.interrupt.recv() => Stop::Now,
        }
    }
}

/// Waits for a signal to stop. A second one ends the process.
pub(super) fn stop(log: Log) -> io::Result<impl Future<Output = Stop>> {
    let mut stops = Stops {
        terminate: signal(SignalKind::terminate())?,
        quit: signal(SignalKind::quit())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    Ok(async move {
        let stop = stops.next().await;
        info!("stopping: finishing what is in flight; a second signal ends it at once");
        notify(&[NotifyState::Stopping]);
        tokio::spawn(async move {
            stops.next().await;
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
