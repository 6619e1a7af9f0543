//! The way as a whole, over real sockets: routes, metadata, connections, and the replies to what OpenIM would not send.

use std::time::Duration;

use hookgate::app::Stop;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{self, ALLOWED, Gate, Policy, Reply};

const REMOVE_BLACK: &str = "/callbackAfterRemoveBlackCommand";
const BODY: &str =
    r#"{"callbackCommand":"callbackAfterRemoveBlackCommand","ownerUserID":"user123","blackUserID":"user456"}"#;

/// A denial that OpenIM reads as one, whatever its status; gives its sentence.
fn sentence(reply: &Reply) -> String {
    let json = reply.json();
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!((json["actionCode"].as_i64(), json["nextCode"].as_i64()), (Some(0), Some(1)), "{json}");
    assert_eq!(json["errCode"], 5000);
    assert_eq!(json["errMsg"], json["errDlt"]);
    json["errMsg"].as_str().unwrap().to_owned()
}

async fn gate() -> (Policy, Gate) {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    (policy, gate)
}

#[tokio::test]
async fn the_documented_webhook_reaches_the_policy_and_is_allowed() {
    let (policy, gate) = gate().await;
    let reply = gate.post("/callbackAfterRemoveBlackCommand?contenttype=json", BODY).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, ALLOWED.as_bytes()));
    let calls = policy.take_calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].rpc, "/openim.policy.v1.RelationPolicyService/AfterRemoveBlack");
    let request = calls[0].request();
    assert_eq!(request.get_field_by_name("owner_user_id").unwrap().as_str(), Some("user123"));
    assert_eq!(request.get_field_by_name("black_user_id").unwrap().as_str(), Some("user456"));
}

#[tokio::test]
async fn the_command_is_the_last_segment_of_any_path_or_the_query() {
    let (policy, gate) = gate().await;
    for path in [
        REMOVE_BLACK,
        "//callbackAfterRemoveBlackCommand",
        "/callbackExample/callbackAfterRemoveBlackCommand",
        "/a/b%20c/callbackAfterRemoveBlackCommand/",
        "/callbackAfterRemoveBlackCommand?key=e30%3D",
        "/?command=callbackAfterRemoveBlackCommand&contenttype=json",
        "/hook?sdkName=x&command=callbackAfterRemoveBlackCommand",
        // OpenIM's url had a query; three of its posts write that again.
        "/callbackExample?token=abc/callbackAfterRemoveBlackCommand",
        "/callbackExample?key=e30%3D&token=abc%2FcallbackAfterRemoveBlackCommand",
    ] {
        let reply = gate.post(path, BODY).await;
        assert_eq!(reply.body, ALLOWED, "{path}");
        let calls = policy.take_calls();
        assert_eq!(calls[0].rpc, "/openim.policy.v1.RelationPolicyService/AfterRemoveBlack", "{path}");
        assert_eq!(calls[0].metadata("openim-command"), Some("callbackAfterRemoveBlackCommand"), "{path}");
    }
}

#[tokio::test]
async fn the_path_decides_where_the_body_names_another_command() {
    let (policy, gate) = gate().await;
    gate.post("/callbackBeforeAddBlackCommand", BODY).await;
    assert_eq!(policy.take_calls()[0].rpc, "/openim.policy.v1.RelationPolicyService/BeforeAddBlack");
}

#[tokio::test]
async fn what_is_not_in_the_body_travels_as_metadata() {
    let (policy, gate) = gate().await;
    let uri = format!("http://{}/callbackAfterSendSingleMsgCommand?key=eyJh%2B%2FQ%3D%3D", gate.address);
    let request = http::Request::post(&uri).header("Operationid", "op-1").body("{}".into()).unwrap();
    gate.send(request).await;
    gate.post(REMOVE_BLACK, BODY).await;
    let calls = policy.take_calls();
    assert_eq!(calls[0].metadata("openim-operation-id"), Some("op-1"));
    assert_eq!(calls[0].metadata("openim-command"), Some("callbackAfterSendSingleMsgCommand"));
    assert_eq!(calls[0].metadata("openim-reply-key"), Some("eyJh+/Q=="));
    assert_eq!(calls[0].metadata("hookgate-attempt"), Some("1"));
    assert_eq!(calls[0].metadata("hookgate-late"), None);
    assert_eq!(calls[1].metadata("openim-operation-id"), Some(""));
    assert_eq!(calls[1].metadata("openim-reply-key"), None);
    let ids: Vec<_> = calls.iter().map(|call| call.metadata("hookgate-event-id").unwrap()).collect();
    assert_ne!(ids[0], ids[1]);
    // Milliseconds left of the budget: more than nothing, not more than it.
    let timeout = calls[0].metadata("grpc-timeout").unwrap();
    let (digits, unit) = timeout.split_at(timeout.len() - 1);
    let left = digits.parse::<u64>().unwrap()
        * match unit {
            "n" => 1,
            "u" => 1_000,
            "m" => 1_000_000,
            _ => 1_000_000_000,
        };
    assert!(0 < left && left <= 4_500_000_000, "{timeout}");
}

