//! When the certificates in use expire.

use std::fmt;
use std::time::UNIX_EPOCH;

use prometheus_client::registry::Unit;

use super::writer::{Family, Writer, in_unit};
use crate::admin::Sources;

const EXPIRY: Family =
    in_unit("certificate_expiry_timestamp", Unit::Seconds, "When a certificate expires, in seconds since 1970");

pub(super) fn write(admin: &Sources, out: &mut Writer<'_>) -> fmt::Result {
    let config = admin.config.now();
    let expiries = config.certificates().map(|(certificate, expires)| {
        let since_1970 = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        ([("certificate", certificate)], since_1970.as_secs_f64())
    });
    out.gauges(&EXPIRY, expiries)
}
