//! What the kernel knows of processes and cores.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// What runs scripts.
const INTERPRETERS: [&str; 8] = ["bash", "busybox", "dash", "node", "perl", "python", "ruby", "sh"];

/// The program that a process has become, unless it is a script.
pub fn program(process: u32) -> Option<PathBuf> {
    // A program that was replaced while it ran has a path that leads nowhere; whoever cannot be asked has none.
    let program = fs::read_link(format!("/proc/{process}/exe")).ok().filter(|program| program.is_file())?;
    let name = program.file_name()?.to_str()?;
    (!is_interpreter(name)).then_some(program)
}

/// Whatever its version: "python3.11".
fn is_interpreter(name: &str) -> bool {
    INTERPRETERS.contains(&name.trim_end_matches(|end: char| end.is_ascii_digit() || end == '.'))
}

/// The CPU time that a process has used so far.
pub struct Cpu {
    /// Of each thread, in nanoseconds; empty where the kernel does not count so finely.
    threads: HashMap<String, u64>,
    /// Of all threads, ended ones too, but in hundredths of a second.
    coarse: Duration,
}

impl Cpu {
    pub fn of(process: u32) -> Result<Self> {
        let stat = read(&format!("/proc/{process}/stat"))?;
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th after it.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u32>().ok());
        let ticks = ticks(11).zip(ticks(12)).map(|(user, system)| f64::from(user) + f64::from(system));
        let ticks = ticks.context("/proc/PID/stat has no CPU times")?;
        let coarse = Duration::from_secs_f64(ticks / rustix::param::clock_ticks_per_second() as f64);
        let mut threads = HashMap::new();
        for task in fs::read_dir(format!("/proc/{process}/task")).context("cannot list a process's threads")? {
            let task = task?;
            // A thread may end while it is looked at; the coarse count has it.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            if let Some(spent) = text.split_whitespace().next().and_then(|spent| spent.parse().ok()) {
                threads.insert(task.file_name().to_string_lossy().into_owned(), spent);
            }
        }
        Ok(Self { threads, coarse })
    }

    /// What was used since another look.
    pub fn since(&self, before: &Self) -> Duration {
        let new = |(thread, spent): (&String, &u64)| spent - before.threads.get(thread).unwrap_or(&0).min(spent);
        let fine = Duration::from_nanos(self.threads.iter().map(new).sum());
        let coarse = self.coarse.saturating_sub(before.coarse);
        // Far apart: threads have ended meanwhile, or the fine count is switched off.
        if coarse > fine + fine / 10 + Duration::from_millis(30) { coarse } else { fine }
    }
}

/// Memory of a process in MiB: resident now, and at most so far.
pub fn memory(process: u32) -> Result<(f64, f64)> {
    let status = read(&format!("/proc/{process}/status"))?;
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).with_context(|| format!("/proc/PID/status has no {name}"))
    };
    Ok((mib("VmRSS:")?, mib("VmHWM:")?))
}

/// How all cores have spent their time so far, in ticks.
#[derive(Clone, Copy)]
pub struct Cores {
    total: u64,
    stolen: u64,
}

impl Cores {
    pub fn now() -> Result<Self> {
        let stat = read("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|tick| tick.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
        let first = ticks.get(..8).context("/proc/stat is short")?;
        Ok(Self { total: first.iter().sum(), stolen: first[7] })
    }

    /// The share that another machine took on the same hardware.
    pub fn stolen_since(&self, before: &Self) -> f64 {
        let total = self.total.saturating_sub(before.total).max(1);
        self.stolen.saturating_sub(before.stolen) as f64 / total as f64
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_its_program() {
        assert_eq!(program(std::process::id()), std::env::current_exe().unwrap().canonicalize().ok());
        assert!(is_interpreter("python3.11") && is_interpreter("bash") && !is_interpreter("envoy"));
    }
}
