//! A configuration that changes while the program runs.

mod certificates;
mod losses;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hookgate::config::all_settings;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::support::program::{Running, hookgate};
use crate::support::{self, Policy, file, free};

const COMMAND: &str = "callbackBeforeSetFriendRemarkCommand";
const BODY: &str = r#"{"callbackCommand":"callbackBeforeSetFriendRemarkCommand","remark":"Bob"}"#;

/// A hookgate that is told by a file, and the file.
struct Told {
    running: Running,
    file: String,
}

impl Told {
    async fn start(name: &str, yaml: &str) -> Self {
        let file = file(&format!("reload-{name}.yaml"), yaml);
        let args = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config", &file];
        Self { running: Running::of(hookgate(&args)).await, file }
    }

    fn write(&self, yaml: &str) {
        fs::write(&self.file, yaml).expect("the same file");
    }

    async fn outcome(&self) -> String {
        let reply = self.running.post(COMMAND, BODY).await;
        reply.headers["hookgate-outcome"].to_str().expect("ASCII").to_owned()
    }
}

/// Where nothing listens.
async fn nowhere() -> String {
    format!("http://{}", support::nobody().await)
}

#[tokio::test]
async fn a_signal_has_it_read_anew() {
    let policy = nowhere().await;
    let mut told = Told::start("signal", &format!("policy: {policy}\non_failure: deny\n")).await;
    assert_eq!(told.outcome().await, "failed-closed:unavailable");
    told.write(&format!("policy: {policy}\non_failure: allow\n"));
    told.running.signal("-HUP").await;
    let line = told.running.says("configuration reloaded").await;
    assert!(line.contains("changed=\"on_failure"), "{line}");
    assert_eq!(told.outcome().await, "failed-open:unavailable");
    let status = told.running.status().await;
    assert_eq!(status["configuration"]["ok"], 1);
    assert_eq!(status["configuration"]["last"]["ok"], true);
}

/// In a namespace of its own hookgate reads another file as /etc/hosts; not every machine allows that.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_signal_has_the_policy_s_name_looked_up() {
    use std::net::SocketAddr;

    use crate::support::restartable::{Act, Policy as At};

    let hosts = file("signal-hosts", "127.0.0.1 policy.test\n");
    let own_hosts = "mount --make-rprivate / && mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let own = |program: &str, args: &[&str]| {
        let mut command = tokio::process::Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", own_hosts, &hosts, program]).args(args);
        command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
        command
    };
    if !own("true", &[]).status().await.is_ok_and(|status| status.success()) {
        println!("namespaces cannot be made, so the name is not looked up here");
        return;
    }
    let first = Policy::without_health(|_| Box::pin(async { Ok(Vec::new()) })).await;
    let port = first.address.port();
    // A host that no other test uses, so that the port is free there.
    let second = At::start(([127, 0, 0, 9], port).into(), Arc::new(|_| Act::Allow)).await;
    let yaml =
        file("signal-name.yaml", format!("policy: http://policy.test:{port}\nchannel: {{resolve_interval: 0s}}\n"));
    let program = hookgate(&[]);
    let args = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config", &yaml];
    let running = Running::of(own(program.as_std().get_program().to_str().unwrap(), &args)).await;
    let addresses = async |wanted: &[SocketAddr]| {
        let all = async {
            loop {
                let status = running.status().await;
                let addresses = status["policy"]["channel"]["addresses"].as_array().unwrap().clone();
                let ready = |wanted: &SocketAddr| {
                    let is_it = |one: &&serde_json::Value| one["address"] == wanted.to_string();
                    addresses.iter().find(is_it).is_some_and(|one| one["state"] == "ready")
                };
                if addresses.len() == wanted.len() && wanted.iter().all(ready) {
                    return;
                }
            }
        };
        let came = tokio::time::timeout(std::time::Duration::from_secs(60), all).await;
        assert!(came.is_ok(), "it does not come to {wanted:?}");
    };
    addresses(&[first.address]).await;
    fs::write(&hosts, "127.0.0.1 policy.test\n127.0.0.9 policy.test\n").unwrap();
    running.signal("-HUP").await;
    addresses(&[first.address, second.address]).await;
}

