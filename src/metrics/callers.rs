//! Callers and connections that were turned away.

use std::fmt;

use super::writer::{Family, Writer, plain};
use crate::admin::Admin;
use crate::turned_away::Reason;

const REFUSED: Family =
    plain("callers_refused", "Callers that may not call, and connections that came to nothing, by why");

pub(super) fn write(admin: &Admin, out: &mut Writer<'_>) -> fmt::Result {
    let turned_away = &admin.status.turned_away;
    out.counters(&REFUSED, Reason::ALL.map(|reason| ([("reason", reason.as_str())], turned_away.counted(reason))))
}
