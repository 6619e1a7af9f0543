//! The HTTP front: one handler, one map from failure to reply.

mod access;
mod body;
mod caller;
mod connections;
pub(crate) mod crowd;
mod handshake;
mod heads;
pub mod listener;
pub(crate) mod progress;
mod refusal;
mod refused;
mod reply;
mod stop;
mod times;
pub(crate) mod webhook;
mod work;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::time::Instant;

use crate::config::{Config, Handling, InForce};
use crate::contract::{Callback, Timing};
use crate::failure::{Class, Failure};
use crate::memory::Share;
use crate::observe::counters::{Status, millis_now};
use crate::observe::decisions::Decisions;
use crate::outbox::{Delivery, Event, Events};
use crate::panics;
use crate::policy::{Answer, Policy, Question, Transport};
use crate::server::listener::Listener;
use body::{Bounds, Unread, Whole};
use caller::Peer;
pub use connections::Crowded;
use heads::Why;
pub use refusal::Refusal;
use reply::Decision;
pub use stop::{Stop, Stopping};
use times::Times;
use webhook::Webhook;
use work::Work;

/// hyper keeps the room that the longest reply of a connection took for as long as that is open. One longer than this,
/// in bytes, is the last of its connection.
const LARGE: u64 = 64 << 10;

/// A reply, which is always whole.
type Response = http::Response<Full<Bytes>>;

/// What answers webhooks: a policy to ask, After events to deliver, and the rules for when there is no verdict.
#[derive(Debug)]
pub struct Gate<T> {
    policy: Policy<T>,
    events: Events,
    decisions: Decisions,
    config: InForce,
    status: Arc<Status>,
    stopping: Stopping,
    work: Work,
}

impl<T: Transport> Gate<T> {
    /// Answers as `policy` says, within the rules of `config`.
    pub fn new(policy: Policy<T>, config: impl Into<InForce>) -> Arc<Self> {
        let config = config.into();
        let events = Events::new(policy.clone(), &config.now().after);
        Self::with(policy, events, Decisions::off(), config)
    }

    /// The same, with events that may be on disk, and a decision log.
    pub fn with(policy: Policy<T>, events: Events, decisions: Decisions, config: InForce) -> Arc<Self> {
        Arc::new(Self {
            events,
            decisions,
            status: Arc::default(),
            stopping: Stopping::default(),
            work: Work::default(),
            policy,
            config,
        })
    }

    /// What has happened so far.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// The After events on their way.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The configuration in force.
    pub fn config(&self) -> &InForce {
        &self.config
    }

    /// Whether it is stopping.
    pub fn stopping(&self) -> &Stopping {
        &self.stopping
    }

    /// A webhook's reply, or why it is none. Decode, ask, decide, reply.
    async fn decide(
        &self,
        (config, handling): (&Config, &Handling),
        webhook: &mut Webhook,
        body: Incoming,
        times: &mut Times,
        crowded: Crowded,
    ) -> Result<Decision, Refusal> {
        let deadline = times.arrived + handling.budget;
        let limits = &config.limits;
        let bounds = Bounds { body: limits.body, memory: self.status.memory(), all: limits.memory };
        let body = self.stopping.unless_over(pin!(body::read(body, bounds, deadline))).await;
        let Whole { bytes: body, share } = match body.unwrap_or(Err(Refusal::Late.into())) {
            Ok(whole) => whole,
            Err(Unread::Refused(refusal)) => return Err(refusal),
            Err(Unread::NoRoom(why)) => return Ok(self.no_room((config, handling), webhook, why)),
        };
        // What goes on with it after its webhook has ended is counted too.
        let share = share.map(Arc::new);
        let counted = |bytes: Bytes| share.clone().map_or(bytes.clone(), |share| counted(bytes, share));
        let body = counted(body);
        let is_long = work::is_long(body.len());
        let message = if is_long {
            match self.off_thread(deadline, webhook.transcoding(&body)).await {
                Some(read) => webhook.take_in(read?),
                None => {
                    let failure = Failure::because(Class::Deadline, "the budget was spent before the body was read");
                    return Ok(self.unread((config, handling), webhook, failure.unasked()));
                }
            }
        } else {
            webhook.transcode(&body)?
        };
        let (callback, metadata) = (webhook.callback, webhook.metadata());
        if self.decisions.is_on() {
            webhook.keep(&message, &metadata);
        }
        times.decoded = Some(Instant::now());
        if webhook.timing() == Timing::After {
            let told = self.tell(Event { callback, message, metadata, budget: handling.budget }).await;
            times.answered = Some(Instant::now());
            return Ok(told);
        }
        let question = Question { callback, message: counted(message), metadata, attempt: 1, deadline };
        let answer = self.stopping.unless_over(pin!(self.ask(question, limits.calls, crowded))).await;
        let late = || Err(Failure::because(Class::Deadline, "the drain time is over"));
        let answer = answer.unwrap_or_else(late);
        times.answered = Some(Instant::now());
        if !is_long {
            return Ok(Decision::of_answer(answer, (callback, handling), &body, &config.denial));
        }
        let (of, denial) = (handling.clone(), config.denial.clone());
        let decide = move || Decision::of_answer(answer, (callback, &of), &body, &denial);
        Ok(match self.off_thread(deadline + work::LAST, decide).await {
            Some(decision) => decision,
            None => {
                let failure = Failure::because(Class::Deadline, "the budget was spent before the reply was made");
                self.unread((config, handling), webhook, failure)
            }
        })
    }

