//! Which process runs on which core.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One core for what is measured, and one for all that it talks to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cores {
    pub candidate: Option<usize>,
    pub rest: Option<usize>,
}

impl Cores {
    /// The first two that this process may use; none where there is only one.
    pub fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot ask which cores may be used")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        Ok(match (cores.next(), cores.next()) {
            (Some(candidate), Some(rest)) => Self { candidate: Some(candidate), rest: Some(rest) },
            _ => Self::default(),
        })
    }
}

/// Keeps this thread, and what it starts from now on, on a core.
pub fn stay_on(core: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).with_context(|| format!("cannot stay on core {core}"))
}
