//! Calls the rpcs through a server in memory.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use tower::service_fn;

use crate::audit::{Audit, tests::Memory};
use crate::lookup::Lookup;
use crate::policy::Policy;
use crate::proto::message_policy_service_client::MessagePolicyServiceClient;
use crate::proto::relation_policy_service_client::RelationPolicyServiceClient;
use crate::proto::{AfterRemoveBlackRequest, BeforeAddBlackRequest, BeforeSendSingleMsgRequest, ChatMessage};
use crate::text::Words;

/// Serves the policy at one end of a pipe, and connects to the other.
async fn connect(audit: Memory) -> Channel {
    let mut words = Words::default();
    words.add("Spam");
    let policy = Policy::new(Lookup::new(words, std::time::Duration::ZERO), Audit::new(audit));
    let (client, server) = tokio::io::duplex(1 << 20);
    let incoming = tokio_stream::once(Ok::<DuplexStream, io::Error>(server));
    tokio::spawn(Server::builder().add_routes(crate::policy_services(policy)).serve_with_incoming(incoming));
    let mut client = Some(client);
    let connector = service_fn(move |_| {
        let end = client.take().map(TokioIo::new).ok_or(io::ErrorKind::NotConnected);
        async move { end.map_err(io::Error::from) }
    });
    Endpoint::from_static("http://policy").connect_with_connector(connector).await.unwrap()
}

#[tokio::test]
async fn before_send_single_msg() {
    let mut client = MessagePolicyServiceClient::new(connect(Memory::default()).await);
    for (content, code) in [
        (Some(r#"{"content":"buy spam"}"#), Some(5001)),
        (Some(r#"{"content":"buy ham"}"#), None),
        (Some("spam"), Some(5001)),
        (Some(""), None),
        (None, None),
    ] {
        let message = content.map(|content| ChatMessage {
            content_type: 101,
            content: content.to_owned(),
            ..ChatMessage::default()
        });
        let request = BeforeSendSingleMsgRequest { message, ..BeforeSendSingleMsgRequest::default() };
        let response = client.before_send_single_msg(request).await.unwrap().into_inner();
        assert_eq!(response.denial.map(|denial| denial.code), code, "{content:?}");
    }
}

#[tokio::test]
async fn an_event_is_audited_once() {
    let audit = Memory::default();
    let mut client = RelationPolicyServiceClient::new(connect(audit.clone()).await);
    for _ in 0..2 {
        let mut request = Request::new(AfterRemoveBlackRequest {
            owner_user_id: "ann".to_owned(),
            black_user_id: "bob".to_owned(),
            ..AfterRemoveBlackRequest::default()
        });
        request.metadata_mut().insert("hookgate-event-id", "e1".parse().unwrap());
        request.metadata_mut().insert("openim-operation-id", "op".parse().unwrap());
        client.after_remove_black(request).await.unwrap();
    }
    let ids = r#""operation_id":"op","event_id":"e1","owner_user_id":"ann","black_user_id":"bob""#;
    assert_eq!(audit.lines(), [format!(r#"{{"event":"AfterRemoveBlack",{ids}}}"#)]);
}

#[tokio::test]
async fn other_rpcs_are_unimplemented() {
    let mut client = RelationPolicyServiceClient::new(connect(Memory::default()).await);
    let status = client.before_add_black(BeforeAddBlackRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}
