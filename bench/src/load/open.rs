//! Calls that come whether or not earlier ones are answered, as they do in life.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::pace::pace;
use super::{Latencies, SETTLE, Tally};
use crate::body::Webhook;
use crate::http::{Answer, Connection};
use crate::proc::Cpu;

/// More calls than these under way wait for a connection; that wait counts.
const CONNECTIONS: usize = 64;

pub struct Open {
    pub calls: u64,
    /// Of these, the ones that were answered before the policy had heard of them.
    pub accepted: u64,
    pub errors: u64,
    pub latencies: Latencies,
    /// Of the candidate's process.
    pub cpu: Duration,
}

/// A connection, and what is sent on it.
struct Caller {
    number: usize,
    connection: Connection,
    request: Vec<u8>,
}

struct Pool {
    idle: Vec<Caller>,
    /// When the calls were due that found no idle connection.
    waiting: VecDeque<Instant>,
    /// When the calls were due that are under way, by the caller's number.
    under_way: [Option<Instant>; CONNECTIONS],
    tally: Tally,
    accepted: u64,
}

type Shared = Arc<Mutex<Pool>>;

/// Loads the process that listens there.
pub async fn run(process: u32, address: SocketAddr, webhook: &Webhook, rate: u32, lasts: Duration) -> Result<Open> {
    let mut idle = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let request = webhook.request(address, number);
        let mut connection = Connection::open(address).await?;
        connection.ask(&request).await?;
        idle.push(Caller { number, connection, request });
    }
    let (waiting, under_way, tally) = (VecDeque::new(), [None; CONNECTIONS], Tally::new()?);
    let pool: Shared = Arc::new(Mutex::new(Pool { idle, waiting, under_way, tally, accepted: 0 }));
    let before = Cpu::of(process)?;
    let calls = pace(rate, lasts, |due| {
        let mut locked = lock(&pool);
        match locked.idle.pop() {
            Some(caller) => {
                locked.under_way[caller.number] = Some(due);
                drop(tokio::spawn(serve(caller, due, address, pool.clone())));
            }
            None => locked.waiting.push_back(due),
        }
    })
    .await?;
    let last = Instant::now();
    while lock(&pool).tally.answered < calls && last.elapsed() < SETTLE {
        sleep(Duration::from_millis(5)).await;
    }
    let cpu = Cpu::of(process)?.since(&before);
    let mut locked = lock(&pool);
    let Pool { waiting, under_way, tally, accepted, .. } = &mut *locked;
    for due in under_way.iter().flatten().copied().chain(waiting.drain(..)) {
        tally.count_unanswered(due);
    }
    Ok(Open { calls, accepted: *accepted, errors: tally.errors, latencies: tally.quantiles(), cpu })
}

/// Makes a call, and then those that wait for a connection.
async fn serve(mut caller: Caller, mut due: Instant, address: SocketAddr, pool: Shared) {
    loop {
        let answer = caller.connection.ask(&caller.request).await;
        {
            let mut pool = lock(&pool);
            pool.under_way[caller.number] = None;
            pool.accepted += u64::from(matches!(answer, Ok(Answer::Accepted)));
            pool.tally.count(due, matches!(answer, Ok(Answer::Allow | Answer::Accepted)));
        }
        if answer.is_err() {
            // One connection less, where there is nothing to connect to any more.
            let Ok(another) = Connection::open(address).await else { return };
            caller.connection = another;
        }
        let mut pool = lock(&pool);
        match pool.waiting.pop_front() {
            Some(next) => {
                pool.under_way[caller.number] = Some(next);
                due = next;
            }
            None => return pool.idle.push(caller),
        }
    }
}

/// There is one thread; none can have panicked with the lock.
fn lock(pool: &Shared) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}
