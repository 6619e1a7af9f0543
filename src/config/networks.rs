//! IP networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::value::{Kind, quoted};

/// IP networks and single addresses.
pub(super) fn network() -> Kind<IpNet> {
    Kind::new("network", parse, |network: &IpNet| quoted(&network.to_string()))
}

fn parse(text: &str) -> Result<IpNet, String> {
    let network = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network.trunc(),
        (_, Ok(address)) => IpNet::from(address),
        _ => return Err(format!("{text:?}: expected an address or a range of them, as in 10.0.0.0/8 or fd00::/8")),
    };
    match network {
        // Callers' addresses are compared as IPv4.
        IpNet::V6(mapped) if mapped.addr().to_ipv4_mapped().is_some() => {
            Err(format!("{text:?}: expected an IPv4 range in its own form, as in 10.0.0.0/8"))
        }
        network => Ok(network),
    }
}
