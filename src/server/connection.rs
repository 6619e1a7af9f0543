//! Serves HTTP/1.1 on one connection.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::debug;

use super::caller::{Caller, Connection};
use super::handshake::Io;
use super::layers::{Call, Next};
use super::progress::{Progress, Stalled, Step, Timeouts, Tracked};
use super::record::Record;
use super::shutdown::{self, ShutdownGuard, Stage};
use super::{Refusal, ServerState, access, heads};
use crate::config::Config;
use crate::observe::rejected::Reason;
use crate::policy::Transport;

/// Idle connections stay open: OpenIM keeps two and denies when one closes just as it is used (Go's net/http does not
/// repeat a POST). A call is bounded by its budget.
fn keep_alive(step: Step) -> Option<Duration> {
    match step {
        Step::Idle | Step::Call => None,
        Step::Head | Step::Reply => Some(Duration::from_secs(15)),
    }
}

/// The timeouts of a connection that serves a single request.
fn single_request(step: Step) -> Option<Duration> {
    match step {
        Step::Idle | Step::Head => Some(Duration::from_secs(5)),
        other => keep_alive(other),
    }
}

/// Maximum time for the last reply to a connection that is given up.
const LAST_REPLY: Duration = Duration::from_secs(2);

/// Read buffer of a connection in bytes, which it keeps once it has grown. Messages of 64 KiB that arrive in one piece cost a
/// fifth less than in several.
pub(super) const BUFFER: usize = 128 << 10;

/// Serves one connection until it ends.
pub(super) async fn serve_connection<T: Transport, S: Next<T>>(
    io: Io,
    caller: Caller,
    over_limit: bool,
    config: Arc<Config>,
    webhooks: Arc<ServerState<T>>,
    stack: S,
    guard: ShutdownGuard,
) {
    let ShutdownGuard { mut stage, busy, open: _open } = guard;
    let mut busy = Some(busy);
    let is_single = over_limit || access::refuses_all(&config, &caller);
    let timeouts: Timeouts = if is_single { single_request } else { keep_alive };
    let max_head = config.limits.head;
    let shared = webhooks.shared.clone();
    let progress = Arc::new(Progress::default());
    let io = Tracked::new(io, progress.clone(), shared.status.heads.share(), config.limits.memory);
    // A reload must not wait for the connection to free the old configuration.
    drop(config);
    let peer = Arc::new(Connection { caller, over_limit, progress, shared });
    let service = service_fn(|request: Request<Incoming>| {
        peer.progress.set(Step::Call);
        let record = Arc::new(Record::begin(peer.clone()));
        stack.clone().call(Call { webhooks: webhooks.clone(), record, request })
    });
    // A client may end its side early and still gets its reply. A reply is small: one write costs the kernel less than two.
    let mut connection = http1::Builder::new()
        .keep_alive(!is_single)
        .header_read_timeout(None)
        .half_close(true)
        .writev(false)
        .max_header_size(max_head)
        .max_buf_size(max_head.max(BUFFER))
        .serve_connection(TokioIo::new(io), service);
    let mut seen = Stage::Running;
    let ended = loop {
        {
            let serving = pin!(peer.progress.within(timeouts, poll_fn(|cx| Pin::new(&mut connection).poll(cx))));
            let next_stage = pin!(stage.wait_for(move |stage| *stage > seen));
            tokio::select! {
                biased;
                ended = serving => break ended,
                Ok(stage) = shutdown::polled_while_draining(&peer.shared, next_stage) => seen = *stage,
            }
        }
        match (seen, peer.progress.step()) {
            (Stage::CloseBusy, Step::Idle) => {
                busy = None;
                continue;
            }
            // hyper would close under an incomplete head. Its reply closes the connection.
            (Stage::CloseBusy | Stage::CloseAll, Step::Head) => continue,
            _ => {}
        }
        Pin::new(&mut connection).graceful_shutdown();
    };
    drop(busy);
    let parts = connection.into_parts();
    let (mut io, no_room) = parts.io.into_inner().into_parts();
    let callers_refused = &peer.shared.status.callers_refused;
    let address = peer.caller.address;
    let refusal = match ended {
        Ok(Ok(())) => None,
        Ok(Err(_)) if no_room.is_some() => no_room.map(Refusal::NoRoom),
        Ok(Err(error)) if error.is_parse_too_large() => Some(Refusal::HeadTooLarge(max_head)),
        Ok(Err(error)) if error.is_parse() => {
            let (reason, why) = heads::protocol_of(&parts.read_buf);
            callers_refused.connection(reason, address, &format!("{why}: {error}"));
            Some(Refusal::Caller(reason))
        }
        Ok(Err(error)) => return debug!(%error, "connection failed"),
        Err(stalled @ Stalled(Step::Head)) => {
            callers_refused.connection(Reason::HeadTimeout, address, &stalled.to_string());
            Some(Refusal::Caller(Reason::HeadTimeout))
        }
        Err(stalled) => return debug!(%stalled, "connection timed out"),
    };
    let last_reply = async {
        match refusal {
            None => io.shutdown().await,
            Some(refusal) => heads::answer(&mut io, webhooks.refuse_head(&peer, refusal, &parts.read_buf)).await,
        }
    };
    if let Ok(Err(error)) = timeout(LAST_REPLY, last_reply).await {
        debug!(%error, "connection failed");
    }
}
