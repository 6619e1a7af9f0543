//! `hookgate verify`, the real program, against policies that are well, bad in one way, or not there.

mod bad;
mod gone;
mod own;
pub mod policy;
mod sent;
mod service;
mod statuses;
mod warnings;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hookgate::contract::{Callback, Timing};
use hookgate::internals::Check;
use serde_json::Value;

use crate::support::nobody;
use crate::support::program::{EVERYTHING_FREE, Running, hookgate};

/// How a run ended, and what it said.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The document of `--json`.
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.out, self.err))
    }
}

/// Verifies with these arguments.
pub async fn verify(args: &[&str]) -> Ended {
    verify_with(args, &[]).await
}

async fn verify_with(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = hookgate(&[&["verify"], args].concat());
    command.envs(variables.iter().copied());
    // Far longer than any run takes: a failure, not a hang.
    let output = tokio::time::timeout(Duration::from_secs(100), command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("it does not end: {args:?}")).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// The outcomes of a list of checks, by name.
fn outcomes(checks: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks.as_array().unwrap().iter().map(|check| (text(&check["name"]), text(&check["outcome"]))).collect()
}

/// The entry with this name in a list.
fn named<'j>(list: &'j Value, key: &str, name: &str) -> &'j Value {
    let found = list.as_array().unwrap().iter().find(|entry| entry[key] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

#[tokio::test]
async fn the_built_in_policy_passes() {
    let hookgate = Running::start(&[&EVERYTHING_FREE[..], &["--log", "warn"]].concat()).await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify-builtin.xml");
    let ended = verify(&["--policy", &hookgate.policy, "--json", "--junit", file.to_str().unwrap()]).await;
    assert_eq!((ended.code, &*ended.err), (0, ""), "{}", ended.out);
    let report = ended.json();
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["policy"], hookgate.policy);
    assert_eq!(report["stopped"], Value::Null);
    let totals = &report["totals"];
    assert_eq!((&totals["implemented"], &totals["not_implemented"]), (&53.into(), &0.into()));
    let callbacks = report["callbacks"].as_array().unwrap();
    assert_eq!(callbacks.len(), 53);
    let mut checks = outcomes(&report["service"]).len();
    assert_eq!(checks, Check::OF_SERVICE.len());
    for callback in callbacks {
        let rpc = callback["rpc"].as_str().unwrap();
        assert!(rpc.ends_with(&format!("/{}", callback["callback"].as_str().unwrap())), "{rpc}");
        let outcomes = outcomes(&callback["checks"]);
        assert!(outcomes.values().all(|outcome| outcome == "passed"), "{rpc} {outcomes:?}");
        let row = Callback::by_rpc(rpc).unwrap();
        let is_run = |check: &&Check| match check.name {
            "requests" => false,
            // An event comes twice only where it is one.
            "duplicate" => row.timing == Timing::After,
            "content-types" => row.request.fields.iter().any(|field| field.json == "content"),
            "must-allow" => row.denial_breaks.as_ref().is_some_and(|breaks| breaks.when.is_some()),
            _ => true,
        };
        assert_eq!(outcomes.len(), Check::OF_CALLBACK.iter().filter(is_run).count(), "{rpc}");
        checks += outcomes.len();
    }
    assert_eq!((&totals["checks"], &totals["passed"]), (&checks.into(), &checks.into()));

    let xml = std::fs::read_to_string(&file).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    assert_eq!((junit.tests, junit.failures, junit.errors), (checks, 0, 0));
    assert_eq!(junit.test_suites.len(), 54, "the service, and each callback");
}

#[tokio::test]
async fn a_person_reads_a_line_a_callback() {
    let hookgate = Running::start(&[&EVERYTHING_FREE[..], &["--log", "warn"]].concat()).await;
    let ended = verify(&["--policy", &hookgate.policy, "--only", "AfterRemoveBlack,beforeAddBlack"]).await;
    let expected = "service           ok  4 checks\n\
                    BeforeAddBlack    ok  9 checks\n\
                    AfterRemoveBlack  ok  10 checks\n\
                    verify: 23 checks, 0 failed, 0 warnings, 0 callbacks not implemented\n";
    assert_eq!((ended.code, &*ended.out, &*ended.err), (0, expected, ""), "nor is there colour or a bar");
}

