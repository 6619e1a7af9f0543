//! One connection: how it begins, how calls fare without it, how it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hookgate::config::Class;
use hookgate::config::{self, PolicyTls};
use hookgate::internals::policy::Channel;
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};

use super::server::{
    ANY, Server, allow, allowed, ask, asked, connect, failed, hang, listen, ready, serve, settings, until,
};
use crate::support::nobody;

#[tokio::test]
async fn a_call_says_whom_it_is_for_and_who_asks() {
    let (told, head) = oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let server = Server::at(ANY, move |call| {
        let (head, _) = call.into_parts();
        told.lock().unwrap().take().unwrap().send(head).unwrap();
        Box::pin(async { allowed() })
    })
    .await;
    asked(&connect(server.address)).await;
    let head = head.await.unwrap();
    assert_eq!(
        head.uri.to_string(),
        format!("http://{}/openim.policy.v1.RelationPolicyService/BeforeAddBlack", server.address)
    );
    let header = |name| head.headers[name].to_str().unwrap();
    assert_eq!(header("user-agent"), concat!("hookgate/", env!("CARGO_PKG_VERSION")));
    assert_eq!((header("te"), header("content-type")), ("trailers", "application/grpc"));
}

#[tokio::test]
async fn it_connects_before_it_is_asked() {
    let server = Server::allow().await;
    let channel = connect(server.address);
    until(&channel, |status| ready(status) == 1).await;
    assert_eq!((server.connections(), server.calls()), (1, 0));
}

#[tokio::test]
async fn a_call_waits_for_the_first_connection() {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let channel = connect(listener.local_addr().unwrap());
    let mut call = std::pin::pin!(ask(&channel));
    // The system takes the connection; nobody says anything on it yet.
    let (stream, _) = tokio::select! {
        _ = &mut call => panic!("nobody answers"),
        accepted = listener.accept() => accepted.unwrap(),
    };
    assert_eq!(ready(&channel.status()), 0, "accepted is not ready");
    let http2 = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let (_goaway, never) = tokio::sync::watch::channel(());
    tokio::spawn(super::server::serve(http2, stream, Arc::new(allow), never));
    call.await.expect("an answer");
}

#[tokio::test]
async fn after_a_failed_attempt_calls_fail_at_once() {
    let address = nobody().await;
    let never = Duration::from_secs(3600);
    let url = format!("http://{address}").parse().unwrap();
    let channel = Channel::connect(url, &config::Channel { reconnect_max: never, ..settings() }, &PolicyTls::default());
    for _ in 0..100 {
        let cause = failed(&channel, Class::Unavailable).await;
        assert!(cause.contains(&format!("not connected: {address}: ")) && cause.contains("refused"), "{cause}");
    }
}

#[tokio::test]
async fn a_call_requests_one_attempt() {
    let (accepted, mut attempts) = mpsc::unbounded_channel();
    let address = listen(move |_, stream| {
        accepted.send(Instant::now()).unwrap();
        async move { drop(stream) }
    })
    .await;
    let never = Duration::from_secs(3600);
    let url = format!("http://{address}").parse().unwrap();
    let channel = Channel::connect(url, &config::Channel { reconnect_max: never, ..settings() }, &PolicyTls::default());
    // The next pause is 160 ms at least.
    for _ in 0..6 {
        attempts.recv().await.unwrap();
    }
    failed(&channel, Class::Unavailable).await;
    let requested = attempts.recv().await.unwrap();
    let next = attempts.recv().await.unwrap();
    assert!(next - requested >= Duration::from_millis(100), "{:?}", next - requested);
}

