//! A call is made a second time where the policy cannot have seen it, and nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use hookgate::config::Class;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::{asked, connect, failed, listen};

/// What a server does with a call.
#[derive(Clone, Copy)]
enum Act {
    Answer,
    Reset(Reason),
    /// Says GOAWAY; the call is one of those that were looked at.
    Leave,
    HangUp,
}

/// A server that does with its calls what the list says, over all connections, and counts them.
async fn server(acts: &'static [Act]) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let address = listen(move |_, stream| serve(stream, acts, count.clone())).await;
    (address, seen)
}

async fn serve(stream: TcpStream, acts: &'static [Act], seen: Arc<AtomicUsize>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.headers()["hookgate-attempt"], "1");
        match acts[seen.fetch_add(1, Ordering::SeqCst)] {
            Act::Answer => {
                let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut body = respond.send_response(head, false).unwrap();
                body.send_data(Bytes::from_static(b"\0\0\0\0\0"), false).unwrap();
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                body.send_trailers(trailers).unwrap();
            }
            Act::Reset(reason) => respond.send_reset(reason),
            Act::Leave => connection.abrupt_shutdown(Reason::NO_ERROR),
            Act::HangUp => return,
        }
    }
}

#[tokio::test]
async fn refused_unseen_it_is_made_again() {
    let (address, seen) = server(&[Act::Reset(Reason::REFUSED_STREAM), Act::Answer]).await;
    asked(&connect(address)).await;
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn once() {
    let (address, seen) = server(&[Act::Reset(Reason::REFUSED_STREAM); 2]).await;
    let cause = failed(&connect(address), Class::Unavailable).await;
    assert!(cause.contains("not taken"), "{cause}");
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn cut_off_it_may_have_been_seen_and_is_not_made_again() {
    for act in [
        &[Act::Reset(Reason::CANCEL)],
        &[Act::Reset(Reason::INTERNAL_ERROR)],
        &[Act::Reset(Reason::NO_ERROR)],
        &[Act::Reset(Reason::ENHANCE_YOUR_CALM)],
        &[Act::Leave],
        &[Act::HangUp],
    ] {
        let (address, seen) = server(act).await;
        let cause = failed(&connect(address), Class::Unavailable).await;
        assert!(cause.contains("cut off"), "{cause}");
        assert_eq!(seen.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_goaway_that_leaves_it_out_has_it_made_again_elsewhere() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let address = listen(move |number, mut stream: TcpStream| {
        let count = count.clone();
        async move {
            if number > 0 {
                return serve(stream, &[Act::Answer], count).await;
            }
            stream.write_all(SETTINGS).await.unwrap();
            until_a_call(&mut stream).await;
            stream.write_all(GOAWAY_0).await.unwrap();
            drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
        }
    })
    .await;
    asked(&connect(address)).await;
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

pub const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
/// The last stream that was looked at is none; NO_ERROR.
const GOAWAY_0: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Reads until the end of a call's body.
pub async fn until_a_call(stream: &mut TcpStream) {
    stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let [_, high, low, kind, flags, ..] = head;
        stream.read_exact(&mut vec![0; u16::from_be_bytes([high, low]).into()]).await.unwrap();
        // DATA that ends its stream.
        if kind == 0 && flags & 1 != 0 {
            return;
        }
    }
}
