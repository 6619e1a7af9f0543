//! NATS servers on this machine, one or a cluster of three.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::Client;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::outbox::gate::LONG;

/// Servers that know each other.
pub struct Servers {
    nodes: Vec<Node>,
}

/// One of them.
pub struct Node {
    port: u16,
    config: PathBuf,
    child: Option<Child>,
}

/// Ports that nobody has now.
fn ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

impl Node {
    fn start(&mut self) {
        let binary = std::env::var_os("NATS_SERVER").expect("NATS_SERVER names nats-server");
        let log = std::fs::File::create(self.config.with_extension("log")).unwrap();
        let mut command = Command::new(binary);
        command.arg("-c").arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    fn signal(&self, signal: &str) {
        let Some(child) = &self.child else { return };
        let status = Command::new("sh").args(["-c", &format!("kill {signal} {}", child.id())]).status().unwrap();
        assert!(status.success());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Servers {
    /// Starts so many, with this in the configuration of each. `name` is for their files: no two tests share one.
    pub async fn start(name: &str, count: usize, configuration: &str) -> Self {
        let servers = Self::begin(name, count, configuration);
        servers.ready().await;
        servers
    }

    /// The same, and does not wait.
    pub fn begin(name: &str, count: usize, configuration: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nats-{name}"));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let (clients, routes) = (ports(count), ports(count));
        let all: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let node = |place: usize| {
            let (port, route, all) = (clients[place], routes[place], all.join(", "));
            let store = directory.join(format!("node{place}"));
            let cluster = format!("cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{all}] }}");
            let text = format!(
                "server_name: node{place}\nlisten: \"127.0.0.1:{port}\"\n\
                 jetstream {{ store_dir: \"{}\", max_file_store: 8GB }}\n{}\n{configuration}\n",
                store.display(),
                if count > 1 { &cluster } else { "" },
            );
            let config = directory.join(format!("node{place}.conf"));
            std::fs::write(&config, text).unwrap();
            Node { port, config, child: None }
        };
        let mut nodes: Vec<_> = (0..count).map(node).collect();
        nodes.iter_mut().for_each(Node::start);
        Self { nodes }
    }

    /// Waits until JetStream answers.
    pub async fn ready(&self) {
        let answers = async {
            loop {
                if let Ok(client) = async_nats::connect(self.addresses()).await
                    && ask(&client, "INFO").await.is_some_and(|info| info.get("error").is_none())
                {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, answers).await.expect("JetStream answers");
    }

    /// Waits until each takes connections: of servers that ask for more than `ready` has.
    pub async fn listening(&self) {
        let listening = async {
            for node in &self.nodes {
                while tokio::net::TcpStream::connect(("127.0.0.1", node.port)).await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
            }
        };
        timeout(LONG, listening).await.expect("the servers listen");
    }

    /// The port of a server.
    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].port
    }

    fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.port)).collect()
    }

    /// The value of `after.store`.
    pub fn urls(&self) -> String {
        self.addresses().join(",")
    }

    /// The same, with another one first.
    pub fn urls_from(&self, first: usize) -> String {
        let mut all = self.addresses();
        all.rotate_left(first);
        all.join(",")
    }

    /// A client of its own.
    pub async fn client(&self) -> Client {
        async_nats::connect(self.addresses()).await.unwrap()
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    pub fn start_again(&mut self, node: usize) {
        self.nodes[node].start();
    }

    pub fn signal(&self, node: usize, signal: &str) {
        self.nodes[node].signal(signal);
    }

    /// The place of the leader of a stream.
    pub async fn leader(&self, stream: &str) -> usize {
        let client = self.client().await;
        let found = async {
            loop {
                let info = ask(&client, &format!("STREAM.INFO.{stream}")).await.unwrap_or_default();
                if let Some(leader) = info["cluster"]["leader"].as_str() {
                    return leader.trim_start_matches("node").parse().unwrap();
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, found).await.expect("a leader")
    }

    /// Changes the number of messages that a stream takes. Returns the one before.
    pub async fn set_room(&self, stream: &str, messages: i64) -> i64 {
        let client = self.client().await;
        let changed = async {
            loop {
                let info = ask(&client, &format!("STREAM.INFO.{stream}")).await.unwrap_or_default();
                let (mut config, before) = (info["config"].clone(), info["config"]["max_msgs"].as_i64());
                config["max_msgs"] = messages.into();
                let changed = tell(&client, &format!("STREAM.UPDATE.{stream}"), &config.to_string()).await;
                if let (Some(before), Some(true)) = (before, changed.map(|answer| answer.get("error").is_none())) {
                    return before;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, changed).await.expect("the stream is changed")
    }

    /// The number of messages of a stream.
    pub async fn messages(&self, stream: &str) -> u64 {
        let client = self.client().await;
        let found = async {
            loop {
                let info = ask(&client, &format!("STREAM.INFO.{stream}")).await.unwrap_or_default();
                if let Some(messages) = info["state"]["messages"].as_u64() {
                    return messages;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, found).await.expect("a stream")
    }
}

/// Asks JetStream's API.
pub async fn ask(client: &Client, subject: &str) -> Option<Value> {
    tell(client, subject, "").await
}

/// The same, with a body.
pub async fn tell(client: &Client, subject: &str, body: &str) -> Option<Value> {
    let request = client.request(format!("$JS.API.{subject}"), body.to_owned().into());
    let answer = timeout(Duration::from_secs(2), request).await.ok()?.ok()?;
    serde_json::from_slice(&answer.payload).ok()
}
