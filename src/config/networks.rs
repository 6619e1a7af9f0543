//! Ranges of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::value::{Kind, quoted};

/// A list of ranges and addresses.
pub const NETWORKS: Kind<Vec<IpNet>> = Kind {
    read: |text| text.split(',').map(str::trim).map(network).collect(),
    show: |networks| {
        let networks: Vec<_> = networks.iter().map(|network| quoted(&network.to_string())).collect();
        (!networks.is_empty()).then(|| format!("[{}]", networks.join(", ")))
    },
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
