//! After events on disk, where there is one.

use std::fmt;

use prometheus_client::registry::Unit;

use super::writer::{Family, Writer, in_unit, plain};
use crate::admin::Sources;
use crate::observe::durations::Histogram;
use crate::outbox::COMMIT_BUCKETS;

const EVENTS: Family = plain("outbox_events", "After events on disk that are to be delivered");
const DEAD: Family = plain("outbox_dead", "After events on disk that ended undelivered");
const BYTES: Family = in_unit(
    "outbox",
    Unit::Bytes,
    "What the files of the outbox take on the disk, the log of what was last written (-wal) among them",
);
const COMMIT: Family =
    in_unit("outbox_commit_duration", Unit::Seconds, "How long commits to the disk took, their fsync included");

pub(super) fn write(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let backlog = admin.events.backlog();
    let Some(disk) = backlog.disk else { return Ok(()) };
    out.gauge(&EVENTS, backlog.events as f64)?;
    out.gauge(&DEAD, disk.dead as f64)?;
    out.gauge(&BYTES, disk.file_bytes as f64)?;
    let bounds = COMMIT_BUCKETS.iter().map(|bound| bound.as_secs_f64()).chain([f64::INFINITY]);
    let commits = Histogram {
        count: disk.commits.iter().sum(),
        sum: disk.commit_time.as_secs_f64(),
        buckets: bounds.zip(disk.commits).collect(),
    };
    out.histograms(&COMMIT, [([], commits)])
}
