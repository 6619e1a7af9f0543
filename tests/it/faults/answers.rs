//! Answers whose parts contradict each other, or whose text is odd. The status decides: a denial stays one under every
//! failure rule, and an allow is one message with an OK behind it, over HTTP 200 and nothing else.

use hookgate::config::{Config, Rule, Rules};
use hookgate::internals::outbox::Reason;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

/// Header fields, in their order.
type Fields = &'static [(&'static str, &'static [u8])];

const NONE: Fields = &[];
const GRPC: (&str, &[u8]) = ("content-type", b"application/grpc");

/// A response that allows, and one that denies with code 5001 and "not now".
const ALLOW: &[u8] = b"\0\0\0\0\0";
const DENY: &[u8] = b"\0\0\0\0\x0e\x0a\x0c\x08\x89\x27\x12\x07not now";

fn fields(of: Fields) -> HeaderMap {
    of.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())).collect()
}

/// A policy that gives every call this answer.
async fn answering(http: u16, head: Fields, body: &'static [u8], trailers: Fields) -> SocketAddr {
    http2_server_with_trailers(move || {
        let mut response = http::Response::builder().status(http).body(Full::from(body)).unwrap();
        response.headers_mut().extend(fields(head));
        (response, fields(trailers))
    })
    .await
}

/// The configuration under which no failure denies.
fn open() -> Config {
    let mut config = support::config();
    config.on_failure = Rules::all(Rule::Allow);
    config
}

/// The outcome of a webhook whose policy answers so, where no failure denies; and the sentence of a denial.
async fn outcome(http: u16, head: Fields, body: &'static [u8], trailers: Fields) -> (String, String) {
    let address = answering(http, head, body, trailers).await;
    let reply = Gate::configured(&format!("http://{address}"), open()).await.post(PATH, "{}").await;
    let outcome = reply.headers["hookgate-outcome"].to_str().unwrap().to_owned();
    (outcome, reply.json()["errMsg"].as_str().unwrap().to_owned())
}

