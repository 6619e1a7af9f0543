//! Calls at a fixed rate, each due at its own instant.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Calls `fire` with the instant that each call was due. tokio's own timer has steps of a millisecond: too coarse.
pub async fn pace(rate: u32, lasts: Duration, mut fire: impl FnMut(Instant)) -> Result<u64> {
    let gap = Duration::from_secs(1) / rate;
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC);
    #[allow(deprecated, reason = "the other way is unsafe; a file that is owned, as here, is what it asks for")]
    let timer = AsyncFd::new(timer.context("cannot make a timer")?)?;
    let every = Timespec { tv_sec: gap.as_secs() as i64, tv_nsec: gap.subsec_nanos().into() };
    let settings = Itimerspec { it_interval: every, it_value: every };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &settings).context("cannot set a timer")?;
    let start = Instant::now();
    let calls = (lasts.as_secs_f64() * f64::from(rate)) as u32;
    let mut fired = 0;
    while fired < calls {
        let mut ready = timer.readable().await?;
        let mut ticks = [0; 8];
        match read(&timer, &mut ticks) {
            Ok(_) => {}
            Err(Errno::AGAIN) => {
                ready.clear_ready();
                continue;
            }
            Err(error) => return Err(error).context("cannot read a timer"),
        }
        // More than one where this process was held up; each was due all the same.
        let ticks = u64::from_ne_bytes(ticks).min((calls - fired).into());
        for _ in 0..ticks {
            fired += 1;
            fire(start + gap * fired);
        }
    }
    Ok(calls.into())
}