#[tokio::test]
async fn a_changed_file_is_read_anew() {
    let policy = nowhere().await;
    let mut told = Told::start("file", &format!("policy: {policy}\n")).await;
    told.write(&format!("policy: {policy}\ndenial: {{messages: {{unavailable: come back later}}}}\n"));
    told.running.says("configuration reloaded").await;
    assert_eq!(told.running.post(COMMAND, BODY).await.json()["errMsg"], "come back later");
}

#[tokio::test]
async fn a_file_that_is_still_being_written_is_left_alone() {
    let policy = nowhere().await;
    let mut told = Told::start("growing", &format!("policy: {policy}\n")).await;
    // During several polls; each part of it alone would be refused.
    let (began, mut text) = (Instant::now(), "budjet: 1s\n#".to_owned());
    while began.elapsed() < Duration::from_secs(4) {
        text.push('.');
        told.write(&text);
        sleep(Duration::from_millis(10)).await;
    }
    told.write(&format!("policy: {policy}\non_failure: allow\n"));
    told.running.says("configuration reloaded").await;
    assert_eq!(told.running.status().await["configuration"]["refused"], 0);
    fs::remove_file(&told.file).expect("it is there");
    told.running.says("previous configuration stays in force").await;
}

#[tokio::test]
async fn a_file_that_another_one_names_is_looked_at_too() {
    let key = "beforeSetFriendRemark";
    let webhooks = |timeout| format!("url: http://127.0.0.1:10006\n{key}: {{enable: true, timeout: {timeout}}}\n");
    let openim = file("reload-webhooks.yml", webhooks(5));
    let mut told =
        Told::start("openim", &format!("policy: {}\nopenim: {{webhooks: reload-webhooks.yml}}\n", nowhere().await))
            .await;
    fs::write(&openim, webhooks(3)).expect("the same file");
    let line = told.running.says("configuration reloaded").await;
    assert!(line.contains(&format!("changed=\"callbacks.{key}\"")), "{line}");
}

#[tokio::test]
async fn a_bad_one_is_refused_whole() {
    let policy = nowhere().await;
    let mut told = Told::start("bad", &format!("policy: {policy}\n")).await;
    told.write(&format!("policy: {policy}\non_failure: allow\nlimits: {{calls: none}}\nbudjet: 1s\n"));
    told.running.signal("-HUP").await;
    told.running.says("previous configuration stays in force").await;
    assert_eq!(told.outcome().await, "failed-closed:unavailable");
    let status = told.running.status().await;
    assert_eq!(status["configuration"]["refused"], 1);
    let why = status["configuration"]["last"]["refused"].as_array().expect("lines").clone();
    let line = |number: usize| why[number].as_str().expect("a line");
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(line(0).contains(":3: limits.calls:"), "{why:?}");
    assert!(line(1).contains(":4: budjet: no such key; did you mean budget?"), "{why:?}");
    // And a good one after it is taken.
    told.write(&format!("policy: {policy}\non_failure: allow\n"));
    told.running.says("configuration reloaded").await;
    assert_eq!(told.outcome().await, "failed-open:unavailable");
}

