//! Access rules for callers.

use std::path::PathBuf;

use ipnet::IpNet;

use super::settings;
use crate::config::access::{Passwords, Paths};
use crate::config::networks::network;
use crate::config::validate::{Check, Mistakes};
use crate::config::value::path;
use crate::config::{Address, Builder};

settings! {
    /// The files of access secrets.
    pub struct AccessFiles("access"), |builder| builder.config.files.access;

    /// File of passwords, one `user:password` a line. A caller must send one of them by basic authentication, as OpenIM
    /// does for a url such as http://user:password@host. Lines that begin with # are comments.
    passwords: Option<PathBuf> = None, path().optional();

    /// File of secret paths, one a line. The path of OpenIM's url must begin with one of them.
    paths: Option<PathBuf> = None, path().optional();
}

settings! {
    /// Access rules for callers. Every rule that is set must match; a rule matches by any of its entries. Without a rule
    /// anybody may call.
    pub struct Access("access"), |builder| builder.config.access;

    /// Addresses and networks that may call. A Unix socket has no addresses: its file permissions say who may call.
    sources: Vec<IpNet> = Vec::new(), network().list();

    /// Proxies in front of hookgate whose X-Forwarded-For is believed; access.sources then applies to the address named
    /// there.
    trusted_proxies: Vec<IpNet> = Vec::new(), network().list(), needs("access.sources");

    fields:
    /// Users and passwords; a caller must send one of them.
    passwords: Option<Passwords> = None;
    /// Secret paths; every URL must begin with one of them.
    paths: Option<Paths> = None;
}

pub(super) const CHECKS: &[Check] = &[sources_need_addresses];

fn sources_need_addresses(builder: &Builder, mistakes: &mut Mistakes<'_>) {
    if let Address::Unix(_) = builder.config.listen {
        let what = "has no effect on a Unix socket, which listen is: its callers have no addresses";
        mistakes.add("access.sources", what);
    }
}
