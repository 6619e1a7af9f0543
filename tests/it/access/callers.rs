//! The matrix: callers that differ in one thing, at each kind of listener.

use std::sync::Arc;

use hookgate::config::Address;
use hookgate::internals::observe::Reason;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;

use super::{assert_denied, basic, refused_callers};
use crate::support::caller::Way;
use crate::support::pki::{Ca, Files, Pair};
use crate::support::{ALLOWED, COMMAND, Gate, Policy, free, webhook};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Tls,
    Unix,
}

/// A caller: good in everything, but for what a test changes.
#[derive(Clone)]
struct Caller {
    from: [u8; 4],
    forwarded: Option<&'static str>,
    password: Option<&'static str>,
    path: &'static str,
    tls: Arc<ClientConfig>,
}

const YAML: &str = "\
access:
  passwords: passwords
  paths: paths
";

const SOURCES: &str = "  sources: [10.1.0.0/16, 127.0.0.3]\n  trusted_proxies: 127.0.0.1, 10.9.0.0/16\n";

const TLS: &str = "tls: {certificate: server.pem, key: server.key, client_ca: ca.pem}\n";

#[tokio::test]
async fn each_caller_at_each_listener_gets_its_verdict_or_a_denial_and_the_policy_hears_of_none_that_is_refused() {
    let (ca, foreign) = (Ca::new("ours"), Ca::new("theirs"));
    let files = Files::default()
        .with("passwords", "openim:old secret\nopenim:new:secret\n")
        .with("paths", "# rotated in spring\nold/path\n/new-path/\n")
        .with("ca.pem", &*ca.pem)
        .with_pair("server", &ca.issue("hookgate.test", 30));
    let client = |certificate: Pair| ca.client(Some(&certificate));
    let good = Caller {
        from: [127, 0, 0, 1],
        forwarded: Some("10.1.2.3"),
        password: Some("openim:new:secret"),
        path: "/new-path",
        tls: client(ca.issue("openim", 30)),
    };
    let differs = |change: &dyn Fn(&mut Caller)| {
        let mut caller = good.clone();
        change(&mut caller);
        caller
    };
    use Reason::{Certificate, Password, Path as SecretPath, Source};
    let callers: Vec<(&str, Caller, Option<Reason>)> = vec![
        ("the new secrets", good.clone(), None),
        ("the old password", differs(&|c| c.password = Some("openim:old secret")), None),
        ("the old path", differs(&|c| c.path = "/old/path"), None),
        ("no password", differs(&|c| c.password = None), Some(Password)),
        ("a wrong password", differs(&|c| c.password = Some("openim:new:secreT")), Some(Password)),
        ("a password's beginning", differs(&|c| c.password = Some("openim:new")), Some(Password)),
        ("another user", differs(&|c| c.password = Some("admin:new:secret")), Some(Password)),
        ("no path", differs(&|c| c.path = ""), Some(SecretPath)),
        ("a wrong path", differs(&|c| c.path = "/older-path"), Some(SecretPath)),
        ("a path's beginning", differs(&|c| c.path = "/old"), Some(SecretPath)),
        ("a path and more", differs(&|c| c.path = "/new-path2"), Some(SecretPath)),
        ("a path further on", differs(&|c| c.path = "/x/new-path"), Some(SecretPath)),
        ("through two proxies", differs(&|c| c.forwarded = Some("6.6.6.6, 10.1.2.3, 10.9.0.1")), None),
        ("straight from where it may", differs(&|c| (c.from, c.forwarded) = ([127, 0, 0, 3], None)), None),
        (
            "from there, and a header that nobody wrote",
            differs(&|c| (c.from, c.forwarded) = ([127, 0, 0, 3], Some("6.6.6.6"))),
            None,
        ),
        ("from a wrong range", differs(&|c| (c.from, c.forwarded) = ([127, 0, 0, 2], None)), Some(Source)),
        ("from there, with a forged header", differs(&|c| c.from = [127, 0, 0, 2]), Some(Source)),
        ("through a proxy, from a wrong range", differs(&|c| c.forwarded = Some("10.2.2.3")), Some(Source)),
        ("forged before a proxy", differs(&|c| c.forwarded = Some("10.1.2.3, 6.6.6.6")), Some(Source)),
        ("a header that is none", differs(&|c| c.forwarded = Some("10.1.2.3, unknown")), Some(Source)),
        ("the proxy itself", differs(&|c| c.forwarded = None), Some(Source)),
        ("no certificate", differs(&|c| c.tls = ca.client(None)), Some(Certificate)),
        ("an expired certificate", differs(&|c| c.tls = client(ca.issue("openim", -1))), Some(Certificate)),
        ("a foreign certificate", differs(&|c| c.tls = client(foreign.issue("openim", 30))), Some(Certificate)),
    ];
    for kind in [Kind::Tcp, Kind::Tls, Kind::Unix] {
        let socket = free("callers.sock");
        let (yaml, address) = match kind {
            Kind::Tcp => (format!("{YAML}{SOURCES}"), Address::Tcp(([127, 0, 0, 1], 0).into())),
            Kind::Tls => (format!("{TLS}{YAML}{SOURCES}"), Address::Tcp(([127, 0, 0, 1], 0).into())),
            Kind::Unix => (YAML.to_owned(), Address::Unix(socket.into())),
        };
        let policy = Policy::allow().await;
        for (name, caller, refused) in &callers {
            let gate = Gate::at(&address, &policy.url(), files.config(&yaml)).await;
            // A rule that is not there cannot be broken.
            let refused = refused.filter(|reason| match kind {
                Kind::Tcp => *reason != Certificate,
                Kind::Tls => true,
                Kind::Unix => ![Certificate, Source].contains(reason),
            });
            let of = format!("{name} over {kind:?}");
            let reply = caller.post(kind, &gate.place).await;
            match refused {
                Some(reason) => {
                    assert_denied(&reply, &of);
                    assert_eq!(reply.headers["www-authenticate"], "Basic realm=\"hookgate\"", "{of}");
                    assert_eq!(refused_callers(&gate), [(reason, 1)], "{of}");
                    assert_eq!(policy.take_calls().len(), 0, "{of}");
                }
                None => {
                    assert_eq!((reply.status.as_u16(), &*reply.body), (200, ALLOWED.as_bytes()), "{of}");
                    assert_eq!(refused_callers(&gate), [], "{of}");
                    assert_eq!(policy.take_calls().len(), 1, "{of}");
                }
            }
            gate.stop().await;
        }
    }
}

