//! As many calls as a candidate can take: every connection asks again as soon as it is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::SETTLE;
use crate::body::Webhook;
use crate::http::{Answer, Connection};
use crate::proc::Cpu;

/// What was seen between the warm-up and the end.
pub struct Closed {
    pub calls: u64,
    /// Of these, the ones that were answered before the policy had heard of them.
    pub accepted: u64,
    pub errors: u64,
    pub lasted: Duration,
    /// Of the candidate's process.
    pub cpu: Duration,
}

/// After anything but an allow: what is accepted must be done before more is asked for, or the work would be counted
/// that is put off; and where something is wrong, asking without a pause would measure this program.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Counts {
    allowed: AtomicU64,
    accepted: AtomicU64,
    errors: AtomicU64,
    stop: AtomicBool,
}

impl Counts {
    fn answered(&self) -> (u64, u64) {
        (self.allowed.load(Relaxed), self.accepted.load(Relaxed))
    }
}

/// Loads the process that listens there.
pub async fn run(
    process: u32,
    address: SocketAddr,
    webhook: &Webhook,
    connections: u16,
    warm_up: Duration,
    window: Duration,
) -> Result<Closed> {
    let counts = Arc::new(Counts::default());
    let mut tasks = JoinSet::new();
    for user in 0..connections {
        tasks.spawn(ask_on(address, webhook.request(address, user.into()), counts.clone()));
    }
    sleep(warm_up).await;
    let (start, before, earlier) = (Instant::now(), Cpu::of(process)?, counts.answered());
    sleep(window).await;
    let (lasted, after, later) = (start.elapsed(), Cpu::of(process)?, counts.answered());
    counts.stop.store(true, Relaxed);
    let ended = timeout(SETTLE, async { while tasks.join_next().await.is_some() {} }).await;
    let unanswered = if ended.is_err() { tasks.len() as u64 } else { 0 };
    Ok(Closed {
        calls: later.0 + later.1 - earlier.0 - earlier.1,
        accepted: later.1 - earlier.1,
        errors: counts.errors.load(Relaxed) + unanswered,
        lasted,
        cpu: after.since(&before),
    })
}

async fn ask_on(address: SocketAddr, request: Vec<u8>, counts: Arc<Counts>) {
    let mut connection = None;
    while !counts.stop.load(Relaxed) {
        let answer = match &mut connection {
            Some(open) => Connection::ask(open, &request).await,
            none => match Connection::open(address).await {
                Ok(open) => {
                    *none = Some(open);
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        let count = match answer {
            Ok(Answer::Allow) => {
                counts.allowed.fetch_add(1, Relaxed);
                continue;
            }
            Ok(Answer::Accepted) => &counts.accepted,
            Ok(Answer::Other) => &counts.errors,
            Err(_) => {
                connection = None;
                &counts.errors
            }
        };
        count.fetch_add(1, Relaxed);
        sleep(PAUSE).await;
    }
}
