//! Three nodes, three copies, and what breaks while events come: nothing is lost, and each key's order is kept.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::servers::Servers;
use super::store::data;
use crate::outbox::gate::{GROUP, LONG, Poster, body};
use crate::support::program::{Running, configured};
use crate::support::restartable::{Act, Policy, anywhere};

const COPIES: usize = 3;

/// A call, as the policy got it.
#[derive(Debug, Clone)]
struct Seen {
    operation: String,
    sequence: u64,
    is_late: bool,
    at: Instant,
}

/// The calls that the policy got, by group.
#[derive(Default)]
struct Book {
    calls: Mutex<HashMap<String, Vec<Seen>>>,
}

/// The result of a run.
#[derive(Debug, Default)]
struct Result {
    sent: usize,
    accepted: usize,
    others: usize,
    delivered: usize,
    repeated: usize,
    lost: usize,
    out_of_order: usize,
    at_once: usize,
}

/// One of the copies.
struct Gate {
    data: PathBuf,
    yaml: String,
    name: String,
    url: String,
    running: Option<Running>,
    to: Arc<Mutex<Option<String>>>,
}

impl Gate {
    async fn start(&mut self) {
        let mut command = configured(&self.url, &self.name, &self.yaml);
        command.arg("--data").arg(&self.data);
        let running = Running::of(command).await;
        *self.to.lock().unwrap() = Some(running.webhooks.to_string());
        self.running = Some(running);
    }

    async fn kill(&mut self) {
        *self.to.lock().unwrap() = None;
        if let Some(running) = self.running.take() {
            running.kill().await;
        }
    }

    async fn signal(&self, signal: &str) {
        self.running.as_ref().unwrap().signal(signal).await;
    }

    async fn restart(&mut self) {
        *self.to.lock().unwrap() = None;
        let running = self.running.take().unwrap();
        running.signal("-TERM").await;
        let (code, said) = running.end().await;
        assert_eq!(code, Some(0), "{said}");
        self.start().await;
    }
}

/// Sends events of some groups to a copy, until it is told to end.
async fn send(
    gate: usize,
    to: Arc<Mutex<Option<String>>>,
    (groups, pause): (usize, Duration),
    over: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
) -> (HashMap<String, Instant>, usize) {
    let (mut accepted, mut others, mut number) = (HashMap::new(), 0, 0);
    let mut poster: Option<(String, Poster)> = None;
    while !over.load(Relaxed) {
        sleep(pause).await;
        let Some(address) = to.lock().unwrap().clone() else { continue };
        if poster.as_ref().is_none_or(|(to, _)| *to != address) {
            poster = Some((address.clone(), Poster::new(address)));
        }
        number += 1;
        let (group, operation) = (format!("g{gate}-{}", number % groups), format!("{gate}-{number}"));
        sent.fetch_add(1, Relaxed);
        let shot = poster.as_ref().unwrap().1.post(GROUP, &operation, body(&group));
        match timeout(Duration::from_secs(6), shot).await {
            Ok(shot) if matches!(shot.outcome.as_deref(), Some("accepted" | "allow")) => {
                _ = accepted.insert(operation, Instant::now())
            }
            _ => others += 1,
        }
    }
    (accepted, others)
}

