//! One candidate, one body, once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::body::Webhook;
use crate::candidates::Candidate;
use crate::load::{closed, open};
use crate::pin::Cores;
use crate::proc::{self, memory};
use crate::samples::Sample;

/// How it is measured.
pub struct Setting {
    pub cores: Cores,
    pub connections: u16,
    pub rate: u32,
    pub warm_up: Duration,
    pub window: Duration,
}

/// Until a process that was started has done what it does at its start.
const CALM: Duration = Duration::from_millis(300);

impl Setting {
    pub async fn measure(&self, candidate: &Candidate, policy: &str, webhook: &Webhook) -> Result<Sample> {
        let name = &candidate.name;
        self.try_measure(candidate, policy, webhook)
            .await
            .with_context(|| format!("{name} cannot be measured with the {} body", webhook.name))
    }

    async fn try_measure(&self, candidate: &Candidate, policy: &str, webhook: &Webhook) -> Result<Sample> {
        let cores = proc::Cores::now()?;
        let mut running = candidate.start(self.cores.candidate, policy, webhook).await?;
        let (process, address) = (running.process.id(), running.address);
        sleep(CALM).await;
        let (idle_mib, _) = memory(process)?;
        let closed =
            closed::run(process, address, webhook, webhook.connections(self.connections), self.warm_up, self.window)
                .await?;
        running.process.check().await?;
        ensure!(closed.calls > 0, "it allowed nothing under load");
        let open = open::run(process, address, webhook, self.rate, self.window).await?;
        running.process.check().await?;
        let (_, peak_mib) = memory(process)?;
        let calls = closed.calls as f64;
        let accepted = (closed.accepted as f64 / calls).max(open.accepted as f64 / open.calls as f64);
        Ok(Sample {
            candidate: candidate.name.clone(),
            cpu_us: closed.cpu.as_secs_f64() * 1e6 / calls,
            calls_per_second: calls / closed.lasted.as_secs_f64(),
            busy: closed.cpu.as_secs_f64() / closed.lasted.as_secs_f64(),
            cpu_us_at_rate: open.cpu.as_secs_f64() * 1e6 / open.calls as f64,
            latencies: open.latencies,
            idle_mib,
            peak_mib,
            start_ms: running.started_in.as_secs_f64() * 1e3,
            accepted: accepted * 1e3,
            errors: closed.errors + open.errors,
            stolen: proc::Cores::now()?.stolen_since(&cores),
        })
    }
}
