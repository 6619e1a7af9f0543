//! Ranges of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::value::{Kind, parts, quoted, show_list};

/// A list of ranges and addresses.
pub const NETWORKS: Kind<Vec<IpNet>> = Kind {
    list: true,
    read: |text| parts(text).map(network).collect(),
    show: |networks| show_list(networks.iter().map(|network| quoted(&network.to_string()))),
};

fn network(text: &str) -> Result<IpNet, String> {
    let network = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network.trunc(),
        (_, Ok(address)) => IpNet::from(address),
        _ => return Err(format!("{text:?}: expected an address or a range of them, as in 10.0.0.0/8 or fd00::/8")),
    };
    match network {
        // A caller's address is looked at without the wrapping.
        IpNet::V6(wrapped) if wrapped.addr().to_ipv4_mapped().is_some() => {
            Err(format!("{text:?}: expected an IPv4 range in its own form, as in 10.0.0.0/8"))
        }
        network => Ok(network),
    }
}
