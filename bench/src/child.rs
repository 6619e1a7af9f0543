//! A process that was started, is listened to, and ends when it is dropped.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::launch::LAUNCHED;

/// How long a process may take until it says what is waited for.
const LATE: Duration = Duration::from_secs(20);

pub struct Process {
    child: Child,
    name: String,
    lines: UnboundedReceiver<(Instant, String)>,
    /// What it said, for when it fails.
    said: Vec<String>,
    pub launched: Instant,
}

impl Process {
    /// Starts a program on a core, and returns when its own time begins.
    pub async fn start(name: &str, core: Option<usize>, command: &[OsString]) -> Result<Self> {
        let mut launch = Command::new(std::env::current_exe().context("cannot find this program")?);
        launch.args(["launch", "--parent", &std::process::id().to_string()]);
        if let Some(core) = core {
            launch.args(["--core", &core.to_string()]);
        }
        launch.arg("--").args(command);
        launch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = launch.spawn().with_context(|| format!("cannot start {name}"))?;
        let stderr = child.stderr.take().context("a child without a stderr")?;
        let (said, lines) = unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Read on, though nobody may listen: a full pipe would hold the process up.
                drop(said.send((Instant::now(), line)));
            }
        });
        let mut process = Self { child, name: name.to_owned(), lines, said: Vec::new(), launched: Instant::now() };
        (process.launched, _) = process.line_with(LAUNCHED).await?;
        Ok(process)
    }

    /// Starts this very program in another role.
    pub async fn start_self(role: &str, core: Option<usize>, arguments: &[&str]) -> Result<Self> {
        Self::start(role, core, &own_command(role, arguments)?).await
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What follows `mark` in the first line that has it, and when it came.
    pub async fn line_with(&mut self, mark: &str) -> Result<(Instant, String)> {
        let until = tokio::time::Instant::now() + LATE;
        loop {
            match tokio::time::timeout_at(until, self.lines.recv()).await {
                Err(_) => bail!("{} did not say {mark:?} within {LATE:?}{}", self.name, self.last_words()),
                Ok(None) => bail!("{} ended at once{}", self.name, self.last_words()),
                Ok(Some((when, line))) => {
                    if let Some((_, rest)) = line.split_once(mark) {
                        return Ok((when, rest.trim().to_owned()));
                    }
                    self.said.push(line);
                }
            }
        }
    }

    /// Why it ended, if it did.
    pub async fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            // The rest of what it said may be on its way.
            while let Ok(Some((_, line))) = timeout(Duration::from_millis(200), self.lines.recv()).await {
                self.said.push(line);
            }
            bail!("{} ended with {status}{}", self.name, self.last_words());
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let last = self.said.len().saturating_sub(5);
        self.said[last..].iter().map(|line| format!("\n  {line}")).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing that it holds is worth a farewell; it may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// This very program, in another role.
pub fn own_command(role: &str, arguments: &[&str]) -> Result<Vec<OsString>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let arguments = arguments.iter().map(OsStr::new);
    Ok([program.as_os_str(), OsStr::new(role)].into_iter().chain(arguments).map(OsStr::to_owned).collect())
}
