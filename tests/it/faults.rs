//! What OpenIM reads when the policy service gives no usable verdict: always a denial with a fixed sentence, never the
//! cause. Each way to fail is a real server that fails so.

mod answers;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hookgate::config::Override;
use hookgate::contract::Callback;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, Status};

use crate::support::{self, Gate, Policy, Reply};

const PATH: &str = "/callbackBeforeAddBlackCommand";

/// A server on a free port that does this with each connection.
async fn server<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// An HTTP/2 server that answers every request so.
async fn http2_server(respond: impl Fn() -> http::Response<Full<Bytes>> + Clone + Send + Sync + 'static) -> SocketAddr {
    http2_server_with_trailers(move || (respond(), http::HeaderMap::new())).await
}

/// The same, with trailers.
async fn http2_server_with_trailers(
    respond: impl Fn() -> (http::Response<Full<Bytes>>, http::HeaderMap) + Clone + Send + Sync + 'static,
) -> SocketAddr {
    server(move |stream| {
        let respond = respond.clone();
        async move {
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (response, trailers) = respond();
                let trailers = (!trailers.is_empty()).then_some(Ok(trailers));
                let response = response.map(|body| body.with_trailers(std::future::ready(trailers)));
                async move {
                    request.into_body().collect().await?;
                    Ok::<_, hyper::Error>(response)
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

/// A gRPC response without trailers, whose body is these bytes.
fn grpc(body: &'static [u8]) -> http::Response<Full<Bytes>> {
    http::Response::builder().header("content-type", "application/grpc").body(Full::from(body)).unwrap()
}

async fn asked(address: SocketAddr) -> Reply {
    Gate::start(&format!("http://{address}")).await.post(PATH, "{}").await
}

fn assert_denied(reply: &Reply, sentence: &str) {
    let body = format!(r#"{{"actionCode":0,"errCode":5000,"errMsg":"{sentence}","errDlt":"{sentence}","nextCode":1}}"#);
    assert_eq!((reply.status.as_u16(), std::str::from_utf8(&reply.body).unwrap()), (200, &*body));
}

const UNAVAILABLE: &str = "the policy service is not available";
const INVALID: &str = "the policy service gave an invalid reply";
const FAILED: &str = "the policy service failed";
const NOT_ANSWERED: &str = "the policy service does not answer this callback";

#[tokio::test]
async fn a_policy_that_is_not_there() {
    let address = support::nobody().await;
    assert_denied(&asked(address).await, UNAVAILABLE);
}

#[tokio::test]
async fn a_policy_that_hangs_up_at_once() {
    assert_denied(&asked(server(|stream| async move { drop(stream) }).await).await, UNAVAILABLE);
}

#[tokio::test]
async fn a_policy_that_hangs_up_in_mid_call() {
    let address = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 64]).await;
    });
    assert_denied(&asked(address.await).await, UNAVAILABLE);
}

#[tokio::test]
async fn a_policy_that_speaks_http_1() {
    let address = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    });
    assert_denied(&asked(address.await).await, UNAVAILABLE);
}

