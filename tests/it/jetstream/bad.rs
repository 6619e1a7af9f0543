//! Bad input: each is a sentence, and no start; nothing is altered.

use std::time::Duration;

use super::servers::{Servers, tell};
use crate::support::file;
use crate::support::program::{configured, hookgate};

/// Starts hookgate so, which is to end by itself; returns its exit code and what it said.
pub async fn started(name: &str, yaml: &str) -> (Option<i32>, String) {
    let mut command = configured("http://127.0.0.1:9", &format!("jetstream-{name}"), yaml);
    let output = tokio::time::timeout(Duration::from_secs(30), command.output()).await.expect("it ends").unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The configuration of hookgate before these servers, with more of `after.nats`.
pub fn yaml(servers: &Servers, more: &str) -> String {
    format!(
        "after:\n  store: \"{}\"\n  bytes: 64MiB\n  dead_bytes: 64MiB\n  nats:\n    replicas: 1\n{more}",
        servers.urls()
    )
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_login_that_is_wrong_is_said() {
    let servers = Servers::begin("login", 1, "authorization { user: gate, password: right }");
    servers.listening().await;
    let password = file("nats-password", "wrong\n");
    let (code, said) = started("login", &yaml(&servers, &format!("    user: gate\n    password: {password}\n"))).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the servers do not take the login of after.nats.password"), "{said}");
    assert!(!said.contains("wrong\n"), "{said}");
    let (code, said) = started("no-login", &yaml(&servers, "")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ask for a login"), "{said}");
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn streams_of_somebody_else_are_left_as_they_are() {
    let servers = Servers::start("found", 1, "").await;
    let client = servers.client().await;
    let create = r#"{"name":"hookgate","subjects":["hookgate.events.>"],"retention":"limits","storage":"file",
        "num_replicas":1,"discard":"old","max_bytes":-1,"max_msgs":-1,"max_age":0}"#;
    tell(&client, "STREAM.CREATE.hookgate", create).await.unwrap();
    let before = super::servers::ask(&client, "STREAM.INFO.hookgate").await.unwrap()["config"].clone();
    let (code, said) = started("found", &yaml(&servers, "")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("was not made by hookgate") && said.contains("after.nats.name"), "{said}");
    let after = super::servers::ask(&client, "STREAM.INFO.hookgate").await.unwrap()["config"].clone();
    assert_eq!(before, after);
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn another_number_of_partitions_or_replicas_is_said() {
    let servers = Servers::start("partitions", 1, "").await;
    let gate = configured("http://127.0.0.1:9", "jetstream-partitions-1", &yaml(&servers, "    partitions: 4\n"));
    let running = crate::support::program::Running::of(gate).await;
    running.kill().await;
    let (code, said) = started("partitions-2", &yaml(&servers, "    partitions: 8\n")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("after.nats.partitions") && said.contains("has 4 partitions"), "{said}");
    let (code, said) =
        started("replicas", &yaml(&servers, "    name: other\n").replace("replicas: 1", "replicas: 3")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("3 copies of each event take a cluster"), "{said}");
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn jetstream_that_is_off_is_said() {
    let servers = Servers::begin("off", 1, "accounts { A: { users: [{user: a, password: b}] } }\nno_auth_user: a");
    servers.listening().await;
    let (code, said) = started("off", &yaml(&servers, "")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("JetStream is not enabled"), "{said}");
}

#[tokio::test]
async fn the_configuration_is_checked_as_a_whole() {
    let secret = file("nats-not-a-seed", "hunter2");
    let yaml = format!(
        "policy: builtin\nafter:\n  store: nats://user:pass@a:4222\n  when_full: drop_dead\n  nats:\n    replicas: 2\n    nkey: {secret}\n"
    );
    let file = file("nats-bad.yaml", yaml);
    let output = hookgate(&["config", "check", "--config", &file]).output().await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in ["a login does not stand in the URL", "holds no seed"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("hunter2") && !said.contains("pass@"), "{said}");
}

#[tokio::test]
async fn where_answer_within_has_no_effect_is_said() {
    let file = file("nats-answer.yaml", "policy: builtin\nafter:\n  store: [\"nats://a:4222\", \"nats://b:4222\"]\n");
    let output = hookgate(&["config", "check", "--config", &file]).output().await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("answer_within has no effect on the"), "{said}");
}
