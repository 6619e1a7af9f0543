//! The front under hostile and heavy use: what it holds is bounded, what it refuses says why and is counted, and nobody
//! keeps another one out.

use std::collections::BTreeMap;
use std::time::Duration;

use hookgate::app::App;
use hookgate::config::{Address, Config};
use hookgate::contract::Callback;
use hookgate::internals::observe::Outcome;
use hookgate::internals::observe::Reason;
use hookgate::internals::outbox;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use crate::support::program::{Running, configured, hookgate};
use crate::support::{self, ALLOWED, COMMAND, Gate, Policy, Reply, file};

const AFTER: &str = "callbackAfterRemoveBlackCommand";

/// Writes bytes to a connection of its own, and reads what comes back until its end.
async fn exchange(gate: &Gate, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    String::from_utf8(reply).unwrap()
}

fn outcome(reply: &Reply) -> &str {
    reply.headers["hookgate-outcome"].to_str().unwrap()
}

/// Waits until so many bytes are held.
async fn until_held(gate: &Gate, bytes: usize) {
    while gate.status.memory.held() != bytes {
        yield_now().await;
    }
}

/// Reads one reply that allows, of a connection that goes on.
async fn read_reply(stream: &mut TcpStream) {
    let mut reply = Vec::new();
    while !reply.ends_with(ALLOWED.as_bytes()) {
        reply.push(stream.read_u8().await.expect("more of a reply"));
    }
}

fn assert_denies(reply: &str, status: u16, sentence: &str) {
    assert_eq!(reply.matches("\r\n\r\n").count(), 1, "one head, with a body: {reply}");
    assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
    let body = format!(r#""errMsg":"{sentence}","errDlt":"{sentence}","nextCode":1}}"#);
    assert!(reply.ends_with(&body), "{reply}");
    assert!(reply.contains("content-type: application/json\r\n"), "{reply}");
}

#[tokio::test]
async fn what_does_not_fit_into_memory_is_overloaded_and_what_goes_makes_room() {
    let (policy, mut was_asked, release) = Policy::that_waits().await;
    let mut config = support::config();
    (config.limits.body, config.limits.memory) = (64 << 10, 200 << 10);
    config.after.answer_within = Duration::ZERO;
    let gate = std::sync::Arc::new(Gate::configured(&policy.url(), config).await);
    let long = format!(r#"{{"ownerUserID":"{}"}}"#, "x".repeat(60_000));
    let waiting = {
        let (gate, long) = (gate.clone(), long.clone());
        tokio::spawn(async move { gate.post(&format!("/{COMMAND}"), long).await })
    };
    was_asked.recv().await.unwrap();
    // Its body, its message, and that on its way to the policy.
    until_held(&gate, 3 * long.len()).await;
    let refused = gate.post(&format!("/{COMMAND}"), long.clone()).await;
    assert_eq!((refused.status.as_u16(), outcome(&refused)), (200, "failed-closed:overloaded"));
    assert_eq!(refused.json()["nextCode"], 1);
    let lost = gate.post(&format!("/{AFTER}"), long.clone()).await;
    assert_eq!((&*lost.body, outcome(&lost)), (ALLOWED.as_bytes(), "failed-open:overloaded"));
    assert_eq!(gate.events.counts().undelivered(outbox::Reason::Overloaded), 1);
    // An allow of this one repeats what the webhook said, which nobody has read.
    let echoing = gate.post("/callbackBeforeSetGroupInfoCommand", long.clone()).await;
    assert_eq!(echoing.json()["nextCode"], 1);
    // Small ones are no burden.
    let small = {
        let gate = gate.clone();
        tokio::spawn(async move { gate.post(&format!("/{COMMAND}"), "{}").await })
    };
    was_asked.recv().await.unwrap();
    release.send(true).unwrap();
    for call in [waiting, small] {
        assert_eq!(call.await.unwrap().body, ALLOWED);
    }
    until_held(&gate, 0).await;
    assert_eq!(gate.post(&format!("/{COMMAND}"), long).await.body, ALLOWED);
    until_held(&gate, 0).await;
}

#[tokio::test]
async fn a_body_counts_as_it_comes_and_not_as_it_is_promised() {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let head = format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\ncontent-length: 8000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b' '; 100_000]).await.unwrap();
    until_held(&gate, 100_000).await;
    drop(stream);
    until_held(&gate, 0).await;
}

