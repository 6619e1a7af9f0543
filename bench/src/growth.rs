//! How the costs grow: with connections at work, with connections at rest, and with addresses of the policy.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::body::Webhook;
use crate::candidates::{Candidate, READY, Running};
use crate::child::Process;
use crate::hosts;
use crate::load::{closed, idle};
use crate::machine::Machine;
use crate::measure::Setting;
use crate::proc::memory;
use crate::table::{figure, markdown};

const BUSY: [u16; 4] = [1, 10, 100, 1000];
const IDLE: [usize; 3] = [1, 100, 10_000];
const ADDRESSES: u8 = 4;

/// Measures, and prints three tables.
pub async fn run(setting: &Setting, candidates: &[Candidate], machine: &Machine) -> Result<()> {
    let mut policy = Process::start_self("policy", setting.cores.rest, &[]).await?;
    let policy_address = policy.line_with(READY).await?.1;
    // A Before callback: events beyond the 32 that are delivered at a time would be put off.
    let webhook = Webhook::message()?;

    let mut rows = Vec::new();
    for candidate in candidates {
        let mut row = vec![candidate.name.clone()];
        for connections in BUSY {
            let running = candidate.start(setting.cores.candidate, &policy_address, &webhook).await?;
            row.push(cpu(setting, &running, &webhook, connections).await?);
        }
        rows.push(row);
    }
    table("CPU µs a call with so many connections at work", &BUSY.map(|count| count.to_string()), rows);

    let mut rows = Vec::new();
    for candidate in candidates {
        rows.push(at_rest(setting, candidate, &policy_address, &webhook).await?);
    }
    table("MiB with so many idle connections", &IDLE.map(|count| count.to_string()), rows);

    match by_addresses(setting, candidates, &webhook).await {
        Ok(rows) => {
            let columns: Vec<String> = (1..=ADDRESSES).map(|count| count.to_string()).collect();
            table("CPU µs a call with so many addresses of the policy", &columns, rows);
        }
        Err(error) => println!("Not measured, addresses of the policy: {error:#}\n"),
    }
    println!("{}, {} cores, Linux {}; {}", machine.cpu, machine.cores, machine.kernel, machine.versions.join(", "));
    Ok(())
}

fn table(title: &str, columns: &[String], rows: Vec<Vec<String>>) {
    let head: Vec<&str> = [""].into_iter().chain(columns.iter().map(String::as_str)).collect();
    println!("### {title}\n\n{}", markdown(&head, rows));
}

async fn cpu(setting: &Setting, running: &Running, webhook: &Webhook, connections: u16) -> Result<String> {
    let (process, window) = (running.process.id(), setting.window);
    let closed = closed::run(process, running.address, webhook, connections, setting.warm_up, window).await?;
    let cpu = figure(Some(closed.cpu.as_secs_f64() * 1e6 / closed.calls as f64), 1);
    Ok(if closed.errors == 0 { cpu } else { format!("{cpu} ({} errors)", closed.errors) })
}

async fn at_rest(setting: &Setting, candidate: &Candidate, policy: &str, webhook: &Webhook) -> Result<Vec<String>> {
    let running = candidate.start(setting.cores.candidate, policy, webhook).await?;
    let (mut row, mut connections) = (vec![candidate.name.clone()], Vec::new());
    for count in IDLE {
        let held = idle::hold(&mut connections, count, running.address, webhook).await;
        row.push(match held {
            Ok(()) => figure(Some(memory(running.process.id())?.0), 1),
            Err(error) => format!("{error:#}"),
        });
    }
    Ok(row)
}

/// For hookgate alone: the others here take one address each.
async fn by_addresses(setting: &Setting, candidates: &[Candidate], webhook: &Webhook) -> Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.is_hookgate()) {
        let mut row = vec![candidate.name.clone()];
        for count in 1..=ADDRESSES {
            let mut policy =
                Process::start_self("policy", setting.cores.rest, &["--addresses", &count.to_string()]).await?;
            let address: SocketAddr = policy.line_with(READY).await?.1.parse().context("the policy has no address")?;
            let named = hosts::policy_behind_a_name(count, address.port())?;
            let running = candidate.start_in(Some(&named), setting.cores.candidate, &named.policy, webhook).await?;
            row.push(cpu(setting, &running, webhook, 32).await?);
        }
        rows.push(row);
    }
    Ok(rows)
}
