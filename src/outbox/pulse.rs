//! A timer that is always near while events arrive.
//!
//! Each event that a webhook waits for sets a timer, and nearly all of them are taken back unused. A timer that is due
//! before the runtime means to wake up costs tokio a system call, to have it wake up sooner. With one that is due even
//! sooner, it means to wake up in time anyway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

/// Goes on for as long as it is felt for.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<Beats>);

#[derive(Debug, Default)]
struct Beats {
    running: AtomicBool,
    /// Whether it was felt for since the last beat.
    felt: AtomicBool,
}

impl Pulse {
    /// Keeps it up, for timers of this length.
    pub(super) fn feel(&self, runtime: &Handle, timers: Duration) {
        self.0.felt.store(true, Relaxed);
        if !self.0.running.load(Relaxed) && !self.0.running.swap(true, Relaxed) {
            runtime.spawn(self.clone().beat(timers / 2));
        }
    }

    async fn beat(self, pause: Duration) {
        while self.0.felt.swap(false, Relaxed) {
            sleep(pause).await;
        }
        self.0.running.store(false, Relaxed);
    }
}