#[tokio::test]
async fn what_does_not_speak_http_2_is_not_connected_and_says_what_it_speaks() {
    for (greeting, expected) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" as &[u8], "it speaks HTTP/1"),
        (b"\x15\x03\x03\0\x02\x02\x46", "it speaks TLS"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "it does not speak HTTP/2"),
        (b"SSH-2.0", "it does not speak HTTP/2"),
        // An acknowledgement of SETTINGS, before its own.
        (b"\0\0\0\x04\x01\0\0\0\0", "it does not speak HTTP/2"),
        (b"", "it hung up before it said anything"),
    ] {
        let address = listen(move |_, mut stream: TcpStream| async move {
            stream.write_all(greeting).await.unwrap();
            // Its end alone: with what was not read the system would reset it.
            stream.shutdown().await.unwrap();
            drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
        });
        let cause = failed(&connect(address.await), Class::Unavailable).await;
        assert!(cause.contains(expected), "{expected}: {cause}");
    }
}

#[tokio::test]
async fn what_accepts_and_says_nothing_is_not_connected() {
    let address = listen(|_, stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let limit = Duration::from_millis(20);
    let url = format!("http://{address}").parse().unwrap();
    let channel =
        Channel::connect(url, &config::Channel { connect_timeout: limit, ..settings() }, &PolicyTls::default());
    let cause = failed(&channel, Class::Unavailable).await;
    assert!(cause.contains("no connection within 20ms"), "{cause}");
}

#[tokio::test]
async fn a_restart_fails_calls_in_flight_and_those_that_find_nobody_and_no_others() {
    let server = Server::allow().await;
    let address = server.address;
    let channel = connect(address);
    asked(&channel).await;

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let failures = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (channel, stopped, failures) = (channel.clone(), stopped.clone(), failures.clone());
            tokio::spawn(async move {
                let mut calls = Vec::new();
                while !*stopped.borrow() {
                    let began = std::time::Instant::now();
                    let ok = ask(&channel).await.is_ok();
                    failures.fetch_add(usize::from(!ok), Ordering::SeqCst);
                    calls.push((began, ok, std::time::Instant::now()));
                }
                calls
            })
        })
        .collect();
    let mut restarts = Vec::new();
    let mut server = server;
    for _ in 0..5 {
        while server.calls() < 50 {
            tokio::task::yield_now().await;
        }
        let down = std::time::Instant::now();
        server.kill().await;
        until(&channel, |status| status.addresses[0].state.contains("refused")).await;
        let before = failures.load(Ordering::SeqCst);
        while failures.load(Ordering::SeqCst) < before + 4 {
            tokio::task::yield_now().await;
        }
        server = Server::at(address, allow).await;
        restarts.push((down, std::time::Instant::now()));
    }
    while server.calls() < 50 {
        tokio::task::yield_now().await;
    }
    stop.send_replace(true);
    for caller in callers {
        for (began, ok, ended) in caller.await.unwrap() {
            let excused = restarts.iter().any(|(down, up)| began <= *up && ended >= *down);
            assert!(ok || excused, "failed while the policy was up");
        }
    }
}

#[tokio::test]
async fn a_call_that_begins_when_the_policy_listens_again_is_answered() {
    let mut server = Server::allow().await;
    let address = server.address;
    let url = format!("http://{address}").parse().unwrap();
    let never = Duration::from_secs(3600);
    let channel = Channel::connect(url, &config::Channel { reconnect_max: never, ..settings() }, &PolicyTls::default());
    asked(&channel).await;
    for _ in 0..20 {
        server.kill().await;
        until(&channel, |status| status.addresses[0].state.contains("refused")).await;
        failed(&channel, Class::Unavailable).await;
        server = Server::at(address, allow).await;
        asked(&channel).await;
    }
}

