//! A call passes its deadline without an answer: the peer may be frozen, or the call slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hookgate::config::Class;
use hookgate::config::{self, PolicyTls};
use hookgate::internals::policy::Channel;
use hookgate::internals::policy::health::{self, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::health::policy;
use super::retry::{SETTINGS, until_a_call};
use super::server::{
    ANY, Server, allow, ask, ask_of, ask_within, asked, asking, connect, connect_by_name, hang, listen, ready,
    settings, until,
};
use crate::support::program::{Running, configured};

const SOON: Duration = Duration::from_millis(200);

/// A proxy before a server that freezes when it is told.
async fn freezing(behind: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let (freeze, frozen) = watch::channel(false);
    let address = listen(move |_, mut stream: TcpStream| {
        let mut frozen = frozen.clone();
        async move {
            let mut server = TcpStream::connect(behind).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut stream, &mut server) => {}
                () = async { drop(frozen.wait_for(|frozen| *frozen).await) } => std::future::pending().await,
            }
        }
    })
    .await;
    (address, freeze)
}

#[tokio::test]
async fn a_frozen_address_gets_no_call_after_its_first_late_one_and_is_disconnected() {
    let (behind, well) = (Server::allow().await, Server::allow().await);
    let (frozen, freeze) = freezing(behind.address).await;
    let (channel, _name) = connect_by_name(&[frozen, well.address]);
    until(&channel, |status| ready(status) == 2).await;
    freeze.send_replace(true);
    while ask_within(&channel, SOON).await.is_ok() {}
    let began = Instant::now();
    // All at once, so that the other one soon has more calls in flight; on the frozen one they would be cut off.
    let calls = [(); 50].map(|()| asking(&channel));
    for call in calls {
        call.await.unwrap().expect("an answer");
    }
    until(&channel, |status| status.addresses.iter().filter(|address| address.is_ready).count() == 1).await;
    // By keepalive alone it would take 15 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_frozen_address_that_served_holds_up_no_call_that_another_can_take_whose_health_is_unknown() {
    let says = [1, 0].map(|says| Arc::new(AtomicU8::new(says)));
    let calls = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let servers = [policy(&says[0], &calls[0]).await, policy(&says[1], &calls[1]).await];
    let (frozen, freeze) = freezing(servers[0].address).await;
    let (channel, _name) = connect_by_name(&[frozen, servers[1].address]);
    let mut states = health::watch(channel.clone(), || Duration::from_secs(3600));
    states.wait_for(State::is_ready).await.unwrap();
    until(&channel, |status| ready(status) == 2).await;
    freeze.send_replace(true);
    ask_within(&channel, Duration::from_millis(50)).await.expect_err("it is frozen");
    // It is disconnected after a second, which does not pass: the clock stands still while this other task is there.
    let (done, until_done) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || until_done.recv_timeout(Duration::from_secs(60)));
    tokio::time::pause();
    let stopped = tokio::time::Instant::now();
    asked(&channel).await;
    assert_eq!((calls[1].load(Ordering::SeqCst), stopped.elapsed()), (1, Duration::ZERO), "the other one answers");
    drop(done);
}

#[tokio::test]
async fn a_call_in_flight_on_a_frozen_connection_is_told_within_about_a_second() {
    let server = Server::at(ANY, hang).await;
    let (address, freeze) = freezing(server.address).await;
    let channel = connect(address);
    until(&channel, |status| ready(status) == 1).await;
    let call = asking(&channel);
    while server.calls() == 0 {
        tokio::task::yield_now().await;
    }
    freeze.send_replace(true);
    let began = Instant::now();
    ask_within(&channel, SOON).await.expect_err("it is frozen");
    let failure = call.await.unwrap().expect_err("cut off");
    assert_eq!(failure.class, Class::Unavailable, "{failure}");
    // By keepalive alone it would take 15 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_slow_call_alone_costs_the_others_nothing() {
    let slow =
        |call: super::server::Call| if call.uri().path().ends_with("AddBlack") { hang(call) } else { allow(call) };
    let server = Server::at(ANY, slow).await;
    let channel = connect(server.address);
    for _ in 0..20 {
        ask_within(&channel, Duration::from_millis(5)).await.expect_err("it is slow");
        // It waits for the ping's answer.
        ask_of(&channel, "callbackBeforeAddFriendCommand", Duration::from_secs(60)).await.expect("an answer");
    }
    assert_eq!(server.connections(), 1);
}

