//! The configuration: what each source may say, who goes before whom, and every mistake in one line.

mod addresses;
mod command_line;
mod file;
mod mistakes;
mod openim;
mod policies;
mod policy;
mod print;
mod routes;
mod variables;

use std::path::Path;
use std::sync::LazyLock;

use clap::Parser;
use hookgate::config::{self, Config, Handling, Loaded, OpenIm, Options};
use hookgate::contract::Callback;

use crate::support::pki::Ca;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

/// Reads the configuration where these are all the files there are. Where none of them names a policy, it is the built-in
/// one: without any word of it a file is a mistake.
fn load(args: &[&str], files: &[(&str, &str)]) -> Result<Loaded, String> {
    let named = files.iter().any(|(_, text)| text.contains("policy:")) || args.contains(&"--policy");
    let policy: &[&str] = if named { &[] } else { &["--policy", "builtin"] };
    load_exactly(&[args, policy].concat(), files)
}

/// As `load`, with these arguments and no other.
fn load_exactly(args: &[&str], files: &[(&str, &str)]) -> Result<Loaded, String> {
    let options = CommandLine::parse_from([&["hookgate"], args].concat()).options;
    let text_of = |path: &Path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| (*text).to_owned()).ok_or_else(|| format!("cannot read {}: not there", path.display()))
    };
    Config::load_from(&options, &text_of).map_err(|report| report.to_string())
}

/// With a `hookgate.yaml` alone, and what `ALL_OF_IT` names.
fn load_yaml(text: &str) -> Result<Loaded, String> {
    static PEM: LazyLock<[String; 3]> = LazyLock::new(|| {
        let ca = Ca::new("config");
        let pair = ca.issue("hookgate.test", 90);
        [ca.pem, pair.certificate, pair.key]
    });
    let [ca, certificate, key] = &*PEM;
    let files = [
        ("hookgate.yaml", text),
        ("/tls/passwords", "user:password"),
        ("/tls/paths", "s3cret"),
        ("/tls/ids", "u1\nu2\n"),
        ("/tls/nats-password", "a secret of NATS\n"),
        ("/tls/ca.pem", ca),
        ("/tls/both.pem", certificate),
        ("/tls/both.key", key),
    ];
    load(&["--config", "hookgate.yaml"], &files)
}

/// With OpenIM's file alone.
fn load_openim(text: &str) -> Result<Loaded, String> {
    load(&["--openim-webhooks", "webhooks.yml"], &[("webhooks.yml", text)])
}

/// With our file and OpenIM's, which ours names `w.yml`.
fn load_openim_and(yaml: &str, openim: &str) -> Loaded {
    load(&["--config", "c.yaml"], &[("c.yaml", yaml), ("w.yml", openim)]).unwrap()
}

fn lines(findings: &[config::Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// The handling of the callback with a command.
fn handling(config: &Config, command: &str) -> Handling {
    config.handling(Callback::by_command(command).expect("a command"))
}

fn millis(config: &Config, command: &str) -> u128 {
    handling(config, command).budget.as_millis()
}

const SINGLE: &str = "callbackBeforeSendSingleMsgCommand";
const FRIEND: &str = "callbackBeforeAddFriendCommand";

fn shipped(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webhooks_yml").join(name);
    std::fs::read_to_string(file).unwrap()
}

/// A file in which nothing has its default.
const ALL_OF_IT: &str = r#"
listen: "[::1]:1"
admin_listen: 127.0.0.1:2
admin_hosts: [Gate.Test, "10.0.0.1"]
policy: https://policy
threads: 3
log: warn,hookgate=debug
log_format: json
budget: 1234567us
on_failure: {default: allow, error: deny}
callbacks:
  beforeAddFriend: {budget: 2s, on_failure: deny}
  beforeMemberJoinGroup: {on_failure: {deadline: deny}}
  afterAddFriend: {budget: 1s 1ns}
  afterQuitGroup: {order: key}
denial:
  code: 5001
  messages: {unavailable: "down: # no \"policy\"\n\t\\ \x07\u2028\x85", deadline: späť, overloaded: "yes", unimplemented: "5", error: "~", invalid_reply: " x "}
limits: {body: 1537B, head: 9KB, reply: 2GiB, memory: 5MB, calls: 1, connections: 2}
channel: {connect_timeout: 1ns, keep_alive: 90s, keep_alive_timeout: 1h, reconnect_max: 1s, resolve_interval: 0s, breaker_failures: 1, breaker_open: 61m, health_interval: 3s}
after: {answer_within: 0ms, attempts: 1, age: 365d, retry_min: 5ms, retry_max: 6ms, events: 1, bytes: 1MB, concurrency: 1,
  order: none, hold: 8s, sync: each, schedule: "1s, 1m", pause_max: 7s, when_full: drop_dead, dead_age: 1d, dead_bytes: 2MB,
  store: ["nats://a:4222", "tls://b:4222"], store_within: 300ms,
  nats: {name: gate, replicas: 5, partitions: 4, user: gate, password: /tls/nats-password, ca: /tls/ca.pem, certificate: /tls/both.pem, key: /tls/both.key}}
data: /data
drain: {delay: 1m, time: 2m}
access: {passwords: /tls/passwords, paths: /tls/paths, sources: [10.1.2.3/8, "::1"], trusted_proxies: 10.0.0.1}
tls: {certificate: /tls/both.pem, key: /tls/both.key, client_ca: /tls/ca.pem}
policy_tls: {ca: /tls/ca.pem, certificate: /tls/both.pem, key: /tls/both.key, server_name: policy.test}
traces: {endpoint: "https://collector", sample: 0.5}
decisions: {to: stdout, allows: 0.25, fields: "message.content,recv_id"}
routes:
  - {name: first, callbacks: [beforeSendSingleMsg], percent: 0.5, by: message.send_id, cohort: /tls/ids}
  - callbacks: before*GroupMsg
    when:
      content_type: [101, 1000..5000, "..-1", 6000..]
      send_id: {prefix: [bot_, "a # b"], in: "~", file: [/tls/ids]}
      not: {session_type: 3, ex: {present: false}}
      any: [{group_id: "null"}, {sender_nickname: "x: y"}]
    ask: none
  - {timing: after, ask: none}
"#;

/// What is printed is read back to the same, without OpenIM's file too, and printed the same but for who said it.
fn assert_round_trip(loaded: &Loaded) {
    let printed = config::print(loaded);
    let again = load_yaml(&printed).unwrap_or_else(|report| panic!("{report}\n{printed}"));
    // What OpenIM enables is known from its file alone, and decides nothing.
    assert_eq!(again.config, Config { openim: OpenIm::default(), ..loaded.config.clone() }, "{printed}");
}
