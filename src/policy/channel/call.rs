//! One call over a connection: the layer between gRPC and h2, which knows HTTP/2.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Error;
use super::subchannel::InFlight;
use crate::policy::{CallError, grpc};

/// The sending half of a connection. A call that waits for a free stream holds the lock and others wait for the lock, not
/// in h2: so if the connection ends, all but one of them are known not to have been sent.
#[derive(Debug, Clone)]
pub(super) struct CallSender(Arc<Mutex<SendRequest<Bytes>>>);

/// The sending half while the peer has a stream for one call.
pub(super) struct ReadySender(OwnedMutexGuard<SendRequest<Bytes>>);

impl CallSender {
    pub(super) fn new(send: SendRequest<Bytes>) -> Self {
        Self(Arc::new(Mutex::new(send)))
    }

    /// Waits until the peer has a stream for a call. Fails if the connection has ended.
    pub(super) async fn ready_sender(&self) -> Result<ReadySender, h2::Error> {
        let mut sender = self.0.clone().lock_owned().await;
        poll_fn(|cx| sender.poll_ready(cx)).await?;
        Ok(ReadySender(sender))
    }
}

impl ReadySender {
    /// Sends a call. Fails if the connection has ended; then the call was not sent.
    fn send(mut self, call: Request<Bytes>) -> Result<ResponseFuture, h2::Error> {
        let (head, message) = call.into_parts();
        let (response, mut stream) = self.0.send_request(Request::from_parts(head, ()), false)?;
        // h2 buffers what the peer's flow control does not allow yet; that is at most a webhook's body.
        if let Err(error) = stream.send_data(grpc::framed(&message), true) {
            // The stream has ended, and its response says why.
            tracing::debug!(reason = ?error.reason(), "request body not sent");
        }
        Ok(response)
    }
}

/// Makes a call, and reads its response to the end. `in_flight` is `None` for health checks.
pub(super) async fn exchange(
    sender: ReadySender,
    call: Request<Bytes>,
    limit: usize,
    in_flight: Option<InFlight>,
) -> Result<Bytes, CallError> {
    let response = sender.send(call).map_err(Error::NotProcessed)?;
    let read = async {
        let response = response.await.map_err(Error::from)?;
        if let Some(InFlight { subchannel }) = &in_flight {
            subchannel.count_response();
        }
        grpc::read(response, limit).await
    };
    let result = read.await;
    if let Some(InFlight { subchannel }) = &in_flight {
        subchannel.outlier.record(&result);
    }
    result
}
