//! Listening sockets that the process is started with, and that outlive it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{AFTER, BEFORE, Kept};
use crate::support::activated::activated;
use crate::support::program::{EVERYTHING_FREE, Running, hookgate};
use crate::support::{ALLOWED, Policy, file, free};

/// A listening socket that no hookgate has, with a queue of one as systemfd makes it, and its address.
fn socket() -> (OwnedFd, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap().into_std().unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

/// hookgate with these addresses, before a policy.
fn at(listen: &str, admin: &str, policy: &str, more: &[&str]) -> Command {
    hookgate(&[&["--listen", listen, "--admin-listen", admin, "--policy", policy], more].concat())
}

fn request(command: &str) -> String {
    format!("POST /{command} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}")
}

/// Reads a reply to its end; a connection that waits for one is the test's own.
async fn reply(mut stream: impl Read + Send + 'static) -> String {
    let read = move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("no reset");
        text
    };
    spawn_blocking(read).await.unwrap()
}

#[tokio::test]
async fn who_connects_between_two_processes_is_answered_by_the_second() {
    let (policy, mut asked, release) = Policy::that_waits().await;
    let ((webhooks, address), (admin, admin_address)) = (socket(), socket());
    let file = file("activation.yaml", "budget: 15s\ndrain: {delay: 10ms, time: 1m}");
    let command = at(&address.to_string(), &admin_address.to_string(), &policy.url(), &["--config", &file]);
    let start = async || Running::of(activated(&command, &[&admin, &webhooks])).await;

    let mut first = start().await;
    let mut busy = Kept::open(address).await;
    let in_flight = tokio::spawn(async move { busy.post(BEFORE).await });
    asked.recv().await.unwrap();
    first.signal("-TERM").await;
    first.says("leaving new connections to the next process").await;
    let mut early = TcpStream::connect(address).unwrap();
    early.write_all(request(BEFORE).as_bytes()).unwrap();
    release.send(true).unwrap();
    assert_eq!(in_flight.await.unwrap().body, ALLOWED);
    let (code, said) = first.end().await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("listening on the socket that was passed").count(), 2, "{said}");
    let late = [(); 100].map(|()| {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(60)).expect("room in the queue");
        stream.write_all(request(BEFORE).as_bytes()).unwrap();
        stream
    });
    let mut probe = TcpStream::connect(admin_address).unwrap();
    probe.write_all(b"GET /livez HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();

    let second = start().await;
    for stream in late.into_iter().chain([early]) {
        let reply = reply(stream).await;
        assert!(reply.ends_with(ALLOWED), "{reply}");
    }
    assert!(reply(probe).await.ends_with("ok\n"));
    assert_eq!(second.status().await["callbacks"][BEFORE]["outcomes"]["allow"], 101);
}

#[tokio::test]
async fn the_file_of_a_unix_socket_that_was_passed_stays() {
    let (path, policy) = (free("passed.sock"), Policy::allow().await);
    let socket = OwnedFd::from(UnixListener::bind(&path).unwrap());
    let listen = format!("unix://{}", path.display());
    let command = at(&listen, "127.0.0.1:0", &policy.url(), &[]);
    for _ in 0..2 {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(request(BEFORE).as_bytes()).unwrap();
        let running = Running::of(activated(&command, &[&socket])).await;
        assert!(reply(stream).await.ends_with(ALLOWED));
        running.signal("-INT").await;
        assert_eq!(running.end().await.0, Some(0));
    }
}

/// Starts a hookgate with an outbox in a directory of this name, and another one that waits for it on the same sockets. Returns the
/// policy, both, and the address of the webhooks.
async fn two_on_one_outbox(name: &str, more: &[&str]) -> (Policy, Running, Child, SocketAddr) {
    let (policy, data) = (Policy::allow().await, free(name));
    let ((webhooks, address), (admin, admin_address)) = (socket(), socket());
    let _ = std::fs::remove_dir_all(&data);
    let options = [&["--data", data.to_str().unwrap()], more].concat();
    let command = at(&address.to_string(), &admin_address.to_string(), &policy.url(), &options);
    let first = Running::of(activated(&command, &[&webhooks, &admin])).await;
    let second = activated(&command, &[&webhooks, &admin]).spawn().unwrap();
    (policy, first, second, address)
}

#[tokio::test]
async fn it_waits_for_the_outbox_of_the_process_before_it() {
    let (_policy, first, mut second, address) = two_on_one_outbox("activation-data", &[]).await;
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    let mut says = async |words: &str| loop {
        let line = lines.next_line().await.unwrap().expect("it goes on");
        if line.contains(words) {
            break;
        }
    };
    says("outbox in use, waiting for the process before this one").await;
    first.signal("-INT").await;
    let stream = TcpStream::connect(address).unwrap();
    (&stream).write_all(request(AFTER).as_bytes()).unwrap();
    assert!(reply(stream).await.ends_with(ALLOWED));
    assert_eq!(first.end().await.0, Some(0));
    says("hookgate ready").await;
    second.kill().await.unwrap();
}

#[tokio::test]
async fn one_that_waits_for_the_outbox_can_be_stopped() {
    let file = file("activation-stopped.yaml", "drain: {time: 5m}");
    let (_policy, first, mut second, _) = two_on_one_outbox("activation-stopped", &["--config", &file]).await;
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().expect("it waits").contains("outbox in use") {}
    let kill = format!("kill -TERM {}", second.id().unwrap());
    assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    let ended = timeout(Duration::from_secs(60), second.wait()).await.expect("it does not wait for the first");
    assert_eq!(ended.unwrap().code(), Some(0));
    assert_eq!(first.post(BEFORE, "{}").await.body, ALLOWED);
}

#[tokio::test]
async fn a_socket_that_no_setting_names_is_a_mistake() {
    let (taken, address) = socket();
    let connected = OwnedFd::from(TcpStream::connect(address).unwrap());
    let no_socket = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let command = at("127.0.0.1:0", "127.0.0.1:0", "builtin", &["--builtin-listen", "127.0.0.1:0"]);
    let own = "neither listen (127.0.0.1:0) nor admin_listen (127.0.0.1:0)";
    let other = format!("--listen: LISTEN_FDS has a socket on {address}, which is {own}");
    for (socket, code, expected) in [
        (&taken, 2, &*other),
        (&connected, 1, "hookgate: socket 0 of LISTEN_FDS: Invalid argument"),
        (&no_socket, 1, "hookgate: socket 0 of LISTEN_FDS: it is neither a TCP nor a Unix stream socket"),
    ] {
        let output = activated(&command, &[socket]).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && said.contains(expected), "{said}");
    }
    // Those of another process are not ours.
    let mut command = hookgate(&EVERYTHING_FREE);
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let running = Running::of(command).await;
    assert_eq!(running.post(BEFORE, "{}").await.body, ALLOWED);
}

#[tokio::test]
async fn the_service_manager_is_told_what_it_does() {
    let path = free("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut buffer = [0; 1024];
    let mut told = || {
        let length = manager.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = hookgate(&EVERYTHING_FREE);
    command.env("NOTIFY_SOCKET", &path).stdout(Stdio::null());
    let running = Running::of(command).await;
    assert_eq!(told(), "READY=1\n");
    running.signal("-HUP").await;
    let reloading = told();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told(), "READY=1\n");
    running.signal("-TERM").await;
    assert_eq!(told(), "STOPPING=1\n");
    assert_eq!(running.end().await.0, Some(0));
}
