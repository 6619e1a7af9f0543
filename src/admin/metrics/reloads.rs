//! Attempts to change the configuration of the program that runs.

use std::fmt;

use super::writer::{Family, Writer, plain};
use crate::admin::Sources;

const RELOADS: Family = plain("reloads", "How often the configuration was read anew, by what became of it");
const LAST: Family =
    plain("reload_last_successful", "Whether the configuration in force is the one that was read last: 1 if it is");

pub(super) fn write(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let reloads = &admin.reloads;
    out.counters(&RELOADS, [([("result", "ok")], reloads.ok()), ([("result", "refused")], reloads.refused())])?;
    out.gauge(&LAST, f64::from(u8::from(reloads.last_successful())))
}