#[tokio::test]
async fn while_nobody_listens_no_call_waits_for_the_attempts_of_others() {
    let channel = connect(nobody().await);
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    // Before its minute is over, after which it would be late.
                    let cause = failed(&channel, Class::Unavailable).await;
                    assert!(cause.contains("refused"), "{cause}");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

/// As what stands before a container does while nothing listens in it.
#[tokio::test]
async fn where_something_hung_up_a_call_that_begins_when_the_policy_is_back_is_answered() {
    let there = Arc::new(AtomicBool::new(false));
    let is_there = there.clone();
    let address = listen(move |_, stream| {
        let is_there = is_there.load(Ordering::SeqCst);
        async move {
            if is_there {
                let (_stay, told) = tokio::sync::watch::channel(());
                serve(http2::Builder::new(TokioExecutor::new()), stream, Arc::new(allow), told).await;
            }
        }
    })
    .await;
    let url = format!("http://{address}").parse().unwrap();
    let never = Duration::from_secs(3600);
    let channel = Channel::connect(url, &config::Channel { reconnect_max: never, ..settings() }, &PolicyTls::default());
    for _ in 0..10 {
        failed(&channel, Class::Unavailable).await;
    }
    there.store(true, Ordering::SeqCst);
    asked(&channel).await;
}

#[tokio::test]
async fn no_call_waits_for_an_attempt_that_takes_long() {
    let forever = Duration::from_secs(3600);
    let patient = config::Channel { connect_timeout: forever, ..settings() };
    // Something hangs up late, and then says nothing at all.
    let late = listen(move |number, stream| async move {
        let pause = if number == 0 { Duration::from_millis(60) } else { forever };
        tokio::time::sleep(pause).await;
        drop(stream);
    })
    .await;
    let channel = Channel::connect(format!("http://{late}").parse().unwrap(), &patient, &PolicyTls::default());
    for _ in 0..3 {
        failed(&channel, Class::Unavailable).await;
    }
    // Nothing listens, and then something does that says nothing.
    let address = nobody().await;
    let channel = Channel::connect(format!("http://{address}").parse().unwrap(), &patient, &PolicyTls::default());
    assert!(failed(&channel, Class::Unavailable).await.contains("refused"));
    let _silent = TcpListener::bind(address).await.unwrap();
    for _ in 0..3 {
        assert!(failed(&channel, Class::Unavailable).await.contains("refused"));
    }
}

#[tokio::test]
async fn a_connection_that_has_gone_silent_is_replaced_and_its_calls_are_told() {
    let server =
        Server::at(ANY, |call| if call.headers().contains_key("hang") { hang(call) } else { allow(call) }).await;
    let behind = server.address;
    let (freeze, frozen) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (freezes, is_frozen) = (freeze.clone(), frozen.clone());
    let proxy = listen(move |number, mut stream: TcpStream| {
        let (freezes, is_frozen) = (freezes.clone(), is_frozen.clone());
        async move {
            let mut server = TcpStream::connect(behind).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut stream, &mut server) => {}
                () = freezes.notified(), if number == 0 => {
                    is_frozen.notify_one();
                    std::future::pending().await
                }
            }
        }
    })
    .await;
    let brief = Duration::from_millis(50);
    let url = format!("http://{proxy}").parse().unwrap();
    let channel = Channel::connect(
        url,
        &config::Channel { keep_alive: brief, keep_alive_timeout: brief, ..settings() },
        &PolicyTls::default(),
    );
    asked(&channel).await;
    freeze.notify_one();
    frozen.notified().await;
    let cause = failed(&channel, Class::Unavailable).await;
    assert!(cause.contains("the call was cut off"), "{cause}");
    asked(&channel).await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_channel_that_nobody_holds_hangs_up() {
    let (ended, end) = oneshot::channel();
    let ended = std::sync::Mutex::new(Some(ended));
    let address = listen(move |_, mut stream: TcpStream| {
        let ended = ended.lock().unwrap().take();
        async move {
            // In pieces, as a network may deliver it.
            for byte in b"\0\0\0\x04\0\0\0\0\0" {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
            ended.unwrap().send(()).unwrap();
        }
    })
    .await;
    let channel = connect(address);
    until(&channel, |status| ready(status) == 1).await;
    drop(channel);
    end.await.unwrap();
}