#[tokio::test]
async fn callbacks_and_checks_are_chosen_by_name() {
    let hookgate = Running::start(&[&EVERYTHING_FREE[..], &["--log", "warn"]].concat()).await;
    let chosen = async |args: &[&str]| {
        let variables = [("HOOKGATE_POLICY", &*hookgate.policy)];
        let ended = verify_with(&[args, &["--json"]].concat(), &variables).await;
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        let report = ended.json();
        let service: Vec<String> = outcomes(&report["service"]).into_keys().collect();
        let callbacks = report["callbacks"].as_array().unwrap().iter().map(|callback| {
            let checks: Vec<String> = outcomes(&callback["checks"]).into_keys().collect();
            format!("{} {}", callback["callback"].as_str().unwrap(), checks.join(" "))
        });
        format!("{} | {}", service.join(" "), callbacks.collect::<Vec<_>>().join(", "))
    };
    for (args, expected) in [
        // Every name that a callback has; of checks, those that are named and what they need.
        (&["--only", "callbackAfterRemoveBlackCommand,empty"] as &[&str], "AfterRemoveBlack empty"),
        (&["--only", "RelationPolicyService/AfterRemoveBlack", "--only", "huge"], "AfterRemoveBlack huge"),
        (&["--only", "removeBlackAfter,lifelike,unicode"], "AfterRemoveBlack lifelike unicode"),
        (&["--only", "afterRemoveBlack,beforeAddBlack,empty", "--skip", "AfterRemoveBlack"], "BeforeAddBlack empty"),
    ] {
        assert_eq!(chosen(args).await, format!("connection implemented | {expected}"), "{args:?}");
    }
    assert_eq!(chosen(&["--only", "health"]).await, "connection health | ");
    let skip = "huge,unicode,concurrent,cancelled,deadline,reflection,implemented";
    let rest = "connection health | BeforeAddBlack empty lifelike null-laden unknown-fields";
    assert_eq!(chosen(&["--only", "beforeAddBlack", "--skip", skip]).await, rest);
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2_and_everything_that_is_wrong_at_once() {
    let args = ["--policy", "policy", "--only", "befoerSendSingleMsg,hgue", "--skip", "xyz", "--timeout", "5"];
    let ended = verify(&args).await;
    assert_eq!((ended.code, &*ended.out), (2, ""));
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!(lines.len(), 5, "{}", ended.err);
    for (line, words) in lines.iter().zip([
        ["--policy: ", "http://policy:50051"],
        ["--timeout: ", "needs a unit"],
        ["--only: \"befoerSendSingleMsg\"", "did you mean BeforeSendSingleMsg?"],
        ["--only: \"hgue\"", "did you mean huge?"],
        ["--skip: \"xyz\"", "no such callback or check"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    for args in [
        &[] as &[&str],
        &["--policy", "http://127.0.0.1:1", "--skip", "connection"],
        &["--policy", "http://127.0.0.1:1", "--only", "huge", "--skip", "huge"],
        &["--policy", "http://127.0.0.1:1", "--only", "beforeAddBlack", "--skip", "BeforeAddBlack"],
        &["--policy", "http://127.0.0.1:1", "--timeout", "0s"],
    ] {
        let ended = verify(args).await;
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?}");
        assert!(!ended.err.is_empty(), "{args:?}");
    }
    let secret = verify(&["--policy", "http://user:pass@127.0.0.1:1"]).await;
    assert!(secret.code == 2 && !secret.err.contains("pass@"), "{}", secret.err);
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_exit_code_1_before_anybody_is_asked() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-such-directory/verify.xml");
    let ended = verify(&["--policy", "http://127.0.0.1:1", "--junit", file.to_str().unwrap()]).await;
    assert_eq!((ended.code, &*ended.out), (1, ""));
    assert!(ended.err.starts_with("hookgate: cannot write ") && ended.err.lines().count() == 1, "{}", ended.err);
}

#[tokio::test]
async fn a_policy_that_is_not_there_is_exit_code_1_and_one_sentence() {
    let nobody = nobody().await;
    let url = format!("http://{nobody}");
    let ended = verify(&["--policy", &url]).await;
    assert_eq!((ended.code, &*ended.out, ended.err.lines().count()), (1, "", 1), "{}", ended.err);
    assert!(ended.err.contains("the policy cannot be reached") && ended.err.contains(&url), "{}", ended.err);

    let json = verify(&["--policy", &url, "--json"]).await;
    assert_eq!((json.code, &*json.err), (1, ""));
    let report = json.json();
    let expected = [("connection", "failed"), ("health", "not-run"), ("implemented", "not-run")];
    let outcomes = outcomes(&report["service"]);
    assert!(expected.iter().all(|(check, outcome)| outcomes[*check] == *outcome), "{outcomes:?}");
    assert_eq!(report["callbacks"].as_array().unwrap().len(), 0, "nothing further");
}

#[tokio::test]
async fn the_help_and_the_manual_know_every_check() {
    let help = verify(&["--help"]).await.out;
    let unwrapped = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies/verify.md"));
    for check in Check::all() {
        assert!(help.contains(&format!("  {} ", check.name)) && unwrapped.contains(check.purpose), "{help}");
        assert!(manual.contains(&format!("`{}`", check.name)), "{} is not in docs/policies/verify.md", check.name);
    }
}
