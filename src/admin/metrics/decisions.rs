//! The decision log: what it lacks.

use std::fmt;

use super::writer::{Family, Writer, plain};
use crate::admin::Sources;

const DROPPED: Family = plain("decisions_dropped", "Lines of the decision log that were left out");

pub(super) fn write(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    out.counter(&DROPPED, admin.decisions.counts().left_out())
}