/// Runs with faults, `unit` apart.
async fn run(name: &str, unit: Duration, pause: Duration, groups: usize) -> Result {
    let mut servers = Servers::start(name, 3, "").await;
    let book = Arc::<Book>::default();
    let recorded = book.clone();
    let policy = Policy::start(
        anywhere(),
        Arc::new(move |headers| {
            let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            let operation = text("openim-operation-id").unwrap();
            let sequence = text("hookgate-sequence").unwrap().parse().unwrap();
            // Its group follows from its number: the message is not read here.
            let (gate, number) = operation.split_once('-').unwrap();
            let group = format!("{gate}-{}", number.parse::<usize>().unwrap() % groups);
            let seen = Seen { operation, sequence, is_late: text("hookgate-late").is_some(), at: Instant::now() };
            recorded.calls.lock().unwrap().entry(group).or_default().push(seen);
            Act::AllowAfter(Duration::from_millis(2))
        }),
    )
    .await;
    let mut gates = Vec::new();
    for gate in 0..COPIES {
        let name = format!("{name}-copy{gate}");
        let yaml = format!(
            "after:\n  store: \"{}\"\n  bytes: 256MiB\n  dead_bytes: 64MiB\n  nats:\n    partitions: 8\n",
            servers.urls_from(gate)
        );
        let mut copy = Gate {
            data: data(&name),
            yaml,
            name: format!("jetstream-{name}"),
            url: policy.url(),
            running: None,
            to: Arc::default(),
        };
        copy.start().await;
        gates.push(copy);
    }
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let senders: Vec<_> = gates
        .iter()
        .enumerate()
        .map(|(gate, copy)| tokio::spawn(send(gate, copy.to.clone(), (groups, pause), over.clone(), sent.clone())))
        .collect();
    let mut phases = Vec::new();
    sleep(unit).await;

    let leader = servers.leader("hookgate").await;
    phases.push(("a node is killed", Instant::now()));
    servers.kill(leader);
    sleep(2 * unit).await;
    servers.start_again(leader);
    sleep(unit).await;

    let leader = servers.leader("hookgate").await;
    phases.push(("a node is stopped", Instant::now()));
    servers.signal(leader, "-STOP");
    sleep(2 * unit).await;
    servers.signal(leader, "-CONT");
    sleep(unit).await;

    phases.push(("a copy is killed", Instant::now()));
    gates[0].kill().await;
    sleep(unit).await;
    gates[0].start().await;

    // Longer than JetStream waits for a word of it.
    phases.push(("a copy is stopped", Instant::now()));
    gates[1].signal("-STOP").await;
    sleep(unit.max(Duration::from_secs(7))).await;
    gates[1].signal("-CONT").await;
    sleep(unit).await;

    // No node takes anything for a while.
    phases.push(("no node answers", Instant::now()));
    (0..3).for_each(|node| servers.signal(node, "-STOP"));
    sleep(unit).await;
    (0..3).for_each(|node| servers.signal(node, "-CONT"));
    sleep(unit).await;

    // No event has room, as its operator wants it.
    phases.push(("the stream is full", Instant::now()));
    let room = servers.set_room("hookgate", 1).await;
    sleep(unit).await;
    servers.set_room("hookgate", room).await;
    sleep(unit).await;

    phases.push(("all copies restart", Instant::now()));
    for gate in &mut gates {
        gate.restart().await;
    }
    sleep(unit).await;
    over.store(true, Relaxed);
    let mut result = Result::default();
    let mut told = HashMap::new();
    for sender in senders {
        let (of, others) = sender.await.unwrap();
        told.extend(of);
        result.others += others;
    }
    result.sent = sent.load(Relaxed);
    let accepted: HashSet<String> = told.keys().cloned().collect();
    result.accepted = accepted.len();
    let delivered = || -> HashSet<String> {
        let calls = book.calls.lock().unwrap();
        calls.values().flatten().map(|seen| seen.operation.clone()).collect()
    };
    let all = async {
        while !accepted.is_subset(&delivered()) || servers.messages("hookgate").await > 0 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    let _ = timeout(2 * LONG, all).await;
    let delivered = delivered();
    result.delivered = delivered.len();
    result.lost = accepted.difference(&delivered).count();
    for calls in book.calls.lock().unwrap().values() {
        result.repeated += calls.len() - calls.iter().map(|seen| &seen.operation).collect::<HashSet<_>>().len();
        let (mut highest, mut firsts) = (0, HashSet::new());
        for (place, seen) in calls.iter().enumerate() {
            let is_close =
                |before: &Seen| seen.at - before.at < Duration::from_millis(2) && before.operation != seen.operation;
            result.at_once += usize::from(place > 0 && is_close(&calls[place - 1]));
            if firsts.insert(&seen.operation) && !seen.is_late {
                result.out_of_order += usize::from(seen.sequence < highest);
                highest = highest.max(seen.sequence);
            }
        }
    }
    for gate in &mut gates {
        gate.kill().await;
    }
    phases.push(("", Instant::now()));
    for pair in phases.windows(2) {
        let (name, from, until) = (pair[0].0, pair[0].1, pair[1].1);
        let mut firsts: HashMap<String, Instant> = HashMap::new();
        for seen in book.calls.lock().unwrap().values().flatten() {
            firsts.entry(seen.operation.clone()).or_insert(seen.at);
        }
        let of_phase = told.iter().filter(|(_, at)| **at >= from && **at < until);
        let waited = of_phase.filter_map(|(operation, at)| Some(firsts.get(operation)?.saturating_duration_since(*at)));
        let mut waited: Vec<_> = waited.collect();
        waited.sort();
        let [median, longest] = [waited.len() / 2, waited.len().saturating_sub(1)]
            .map(|place| waited.get(place).copied().unwrap_or_default().as_secs_f64());
        println!(
            "{name}: {} accepted, delivered {median:.3} s after that in the median, {longest:.1} s at most",
            waited.len()
        );
    }
    println!("{result:?}");
    result
}

fn holds(result: &Result) {
    assert_eq!(result.lost, 0, "{result:?}");
    assert_eq!(result.out_of_order, 0, "{result:?}");
    assert!(result.delivered >= result.accepted && result.accepted > result.sent / 2, "{result:?}");
    assert!(result.repeated * 20 < result.sent, "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn nothing_is_lost_while_nodes_and_copies_fail() {
    holds(&run("faults", Duration::from_secs(4), Duration::from_millis(25), 20).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes nats-server, and several minutes: 100,000 events"]
async fn long_nothing_is_lost_of_a_hundred_thousand() {
    holds(&run("faults-long", Duration::from_secs(30), Duration::from_millis(9), 100).await);
}