/// Speaks HTTP/2 as far as it must: says when it is pinged, and does what it is told then.
async fn pinged(
    mut stream: TcpStream,
    pings: mpsc::UnboundedSender<Duration>,
    goaway: Option<&'static [u8]>,
) -> Result<(), std::io::Error> {
    let began = Instant::now();
    stream.write_all(SETTINGS).await?;
    stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [_, high, low, kind, flags, ..] = head;
        let mut payload = vec![0; u16::from_be_bytes([high, low]).into()];
        stream.read_exact(&mut payload).await?;
        if kind == 6 && flags & 1 == 0 {
            let _ = pings.send(began.elapsed());
            if let Some(goaway) = goaway {
                return stream.write_all(goaway).await;
            }
            stream.write_all(&[b"\0\0\x08\x06\x01\0\0\0\0", &*payload].concat()).await?;
        }
    }
}

#[tokio::test]
async fn too_many_pings_doubles_the_pause_and_another_goaway_does_not() {
    let pause = Duration::from_millis(50);
    let brief = config::Channel { keep_alive: pause, ..settings() };
    for (goaway, least) in [
        (b"\0\0\x16\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo_many_pings" as &[u8], [1, 2, 4, 8]),
        (b"\0\0\x16\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo_many_calls", [1, 1, 1, 1]),
        (b"\0\0\x16\x07\0\0\0\0\0\0\0\0\0\0\0\0\0too_many_pings", [1, 1, 1, 1]),
    ] {
        let (pings, mut heard) = mpsc::unbounded_channel();
        let address = listen(move |_, stream| {
            let pings = pings.clone();
            async move { drop(pinged(stream, pings, Some(goaway)).await) }
        })
        .await;
        let url = format!("http://{address}").parse().unwrap();
        let _channel = Channel::connect(url, &brief, &PolicyTls::default());
        for times in least {
            let after = heard.recv().await.unwrap();
            assert!(after >= pause * times - Duration::from_millis(5), "{after:?}, not {times} times {pause:?}");
        }
        if least[3] == 1 {
            for _ in 0..4 {
                heard.recv().await.unwrap();
            }
            // Doubled each time it would be 12.8 s after the connection was made.
            let ninth = heard.recv().await.unwrap();
            assert!(ninth < Duration::from_secs(6), "{ninth:?}");
        }
    }
}

#[tokio::test]
async fn too_many_pings_is_named_in_the_log() {
    let goaway = b"\0\0\x16\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo_many_pings";
    let (pings, _heard) = mpsc::unbounded_channel();
    let address = listen(move |_, stream| {
        let pings = pings.clone();
        async move { drop(pinged(stream, pings, Some(goaway)).await) }
    })
    .await;
    let url = format!("http://{address}");
    let mut program = Running::of(configured(&url, "too-many-pings", "channel: {keep_alive: 50ms}")).await;
    let line = program.says("policy says too_many_pings").await;
    let shown = [&*address.to_string(), "WARN", "keep_alive="].map(|part| line.contains(part));
    assert_eq!(shown, [true; 3], "{line}");
}

#[tokio::test]
async fn late_calls_ping_at_once_and_then_no_oftener_than_servers_allow_that_say_nothing_else() {
    let (pings, mut heard) = mpsc::unbounded_channel();
    let address = listen(move |_, stream| {
        let pings = pings.clone();
        async move { drop(pinged(stream, pings, None).await) }
    })
    .await;
    let channel = connect(address);
    until(&channel, |status| ready(status) == 1).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        ask_within(&channel, Duration::from_millis(5)).await.expect_err("nobody answers");
    }
    // Keepalive's comes after 10 s.
    let first = heard.recv().await.unwrap();
    assert!(first < Duration::from_secs(10), "{first:?}");
    if began.elapsed() < Duration::from_secs(1) {
        assert!(heard.try_recv().is_err(), "a second ping within a second");
    }
}

#[tokio::test]
async fn what_a_goaway_says_is_cut_where_a_call_fails_of_it() {
    let address = listen(|_, mut stream: TcpStream| async move {
        stream.write_all(SETTINGS).await.unwrap();
        until_a_call(&mut stream).await;
        // It was not looked at; INTERNAL_ERROR.
        let head = b"\0\x3f\xf8\x07\0\0\0\0\0\0\0\0\0\0\0\0\x02" as &[u8];
        stream.write_all(&[head, &[b'x'; 0x3ff0]].concat()).await.unwrap();
        drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
    })
    .await;
    let failure = ask(&connect(address)).await.expect_err("it leaves");
    let cause = &failure.cause;
    assert!(cause.contains("xxx") && cause.len() < 500, "{} bytes: {}", cause.len(), &cause[..cause.len().min(500)]);
}

#[tokio::test]
async fn an_answered_call_is_none_of_this() {
    let server = Server::allow().await;
    let channel = connect(server.address);
    for _ in 0..50 {
        asked(&channel).await;
    }
    assert_eq!(ready(&channel.status()), 1);
}
