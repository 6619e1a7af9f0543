//! Accepts connections, serves HTTP/1.1 on each, and ends them in good order.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::Response;
use super::access;
use super::caller::{Caller, Peer};
use super::handshake::{self, Line};
use super::heads::{self, Why};
use super::progress::{Progress, Stalled, Step, Times, Watched};
use super::stop::{Stop, Stopping};
use crate::config::{Config, InForce};
use crate::observe::counters::{Held, Status};
use crate::observe::rejected::Reason;
use crate::server::crowd::{Crowd, Descriptors};
use crate::server::listener::{Accepted, Listener, pause};

/// Idle connections stay open: OpenIM keeps two and denies when one closes just as it is used (Go's net/http does not
/// repeat a POST). A call has its budget.
const KEPT: Times = Times { idle: None, head: Duration::from_secs(15), call: None, reply: Duration::from_secs(15) };

/// The times of a connection for one request.
const BRIEF: Times = Times { idle: Some(Duration::from_secs(5)), head: Duration::from_secs(5), ..KEPT };

/// The time that the last connections have for their first word: it may be on its way when hookgate stops to accept.
const FIRST_WORD: Duration = Duration::from_millis(100);

/// The end of the drain time that is left to the replies of calls without a verdict by then; less of a short one.
const LAST_REPLIES: Duration = Duration::from_millis(100);

/// The time that the last words to a connection that is given up may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The room for reading that a connection may take, in bytes: it keeps what it has once taken. Messages of 64 KiB that come in
/// one piece cost a fifth less than in several.
pub(super) const BUFFER: usize = 128 << 10;

/// Whether a connection is over the limit. Its one request is answered by the rule for `overloaded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// It is over the limit.
    Yes,
    /// It is within the limit.
    No,
}

/// What answers the requests of a connection.
pub(super) trait Front:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Send + Unpin + 'static
{
}

impl<S> Front for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Send + Unpin + 'static
{
}

/// Answers connections.
pub(super) trait Answering: Clone + Send + Sync + 'static {
    /// The service for the requests of one.
    fn front(&self, crowded: Crowded, peer: Arc<Peer>) -> impl Front;

    /// The reply to a head that became no request.
    fn refuse_head(&self, peer: &Peer, why: Why, head: &[u8]) -> Response;
}

/// The stages of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    NotYet,
    /// Connections that are not idle end with their next reply.
    Busy,
    /// All end.
    All,
    /// Calls without a verdict end too: the failure rules decide.
    Over,
}

/// Everything that a connection is given.
struct Door<'a, A> {
    answering: A,
    config: &'a InForce,
    status: &'a Arc<Status>,
    descriptors: Descriptors,
    crowd: Crowd,
    end: watch::Receiver<End>,
    guards: Guards,
}

/// Held by connections until they are idle for good, and until they have ended.
#[derive(Clone)]
struct Guards {
    busy: mpsc::Sender<Infallible>,
    open: mpsc::Sender<Infallible>,
}

/// Answers every connection until told to stop, and then until every call has its reply or the drain time is over. Gives
/// the point in time when that is.
pub(super) async fn serve<A: Answering>(
    mut listener: Listener,
    answering: A,
    config: &InForce,
    status: &Arc<Status>,
    stopping: &Stopping,
    until: impl Future<Output = Stop>,
) -> Instant {
    let ((busy, mut none_busy), (open, mut none_open)) = (mpsc::channel(1), mpsc::channel(1));
    let (ending, end) = watch::channel(End::NotYet);
    let descriptors = Descriptors::of_this_process();
    let crowd = Crowd::of_at_most(descriptors.crowded);
    let mut door = Door { answering, config, status, descriptors, crowd, end, guards: Guards { busy, open } };
    let stop = tokio::select! {
        stop = until => stop,
        never = door.accept(&listener) => match never {},
    };
    stopping.begin();
    let delay = config.now().drain.delay;
    if stop == Stop::Drain && !delay.is_zero() {
        info!(?delay, "still accepting, closing each connection with its next reply");
        door.accept_for(&listener, delay).await;
    }
    let drain = config.now().drain.time;
    let give_up = Instant::now() + drain;
    listener.turn_away();
    door.accept_for(&listener, FIRST_WORD).await;
    match listener.close() {
        Ok(left) => {
            for accepted in left {
                door.admit(accepted);
                yield_now().await;
            }
        }
        Err(error) => debug!(%error, "cannot accept what is left"),
    }
    // Without it each of them would wait for this one.
    drop(door);
    let mut ended = pin!(async {
        let _ = timeout(FIRST_WORD, none_open.recv()).await;
        // A request on its way over an idle connection finds it open for as long as possible.
        ending.send_replace(End::Busy);
        none_busy.recv().await;
        ending.send_replace(End::All);
        none_open.recv().await;
    });
    if timeout_at(give_up - LAST_REPLIES.min(drain / 10), &mut ended).await.is_err() {
        // Wakes the calls that have no verdict.
        stopping.end();
        ending.send_replace(End::Over);
        if timeout_at(give_up, ended).await.is_err() {
            warn!("some calls did not end in time");
        }
    }
    give_up
}

