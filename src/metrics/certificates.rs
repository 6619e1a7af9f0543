//! When the certificates in use expire.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::registry::Unit;

use super::writer::{Family, Writer, in_unit};
use crate::admin::Admin;

const EXPIRY: Family =
    in_unit("certificate_expiry_timestamp", Unit::Seconds, "When a certificate expires, in seconds since 1970");

pub(super) fn write(admin: &Admin, out: &mut Writer<'_>) -> fmt::Result {
    let expiries = certificates(admin).map(|(certificate, expires)| {
        let since_1970 = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        ([("certificate", certificate)], since_1970.as_secs_f64())
    });
    out.gauges(&EXPIRY, expiries)
}

/// The certificates in use, and when they expire. There are none yet.
fn certificates(_: &Admin) -> impl Iterator<Item = (&'static str, SystemTime)> {
    std::iter::empty()
}
