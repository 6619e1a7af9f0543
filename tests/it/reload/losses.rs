//! A new configuration that takes protections away: refused, unless it says that this is meant.

use std::fs;

use super::certificates::Folder;
use crate::support::pki::Ca;
use crate::support::program::{Running, hookgate};

/// Rules of every kind. Callers are not asked for a certificate: the tests ask for the status alone.
const ALL: &str = "access: {passwords: passwords, paths: paths, sources: 127.0.0.1}\n\
                   tls: {certificate: server.pem, key: server.key, client_ca: ca.pem}\n";

fn folder(name: &str) -> Folder {
    let (folder, ca) = (Folder::new(name), Ca::new("ours"));
    folder.write_pair("server", &ca.issue("hookgate.test", 90));
    folder.write("ca.pem", &ca.pem);
    folder.write("passwords", "openim:secret\n");
    folder.write("paths", "s3cret\n");
    folder
}

/// A hookgate that is told by this file, and by no other word which policy is asked.
async fn told(folder: &Folder, yaml: &str, args: &[&str]) -> Running {
    let file = folder.write("hookgate.yaml", yaml);
    let free = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--builtin-listen", "127.0.0.1:0"];
    Running::of(hookgate(&[&free[..], &["--config", file.to_str().unwrap()], args].concat())).await
}

async fn last_successful(running: &Running) -> bool {
    let metrics = running.ask("/metrics").await;
    String::from_utf8_lossy(&metrics.body).contains("hookgate_reload_last_successful 1")
}