impl<A: Answering> Door<'_, A> {
    async fn accept(&mut self, listener: &Listener) -> Infallible {
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    if self.admit(accepted) == Crowded::Yes {
                        // Whoever had to make room goes first.
                        yield_now().await;
                    }
                }
                Err(error) => {
                    // Whoever has been told that it is one too many has waited long enough.
                    let is_of_caller = matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted);
                    if !is_of_caller && self.crowd.end_oldest() {
                        self.ended_for_another();
                    }
                    pause(&error).await;
                }
            }
        }
    }

    async fn accept_for(&mut self, listener: &Listener, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            never = self.accept(listener) => match never {},
        }
    }

    fn admit(&mut self, (stream, peer): Accepted) -> Crowded {
        let connected = self.status.connected();
        let now = self.config.now();
        let most = now.limits.connections.min(self.descriptors.webhooks);
        let crowded = if self.status.connections() > most { Crowded::Yes } else { Crowded::No };
        let (answering, status) = (self.answering.clone(), self.status.clone());
        let (mut end, guards) = (self.end.clone(), self.guards.clone());
        let task = tokio::spawn(async move {
            let met = tokio::select! {
                biased;
                met = handshake::meet(stream, peer, now.tls.as_ref(), now.every.budget) => met,
                // Nobody waits for who has not even said hello.
                _ = end.wait_for(|end| *end > End::NotYet) => return,
            };
            match met {
                Ok((line, caller)) => {
                    attend(line, caller, crowded, now, answering, (&status, connected), end, guards).await;
                }
                Err((reason, why)) => status.callers_refused.connection(reason, peer, &why),
            }
        });
        if crowded == Crowded::Yes && self.crowd.add(task.abort_handle()) {
            self.ended_for_another();
        }
        crowded
    }

    fn ended_for_another(&self) {
        let why = "a connection over the limit has ended for a newer one";
        self.status.callers_refused.connection(Reason::OverLimit, None, why);
    }
}

/// Serves one connection until it ends.
#[allow(clippy::too_many_arguments, reason = "each is used once, here")]
async fn attend<A: Answering>(
    line: Line,
    caller: Caller,
    crowded: Crowded,
    config: Arc<Config>,
    answering: A,
    (status, _connected): (&Status, Held),
    mut end: watch::Receiver<End>,
    guards: Guards,
) {
    let Guards { busy, open: _open } = guards;
    let mut busy = Some(busy);
    let brief = crowded == Crowded::Yes || access::is_hopeless(&config, &caller);
    let (times, head) = (if brief { BRIEF } else { KEPT }, config.limits.head);
    let progress = Arc::new(Progress::default());
    let watched = Watched::new(line, progress.clone(), status.heads().share(), config.limits.memory);
    // The configuration goes on without this connection.
    drop(config);
    let peer = Arc::new(Peer { caller, progress });
    // A client may end its side early and still gets its reply. A reply is small: one piece costs the kernel less than two.
    let mut connection = http1::Builder::new()
        .keep_alive(!brief)
        .header_read_timeout(None)
        .half_close(true)
        .writev(false)
        .max_header_size(head)
        .max_buf_size(head.max(BUFFER))
        .serve_connection(TokioIo::new(watched), answering.front(crowded, peer.clone()));
    let mut seen = End::NotYet;
    let ended = loop {
        {
            let serving = pin!(peer.progress.within(times, poll_fn(|cx| Pin::new(&mut connection).poll(cx))));
            tokio::select! {
                biased;
                ended = serving => break ended,
                Ok(end) = end.wait_for(|end| *end > seen) => seen = *end,
            }
        }
        match (seen, peer.progress.step()) {
            (End::Busy, Step::Idle) => {
                busy = None;
                continue;
            }
            // hyper would close under a head that is not whole. Its reply closes the connection.
            (End::Busy | End::All, Step::Head) => continue,
            _ => {}
        }
        Pin::new(&mut connection).graceful_shutdown();
    };
    drop(busy);
    let parts = connection.into_parts();
    let (mut line, no_room) = parts.io.into_inner().into_parts();
    let address = peer.caller.address;
    let why = match ended {
        Ok(Ok(())) => None,
        Ok(Err(_)) if no_room.is_some() => Some(Why::NoRoom),
        Ok(Err(error)) if error.is_parse_too_large() => Some(Why::TooLarge(head)),
        Ok(Err(error)) if error.is_parse() => {
            let (reason, why) = heads::begins_with(&parts.read_buf);
            status.callers_refused.connection(reason, address, &format!("{why}: {error}"));
            Some(Why::Reason(reason))
        }
        Ok(Err(error)) => {
            debug!(%error, "a connection ended badly");
            return;
        }
        Err(stalled @ Stalled(Step::Head)) => {
            status.callers_refused.connection(Reason::HeadTimeout, address, &stalled.to_string());
            Some(Why::Reason(Reason::HeadTimeout))
        }
        Err(stalled) => {
            debug!(%stalled, "a connection is given up");
            return;
        }
    };
    let last_words = async {
        match why {
            None => line.shutdown().await,
            Some(why) => heads::answer(&mut line, answering.refuse_head(&peer, why, &parts.read_buf)).await,
        }
    };
    if let Ok(Err(error)) = timeout(LAST_WORDS, last_words).await {
        debug!(%error, "a connection ended badly");
    }
}