/// Values of `grpc-message`, and the text that a person reads of each.
const TEXTS: &[(&[u8], &str)] = &[
    (b"", "denied by policy"),
    (b"not now", "not now"),
    ("nicht m\u{f6}glich".as_bytes(), "nicht m\u{f6}glich"),
    (b"%E4%B8%8D%E8%A1%8C", "\u{4e0d}\u{884c}"),
    (b"50% off", "50% off"),
    (b"%", "%"),
    (b"%4", "%4"),
    (b"%zz", "%zz"),
    (b"%ff", "\u{fffd}"),
    // Cut in a character, percent-encoded and not.
    (b"%E4%B8%8D%E8%A1", "\u{4e0d}\u{fffd}"),
    (b"\xe4\xb8\x8d\xe8\xa1", "\u{4e0d}\u{fffd}"),
    // Latin-1, GBK.
    (b"nicht m\xf6glich", "nicht m\u{fffd}glich"),
    (b"nicht m%F6glich", "nicht m\u{fffd}glich"),
    (b"\xb2\xbb\xd0\xd0", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
    (b"a%00b%0Ac", "a\0b\nc"),
];

#[tokio::test]
async fn a_denial_is_one_whatever_its_text_looks_like() {
    for (text, read) in TEXTS {
        let status: Fields = vec![("grpc-status", &b"7"[..]), ("grpc-message", text)].leak();
        let head: Fields = [&[GRPC], status].concat().leak();
        for (head, trailers) in [(head, NONE), (&[GRPC][..], status)] {
            let address = answering(200, head, b"", trailers).await;
            let gate = Gate::configured(&format!("http://{address}"), open()).await;
            let case = text.escape_ascii();
            for path in [PATH, "/callbackAfterRemoveBlackCommand"] {
                let reply = gate.post(path, "{}").await;
                assert_eq!(reply.headers["hookgate-outcome"], "deny", "{case} {path}");
                let json = reply.json();
                assert_eq!((&json["errMsg"], &json["errDlt"]), (&(*read).into(), &(*read).into()), "{case} {path}");
            }
            assert_eq!(gate.events.counts().delivered, 1, "{case}: a denied event does not come again");
        }
    }
}

#[tokio::test]
async fn the_sentences_of_a_denial_are_cut_at_4_kib_between_characters() {
    let all = "\u{4e0d}".repeat(29_000);
    let cut = "\u{4e0d}".repeat(1365);
    // 261,000 bytes, as a status message in the head and behind it.
    let encoded: &[u8] = "%E4%B8%8D".repeat(29_000).leak().as_bytes();
    let status: Fields = vec![("grpc-message", encoded), ("grpc-status", b"7")].leak();
    let head: Fields = [&[GRPC], status].concat().leak();
    for (head, trailers) in [(head, NONE), (&[GRPC][..], status)] {
        assert_eq!(outcome(200, head, b"", trailers).await, ("deny".to_owned(), cut.clone()));
    }
    // A denial in the response.
    let policy = Policy::start(move |_| Ok(support::denial(5001, &all))).await;
    let json = Gate::start(&policy.url()).await.post(PATH, "{}").await.json();
    assert_eq!((&json["errMsg"], &json["errDlt"]), (&cut.clone().into(), &cut.into()));
    // One that just fits.
    let fits = "x".repeat(4096);
    let words = fits.clone();
    let policy = Policy::start(move |_| Ok(support::denial(5001, &words))).await;
    assert_eq!(Gate::start(&policy.url()).await.post(PATH, "{}").await.json()["errMsg"], fits);
}

#[tokio::test]
async fn of_two_statuses_the_one_that_is_not_ok_counts() {
    let head = |status: &'static [u8]| -> Fields { vec![GRPC, ("grpc-status", status)].leak() };
    let status = |status: &'static [u8]| -> Fields { vec![("grpc-status", status)].leak() };
    let two = |one: &'static [u8], other: &'static [u8]| -> Fields {
        vec![("grpc-status", one), ("grpc-status", other)].leak()
    };
    let two_in_head =
        |one: &'static [u8], other: &'static [u8]| -> Fields { [&[GRPC], two(one, other)].concat().leak() };
    let plain: Fields = &[GRPC];
    for (head, body, trailers, expected) in [
        // One status.
        (plain, ALLOW, status(b"0"), "allow"),
        (plain, ALLOW, status(b"7"), "deny"),
        (plain, ALLOW, status(b"13"), "failed-open:error"),
        (plain, DENY, status(b"0"), "deny"),
        // In the head and behind the message.
        (head(b"0"), ALLOW, status(b"0"), "allow"),
        (head(b"0"), ALLOW, status(b"7"), "deny"),
        (head(b"0"), ALLOW, status(b"14"), "failed-open:unavailable"),
        (head(b"7"), ALLOW, status(b"0"), "deny"),
        (head(b"7"), ALLOW, status(b"13"), "deny"),
        (head(b"13"), ALLOW, status(b"7"), "deny"),
        (head(b"12"), ALLOW, status(b"0"), "failed-open:unimplemented"),
        // Failures that contradict each other.
        (head(b"12"), ALLOW, status(b"14"), "failed-open:error"),
        // An OK in the head alone is no answer.
        (head(b"0"), ALLOW, NONE, "failed-open:invalid_reply"),
        (head(b"0"), b"", NONE, "failed-open:invalid_reply"),
        (head(b"0"), ALLOW, &[("hookgate-test", b"1")], "failed-open:invalid_reply"),
        // Twice in one block, in two fields or in one.
        (plain, ALLOW, two(b"0", b"0"), "allow"),
        (plain, ALLOW, two(b"0", b"7"), "deny"),
        (plain, ALLOW, two(b"7", b"0"), "deny"),
        (plain, ALLOW, two(b"0", b"13"), "failed-open:error"),
        (plain, ALLOW, two(b"13", b"0"), "failed-open:error"),
        (plain, ALLOW, two(b"14", b"12"), "failed-open:error"),
        (plain, ALLOW, two(b"14", b"7"), "deny"),
        (plain, ALLOW, status(b"0, 7"), "deny"),
        (plain, ALLOW, status(b"0,13"), "failed-open:error"),
        (two_in_head(b"0", b"7"), ALLOW, status(b"0"), "deny"),
        (two_in_head(b"0", b"14"), ALLOW, status(b"0"), "failed-open:unavailable"),
        // Odd numbers.
        (plain, ALLOW, status(b"007"), "deny"),
        (plain, ALLOW, status(b" 7 "), "deny"),
        (plain, ALLOW, status(b"00"), "failed-open:error"),
        (plain, ALLOW, status(b""), "failed-open:error"),
        (plain, ALLOW, status(b"OK"), "failed-open:error"),
        (plain, ALLOW, status(b"17"), "failed-open:error"),
        (plain, ALLOW, status(b"-1"), "failed-open:error"),
        (plain, ALLOW, status(b"\xff"), "failed-open:error"),
        (plain, ALLOW, status(b"70000000000"), "failed-open:error"),
    ] {
        let shown = format!("{head:?} {trailers:?}");
        assert_eq!(outcome(200, head, body, trailers).await.0, expected, "{shown}");
    }
}

#[tokio::test]
async fn the_message_is_that_of_the_denial() {
    const SAYS: fn(&'static [u8], &'static [u8]) -> Fields =
        |status, message| vec![GRPC, ("grpc-status", status), ("grpc-message", message)].leak();
    for (head, trailers, message) in [
        (SAYS(b"13", b"broken"), SAYS(b"7", b"not now"), "not now"),
        (SAYS(b"0", b"fine"), SAYS(b"7", b"not now"), "not now"),
        (SAYS(b"7", b"not now"), SAYS(b"0", b"fine"), "not now"),
        (SAYS(b"0", b"fine"), &[("grpc-status", b"7")], "denied by policy"),
    ] {
        let said = outcome(200, head, ALLOW, trailers).await;
        assert_eq!(said, ("deny".to_owned(), message.to_owned()), "{head:?} {trailers:?}");
    }
}

#[tokio::test]
async fn a_status_that_is_not_ok_counts_whatever_the_body_is() {
    let denied: Fields = &[("grpc-status", b"7")];
    let compressed: Fields = &[GRPC, ("grpc-encoding", b"gzip")];
    for (head, body, trailers, expected) in [
        // Two messages and a denial; two and an OK, of which nobody knows which was meant.
        (&[GRPC][..], &b"\0\0\0\0\0\0\0\0\0\0"[..], denied, "deny"),
        (&[GRPC], b"\0\0\0\0\0\0\0\0\0\0", &[("grpc-status", b"0")], "failed-open:invalid_reply"),
        // A compression that was not offered.
        (compressed, b"", denied, "deny"),
        (compressed, ALLOW, &[("grpc-status", b"0")], "allow"),
        (compressed, b"\x01\0\0\0\0", &[("grpc-status", b"0")], "failed-open:invalid_reply"),
        (compressed, b"\x01\0\0\0\0", denied, "deny"),
        // A message over the limit, and one that is not complete.
        (&[GRPC], b"\0\x7f\xff\xff\xff\n", &[("grpc-status", b"0")], "failed-open:invalid_reply"),
        (&[GRPC], b"\0\x7f\xff\xff\xff\n", denied, "deny"),
        (&[GRPC], b"\0\0\0\0\x09\n", denied, "deny"),
        // Details that are not base64, and a message that is not UTF-8, beside an OK.
        (&[GRPC], ALLOW, &[("grpc-status", b"0"), ("grpc-status-details-bin", b"!!!")], "allow"),
        (&[GRPC], ALLOW, &[("grpc-status", b"0"), ("grpc-message", b"%ff")], "allow"),
    ] {
        assert_eq!(outcome(200, head, body, trailers).await.0, expected, "{head:?} {body:?} {trailers:?}");
    }
}

#[tokio::test]
async fn an_http_status_is_read_by_grpcs_table() {
    // A mesh's 403 is not a denial by the policy.
    let errors = [204, 302, 400, 401, 403, 405, 415, 500, 501].map(|http| (http, "error"));
    let unavailable = [429, 502, 503, 504].map(|http| (http, "unavailable"));
    for (http, class) in errors.into_iter().chain(unavailable).chain([(404, "unimplemented")]) {
        let expected = format!("failed-open:{class}");
        const PAGE: Fields = &[("content-type", b"text/html")];
        for head in [PAGE, NONE, &[GRPC]] {
            assert_eq!(outcome(http, head, b"", NONE).await.0, expected, "{http} {head:?}");
        }
        // A grpc-status that is there counts, wherever it is, but for an OK.
        let said = |status: &'static [u8]| -> Fields { vec![GRPC, ("grpc-status", status)].leak() };
        assert_eq!(outcome(http, said(b"7"), b"", NONE).await.0, "deny", "{http}");
        assert_eq!(outcome(http, said(b"0"), b"", NONE).await.0, expected, "{http}");
        if http != 204 {
            assert_eq!(outcome(http, &[GRPC], ALLOW, said(b"7")).await.0, "deny", "{http}");
            assert_eq!(outcome(http, &[GRPC], ALLOW, said(b"0")).await.0, expected, "{http}");
        }
    }
}

#[tokio::test]
async fn another_content_type_is_no_answer_of_grpc() {
    for (content_type, expected) in [
        (&b"application/grpc"[..], "allow"),
        (b"application/grpc+proto", "allow"),
        (b"application/grpc;charset=utf-8", "allow"),
        (b"Application/gRPC", "allow"),
        (b"application/grpc-web+proto", "failed-open:error"),
        (b"application/grpcs", "failed-open:error"),
        (b"application/proto", "failed-open:error"),
        (b"text/html", "failed-open:error"),
        (b"", "failed-open:error"),
    ] {
        let head: Fields = vec![("content-type", content_type)].leak();
        let case = content_type.escape_ascii();
        assert_eq!(outcome(200, head, ALLOW, &[("grpc-status", b"0")]).await.0, expected, "{case}");
        let denied: Fields = [head, &[("grpc-status", b"7")]].concat().leak();
        assert_eq!(outcome(200, denied, b"", NONE).await.0, "deny", "{case}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_behind_an_ok_in_the_head_is_a_break() {
    let address = server(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let head = http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "0");
            let mut body = respond.send_response(head.body(()).unwrap(), false).unwrap();
            tokio::spawn(async move {
                // When the head has left.
                for _ in 0..16 {
                    tokio::task::yield_now().await;
                }
                body.send_reset(h2::Reason::INTERNAL_ERROR);
            });
        }
    })
    .await;
    assert_denied(&asked(address).await, UNAVAILABLE);
}