#[tokio::test]
async fn what_takes_all_rules_or_tls_away_is_refused_whole_unless_the_file_says_so() {
    let builtin = ["--policy", "builtin"];
    let lost_access = "access: has no rule any more of who may call; access: none says that this is meant";
    let lost_tls = "tls: is gone, so that webhooks would be taken without TLS; tls: none says that this is meant";
    let lost_ca = "tls.client_ca: is gone, and no other rule says who may call; access: none says that this is meant";
    let empty = "hookgate.yaml: holds no setting any more; a restart takes an empty file";
    let tls = "tls: {certificate: server.pem, key: server.key}\n";
    let asks = "tls: {certificate: server.pem, key: server.key, client_ca: ca.pem}\n";
    let access = "access: {passwords: passwords}\n";
    let table = [
        ("budget: 2s\n", "", &[empty][..]),
        ("budget: 2s\n", "# budget: 2s\n", &[empty]),
        ("budget: 2s\n", "---\n", &[empty]),
        ("budget: 2s\n", "budget:\n", &[empty]),
        (ALL, "\n", &[lost_tls, lost_access, empty]),
        (ALL, "budget: 3s\n", &[lost_tls, lost_access]),
        (ALL, "access: none\n", &[lost_tls]),
        (ALL, "tls: none\n", &[lost_access]),
        (access, "budget: 3s\n", &[lost_access]),
        (access, asks, &[lost_access]),
        (tls, "budget: 3s\n", &[lost_tls]),
        (asks, tls, &[lost_ca]),
    ];
    for (number, (before, after, expected)) in table.into_iter().enumerate() {
        let folder = folder(&format!("losses-{number}"));
        let mut running = told(&folder, before, &builtin).await;
        folder.write("hookgate.yaml", after);
        running.signal("-HUP").await;
        running.says("previous configuration stays in force").await;
        let last = running.status().await["configuration"]["last"].clone();
        let refused: Vec<_> = last["refused"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        assert_eq!((last["ok"].as_bool(), refused.len()), (Some(false), expected.len()), "{after:?}: {last}");
        for (line, expected) in refused.iter().zip(expected) {
            assert!(line.ends_with(expected), "{before:?}, {after:?}: {line}");
        }
        assert!(!last_successful(&running).await, "{after:?}");
        assert!(running.status().await["certificates"]["webhooks"].is_object() == before.contains("certificate"));
    }
}

#[tokio::test]
async fn what_the_file_says_expressly_is_taken_and_a_single_rule_that_goes_is_a_warning() {
    let folder = folder("losses-said");
    let mut running = told(&folder, ALL, &["--policy", "builtin"]).await;
    let gone = "is gone: callers are no longer held to it";
    for (yaml, said) in [
        (
            "access: {passwords: passwords, sources: 127.0.0.1}\ntls: {certificate: server.pem, key: server.key, client_ca: ca.pem}\n",
            format!("access.paths: {gone}"),
        ),
        (
            "access: {passwords: passwords}\ntls: {certificate: server.pem, key: server.key, client_ca: ca.pem}\n",
            format!("access.sources: {gone}"),
        ),
        (
            "access: {passwords: passwords}\ntls: {certificate: server.pem, key: server.key}\n",
            format!("tls.client_ca: {gone}"),
        ),
        ("access: {passwords: passwords}\ntls: none\n", String::new()),
        ("access: none\n", "ANYBODY may call".to_owned()),
        // Nothing is lost any more.
        ("budget: 2s\n", String::new()),
    ] {
        folder.write("hookgate.yaml", yaml);
        running.signal("-HUP").await;
        if !said.is_empty() {
            running.says(&said).await;
        }
        running.says("configuration reloaded").await;
    }
    assert_eq!(running.status().await["configuration"]["refused"], 0);
}

#[tokio::test]
async fn a_file_that_is_emptied_is_refused_whatever_it_holds() {
    let folder = folder("losses-emptied");
    folder.write("webhooks.yml", "url: http://127.0.0.1:10006\nbeforeAddFriend: {enable: true, timeout: 5}\n");
    let yaml = format!("{ALL}openim: {{webhooks: webhooks.yml}}\n");
    let mut running = told(&folder, &yaml, &["--policy", "builtin"]).await;
    let mut refused = 0;
    for (name, why) in [
        ("passwords", "passwords: holds no line"),
        ("paths", "paths: holds no line"),
        ("server.pem", "server.pem: holds no certificate"),
        ("server.key", "server.key: holds no private key"),
        ("ca.pem", "ca.pem: holds no certificate"),
        ("webhooks.yml", "webhooks.yml:1: expected url and callbacks"),
    ] {
        let path = folder.path(name);
        let whole = fs::read(&path).unwrap();
        for text in ["", "\n  # nothing\n"] {
            fs::write(&path, text).unwrap();
            running.signal("-HUP").await;
            running.says(why).await;
            running.says("previous configuration stays in force").await;
            refused += 1;
        }
        fs::write(&path, whole).unwrap();
        running.signal("-HUP").await;
        running.says("configuration unchanged").await;
    }
    assert!(running.status().await["configuration"]["refused"].as_u64() >= Some(refused));
}

#[tokio::test]
async fn what_cannot_be_read_twice_is_not_read_twice() {
    let folder = folder("losses-pipe");
    let pipe = folder.path("pipe");
    let _ = fs::remove_file(&pipe);
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (to, yaml) = (pipe.clone(), "access: {passwords: passwords}\npolicy: builtin\n");
    let written = tokio::task::spawn_blocking(move || fs::write(to, yaml));
    let free = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--builtin-listen", "127.0.0.1:0"];
    let mut running = Running::of(hookgate(&[&free[..], &["--config", pipe.to_str().unwrap()]].concat())).await;
    written.await.unwrap().unwrap();
    running.signal("-HUP").await;
    let line = running.says("not read a second time").await;
    assert!(line.contains("--config: cannot read"), "{line}");
    running.says("previous configuration stays in force").await;
    // The rule that it had still holds, and nothing else was refused without a signal.
    let status = running.status().await;
    assert_eq!(status["configuration"]["refused"], 1, "{status}");
    assert_eq!(running.post("callbackBeforeAddBlackCommand", "{}").await.status, 401);
}
