//! On what it was measured, and what.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::build;
use crate::candidates::Candidate;

#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    pub versions: Vec<String>,
}

impl Machine {
    /// What cannot be known is said to be unknown: it is no reason not to measure.
    pub fn look(candidates: &[Candidate]) -> Self {
        let unknown = || "unknown".to_owned();
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        let rustc = build::output(Path::new("rustc"), &["--version"]);
        // rustc adds a hash and a date in parentheses.
        let rustc = rustc.map(|said| said.split(" (").next().unwrap_or_default().to_owned());
        let mut versions: Vec<String> = rustc.into_iter().collect();
        for candidate in candidates {
            let Some(version) = &candidate.version else { continue };
            let known = candidate.name == "hookgate" || !candidate.is_hookgate();
            versions.push(if known { version.clone() } else { format!("{}: {version}", candidate.name) });
        }
        Self {
            cpu: model.map_or_else(unknown, |(_, model)| model.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: kernel.map_or_else(|_| unknown(), |release| release.trim().to_owned()),
            versions,
        }
    }
}
