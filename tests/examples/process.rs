//! An example as a process, and hookgate before it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookgate::contract::Callback;
use hookgate::openim::{self, Reading, Release};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::Reply;
use crate::support::program::{Running, configured};

/// How an example is run, from its folder.
pub struct Language {
    pub name: &'static str,
    program: &'static str,
    args: &'static [&'static str],
    /// The exit code after SIGTERM.
    pub stopped: i32,
}

static LANGUAGES: [Language; 5] = [
    Language { name: "go", program: "./policy", args: &[], stopped: 0 },
    Language { name: "python", program: ".venv/bin/example-policy", args: &[], stopped: 0 },
    Language { name: "typescript", program: "node", args: &["dist/main.js"], stopped: 0 },
    Language { name: "java", program: "java", args: &["-jar", "target/policy.jar"], stopped: 143 },
    Language { name: "rust", program: "target/debug/hookgate-example-policy", args: &[], stopped: 0 },
];

impl Language {
    pub fn named(name: &str) -> Option<&'static Self> {
        LANGUAGES.iter().find(|language| language.name == name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(self.name);
        let program = if self.program.contains('/') { folder.join(self.program) } else { self.program.into() };
        let mut command = Command::new(program);
        // A JVM takes the arguments' encoding from LC_ALL.
        let environment = [("LC_ALL", "C.UTF-8"), ("LISTEN", "127.0.0.1:0")];
        command.args(self.args).args(args).current_dir(folder).envs(environment).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end; gives what it said on standard error.
    pub async fn fails(&self, args: &[&str]) -> (ExitStatus, String) {
        let output = timeout(PATIENCE, self.command(args).output()).await.expect("it ends").unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }

    /// A file among the build's own that no other case uses.
    pub fn file(&self, name: &str) -> PathBuf {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("example-{}-{number}-{name}", self.name));
        drop(std::fs::remove_file(&file));
        file
    }
}

/// Far longer than anything takes: a failure, not a hang.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An example that listens.
pub struct Example {
    child: Child,
    pub address: String,
    pub audit: PathBuf,
}

impl Example {
    /// Blocks "casino", and audits to a file.
    pub async fn start(language: &Language) -> Self {
        Self::with(language, &["--word", "Casino"]).await
    }

    pub async fn with(language: &Language, args: &[&str]) -> Self {
        let audit = language.file("audit");
        Self::auditing_to(language, args, audit).await
    }

    pub async fn auditing_to(language: &Language, args: &[&str], audit: PathBuf) -> Self {
        let mut child = language
            .command(&[&["--audit", audit.to_str().unwrap()], args].concat())
            .spawn()
            .expect("examples/check has built it");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("it does not listen: {said:?}"));
                if let Some(address) = line.strip_prefix("listening on ") {
                    break address.to_owned();
                }
                said.push(line);
            }
        });
        let address = address.await.expect("it listens");
        // A full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut out = child.stdout.take().unwrap();
        tokio::spawn(async move { drop(out.read_to_end(&mut Vec::new()).await) });
        let example = Self { child, address, audit };
        example.warm_up().await;
        example
    }

    /// Has it answer once: on a busy machine a JVM's first answer takes longer than hookgate waits for one.
    async fn warm_up(&self) {
        let channel = Endpoint::try_from(self.url()).unwrap().connect().await.unwrap();
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// hookgate before it.
    pub async fn gate(&self, name: &str) -> Running {
        Running::of(configured(&self.url(), name, "log: error\nafter: {answer_within: 4s}")).await
    }

    /// Ends it without a word, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }

    pub fn audited(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.audit).unwrap();
        text.split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Sends SIGTERM; gives how it ends.
    pub async fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().expect("it runs");
        // The shell's own: not every machine has a kill of its own.
        let sent = Command::new("sh").args(["-c", &format!("kill {id}")]).status().await;
        assert!(sent.unwrap().success());
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap()
    }
}

/// Posts a callback's example with these fields in place of its own; gives what each OpenIM that sends it makes of the
/// reply, which is the same for all.
pub async fn post(gate: &Running, key: &str, fields: Value) -> Reading {
    post_and_see(gate, key, fields).await.0
}

/// Does the same; gives the whole reply too.
pub async fn post_and_see(gate: &Running, key: &str, fields: Value) -> (Reading, Reply) {
    let callback = Callback::by_name(key).unwrap();
    let mut body: Value = serde_json::from_str(callback.example).unwrap();
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    let body = body.to_string();
    let reply = gate.post(callback.command, &body).await;
    let mut readings = Release::ALL
        .into_iter()
        .filter(|release| callback.releases.contains(&release.as_str()))
        .map(|release| openim::read(callback, body.as_bytes(), &reply.body, release));
    // Only the newest tells message and detail as they were.
    let newest = readings.next_back().unwrap();
    let denied = matches!(newest, Reading::Denied(_));
    assert!(readings.all(|other| if denied { matches!(other, Reading::Denied(_)) } else { other == newest }));
    (newest, reply)
}

/// A text message.
pub fn text(text: &str) -> Value {
    content(101, json!({"content": text}))
}

pub fn content(content_type: i32, content: Value) -> Value {
    json!({"contentType": content_type, "content": content.to_string()})
}