#[tokio::test]
async fn event_ids_sort_by_arrival() {
    let (policy, gate) = gate().await;
    for _ in 0..50 {
        gate.post(REMOVE_BLACK, BODY).await;
    }
    let calls = policy.take_calls();
    let ids: Vec<_> = calls.iter().map(|call| call.metadata("hookgate-event-id").unwrap()).collect();
    assert_eq!(ids.len(), 50);
    assert!(ids.is_sorted_by(|earlier, later| earlier < later), "{ids:?}");
}

#[tokio::test]
async fn metadata_stays_small_whatever_is_sent() {
    let (policy, gate) = gate().await;
    let uri = format!("http://{}{REMOVE_BLACK}?key={}", gate.address, "k".repeat(5_000));
    let request = http::Request::post(&uri).header("operationid", "o".repeat(20_000)).body(BODY.into()).unwrap();
    assert_eq!(gate.send(request).await.body, ALLOWED);
    let calls = policy.take_calls();
    assert_eq!(calls[0].metadata("openim-operation-id").map(str::len), Some(256));
    assert_eq!(calls[0].metadata("openim-reply-key"), None);
    let tomorrow = gate.post(&format!("/callback{}", "x".repeat(5_000)), "{}").await;
    assert_eq!(tomorrow.status.as_u16(), 404);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_kept_for_ever() {
    let (policy, gate) = gate().await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    let mut head = format!("POST {REMOVE_BLACK} HTTP/1.1\r\noperationid: ").into_bytes();
    head.resize(128 << 10, b'o');
    stream.write_all(&head).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 431 "), "{reply}");
    assert_eq!(policy.take_calls().len(), 0);
}

#[tokio::test]
async fn an_operation_id_that_grpc_cannot_carry_arrives_percent_encoded() {
    let (policy, gate) = gate().await;
    let uri = format!("http://{}{REMOVE_BLACK}", gate.address);
    let value = http::HeaderValue::from_bytes("öp 1%".as_bytes()).unwrap();
    gate.send(http::Request::post(&uri).header("operationID", value).body(BODY.into()).unwrap()).await;
    assert_eq!(policy.take_calls()[0].metadata("openim-operation-id"), Some("%C3%B6p 1%25"));
}

#[tokio::test]
async fn what_is_no_webhook_is_refused_in_a_sentence_and_the_connection_goes_on() {
    let (policy, gate) = gate().await;
    let mut connection = Connection::open(&gate).await;
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let deep_in_known = format!(r#"{{"ownerUserID":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let register = "/callbackBeforeUserRegisterCommand";
    let cases: &[(&str, &str, &[u8], u16, &str)] = &[
        ("GET", REMOVE_BLACK, b"", 405, "a webhook is a POST"),
        ("PUT", REMOVE_BLACK, b"{}", 405, "a webhook is a POST"),
        ("POST", "/", b"{}", 404, "no callback has this path: the last part must be a callback command"),
        ("POST", "/nothing", b"{}", 404, "no callback has this path: the last part must be a callback command"),
        (
            "POST",
            "/?command=nothing",
            b"{}",
            404,
            "no callback has this path: the last part must be a callback command",
        ),
        ("POST", REMOVE_BLACK, b"", 400, "the body is not JSON: EOF while parsing a value"),
        ("POST", REMOVE_BLACK, b"secret", 400, "the body is not JSON: expected value"),
        ("POST", REMOVE_BLACK, b"{} {}", 400, "the body is not JSON: trailing characters"),
        ("POST", REMOVE_BLACK, b"[]", 400, "the body must be an object, not a list"),
        ("POST", REMOVE_BLACK, b"null", 400, "the body must be an object, not null"),
        ("POST", REMOVE_BLACK, br#"{"ownerUserID":7}"#, 400, "ownerUserID must be a string, not a number"),
        (
            "POST",
            register,
            br#"{"users":[{"userID":"u"},{"userID":{"secret":1}}]}"#,
            400,
            "users[1].userID must be a string, not an object",
        ),
        (
            "POST",
            register,
            br#"{"users":[{"appMangerLevel":2147483648}]}"#,
            400,
            "users[0].appMangerLevel must be a whole number of 32 bits, not a number outside of that",
        ),
        (
            "POST",
            register,
            br#"{"users":[{"createTime":9223372036854775808}]}"#,
            400,
            "users[0].createTime must be a whole number of 64 bits, not a number outside of that",
        ),
        (
            "POST",
            register,
            br#"{"users":[{"createTime":1.0}]}"#,
            400,
            "users[0].createTime must be a whole number of 64 bits, \
             not a number with a fraction, an exponent or too many digits",
        ),
        ("POST", register, br#"{"users":[null]}"#, 400, "users[0] must be an object, not null"),
        ("POST", register, br#"{"users":{}}"#, 400, "users must be a list, not an object"),
        ("POST", REMOVE_BLACK, b"{\"ownerUserID\":\"\xff\"}", 400, "the body is not JSON: invalid unicode code point"),
        ("POST", REMOVE_BLACK, br#"{"secret\u0000":1}"#, 400, "a field's name contains NUL"),
        ("POST", REMOVE_BLACK, br#"{"x":{"secret\u0000":1}}"#, 400, "a field's name contains NUL"),
        ("POST", REMOVE_BLACK, br#"{"ownerUserID":"a","ownerUserID":"a"}"#, 400, "ownerUserID appears twice"),
        ("POST", register, br#"{"users":[{"ex":"","ex":""}]}"#, 400, "users[0].ex appears twice"),
        (
            "POST",
            "/callbackAfterSingleMsgReadCommand",
            br#"{"Seqs":[1],"seqs":[2]}"#,
            400,
            "Seqs appears twice, as Seqs and as seqs",
        ),
        (
            "POST",
            REMOVE_BLACK,
            br#"{"secret":1,"secret":2}"#,
            400,
            "a field that the contract does not know appears twice",
        ),
        (
            "POST",
            register,
            br#"{"users":[{"secret":1,"secret":2}]}"#,
            400,
            "a field that the contract does not know appears twice",
        ),
        (
            "POST",
            REMOVE_BLACK,
            br#"{"x":[{"secret":1,"secret":2}]}"#,
            400,
            "a field that the contract does not know appears twice",
        ),
        ("POST", REMOVE_BLACK, deep.as_bytes(), 400, "a field that the contract does not know is nested too deep"),
        ("POST", REMOVE_BLACK, deep_in_known.as_bytes(), 400, "ownerUserID must be a string, not a list"),
        (
            "POST",
            "/callbackOfTomorrow",
            br#"{"a":{"b":1,"b":2}}"#,
            400,
            "a field that the contract does not know appears twice",
        ),
    ];
    let large = vec![b'x'; 1 << 20];
    let large: [(&str, &str, &[u8], u16, &str); 2] = [
        ("PUT", REMOVE_BLACK, &large, 405, "a webhook is a POST"),
        ("POST", "/nothing", &large, 404, "no callback has this path: the last part must be a callback command"),
    ];
    for (method, path, body, status, expected) in cases.iter().chain(&large) {
        let reply = connection.send(method, path, body).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
        let sentence = sentence(&reply);
        let (said, column) = match sentence.split_once(" (line 1, column ") {
            Some((said, column)) => (said, column.trim_end_matches(')').parse().ok()),
            None => (&*sentence, None),
        };
        assert_eq!((reply.status.as_u16(), said), (*status, *expected), "{method} {path} {shown}");
        assert_eq!(column.is_some_and(|column: usize| column <= body.len()), *status == 400, "{sentence}");
        // Content is not repeated.
        assert!(!String::from_utf8_lossy(&reply.body).contains("secret"));
        let next = connection.send("POST", REMOVE_BLACK, BODY.as_bytes()).await;
        assert_eq!(next.body, ALLOWED, "after {method} {path} {shown}");
    }
    assert_eq!(policy.take_calls().len(), cases.len() + large.len(), "only the webhooks in between were asked about");
}

#[tokio::test]
async fn a_head_request_is_refused_without_a_body() {
    let (_policy, gate) = gate().await;
    let request =
        http::Request::head(format!("http://{}{REMOVE_BLACK}", gate.address)).body(Default::default()).unwrap();
    let reply = gate.send(request).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (405, 0));
}

#[tokio::test]
async fn the_largest_body_is_taken_and_one_byte_more_is_not() {
    let (policy, gate) = gate().await;
    let body = |size: usize| format!(r#"{{"ownerUserID":"{}"}}"#, "x".repeat(size - 18));
    assert_eq!(body(8 << 20).len(), 8 << 20);
    assert_eq!(gate.post(REMOVE_BLACK, body(8 << 20)).await.body, ALLOWED);
    assert_eq!(policy.take_calls().len(), 1);
    for size in [(8 << 20) + 1, 20 << 20] {
        let mut connection = Connection::open(&gate).await;
        let reply = connection.send("POST", REMOVE_BLACK, body(size).as_bytes()).await;
        assert_eq!(reply.status.as_u16(), 413);
        assert_eq!(sentence(&reply), "the body is larger than 8388608 bytes (limits.body)");
        assert_eq!(reply.headers["connection"], "close");
    }
    assert_eq!(policy.take_calls().len(), 0);
    assert_eq!(gate.post(REMOVE_BLACK, BODY).await.body, ALLOWED, "others are not harmed");
}

/// The time, in nanoseconds, that this thread has spent on a CPU.
fn spent() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_body_that_takes_long_to_read_holds_up_nobody() {
    let policy = Policy::allow().await;
    let mut config = support::config();
    // However busy the machine is.
    config.budget = Duration::from_secs(60);
    let gate = Gate::configured(&policy.url(), config).await;
    let fields: Vec<_> = (0..90_000).map(|nth| format!("\"a{nth}\":0")).collect();
    let body = format!("{{{}}}", fields.join(","));
    let callback = hookgate::contract::Callback::by_command(&REMOVE_BLACK[1..]).unwrap();
    let before = spent();
    hookgate::contract::transcode(callback.request, callback.command, body.as_bytes()).unwrap();
    let alone = spent() - before;
    // The front has this one thread, and another task of it comes to its turn all the time.
    let mut reply = std::pin::pin!(gate.post(REMOVE_BLACK, body));
    let (mut longest, mut last) = (0, spent());
    let reply = std::future::poll_fn(|cx| {
        longest = longest.max(spent() - last);
        last = spent();
        cx.waker().wake_by_ref();
        reply.as_mut().poll(cx)
    })
    .await;
    assert_eq!(reply.body, ALLOWED);
    assert_eq!(policy.take_calls().len(), 1);
    assert!(longest < alone / 2, "{longest} ns between two turns, where reading alone takes {alone} ns");
}

#[tokio::test]
async fn a_body_that_ends_early_is_denied_where_the_connection_still_carries_a_reply() {
    let (policy, gate) = gate().await;
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream
        .write_all(format!("POST {REMOVE_BLACK} HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n{{").as_bytes())
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert!(
        text.ends_with(r#""errMsg":"the body ended early","errDlt":"the body ended early","nextCode":1}"#),
        "{text}"
    );
    assert_eq!(policy.take_calls().len(), 0);
    assert_eq!(gate.post(REMOVE_BLACK, BODY).await.body, ALLOWED, "others are not harmed");
}

#[tokio::test]
async fn a_connection_is_kept_unless_the_client_says_otherwise() {
    let (_policy, gate) = gate().await;
    let mut connection = Connection::open(&gate).await;
    for _ in 0..3 {
        let reply = connection.send("POST", REMOVE_BLACK, BODY.as_bytes()).await;
        assert_eq!(reply.body, ALLOWED);
        assert!(!reply.headers.contains_key("connection"));
    }
    let closing = format!(
        "POST {REMOVE_BLACK} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    connection.stream.write_all(closing.as_bytes()).await.unwrap();
    let mut rest = String::new();
    connection.stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("connection: close") && rest.ends_with(ALLOWED), "{rest}");
}

#[tokio::test]
async fn what_is_in_flight_is_finished_before_it_stops() {
    let (policy, mut was_asked, release) = Policy::that_waits().await;
    let mut gate = Gate::start(&policy.url()).await;
    let mut connection = Connection::open(&gate).await;
    connection.write("POST", REMOVE_BLACK, BODY.as_bytes()).await;
    was_asked.recv().await.unwrap();
    gate.begin_to_stop(Stop::Now);
    release.send(true).unwrap();
    let reply = connection.read().await;
    assert_eq!(reply.body, ALLOWED);
    gate.stop().await;
}

/// A connection as a client keeps it.
struct Connection {
    stream: TcpStream,
}

impl Connection {
    async fn open(gate: &Gate) -> Self {
        Self { stream: TcpStream::connect(gate.address).await.unwrap() }
    }

    async fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Reply {
        self.write(method, path, body).await;
        self.read().await
    }

    async fn write(&mut self, method: &str, path: &str, body: &[u8]) {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len());
        // A body that is too large may be refused while it is being written.
        let _ = self.stream.write_all(&[head.as_bytes(), body].concat()).await;
    }

    async fn read(&mut self) -> Reply {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("a response's head"));
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = http::HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        let mut body = vec![0; headers["content-length"].to_str().unwrap().parse().unwrap()];
        self.stream.read_exact(&mut body).await.expect("a response's body");
        Reply { status, headers, body: body.into() }
    }
}
