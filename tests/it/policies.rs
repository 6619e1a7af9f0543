//! Several policies about one webhook, as OpenIM and an operator see it.

mod events;
mod guard;
mod joined;
mod operation;
mod shadow;

use tokio::process::Command;

use crate::support::program::{Running, hookgate};
use crate::support::{Policy, Reply, file};

const MODIFY: &str = "beforeMsgModify";
const FRIEND: &str = "beforeAddFriend";

/// hookgate with this configuration, its listeners on free ports. `name` is for the file: no two tests share one.
fn configured(name: &str, yaml: &str) -> Command {
    let file = file(&format!("policies-{name}.yaml"), yaml);
    hookgate(&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config", &file])
}

async fn start(name: &str, yaml: &str) -> Running {
    Running::of(configured(name, yaml)).await
}

/// A policy that allows everything.
async fn allows() -> Policy {
    Policy::without_health(|_| Box::pin(async { Ok(Vec::new()) })).await
}

/// A header of a reply; empty if it is not there.
fn header<'r>(reply: &'r Reply, name: &str) -> &'r str {
    reply.headers.get(name).map_or("", |value| value.to_str().unwrap())
}