#[tokio::test]
async fn what_only_a_restart_can_change_stays_and_the_rest_is_in_force() {
    let policy = nowhere().await;
    let mut told = Told::start("restart", &format!("policy: {policy}\n")).await;
    told.write(&format!(
        "policy: {policy}\nthreads: 2\nafter: {{age: 2h}}\non_failure: allow\nadmin_listen: 127.0.0.1:1\n"
    ));
    told.running.signal("-HUP").await;
    let line = told.running.says("restart required to change settings").await;
    // The flag goes before the file, so that the address has not changed.
    assert!(line.contains("settings=\"threads, after\""), "{line}");
    assert_eq!(told.outcome().await, "failed-open:unavailable");
    let status = told.running.status().await;
    assert_eq!(status["configuration"]["last"]["needs_restart"], json!(["threads", "after"]));
    assert_eq!((&status["configuration"]["ok"], &status["configuration"]["refused"]), (&json!(1), &json!(0)));
    let metrics = told.running.ask("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).expect("text");
    assert!(metrics.contains("hookgate_reload_last_successful 0"), "{metrics}");
}

#[tokio::test]
async fn each_setting_is_applied_or_kept_as_its_declaration_says() {
    let data = free("reload-settings-data");
    let base = "policy: builtin\nbuiltin_listen: 127.0.0.1:0\nlisten: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n";
    let file = file("reload-settings.yaml", format!("{base}data: {}\ndecisions: {{to: stdout}}\n", data.display()));
    let mut running = Running::of(hookgate(&["--config", &file])).await;
    let mut groups =
        BTreeMap::from([("", vec!["policy: builtin".to_owned()]), ("decisions", vec!["to: stdout".into()])]);
    let (mut applied, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for (port, setting) in (1..).zip(all_settings()) {
        let value = match setting.kind {
            "time" | "time or 0s" | "each, off or time" => "7s",
            // At least three times the largest body.
            "size" if setting.path == "limits.memory" => "100MiB",
            "size" => "30MiB",
            "count" => "7",
            "fraction" => "0.7",
            "address" | "address or unix:// path" => &format!("127.0.0.1:{port}"),
            "path" if setting.path == "data" => "/other",
            "URL" if setting.path != "policy" => "http://collector:4317",
            "log levels" => "debug",
            "refuse or drop_dead" => "drop_dead",
            "text or json" => "json",
            _ => continue,
        };
        // A cluster would be looked for at the start; its settings are kept with all others of `after`.
        if ["openim.", "after.store", "after.nats."].iter().any(|start| setting.path.starts_with(start)) {
            continue;
        }
        let path = &setting.path;
        assert_ne!(setting.default.as_deref(), Some(value), "the sample is the default of {path}: use another sample");
        let (group, key) = path.rsplit_once('.').unwrap_or(("", path));
        groups.entry(group).or_default().push(format!("{key}: {value}"));
        if setting.needs_restart {
            kept.insert(if group.is_empty() { key } else { group });
        } else {
            applied.insert(&*setting.path);
        }
    }
    assert!(kept.len() + applied.len() > 25, "{kept:?} {applied:?}");
    let yaml = groups.iter().map(|(group, settings)| match *group {
        "" => settings.join("\n") + "\n",
        group => format!("{group}: {{{}}}\n", settings.join(", ")),
    });
    fs::write(&file, yaml.collect::<String>()).expect("the same file");
    running.signal("-HUP").await;
    let line = running.says("configuration reload").await;
    let last = running.status().await["configuration"]["last"].clone();
    let changed = line.split("changed=\"").nth(1).and_then(|rest| rest.split('"').next());
    let changed = changed.unwrap_or_else(|| panic!("{line}: {last}"));
    assert_eq!(changed.split(", ").collect::<BTreeSet<_>>(), applied);
    let needs_restart = last["needs_restart"].as_array().expect("a list").iter();
    assert_eq!(needs_restart.map(|path| path.as_str().expect("a path")).collect::<BTreeSet<_>>(), kept);
}

#[tokio::test]
async fn calls_go_on_as_before_until_the_new_policy_is_there() {
    let old = Policy::allow().await;
    let yaml = |url: &str| format!("policy: {url}\nchannel: {{connect_timeout: 100ms}}\n");
    let mut told = Told::start("absent", &yaml(&old.url())).await;
    told.write(&yaml(&nowhere().await));
    told.running.signal("-HUP").await;
    told.running.says("new policy channel not connected").await;
    assert_eq!(told.outcome().await, "allow");
    // A later one takes the place of one that waits.
    let new = Policy::allow().await;
    told.write(&yaml(&new.url()));
    told.running.signal("-HUP").await;
    told.running.says("switched to new policy channel").await;
    old.take_calls();
    assert_eq!(told.outcome().await, "allow");
    assert!(old.take_calls().iter().all(|call| call.rpc.contains("Health")));
}

#[tokio::test]
async fn another_change_does_not_begin_a_pending_switch_again() {
    let (old, new) = (Policy::allow().await, Policy::allow().await);
    // Stands before the new policy, and lets nothing through at first.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let yaml =
        |url: &str, on_failure| format!("policy: {url}\non_failure: {on_failure}\nchannel: {{connect_timeout: 60s}}\n");
    let mut told = Told::start("pending", &yaml(&old.url(), "deny")).await;
    told.write(&yaml(&url, "deny"));
    told.running.signal("-HUP").await;
    told.running.says("configuration reloaded").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    told.write(&yaml(&url, "allow"));
    told.running.signal("-HUP").await;
    told.running.says("configuration reloaded").await;
    assert_eq!(told.outcome().await, "allow");
    let mut policy = TcpStream::connect(new.url().trim_start_matches("http://")).await.unwrap();
    tokio::spawn(async move { copy_bidirectional(&mut stream, &mut policy).await });
    tokio::select! {
        _ = told.running.says("switched to new policy channel") => {}
        _ = listener.accept() => panic!("it has connected anew"),
    }
}

#[tokio::test]
async fn the_levels_of_the_log_change() {
    let mut told = Told::start("levels", "log: warn\npolicy: builtin\nbuiltin_listen: 127.0.0.1:0\n").await;
    told.write("log: debug\npolicy: builtin\nbuiltin_listen: 127.0.0.1:0\n");
    told.running.signal("-HUP").await;
    // The line about the change itself is at info, and comes before the levels are set.
    while told.running.status().await["configuration"]["ok"] == json!(0) {}
    told.outcome().await;
    let line = told.running.says("DEBUG").await;
    assert!(!line.is_empty());
}

#[tokio::test]
async fn the_policy_is_another_one_and_no_call_fails() {
    let (old, new) = (Policy::allow().await, Policy::allow().await);
    let mut told = Told::start("policy", &format!("policy: {}\n", old.url())).await;
    let stop = Arc::new(AtomicBool::new(false));
    let address = told.running.webhooks;
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let request = http::Request::post(format!("http://{address}/{COMMAND}"));
                    let reply = support::send(request.body(BODY.into()).expect("a request")).await;
                    outcomes.push(reply.headers["hookgate-outcome"].to_str().expect("ASCII").to_owned());
                }
                outcomes
            })
        })
        .collect();
    old.take_calls();
    told.write(&format!("policy: {}\n", new.url()));
    told.running.signal("-HUP").await;
    told.running.says("configuration reloaded").await;
    while new.take_calls().iter().all(|call| call.rpc.contains("Health")) {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        let outcomes = caller.await.expect("no panic");
        assert!(outcomes.iter().all(|outcome| outcome == "allow"), "{outcomes:?}");
    }
    assert_eq!(told.running.status().await["policy"]["url"], new.url());
}

#[tokio::test]
async fn a_rule_of_who_may_call_does_not_go_missing_unsaid() {
    let policy = nowhere().await;
    let mut told = Told::start("callers", &format!("policy: {policy}\naccess: {{sources: 127.0.0.1}}\n")).await;
    told.write(&format!("policy: {policy}\naccess:\n  sources:\n  # - 127.0.0.1\n"));
    told.running.signal("-HUP").await;
    told.running.says("access.sources: has no value").await;
    told.running.says("previous configuration stays in force").await;
    told.write(&format!("policy: {policy}\naccess: none\n"));
    told.running.signal("-HUP").await;
    told.running.says("ANYBODY may call").await;
    told.running.says("configuration reloaded").await;
}
