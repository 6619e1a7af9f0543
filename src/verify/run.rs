//! The run: callback by callback, check by check, one after the other, so that each failure has one cause.
//!
//! Three rules keep a broken policy from taking long. A callback's checks end after [`MOST_UNANSWERED`] calls without an answer.
//! The run ends after [`MOST_SILENT`] callbacks in a row without any. And it ends when a call was cut off and nothing
//! listens any more.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use super::advice::is_disconnect;
use super::checks::{CONNECTION, How, LIFELIKE};
use super::finding::{Fault, Finding, Judged, shown};
use super::judge::{Call, judge};
use super::report::{CallbackResult, CheckResult, Report};
use super::requests::Request;
use super::{Check, Outcome, OwnRequest, Plan, service};
use crate::config;
use crate::contract::Callback;
use crate::failure::Class;
use crate::policy::{Channel, Policy};

/// Calls of a callback without an answer after which its other checks are not run.
const MOST_UNANSWERED: usize = 3;

/// Callbacks in a row without any answer after which the run ends.
const MOST_SILENT: usize = 3;

/// Calls made at once.
const AT_ONCE: usize = 64;

/// Turns of the runtime after which calls are cancelled: while they are being sent, which a quick policy sees too.
const CANCEL_AFTER_TURNS: [usize; 4] = [2, 4, 8, 16];

/// Milliseconds after which further calls are cancelled: while a policy works on them.
const CANCEL_AFTER_MILLIS: [u64; 5] = [1, 2, 5, 10, 20];

/// Calls with a deadline of 1 ms.
const HURRIED: usize = 4;

