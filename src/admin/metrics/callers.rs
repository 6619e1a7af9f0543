//! Callers and connections that were refused.

use std::fmt;

use super::writer::{Family, Writer, plain};
use crate::admin::Sources;
use crate::observe::rejected::Reason;

const REFUSED: Family =
    plain("callers_refused", "Callers that may not call, and connections that came to nothing, by why");

pub(super) fn write(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let refused = &admin.status.callers_refused;
    out.counters(&REFUSED, Reason::ALL.map(|reason| ([("reason", reason.as_str())], refused.counted(reason))))
}
