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
    pub errors: u64,
    pub latencies: Latencies,
    /// Of the candidate's process.
    pub cpu: Duration,
}

/// A connection, and what is sent on it.
struct Caller {
    connection: Connection,
    request: Vec<u8>,
}

struct Pool {
    idle: Vec<Caller>,
    /// When the calls were due that found no idle connection.
    waiting: VecDeque<Instant>,
    tally: Tally,
}

type Shared = Arc<Mutex<Pool>>;

/// Loads the process that listens there.
pub async fn run(process: u32, address: SocketAddr, webhook: &Webhook, rate: u32, lasts: Duration) -> Result<Open> {
    let mut idle = Vec::with_capacity(CONNECTIONS);
    for user in 0..CONNECTIONS {
        let request = webhook.request(address, user);
        let mut connection = Connection::open(address).await?;
        connection.ask(&request).await?;
        idle.push(Caller { connection, request });
    }
    let pool: Shared = Arc::new(Mutex::new(Pool { idle, waiting: VecDeque::new(), tally: Tally::new()? }));
    let before = Cpu::of(process)?;
    let calls = pace(rate, lasts, |due| {
        let mut locked = lock(&pool);
        match locked.idle.pop() {
            Some(caller) => drop(tokio::spawn(serve(caller, due, address, pool.clone()))),
            None => locked.waiting.push_back(due),
        }
    })
    .await?;
    let last = Instant::now();
    while lock(&pool).tally.counted() < calls && last.elapsed() < SETTLE {
        sleep(Duration::from_millis(5)).await;
    }
    let cpu = Cpu::of(process)?.since(&before);
    let tally = &lock(&pool).tally;
    let unanswered = calls - tally.counted();
    Ok(Open { calls, errors: tally.errors + unanswered, latencies: tally.quantiles(), cpu })
}

/// Makes a call, and then those that wait for a connection.
async fn serve(mut caller: Caller, mut due: Instant, address: SocketAddr, pool: Shared) {
    loop {
        let answer = caller.connection.ask(&caller.request).await;
        lock(&pool).tally.count(due, matches!(answer, Ok(Answer::Allow | Answer::Accepted)));
        if answer.is_err() {
            // One connection less, where there is nothing to connect to any more.
            let Ok(another) = Connection::open(address).await else { return };
            caller.connection = another;
        }
        let mut pool = lock(&pool);
        match pool.waiting.pop_front() {
            Some(next) => due = next,
            None => return pool.idle.push(caller),
        }
    }
}

/// There is one thread; none can have panicked with the lock.
fn lock(pool: &Shared) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}