#[tokio::test]
async fn unfinished_heads_get_a_quarter_of_the_memory() {
    let policy = Policy::allow().await;
    let mut config = support::config();
    (config.limits.body, config.limits.memory) = (10 << 10, 40 << 10);
    let gate = Gate::configured(&policy.url(), config).await;
    let begun = format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\nx: ");
    let mut first = TcpStream::connect(gate.address).await.unwrap();
    first.write_all(begun.as_bytes()).await.unwrap();
    while gate.status.connections.held() == 0 {
        yield_now().await;
    }
    // The first piece lies in the room that each connection has.
    let mut sent = 0;
    while gate.status.heads.held() < 8_000 {
        first.write_all(&[b'x'; 1000]).await.unwrap();
        sent += 1000;
        yield_now().await;
    }
    assert!(sent >= 8_000);
    let mut reply = String::new();
    let mut second = TcpStream::connect(gate.address).await.unwrap();
    second.write_all(begun.as_bytes()).await.unwrap();
    while gate.status.connections.held() < 2 {
        yield_now().await;
    }
    let more = async {
        while second.write_all(&[b'x'; 1000]).await.is_ok() && sent < 100_000 {
            sent += 1000
        }
    };
    more.await;
    let _ = second.read_to_string(&mut reply).await;
    assert!(reply.contains("hookgate-outcome: failed-closed:overloaded\r\n"), "{reply}");
    first.write_all(b"\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    let mut reply = [0; 12];
    first.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 200");
    until_held(&gate, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_has_begun_has_fifteen_seconds_and_an_idle_connection_all_the_time() {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    let mut idle = TcpStream::connect(gate.address).await.unwrap();
    let request = format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{{}}");
    let mut kept = TcpStream::connect(gate.address).await.unwrap();
    kept.write_all(request.as_bytes()).await.unwrap();
    read_reply(&mut kept).await;

    let began = Instant::now();
    let mut slow = TcpStream::connect(gate.address).await.unwrap();
    let mut reply = String::new();
    // A byte now and then is no reason to wait.
    for byte in "POST".as_bytes() {
        slow.write_all(&[*byte]).await.unwrap();
        sleep(Duration::from_secs(4)).await;
    }
    slow.read_to_string(&mut reply).await.unwrap();
    assert_denies(&reply, 408, "the request's head did not arrive in time");
    // From the first byte, not from the last one.
    assert!((15..25).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(gate.status.callers_refused.counted(Reason::HeadTimeout), 1);

    sleep(Duration::from_secs(120)).await;
    for stream in [&mut idle, &mut kept] {
        stream.write_all(request.as_bytes()).await.unwrap();
        read_reply(stream).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_reads_is_not_kept_for_ever() {
    let policy = Policy::allow().await;
    let mut config = support::config();
    config.budget = Duration::from_secs(3600);
    let gate = Gate::configured(&policy.url(), config).await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let body = format!(r#"{{"groupName":"{}"}}"#, "x".repeat(7 << 20));
    let head = format!(
        "POST /callbackBeforeSetGroupInfoCommand HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    while gate.status.connections.held() > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    until_held(&gate, 0).await;
}

#[tokio::test]
async fn a_head_over_the_limit_is_a_denial_that_says_so_and_is_counted_by_its_command() {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    let sentence = "the head of the request is larger than 32768 bytes (limits.head) or has more than 100 fields";
    let long = format!("x: {}\r\n", "x".repeat(33_000));
    let many = "x: y\r\n".repeat(101);
    let head =
        |command: &str, fields: &str| format!("POST /{command} HTTP/1.1\r\nhost: h\r\noperationid: op\r\n{fields}\r\n");
    for command in [COMMAND, AFTER] {
        for (times, fields) in [(1, &long), (2, &many)] {
            assert_denies(&exchange(&gate, head(command, fields).as_bytes()).await, 431, sentence);
            let counted = gate.status.of(Callback::by_command(command).unwrap()).counted(Outcome::Refused);
            assert_eq!(counted, times, "{command}");
        }
    }
    assert_eq!(gate.events.counts().undelivered(outbox::Reason::TooLarge), 2);
    // Whose command is not known.
    for request in [head("nothing", &long), format!("POST /{}", "x".repeat(33_000))] {
        assert_denies(&exchange(&gate, request.as_bytes()).await, 431, sentence);
    }
    let counts: BTreeMap<_, _> = gate.status.not_webhooks().collect();
    assert_eq!((counts["head_too_large"], policy.take_calls().len()), (2, 0));
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_lost_event_where_it_is_one() {
    let policy = Policy::allow().await;
    let mut config = support::config();
    config.limits.body = 1000;
    let gate = Gate::configured(&policy.url(), config).await;
    for command in [COMMAND, AFTER] {
        let reply = gate.post(&format!("/{command}"), " ".repeat(1001)).await;
        assert_eq!(reply.status.as_u16(), 413);
        assert_eq!(reply.json()["errMsg"], "the body is larger than 1000 bytes (limits.body)");
    }
    assert_eq!(gate.events.counts().undelivered(outbox::Reason::TooLarge), 1);
}

#[tokio::test]
async fn what_is_refused_for_its_size_is_in_the_log_with_the_setting_and_a_lost_event_is_said_to_be_one() {
    let policy = Policy::allow().await;
    let yaml = "limits: {body: 1KiB, head: 1KiB}";
    let mut program = Running::of(configured(&policy.url(), "too-large", yaml)).await;
    let body = " ".repeat(1025);
    program.post(COMMAND, &body).await;
    let line = program.says("webhook refused").await;
    assert!(line.contains("WARN") && line.contains("1024 bytes (limits.body)"), "{line}");
    assert_eq!(program.post(AFTER, &body).await.status, 413);
    let line = program.says("event lost").await;
    assert!(["WARN", AFTER, "reason=\"too_large\""].iter().all(|part| line.contains(part)), "{line}");
    let line = program.says("webhook refused").await;
    assert!(line.contains(AFTER) && line.contains("(limits.body)"), "{line}");

    let mut stream = TcpStream::connect(program.webhooks).await.unwrap();
    let head = format!("POST /{AFTER} HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(2000));
    stream.write_all(head.as_bytes()).await.unwrap();
    let line = program.says("event lost").await;
    assert!(line.contains(AFTER) && line.contains("reason=\"too_large\""), "{line}");
    let line = program.says("webhook refused").await;
    assert!(line.contains(AFTER) && line.contains("1024 bytes (limits.head)"), "{line}");
    let lost = &program.status().await["after_events"]["undelivered"]["too_large"];
    assert_eq!(lost, 2);
}

#[tokio::test]
async fn what_is_no_http_1_1_is_told_so_and_has_a_line_that_says_what_it_is() {
    let policy = Policy::allow().await;
    let request = format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{{}}");
    let proxy = "HTTP is spoken here, without the PROXY protocol before it";
    let cases: [(&[u8], Reason, &str); 6] = [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", Reason::Http2, "HTTP/1.1 is spoken here, not HTTP/2"),
        (&[b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n", request.as_bytes()].concat(), Reason::ProxyProtocol, proxy),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x05\0\x06", Reason::ProxyProtocol, proxy),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", Reason::NotHttp, "this is no HTTP/1.1 request"),
        (b"POST /\0 HTTP/1.1\r\n\r\n", Reason::NotHttp, "this is no HTTP/1.1 request"),
        (b"POST / HTTP/1.1\r\nbad name: x\r\n\r\n", Reason::NotHttp, "this is no HTTP/1.1 request"),
    ];
    let gate = Gate::start(&policy.url()).await;
    let mut program = Running::of(configured(&policy.url(), "no-http", "log: debug")).await;
    for (bytes, reason, sentence) in cases {
        let before = gate.status.callers_refused.counted(reason);
        assert_denies(&exchange(&gate, bytes).await, 400, sentence);
        assert_eq!(gate.status.callers_refused.counted(reason), before + 1);
    }
    for (bytes, reason, _) in [cases[0], cases[1], cases[3]] {
        let mut stream = TcpStream::connect(program.webhooks).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let line = program.says("connection rejected").await;
        assert!(line.contains(&format!("reason=\"{}\"", <&str>::from(reason))), "{line}");
        assert_eq!(line.contains("WARN"), reason != Reason::NotHttp, "{line}");
    }
}

#[tokio::test]
async fn many_connections_to_the_admin_listener_keep_nobody_out() {
    let policy = Policy::allow().await;
    let program = Running::of(configured(&policy.url(), "admin-crowd", "log: error")).await;
    let mut held = Vec::new();
    for place in 0..200 {
        let mut stream = TcpStream::connect(program.admin).await.unwrap();
        if place % 2 == 0 {
            stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        }
        held.push(stream);
    }
    assert_eq!(program.ask("/livez").await.status.as_u16(), 200);
    // The oldest have made room.
    assert!(matches!(held[0].read(&mut [0]).await, Ok(0) | Err(_)));
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap().count();
    assert!(open < 150, "{open}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_to_the_admin_listener_is_given_up_when_it_says_no_more() {
    let policy = Policy::allow().await;
    let config = Config {
        listen: Address::Tcp(([127, 0, 0, 1], 0).into()),
        admin_listen: Address::Tcp(([127, 0, 0, 1], 0).into()),
        policy: Some(policy.url().parse().unwrap()),
        ..support::config()
    };
    let app = App::build(config).await.unwrap();
    let admin = app.admin_address().unwrap().tcp().unwrap();
    tokio::spawn(app.run(std::future::pending()));
    for (said, patience) in [("", 120), ("GET /livez HTTP/1.1\r\n", 10)] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(admin).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let end = timeout(Duration::from_secs(3600), stream.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "it is kept after {said:?}");
        assert!((patience..patience + 30).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn with_few_descriptors_a_new_caller_is_told_that_it_is_one_too_many() {
    let policy = Policy::allow().await;
    let yaml = file("few-descriptors.yaml", "log: error");
    let args =
        ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--policy", &policy.url(), "--config", &yaml];
    let command = hookgate(&args);
    let mut limited = tokio::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]).arg(command.as_std().get_program()).args(args);
    limited.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let program = Running::of(limited).await;
    while program.post(COMMAND, "{}").await.body != ALLOWED {
        yield_now().await;
    }
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect(program.webhooks).await.unwrap());
        held.push(TcpStream::connect(program.admin).await.unwrap());
    }
    for _ in 0..3 {
        let reply = program.post(COMMAND, "{}").await;
        assert_eq!(outcome(&reply), "failed-closed:overloaded");
    }
    assert_eq!(program.ask("/livez").await.status.as_u16(), 200);
    // Those within the bound are as they were.
    let request = format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
    held[0].write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    held[0].read_to_string(&mut reply).await.unwrap();
    assert!(reply.ends_with(ALLOWED), "{reply}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_connection_is_asked_whether_it_is_still_there() {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    let silent = TcpStream::connect(gate.address).await.unwrap();
    while gate.status.connections.held() == 0 {
        yield_now().await;
    }
    let (here, there) =
        (format!(":{:04X}", gate.address.port()), format!(":{:04X}", silent.local_addr().unwrap().port()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words[1].ends_with(&here) && words[2].ends_with(&there)
    });
    // The timer that runs: 02 is that of keep-alive.
    let timer = line.unwrap().split_whitespace().nth(5).unwrap();
    assert!(timer.starts_with("02:"), "{timer}");
}
