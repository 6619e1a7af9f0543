//! Upkeep by the thread that writes: it forces onto the disk, tidies, gives room back, and counts.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tracing::warn;

use super::standing::oldest;
use super::writer::{IDLE, Outcome, Writer};
use super::{COMMIT_BUCKETS, dead};

/// Interval at which dead letters that are too old are looked for.
const TIDY: Duration = Duration::from_secs(60);

/// Seconds between two lines about evicted events.
const EVICTED_LOG: u64 = 60;

/// Maximum number of free pages given back to the file system at a time.
const PAGES: u32 = 512;

/// Maximum time of giving back while there is something to write.
const MOMENT: Duration = Duration::from_millis(5);

/// Number of free pages that stay while there is something to write: what comes next needs them again.
const SPARE: u32 = 1_024;

impl Writer {
    /// Does the upkeep, as nothing has come for a while.
    pub(super) fn idle(&mut self) {
        if self.sync_by.is_some_and(|by| by <= Instant::now()) {
            let forced = self.connection.execute_batch(
                "pragma synchronous = full;
                 insert into marks values ('synced', 1) on conflict do update set value = value + 1;",
            );
            match forced {
                Ok(()) => self.sync_by = None,
                Err(error) => {
                    warn!(%error, "outbox fsync failed");
                    self.sync_by = Some(Instant::now() + IDLE);
                }
            }
            return;
        }
        self.tidy();
        self.give_back(0);
    }

    /// Tidies and gives room back for a hookgate that is never idle, as far as it holds nobody up.
    pub(super) fn keep_up(&mut self) {
        self.tidy();
        if self.given_back.elapsed() >= IDLE {
            self.give_back(SPARE);
        }
    }

    /// Drops what has been dead for too long, where it is time to look for it.
    pub(super) fn tidy(&mut self) {
        if self.tidied.elapsed() < TIDY {
            return;
        }
        match self.trim() {
            // There is more, and it is looked for again at once.
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => warn!(%error, "outbox cleanup failed"),
        }
        self.tidied = Instant::now();
    }

    /// Gives some of the free pages back to the file system, but for so many.
    pub(super) fn give_back(&mut self, spare: u32) {
        self.given_back = Instant::now();
        if let Err(error) = self.vacuum(spare) {
            warn!(%error, "outbox vacuum failed");
        }
    }

    /// The file is shorter once the log is in it: at once where there is nothing else to do, else sooner or later.
    fn vacuum(&self, spare: u32) -> rusqlite::Result<()> {
        let free: u32 = self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free <= spare {
            return Ok(());
        }
        self.connection.pragma_update(None, "synchronous", "normal")?;
        let began = Instant::now();
        let mut vacuum = self.connection.prepare(&format!("pragma incremental_vacuum({})", PAGES.min(free - spare)))?;
        let mut pages = vacuum.query([])?;
        // Every step gives one page back.
        while pages.next()?.is_some() && (spare == 0 || began.elapsed() < MOMENT) {}
        drop(pages);
        if spare == 0 {
            self.connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))?;
        }
        Ok(())
    }

    /// Drops dead letters that are too old, or beyond their bounds, in a transaction of its own. Returns true if there may be
    /// more: a file of before, or one whose bounds were lowered, has many.
    fn trim(&self) -> rusqlite::Result<bool> {
        let transaction = self.begin()?;
        let mut outcome = Outcome::default();
        outcome.forget(dead::drop_older(&self.connection, self.clock.now().saturating_sub(self.dead_age))?);
        self.bound_dead(&mut outcome)?;
        transaction.commit()?;
        self.shared.gauges.count_dead(outcome.dead);
        self.tell_evicted(outcome.unimplemented_evicted);
        Ok(-outcome.dead.events >= dead::AT_ONCE)
    }

    /// Drops the oldest dead letters beyond their bounds: a tenth is for those that the policy does not implement. At most as
    /// many as this commit adds, and [`AT_ONCE`](dead::AT_ONCE) more; fewer where the commit has dropped some.
    pub(super) fn bound_dead(&self, outcome: &mut Outcome) -> rusqlite::Result<()> {
        let now = self.shared.gauges.dead();
        let most = dead::AT_ONCE + outcome.dead.events;
        let over = now.unimplemented + outcome.dead.unimplemented - (self.dead_bytes / 10) as isize;
        let evicted = dead::evict_unimplemented(&self.connection, over, most)?;
        outcome.unimplemented_evicted = evicted.events;
        outcome.forget(evicted);
        let over = now.bytes + outcome.dead.bytes - self.dead_bytes as isize;
        outcome.forget(dead::make_room(&self.connection, over, most - outcome.unimplemented_evicted)?);
        Ok(())
    }

    /// Counts and logs events that were evicted because the policy does not implement them.
    pub(super) fn tell_evicted(&self, events: isize) {
        if events > 0 {
            let before = self.shared.gauges.unimplemented_evicted.fetch_add(events as u64, Relaxed);
            let total = before + events as u64;
            self.evicted_log.log(EVICTED_LOG, |_| warn!(events, total, "unimplemented dead letters evicted"));
        }
    }

    /// Looks at the size of the files and the oldest events, now and then.
    pub(super) fn measure(&mut self) {
        if self.measured.is_some_and(|at| at.elapsed() < IDLE) {
            return;
        }
        self.measured = Some(Instant::now());
        if let Ok(found) = oldest(&self.connection) {
            *self.shared.oldest.lock().unwrap_or_else(PoisonError::into_inner) = found.into_iter().collect();
        }
        let files = ["", "-wal"].map(|end| std::fs::metadata(format!("{}{end}", self.shared.path.display())));
        let bytes = files.iter().flatten().map(std::fs::Metadata::len).sum();
        self.shared.gauges.file_bytes.store(bytes, Relaxed);
    }

    pub(super) fn took(&self, time: Duration) {
        let bucket = COMMIT_BUCKETS.partition_point(|bound| *bound < time);
        self.shared.gauges.commits[bucket].fetch_add(1, Relaxed);
        self.shared.gauges.commit_micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}
