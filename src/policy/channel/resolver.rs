//! Name resolution: finds the addresses of the policy service, and decides when the name is looked up again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until, timeout};

use super::pool::Pool;
use crate::config::{self, Address, PolicyUrl};

/// Finds the addresses of the policy service.
pub type Resolve = Arc<dyn Fn() -> BoxFuture<'static, io::Result<Vec<Address>>> + Send + Sync>;

/// Maximum time between two look-ups while a connected endpoint carries the calls and another one fails.
const STANDBY_INTERVAL: Duration = Duration::from_secs(5);

/// Resolves with the system's resolver; the path of a Unix socket is its own address.
pub(super) fn system_resolver(url: &PolicyUrl) -> Resolve {
    let url = url.clone();
    Arc::new(move || {
        let url = url.clone();
        Box::pin(async move {
            match (&url, url.host()) {
                (PolicyUrl::Unix(path), _) => Ok(vec![Address::Unix(path.clone())]),
                (_, Some(name)) => Ok(tokio::net::lookup_host(name).await?.map(Address::Tcp).collect()),
                (_, None) => Ok(Vec::new()),
            }
        })
    })
}

/// Looks the name up, within the limit. An error is a sentence for operators.
pub(super) async fn look_up(resolve: &Resolve, limit: Duration) -> Result<Vec<Address>, String> {
    match timeout(limit, resolve()).await {
        Ok(Ok(addresses)) if addresses.is_empty() => Err("the name has no address".to_owned()),
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(format!("the name cannot be looked up: {error}")),
        Err(_) => Err(format!("the name cannot be looked up within {limit:?}")),
    }
}

/// Waits until the name is to be looked up again: `channel.resolve_interval` after the last time, soon while an endpoint
/// fails or the name has no address, and at once on request.
pub(super) async fn next_look_up(pool: &Pool, settings: &config::Channel) {
    let last = Instant::now();
    let interval = settings.resolve_interval;
    let mut changes = pool.changes.subscribe();
    while !pool.balancer.lock().look_up_is_requested() {
        let soon = if pool.balancer.lock().any_ready() { STANDBY_INTERVAL } else { settings.reconnect_max };
        tokio::select! {
            () = sleep_until(last + soon), if pool.balancer.lock().look_up_could_help() => return,
            () = sleep_until(last + interval), if !interval.is_zero() => return,
            _ = changes.changed() => {}
        }
    }
}
