//! The program as people start it, and what can be asked of it from outside.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use http_body_util::Full;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::{Reply, file, send};

/// Every listener on a free port, the built-in policy's too.
pub const EVERYTHING_FREE: [&str; 6] =
    ["--listen", "127.0.0.1:0", "--builtin-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// Log levels at which every crate that hookgate is made of says all it can.
pub const ALL_LOGS: &str = "trace,axum=trace,h2=trace,hyper=trace,hyper_util=trace,mio=trace,opentelemetry=trace,\
                            opentelemetry_otlp=trace,opentelemetry_sdk=trace,rustls=trace,tokio_util=trace,tonic=trace,tower=trace";

/// hookgate with these arguments, not started yet.
pub fn hookgate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    // What the machine has set must not decide a test.
    let of_terminals = ["COLUMNS", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"];
    let is_set =
        |name: &str| name.starts_with("HOOKGATE_") || name.starts_with("OTEL_") || of_terminals.contains(&name);
    for (name, _) in std::env::vars().filter(|(name, _)| is_set(name)) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// hookgate before the policy at `url`, its listeners on free ports, with this YAML for the rest. `name` is for the file:
/// no two tests share one.
pub fn configured(url: &str, name: &str, yaml: &str) -> Command {
    let file = file(&format!("{name}.yaml"), yaml);
    let places = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    hookgate(&[&places[..], &["--policy", url, "--config", &file]].concat())
}

/// The URLs of webhooks, policy and admin listener in the line that says hookgate is ready, text or JSON.
fn ready(line: &str) -> Option<[String; 3]> {
    if let Some(rest) = line.strip_prefix("hookgate ready: ") {
        let words: Vec<_> = rest.split(' ').collect();
        return Some([1, 3, 5].map(|place| words[place].to_owned()));
    }
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let url = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    (line["message"] == "hookgate ready").then(|| ["webhooks", "policy", "admin"].map(url))
}

/// A hookgate that has said it is ready.
pub struct Running {
    pub child: Child,
    /// The lines that it says, read all along: a full pipe would stop it.
    lines: UnboundedReceiver<String>,
    /// The lines that a test has read.
    said: Vec<String>,
    pub webhooks: SocketAddr,
    pub policy: String,
    pub admin: SocketAddr,
}

impl Running {
    pub async fn start(args: &[&str]) -> Self {
        Self::of(hookgate(args)).await
    }

    pub async fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                let _ = sender.send(line);
            }
        });
        let mut said: Vec<String> = Vec::new();
        loop {
            let line = lines.recv().await.unwrap_or_else(|| panic!("it says that it is ready:\n{}", said.join("\n")));
            said.push(line.clone());
            if let Some([webhooks, policy, admin]) = ready(&line) {
                let address = |url: String| {
                    let address = url.trim_start_matches("http://").trim_start_matches("https://");
                    // Of a Unix socket the test knows the path.
                    address.parse().unwrap_or(SocketAddr::from(([0; 4], 0)))
                };
                let (webhooks, admin) = (address(webhooks), address(admin));
                return Self { child, lines, said, webhooks, policy, admin };
            }
        }
    }

    /// Starts one whose standard error nobody reads after it has said that it is ready: that, and where webhooks go.
    pub async fn unread(mut command: Command) -> (Child, BufReader<ChildStderr>, String) {
        let mut child = command.spawn().expect("the program");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).await.expect("UTF-8") > 0, "it ends");
            if let Some(rest) = line.strip_prefix("hookgate ready: webhooks ") {
                let webhooks = rest.split(' ').next().unwrap_or_default().to_owned();
                return (child, stderr, webhooks);
            }
        }
    }

    /// Posts a body as a webhook, on a connection of its own.
    pub async fn post(&self, command: &str, body: &str) -> Reply {
        let uri = format!("http://{}/{command}", self.webhooks);
        let body = Full::from(body.to_owned());
        send(http::Request::post(uri).header("operationID", "op-7").body(body).expect("a request")).await
    }

    /// Asks the admin listener.
    pub async fn ask(&self, path: &str) -> Reply {
        let uri = format!("http://{}{path}", self.admin);
        send(http::Request::get(uri).body(Full::default()).expect("a request")).await
    }

    /// Its `/status`.
    pub async fn status(&self) -> serde_json::Value {
        self.ask("/status").await.json()
    }

    /// The lines that a test has read, as one text.
    pub fn said(&self) -> String {
        self.said.join("\n")
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The kilobytes of memory that it has now, and had at most.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
        };
        (kilobytes("VmRSS:"), kilobytes("VmHWM:"))
    }

    pub async fn signal(&self, signal: &str) {
        // The shell's own: not every machine has a kill of its own.
        let status = Command::new("sh").args(["-c", &format!("kill {signal} {}", self.id())]).status().await;
        assert!(status.expect("a shell is there").success());
    }

    /// Waits until it says something with these words; gives the line.
    pub async fn says(&mut self, words: &str) -> String {
        let found = async {
            loop {
                let line = self.lines.recv().await.unwrap_or_else(|| panic!("it ends without {words:?}"));
                self.said.push(line.clone());
                if line.contains(words) {
                    return line;
                }
            }
        };
        // Far longer than it takes: a failure, not a hang.
        let found = timeout(Duration::from_secs(60), found).await;
        found.unwrap_or_else(|_| panic!("it never says {words:?}"))
    }

    /// Ends it without a word, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }

    /// Waits for its end; gives its exit code and everything that it said.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let Self { child, lines, said, .. } = &mut self;
        let ended = async {
            while let Some(line) = lines.recv().await {
                said.push(line);
            }
            child.wait().await.expect("its end")
        };
        // Far longer than any test lets it take: a failure, not a hang.
        let status = timeout(Duration::from_secs(60), ended).await;
        let said = self.said.join("\n");
        (status.unwrap_or_else(|_| panic!("it does not end:\n{said}")).code(), said)
    }
}
