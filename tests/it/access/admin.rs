//! Pages in a browser cannot use the admin routes that show events or change something.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::support::program::{Running, configured, hookgate};
use crate::support::{Policy, free};

/// The status and the body of the answer to these bytes, which ask for the connection to be closed.
async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, bytes: &str) -> (u16, String) {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer to {bytes:?}")).parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

async fn tcp(admin: SocketAddr, bytes: &str) -> (u16, String) {
    ask(TcpStream::connect(admin).await.unwrap(), bytes).await
}

#[tokio::test]
async fn a_page_of_another_name_or_origin_gets_403_and_nothing_else_is_refused() {
    let policy = Policy::allow().await;
    let gate = Running::of(configured(&policy.url(), "admin-hosts", "admin_hosts: [gate.test, 192.0.2.7]")).await;
    let admin = gate.admin;
    let port = admin.port();
    let host = |host: &str| format!("Host: {host}\r\n");
    let with = |more: &str| format!("Host: localhost:{port}\r\n{more}\r\n");
    // Heads of requests without their first line, and whether the outbox is for them. In memory it answers 404.
    let table = [
        (host("127.0.0.1"), true),
        (host(&admin.to_string()), true),
        (host("127.8.9.10:1"), true),
        (host("[::1]:10007"), true),
        (host("[::ffff:127.0.0.1]"), true),
        (host("localhost"), true),
        (host("LocalHost.:8080"), true),
        (host("gate.test"), true),
        (host("GATE.test.:10007"), true),
        (host("192.0.2.7:10007"), true),
        (host("evil.test"), false),
        (host(&format!("evil.test:{port}")), false),
        (host("localhost.evil.test"), false),
        (host("127.0.0.1.evil.test"), false),
        (host("gate.test.evil.test"), false),
        (host("192.0.2.8"), false),
        (host("[2001:db8::1]:10007"), false),
        (host("0.0.0.0"), false),
        (host("localhost@evil.test"), false),
        (host("localhost:x"), false),
        (host("localhost:"), false),
        (host("localhost:99999"), false),
        (host("localhost/"), false),
        (host("user@localhost"), false),
        (host("::1"), false),
        (host(":10007"), false),
        (host("."), false),
        (host(""), false),
        (String::new(), false),
        (host("localhost") + &host("evil.test"), false),
        (with(&format!("Origin: http://localhost:{port}")), true),
        (with(&format!("Origin: http://LOCALHOST:{port}")), true),
        (with("Origin: http://localhost"), false),
        (with(&format!("Origin: http://127.0.0.1:{port}")), false),
        (with(&format!("Origin: http://evil.test:{port}")), false),
        (with("Origin: null"), false),
        (with("Origin: "), false),
        (with(&format!("Origin: ftp://localhost:{port}")), false),
        (with(&format!("Origin: http://localhost:{port}\r\nOrigin: http://evil.test")), false),
        (host("localhost") + "Origin: http://localhost\r\n", true),
        (host("localhost") + "Origin: http://localhost:80\r\n", true),
        (host("localhost") + "Origin: https://localhost:443\r\n", true),
        (with("Sec-Fetch-Site: same-origin"), true),
        (with("Sec-Fetch-Site: none"), true),
        (with("Sec-Fetch-Site: same-site"), false),
        (with("Sec-Fetch-Site: cross-site"), false),
        (with("Sec-Fetch-Site: "), false),
        (with("Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site"), false),
    ];
    let routes =
        [("GET", ""), ("POST", "/list"), ("POST", "/count"), ("POST", "/show"), ("POST", "/replay"), ("POST", "/drop")];
    for (head, good) in &table {
        for (method, path) in routes {
            let more = "Connection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
            let (status, body) = tcp(admin, &format!("{method} /outbox{path} HTTP/1.1\r\n{head}{more}")).await;
            assert_eq!(status != 403, *good, "{method} {path} {head:?}: {status} {body}");
            if !good {
                let told: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert!(told["error"].is_string() && !body.contains("evil"), "{body}");
            }
        }
        for path in ["/status", "/metrics", "/livez"] {
            let (status, _) = tcp(admin, &format!("GET {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n")).await;
            assert_eq!(status, 200, "{path} {head:?}");
        }
    }
    // A request target in absolute form, and HTTP/1.0, of which no browser is.
    for (bytes, good) in [
        (format!("GET http://localhost/outbox HTTP/1.1\r\n{}Connection: close\r\n\r\n", host("localhost")), true),
        (format!("GET http://evil.test/outbox HTTP/1.1\r\n{}Connection: close\r\n\r\n", host("localhost")), false),
        (format!("GET http://localhost/outbox HTTP/1.1\r\n{}Connection: close\r\n\r\n", host("evil.test")), false),
        (format!("GET /outbox HTTP/1.0\r\n{}\r\n", host("localhost")), true),
        ("GET /outbox HTTP/1.0\r\n\r\n".to_owned(), false),
    ] {
        let (status, body) = tcp(admin, &bytes).await;
        assert_eq!(status != 403, good, "{bytes:?}: {status} {body}");
    }
    let (status, _) = tcp(admin, "GET /livez HTTP/1.0\r\n\r\n").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn the_command_line_is_told_what_to_configure_and_a_unix_socket_has_no_hosts() {
    let policy = Policy::allow().await;
    let gate = Running::of(configured(&policy.url(), "admin-names", "")).await;
    // Both lead here; the Host is what was typed.
    for (host, expected) in
        [("localhost", "keeps After events in memory"), ("0.0.0.0", "have admin_hosts name the host")]
    {
        let url = format!("http://{host}:{}", gate.admin.port());
        let said = hookgate(&["outbox", "--admin", &url]).output().await.unwrap();
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(said.contains(expected), "{host}: {said}");
    }
    // What admin_listen names, though it is no loopback address.
    let free_places = ["--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0", "--policy", &policy.url()];
    let everywhere = Running::start(&free_places).await;
    let admin = SocketAddr::from(([127, 0, 0, 1], everywhere.admin.port()));
    for (host, good) in [("0.0.0.0", true), ("0.0.0.1", false)] {
        let request = format!("GET /outbox HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(tcp(admin, &request).await.0 != 403, good, "{host}");
    }
    let socket = free("admin-hosts.sock");
    let free = ["--listen", "127.0.0.1:0", "--policy", &policy.url()].map(ToOwned::to_owned);
    let listen = format!("unix://{}", socket.display());
    let args: Vec<_> = free.iter().map(String::as_str).chain(["--admin-listen", &listen]).collect();
    let _gate = Running::of(hookgate(&args)).await;
    let stream = UnixStream::connect(&socket).await.unwrap();
    let (status, body) = ask(stream, "GET /outbox HTTP/1.1\r\nHost: any.test\r\nConnection: close\r\n\r\n").await;
    assert_ne!(status, 403, "{body}");
}

/// An address of this machine other than loopback, if it has one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing.
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[tokio::test]
async fn other_machines_are_told_why_the_outbox_is_not_for_them() {
    let Some(own) = own_address() else { return };
    let policy = Policy::allow().await;
    let args = ["--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0", "--policy", &policy.url()];
    let gate = Running::of(hookgate(&args)).await;
    let admin = SocketAddr::new(own, gate.admin.port());
    for (method, path) in [("GET", ""), ("POST", "/show"), ("POST", "/drop"), ("PUT", "/x")] {
        let bytes = format!("{method} /outbox{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let (status, body) = tcp(admin, &bytes).await;
        assert!(status == 403 && body.contains("kubectl exec"), "{method} {path}: {status} {body}");
    }
    let (status, _) = tcp(admin, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status, 200);
}
