//! Who may call.

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::networks::NETWORKS;
use crate::config::value::FILE;

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row(
            "access.passwords",
            FILE,
            |d| &mut d.files.passwords,
            "A file of user:password, one a line, of which callers must send one by basic authentication: OpenIM does for a url as in http://user:password@host. Lines whose first character is #, indented or not, do not count",
        ),
        row(
            "access.paths",
            FILE,
            |d| &mut d.files.paths,
            "A file of secret paths, one a line, with one of which the path of OpenIM's url must begin",
        ),
        row(
            "access.sources",
            NETWORKS,
            |d| &mut d.config.access.sources,
            "The addresses and ranges that may call. A Unix socket has none: who may open the file may call",
        ),
        row(
            "access.trusted_proxies",
            NETWORKS,
            |d| &mut d.config.access.trusted_proxies,
            "The proxies before hookgate whose X-Forwarded-For is believed; access.sources holds for whom they name",
        ),
    ]
}