#[tokio::test]
async fn a_policy_that_speaks_something_else() {
    let address = server(|mut stream| async move {
        let _ = stream.write_all(b"\x15\x03\x03\x00\x02\x02\x0a").await;
    });
    assert_denied(&asked(address.await).await, UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_never_answers() {
    // Time is paused: it jumps to the deadline once nobody has anything to do.
    let policy = Policy::start_async(|_| Box::pin(std::future::pending())).await;
    let started = tokio::time::Instant::now();
    assert_denied(&asked(policy.address).await, "the policy service did not answer in time");
    assert_eq!(started.elapsed().as_millis(), 4_500);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_accepts_and_says_nothing() {
    let address = server(|stream| async move {
        let _stream = stream;
        std::future::pending().await
    });
    // A connection on which nobody speaks is none.
    assert_denied(&asked(address.await).await, UNAVAILABLE);
}

#[tokio::test]
async fn every_status() {
    for code in (1..=16).map(Code::from_i32) {
        let policy = Policy::start(move |_| Err(Status::new(code, "no, by 10.0.0.7"))).await;
        let sentence = match code {
            Code::Unavailable => UNAVAILABLE,
            Code::DeadlineExceeded => "the policy service did not answer in time",
            Code::ResourceExhausted => "the policy service is overloaded",
            Code::Unimplemented => NOT_ANSWERED,
            // The one status that is a verdict.
            Code::PermissionDenied => "no, by 10.0.0.7",
            _ => FAILED,
        };
        assert_denied(&asked(policy.address).await, sentence);
    }
}

#[tokio::test]
async fn a_status_whose_details_or_message_cannot_be_decoded() {
    for (status, name, value, sentence) in [
        ("13", "grpc-status-details-bin", "!!!", FAILED),
        ("14", "grpc-status-details-bin", "!!!", UNAVAILABLE),
        // The status decides: a denial, and an OK without a response.
        ("7", "grpc-message", "%ff", "\u{fffd}"),
        ("0", "grpc-message", "%ff", INVALID),
    ] {
        let answer = move || {
            let mut response = grpc(b"");
            response.headers_mut().insert("grpc-status", http::HeaderValue::from_static(status));
            response.headers_mut().insert(name, http::HeaderValue::from_static(value));
            response
        };
        assert_denied(&asked(http2_server(answer).await).await, sentence);
    }
}

#[tokio::test]
async fn permission_denied_without_a_message() {
    let policy = Policy::start(|_| Err(Status::permission_denied(""))).await;
    assert_denied(&asked(policy.address).await, "denied by policy");
}

#[tokio::test]
async fn an_http_status_is_no_verdict() {
    for (status, sentence) in [(403, FAILED), (404, NOT_ANSWERED), (500, FAILED), (503, UNAVAILABLE)] {
        let address = http2_server(move || http::Response::builder().status(status).body(Full::default()).unwrap());
        assert_denied(&asked(address.await).await, sentence);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_grpc() {
    let page = || http::Response::builder().header("content-type", "text/html").body(Full::from("<html>")).unwrap();
    assert_denied(&asked(http2_server(page).await).await, FAILED);
}

#[tokio::test]
async fn a_grpc_answer_without_a_status() {
    for body in [b"" as &[u8], b"\0\0\0\0\0", b"\0\0\0\0\x09hi", b"<html>"] {
        assert_denied(&asked(http2_server(move || grpc(body)).await).await, INVALID);
    }
}

#[tokio::test]
async fn ok_without_a_message() {
    let ok = || {
        let mut response = grpc(b"");
        response.headers_mut().insert("grpc-status", http::HeaderValue::from_static("0"));
        response
    };
    assert_denied(&asked(http2_server(ok).await).await, INVALID);
}

#[tokio::test]
async fn bytes_that_are_not_the_message() {
    for bytes in [
        b"\xff" as &[u8],
        b"\x12\x05abc",
        // A field that the contract does not have, and one of another type.
        b"\x7a\x02hi",
        b"\x08\x01",
        // A denial that ends early.
        b"\x0a\x05abc",
    ] {
        let policy = Policy::start(move |_| Ok(bytes.to_vec())).await;
        assert_denied(&asked(policy.address).await, INVALID);
    }
}

#[tokio::test]
async fn a_denial_stays_one_whatever_is_wrong_with_it() {
    for (bytes, code, message) in [
        // Texts that are not UTF-8; a field that the contract does not have; a change that is garbled; nothing.
        (b"\x0a\x03\x12\x01\xff" as &[u8], 5000, "\u{fffd}"),
        (b"\x0a\x0a\x12\x05not\xf6w\x1a\x01\xff", 5000, "not\u{fffd}w"),
        (b"\x0a\x0e\x08\x89\x27\x12\x07not now\x20\x01", 5001, "not now"),
        (b"\x0a\x0c\x08\x89\x27\x12\x07not now\x12\x01\xff", 5001, "not now"),
        (b"\x0a\x0c\x08\x89\x27\x12\x07not now\xff", 5001, "not now"),
        (b"\x0a\x00", 5000, "denied by policy"),
    ] {
        let policy = Policy::start(move |_| Ok(bytes.to_vec())).await;
        let mut config = support::config();
        config.on_failure = hookgate::config::Rules::all(hookgate::config::Rule::Allow);
        let gate = Gate::configured(&policy.url(), config).await;
        let reply = gate.post("/callbackBeforeSetFriendRemarkCommand", "{}").await;
        assert_eq!(reply.headers["hookgate-outcome"], "deny", "{bytes:?}");
        let json = reply.json();
        assert_eq!((&json["errCode"], &json["errMsg"], &json["nextCode"]), (&code.into(), &message.into(), &1.into()));
    }
}

#[tokio::test]
async fn an_answer_of_two_messages() {
    // An allow and then a denial: what was meant cannot be known.
    let answer = || {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        (grpc(b"\0\0\0\0\0\0\0\0\0\x02\x0a\0"), trailers)
    };
    assert_denied(&asked(http2_server_with_trailers(answer).await).await, INVALID);
}

/// An allow with a status in its head, as a proxy may add one, and this status behind it.
async fn asked_with_status_in_the_head(body: &'static [u8], behind: &'static str) -> Reply {
    let answer = move || {
        let mut response = grpc(body);
        response.headers_mut().insert("grpc-status", http::HeaderValue::from_static("0"));
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static(behind));
        (response, trailers)
    };
    let address = http2_server_with_trailers(answer).await;
    let mut config = support::config();
    config.limits.reply = 1000;
    Gate::configured(&format!("http://{address}"), config).await.post(PATH, "{}").await
}

#[tokio::test]
async fn a_status_in_the_head_and_another_behind_the_message() {
    let reply = asked_with_status_in_the_head(b"\0\0\0\0\0", "0").await;
    assert_eq!(reply.headers["hookgate-outcome"], "allow");
    let reply = asked_with_status_in_the_head(b"\0\0\0\0\0", "7").await;
    assert_eq!(
        (&reply.headers["hookgate-outcome"], &reply.json()["errCode"]),
        (&"deny".parse().unwrap(), &5000.into())
    );
    assert_denied(&asked_with_status_in_the_head(b"\0\0\0\0\0", "13").await, "the policy service failed");
    // A field of 1,022 bytes that no reply has. Nobody gets so far as to read it.
    let long = [&b"\0\0\0\x04\x01\x7a\xfe\x07"[..], &[0; 1022]].concat().leak();
    assert_denied(&asked_with_status_in_the_head(long, "0").await, INVALID);
}

#[tokio::test]
async fn a_list_of_more_entries_than_anybody_means() {
    let policy = Policy::start(|_| Ok([b"\x12\xe0\xa7\x12".to_vec(), b"\x0a\x00".repeat(150_000)].concat())).await;
    let gate = Gate::start(&policy.url()).await;
    let reply = gate.post("/callbackBeforeUserRegisterCommand", r#"{"users":[{"userID":"u"}]}"#).await;
    assert_denied(&reply, INVALID);
}

#[tokio::test]
async fn a_reply_as_large_as_the_largest_body() {
    // A new remark: its key, its length in four bytes, its text.
    let policy = Policy::start(|_| {
        let text = vec![b'x'; (8 << 20) - 5];
        let mut response = b"\x12".to_vec();
        prost::encoding::encode_varint(text.len() as u64, &mut response);
        response.extend(text);
        assert_eq!(response.len(), support::config().limits.body);
        Ok(response)
    })
    .await;
    let gate = Gate::start(&policy.url()).await;
    let reply = gate.post("/callbackBeforeSetFriendRemarkCommand", "{}").await;
    assert_eq!(reply.headers["hookgate-outcome"], "changed");
}

#[tokio::test]
async fn a_reply_over_the_limit() {
    let policy = Policy::start(|_| Ok(vec![0; (8 << 20) + 1])).await;
    assert_denied(&asked(policy.address).await, INVALID);
}

#[tokio::test]
async fn a_panic_in_a_handler() {
    let gate = Gate::that_panics(support::config()).await;
    for _ in 0..2 {
        let reply = gate.post(PATH, "{}").await;
        assert_eq!(reply.status.as_u16(), 500);
        assert_eq!(reply.json()["nextCode"], 1);
        assert_eq!(reply.json()["errMsg"], "hookgate failed");
    }
}

#[tokio::test]
async fn a_hundred_callers_that_hang_up_harm_nobody_else() {
    let policy = Policy::start_async(|call| {
        Box::pin(async move {
            if call.metadata("openim-operation-id") == Some("hang up") {
                std::future::pending::<()>().await;
            }
            Ok(Vec::new())
        })
    })
    .await;
    let gate = Gate::start(&policy.url()).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(gate.address).await.unwrap();
        let head = format!("POST {PATH} HTTP/1.1\r\nhost: h\r\noperationID: hang up\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(head.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    drop(streams);
    for _ in 0..100 {
        assert_eq!(gate.post(PATH, "{}").await.json()["nextCode"], 0);
    }
}

#[tokio::test]
async fn calls_that_are_late_while_the_policy_stalls_harm_no_other() {
    // A policy that looks at nothing until it is let go: it finds the calls and that they were given up together.
    let (let_go, stalled) = std::sync::mpsc::channel::<()>();
    let stalled = std::sync::Mutex::new(stalled);
    let (stalls, mut does_stall) = tokio::sync::mpsc::unbounded_channel();
    let (tell, policy) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let policy = Policy::start(move |call| {
                if call.metadata("openim-operation-id") == Some("stall") {
                    stalls.send(()).unwrap();
                    stalled.lock().unwrap().recv().unwrap();
                }
                Ok(Vec::new())
            })
            .await;
            tell.send(policy.url()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let mut config = support::config();
    let hurried = Callback::by_command("callbackBeforeAddFriendCommand").unwrap();
    let brief = Override { budget: Some(Duration::from_millis(500)), ..Override::default() };
    config.callbacks.insert(hurried.command, brief);
    config.channel.breaker_failures = 1_000;
    let gate = std::sync::Arc::new(Gate::configured(&policy.await.unwrap(), config).await);
    gate.post(PATH, "{}").await;
    let post = |command: &'static str, operation: &'static str| {
        let gate = gate.clone();
        tokio::spawn(async move {
            let uri = format!("http://{}/{command}", gate.address);
            let request = http::Request::post(uri).header("operationID", operation).body("{}".into()).unwrap();
            gate.send(request).await.headers["hookgate-outcome"].clone()
        })
    };
    let patient = [post(&PATH[1..], "stall"), post(&PATH[1..], "wait")];
    does_stall.recv().await.unwrap();
    for late in (0..100).map(|_| post(hurried.command, "")).collect::<Vec<_>>() {
        assert_eq!(late.await.unwrap(), "failed-closed:deadline");
    }
    let_go.send(()).unwrap();
    for call in patient {
        assert_eq!(call.await.unwrap(), "allow");
    }
}