impl Caller {
    async fn post(&self, kind: Kind, to: &Address) -> super::Reply {
        let password = self.password.map(basic);
        let headers: Vec<_> = [("authorization", password.as_deref()), ("x-forwarded-for", self.forwarded)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let way = Way::to(to).from(self.from);
        let way = if kind == Kind::Tls { way.tls(&self.tls) } else { way };
        way.send(webhook(&format!("{}/{COMMAND}", self.path), &headers)).await.unwrap()
    }
}

#[tokio::test]
async fn the_body_of_a_refused_webhook_is_read_within_the_limit_and_its_connection_goes_on() {
    let policy = Policy::allow().await;
    let yaml = "access: {passwords: passwords}\nlimits: {body: 1KiB}";
    let config = Files::default().with("passwords", "openim:good").config(yaml);
    let gate = Gate::configured(&policy.url(), config).await;
    let path = format!("/{COMMAND}");
    let with_body = |length: usize, headers: &[(&str, &str)]| {
        let mut request = webhook(&path, headers);
        *request.body_mut() = " ".repeat(length).into();
        request
    };
    let mut connection = Way::to(&gate.place).connect().await.unwrap();
    for length in [0, 1024] {
        let reply = connection.send(with_body(length, &[])).await.unwrap();
        assert_denied(&reply, "within the limit");
        assert!(!reply.headers.contains_key("connection"));
    }
    let good = basic("openim:good");
    let reply = connection.send(webhook(&path, &[("authorization", &good)])).await.unwrap();
    assert_eq!(reply.body, ALLOWED);
    let reply = connection.send(with_body(2000, &[])).await.unwrap();
    assert_denied(&reply, "over the limit");
    assert_eq!(reply.headers["connection"], "close");
    assert_eq!(policy.take_calls().len(), 1);
}

#[tokio::test]
async fn a_refused_webhook_is_none_that_waits_for_a_reply() {
    let policy = Policy::allow().await;
    let config = Files::default().with("passwords", "openim:good").config("access: {passwords: passwords}");
    let gate = Gate::configured(&policy.url(), config).await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    // Its body does not come.
    let head = format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    while refused_callers(&gate) != [(Reason::Password, 1)] {
        tokio::task::yield_now().await;
    }
    assert_eq!(gate.status.in_flight.held(), 0);
}

#[tokio::test]
async fn other_ways_to_prove_who_one_is_are_none() {
    let policy = Policy::allow().await;
    let config = Files::default().with("passwords", "openim:good").config("access: {passwords: passwords}");
    let gate = Gate::configured(&policy.url(), config).await;
    let right = basic("openim:good");
    let encoded = right.trim_start_matches("Basic ");
    for (header, good) in [
        (format!("basic {encoded}"), true),
        (format!("BASIC  {encoded} "), true),
        (format!("Bearer {encoded}"), false),
        (format!("Basic{encoded}"), false),
        (encoded.to_owned(), false),
        ("Basic openim:good".to_owned(), false),
        ("Basic".to_owned(), false),
        ("Basic ====".to_owned(), false),
        (format!("Basic {}", encoded.trim_end_matches('=')), encoded.ends_with(|c| c != '=')),
        (basic(""), false),
        (basic("openim:good\n"), false),
    ] {
        let request = webhook(&format!("/{COMMAND}"), &[("authorization", &header)]);
        let reply = Way::to(&gate.place).send(request).await.unwrap();
        assert_eq!(reply.status, if good { 200 } else { 401 }, "{header}");
    }
}

#[tokio::test]
async fn a_connection_from_where_nobody_may_call_is_for_one_request() {
    let policy = Policy::allow().await;
    let yaml = "access: {sources: 127.0.0.1, trusted_proxies: 127.0.0.3, passwords: passwords}";
    let config = Files::default().with("passwords", "openim:good").config(yaml);
    let gate = Gate::configured(&policy.url(), config).await;
    for (from, closes) in [([127, 0, 0, 1], false), ([127, 0, 0, 3], false), ([127, 0, 0, 2], true)] {
        let reply = Way::to(&gate.place).from(from).send(webhook(&format!("/{COMMAND}"), &[])).await.unwrap();
        assert_denied(&reply, "from anywhere");
        assert_eq!(reply.headers.contains_key("connection"), closes, "{from:?}");
    }
}