#[tokio::test]
async fn a_denial_in_the_head_waits_for_nothing_behind_it() {
    let address = server(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut open = Vec::new();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let head = http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "7");
            open.push(respond.send_response(head.body(()).unwrap(), false).unwrap());
        }
    })
    .await;
    assert_denied(&asked(address).await, "denied by policy");
}

#[tokio::test]
async fn an_after_event_whose_rpc_is_answered_with_404_is_not_tried_again() {
    for (http, reason, retried) in
        [(404, Reason::Unimplemented, 0), (503, Reason::Attempts, 1), (403, Reason::Attempts, 1)]
    {
        let address = answering(http, &[], b"", NONE).await;
        let mut config = support::config();
        config.after.answer_within = Duration::from_millis(1);
        config.after.attempts = 2;
        (config.after.retry_min, config.after.retry_max) = (Duration::from_millis(1), Duration::from_millis(1));
        let gate = Gate::configured(&format!("http://{address}"), config).await;
        gate.post("/callbackAfterRemoveBlackCommand", "{}").await;
        tokio::time::timeout(Duration::from_secs(60), gate.events.idle()).await.unwrap();
        let counts = gate.events.counts();
        assert_eq!((counts.undelivered(reason), counts.retried), (1, retried), "{http}");
    }
}