/// Checks a policy service. `progress` gets the number of callbacks that are done, and the name of the next.
pub(crate) async fn run(plan: &Plan, mut progress: impl FnMut(usize, &'static str)) -> Report {
    let mut run = Run::new(plan);
    let asks_reflection = plan.checks.iter().any(|check| matches!(check.how, How::Reflection));
    let budget = run.budget;
    let health = service::health(&run.channel, budget).await;
    let connection = service::judge_connection(&run.channel, &health);
    if let Err(finding) = &connection {
        let why = finding.faults.first().map_or("", |fault| &fault.answer);
        run.stopped = Some(format!("the policy cannot be reached: {why}"));
    }
    let is_reached = connection.is_ok();
    let services = match is_reached && asks_reflection {
        true => Some(service::services(&run.channel, budget).await),
        false => None,
    };
    let mut callbacks = Vec::new();
    if is_reached && plan.calls_callbacks() {
        for (done, callback) in plan.callbacks.iter().enumerate() {
            progress(done, callback.method());
            callbacks.push(run.callback(callback).await);
        }
    }
    let mut results = vec![CheckResult::new(&CONNECTION, connection)];
    for check in Check::OF_SERVICE.iter().skip(1).filter(|check| plan.checks.contains(check)) {
        let judged = match (&services, check.how) {
            _ if !is_reached => Err(Finding::not_run("the policy cannot be reached")),
            (_, How::Health) => service::judge_health(&health, budget),
            (Some(services), How::Reflection) => service::judge_reflection(services, &run.implemented, budget),
            _ => run.judge_implemented().await,
        };
        results.push(CheckResult::new(check, judged));
    }
    Report::new(plan.policy.to_string(), results, callbacks, run.stopped)
}

struct Run<'p> {
    plan: &'p Plan,
    channel: Channel,
    policy: Policy<Channel>,
    /// Timeout of a call that is of no callback.
    budget: Duration,
    implemented: Vec<&'static Callback>,
    /// Callbacks that were answered with HTTP status 404.
    not_found: usize,
    /// Callbacks in a row without any answer.
    silent: usize,
    /// Reason why nothing more is called.
    stopped: Option<String>,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan) -> Self {
        // The breaker would answer in the policy's place.
        let config = &plan.config;
        let settings = config::Channel { breaker_failures: u32::MAX, ..config.channel.clone() };
        let channel = Channel::connect(plan.policy.clone(), &settings, &config.policy_tls);
        let policy = Policy::over(channel.clone(), config.limits.reply);
        let budget = plan.timeout.unwrap_or(config.budget);
        Self { plan, channel, policy, budget, implemented: Vec::new(), not_found: 0, silent: 0, stopped: None }
    }

    /// Runs every check of a callback.
    async fn callback(&mut self, callback: &'static Callback) -> CallbackResult {
        let mut result =
            CallbackResult { callback: callback.method(), rpc: callback.rpc, implemented: None, checks: Vec::new() };
        let (mut unanswered, mut is_answered) = (0, false);
        let plan = self.plan;
        let mut add = |check, own: Option<&OwnRequest>, judged| {
            if plan.checks.contains(&check) {
                let source = own.map(|own| own.source.clone());
                result.checks.push(CheckResult { source, ..CheckResult::new(check, judged) });
            }
        };
        for (number, (check, own)) in plan.checks_of(callback).into_iter().enumerate() {
            let stopped = self.stopped.as_deref();
            if let Some(why) = stopped.or((unanswered >= MOST_UNANSWERED).then_some("it does not answer")) {
                add(check, own, Err(Finding::not_run(why)));
                continue;
            }
            let began = Instant::now();
            let judged = self.check(check, callback, own).await;
            // A status that comes at once is an answer, whatever it says.
            let is_late = began.elapsed() > plan.budget(callback) / 2;
            let failure = judged.as_ref().err().and_then(|finding| finding.failure.as_ref());
            if number == 0 {
                let is_unimplemented = failure.is_some_and(|failure| failure.class == Class::Unimplemented);
                result.implemented = Some(!is_unimplemented);
                if is_unimplemented {
                    self.not_found += usize::from(failure.is_some_and(|failure| failure.not_grpc));
                    return result;
                }
                self.implemented.push(callback);
            }
            match failure {
                Some(failure) if failure.class == Class::Deadline && is_late => unanswered += 1,
                Some(failure) if is_disconnect(failure) => self.stop_if_gone(check, callback).await,
                _ => is_answered = true,
            }
            add(check, own, judged);
        }
        self.silent = if is_answered || unanswered == 0 { 0 } else { self.silent + 1 };
        if self.silent >= MOST_SILENT && self.stopped.is_none() {
            self.stopped = Some(format!("the policy answered nothing of {MOST_SILENT} callbacks in a row"));
        }
        result
    }

    async fn check(&self, check: &Check, callback: &'static Callback, own: Option<&OwnRequest>) -> Judged {
        let request = || match own {
            Some(own) => Request::posted(callback, &own.path, check, own.body.clone()),
            None => Request::new(callback, check),
        };
        match check.how {
            How::Each(bodies) => {
                let path = format!("/{}", callback.command);
                let mut worst: Judged = Ok(None);
                for (label, body) in bodies(callback) {
                    let request = Request::posted(callback, &path, check, body.into())?;
                    let judged = self.call(check, &request).await.map_err(|finding| finding.of_part(&label));
                    let is_silent = judged.as_ref().is_err_and(Finding::is_silent);
                    worst = match (worst, judged) {
                        (Err(one), Err(other)) if one.outcome == other.outcome => Err(one.and(other)),
                        (one, other) => worse(one, other),
                    };
                    if is_silent {
                        break;
                    }
                }
                worst
            }
            How::Twice => {
                let first = request()?;
                self.call(&LIFELIKE, &first).await.map_err(|finding| finding.of_part("the first delivery"))?;
                let second = self.call(check, &first.again()).await;
                second.map_err(|finding| finding.of_part("the second delivery"))
            }
            How::AfterCancelled => {
                for turns in CANCEL_AFTER_TURNS {
                    let request = request()?;
                    let mut call = pin!(self.call(check, &request));
                    for _ in 0..turns {
                        if call.as_mut().now_or_never().is_some() {
                            break;
                        }
                        yield_now().await;
                    }
                }
                for millis in CANCEL_AFTER_MILLIS {
                    drop(timeout(Duration::from_millis(millis), self.call(check, &request()?)).await);
                }
                self.call_after("calls that were cancelled", callback).await
            }
            How::AfterDeadline => {
                for _ in 0..HURRIED {
                    let deadline = Instant::now() + Duration::from_millis(1);
                    drop(self.policy.ask(request()?.call(deadline)).await);
                }
                self.call_after("calls with a deadline of 1 ms", callback).await
            }
            How::AtOnce => {
                let requests = (0..AT_ONCE).map(|_| request()).collect::<Result<Vec<_>, _>>()?;
                let judged = join_all(requests.iter().map(|request| self.call(check, request))).await;
                let faulty = judged.iter().filter(|judged| judged.is_err()).count();
                let worst = judged.into_iter().fold(Ok(None), worse);
                worst.map_err(|finding| finding.of_part(&format!("{faulty} of {AT_ONCE} calls, one of them")))
            }
            _ => self.call(check, &request()?).await,
        }
    }

    /// Calls the policy and judges the answer.
    async fn call(&self, check: &Check, request: &Request) -> Judged {
        let (began, budget) = (Instant::now(), self.plan.budget(request.callback));
        let answer = self.policy.ask(request.call(began + budget)).await;
        let call = Call { request, elapsed: began.elapsed(), budget };
        judge(check, &call, answer, self.plan.config.denial.code)
    }

    /// Makes a lifelike call after others.
    async fn call_after(&self, what: &str, callback: &'static Callback) -> Judged {
        let judged = self.call(&LIFELIKE, &Request::new(callback, &LIFELIKE)?).await;
        judged.map_err(|finding| finding.of_part(&format!("after {what}")))
    }

    /// Stops the run if nothing listens any more after a call was cut off. Something may start the policy again, within the
    /// budget.
    async fn stop_if_gone(&mut self, check: &Check, callback: &Callback) {
        let end = Instant::now() + self.budget;
        while let Err(failure) = service::health(&self.channel, self.budget).await
            && is_disconnect(&failure)
        {
            if timeout_at(end, self.channel.changed()).await.is_err() {
                let (callback, check, why) = (callback.method(), check.name, shown(&failure.cause));
                self.stopped = Some(format!("the policy has been gone since {callback}, {check}: {why}"));
                return;
            }
        }
    }

    /// Judges whether any callback is implemented, and whether the fallback is.
    async fn judge_implemented(&self) -> Judged {
        let (callbacks, is_none) = (self.plan.callbacks.len(), self.implemented.is_empty());
        match &self.stopped {
            Some(why) if is_none => return Err(Finding::not_run(why)),
            Some(_) => return Ok(None),
            None => {}
        }
        if is_none {
            let answers = match self.not_found == callbacks {
                true => format!("HTTP status 404 from all of {callbacks} callbacks: nothing there speaks the contract"),
                false => format!("UNIMPLEMENTED from all of {callbacks} callbacks"),
            };
            let hint = "implement the rpcs that you switch on in OpenIM, and register their services with the server";
            return Err(Fault::new("nothing is implemented", answers, hint).failed());
        }
        let (fallback, name) = (Callback::fallback(), Callback::fallback().method());
        self.call(&LIFELIKE, &Request::new(fallback, &LIFELIKE)?).await.or_else(|finding| match &finding.failure {
            Some(failure) if failure.class == Class::Unimplemented => {
                let what = "webhooks of a newer OpenIM that this hookgate does not know will fail as unimplemented";
                Ok(Some(format!("the rpc {name} is not: {what}")))
            }
            _ => Err(Finding { outcome: Outcome::Warning, ..finding.of_part(name) }),
        })
    }
}

/// Returns the worse of two results, the first of two that are alike.
fn worse(one: Judged, other: Judged) -> Judged {
    let rank = |judged: &Judged| {
        judged.as_ref().err().map_or(0, |finding| if finding.outcome == Outcome::Failed { 2 } else { 1 })
    };
    if rank(&other) > rank(&one) { other } else { one }
}