    /// Does work on a long body on another thread. Nothing where it did not end by the deadline, or the drain time is over.
    async fn off_thread<R: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        self.stopping.unless_over(pin!(self.work.off_thread(deadline, work))).await.flatten()
    }

    /// Asks about a Before callback.
    async fn ask(&self, question: Question, limit: usize, crowded: Crowded) -> Result<Answer, Failure> {
        let _calling = self.status.calling();
        if crowded == Crowded::Yes || self.status.calls() > limit {
            return Err(Failure::because(Class::Overloaded, "more calls or connections than the limit").unasked());
        }
        self.policy.ask(question).await
    }

    /// Tells everybody who watches what became of a webhook.
    fn watched(&self, config: &Config, webhook: &Webhook, decision: &Decision, times: &Times) {
        let now = millis_now();
        self.status.count(webhook.callback, decision.outcome(), now);
        webhook.count_names(self.status.names(), self.status.unknowns(), now);
        times.observe(self.status.durations(), webhook.callback);
        decision.log(webhook, times.took(), config.denial.code);
        if self.decisions.is_on() {
            self.decisions.write(&decision.decided(webhook, times.parts(), config.denial.code));
        }
    }

    /// Delivers an After event; its reply is the policy's verdict only if that comes at once.
    async fn tell(&self, event: Event) -> Decision {
        let callback = event.callback;
        match self.events.deliver(event).await {
            Delivery::Answered(reply) => Decision::verdict(reply),
            Delivery::Accepted => Decision::accepted(callback),
            Delivery::Dropped => Decision::dropped(callback),
            Delivery::Unwritten => Decision::unwritten(callback),
        }
    }
}

/// Bytes that are counted as long as anybody holds them: a call that is late goes on without its webhook.
fn counted(bytes: Bytes, share: Arc<Share>) -> Bytes {
    struct Counted(Bytes, #[allow(dead_code, reason = "held for its end")] Arc<Share>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Counted(bytes, share))
}

/// Answers webhooks on `listener` until told to stop; what is in flight then is finished.
pub async fn run<T: Transport>(listener: impl Into<Listener>, gate: Arc<Gate<T>>, until: impl Future<Output = Stop>) {
    let front = Answering(gate.clone());
    let give_up = connections::serve(listener.into(), front, &gate.config, &gate.status, &gate.stopping, until).await;
    gate.events.flush(give_up).await;
    gate.policy.traces().shut_down(give_up).await;
}

/// Answers connections.
struct Answering<T>(Arc<Gate<T>>);

impl<T> Clone for Answering<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Transport> connections::Answering for Answering<T> {
    /// The whole front of a connection as one value. Any path leads to it: what OpenIM is told as its url is the operator's
    /// choice.
    fn front(&self, crowded: Crowded, peer: Arc<Peer>) -> impl connections::Front {
        let gate = self.0.clone();
        service_fn(move |request| {
            let (gate, peer) = (gate.clone(), peer.clone());
            peer.progress.begin_call();
            async move { Ok(answer(&gate, crowded, &peer, request).await) }
        })
    }

    fn refuse_head(&self, peer: &Peer, why: Why, head: &[u8]) -> Response {
        self.0.refuse_head(peer, why, head)
    }
}

/// Answers one webhook, whatever happens.
async fn answer<T: Transport>(gate: &Gate<T>, crowded: Crowded, peer: &Peer, request: Request<Incoming>) -> Response {
    let config = gate.config.now();
    // A panic is a failure like any other; without this the connection would just end.
    let mut open = None;
    let response = panics::caught(pin!(reply_to(gate, &config, crowded, &peer.caller, request, &mut open))).await;
    let response = response.unwrap_or_else(|_| reply::panicked(open));
    let large = response.body().size_hint().lower() > LARGE;
    if large {
        // Until it is read, or the connection is given up.
        let mut share = gate.status.memory().share();
        share.grow_anyway(usize::try_from(response.body().size_hint().lower()).unwrap_or_default());
        peer.progress.hold(share);
    }
    // On the way out every reply asks for the connection to be closed, and so does the first one after TLS came.
    let leaves = gate.stopping.is_stopping() || peer.caller.is_behind(&gate.config.now());
    if leaves || large { stop::close(response) } else { response }
}

/// Answers one webhook, and says so in the log. `open` becomes its callback where that is to be allowed if this panics.
async fn reply_to<T: Transport>(
    gate: &Gate<T>,
    config: &Config,
    crowded: Crowded,
    caller: &caller::Caller,
    request: Request<Incoming>,
    open: &mut Option<&'static Callback>,
) -> Response {
    let mut times = Times::begin();
    let (mut head, body) = request.into_parts();
    let mut webhook = match access::check(config, caller, &mut head)
        .and_then(|()| Webhook::route(&head, config.access.paths.is_some()))
    {
        Ok(webhook) => webhook,
        Err(refusal) => return gate.refuse(config, (caller, &head), refusal, body, times.arrived).await,
    };
    let _answering = gate.status.answering();
    webhook.begin_span(gate.policy.traces());
    let (callback, handling) = (webhook.callback, config.handling(webhook.callback));
    *open = reply::is_open(callback, &handling, Class::Error).then_some(callback);
    let decided = panics::caught(pin!(gate.decide((config, &handling), &mut webhook, body, &mut times, crowded))).await;
    let decision = match decided {
        Ok(Ok(decision)) => decision,
        Ok(Err(refusal)) => gate.refused(&handling, &webhook, refusal),
        Err(_) => Decision::panicked(*open).noting_damage(callback, b"{}"),
    };
    // From here on the verdict stands: a denial is none the less one if this panics.
    *open = open.filter(|_| decision.is_allow());
    times.replied = Instant::now();
    gate.watched(config, &webhook, &decision, &times);
    webhook.end_span(decision.outcome());
    decision.into_response(config.denial.code)
}
