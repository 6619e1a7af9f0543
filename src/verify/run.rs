//! The run: callback by callback, check by check, one after the other, so that what breaks is known by its cause.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::judge::{Fault, judge};
use super::report::{Checked, OfCallback, Report};
use super::requests::Posted;
use super::service::{self, Heard, Noted};
use super::{Check, Plan};
use crate::config::{self, Config, PolicyTls};
use crate::contract::Callback;
use crate::policy::{Channel, Policy};

/// A callback's checks end after so many without an answer.
const MOST_SILENCES: usize = 3;

/// The run ends after so many callbacks in a row that have answered nothing.
const MOST_SILENT: usize = 3;

/// How many calls are made at once.
const AT_ONCE: usize = 64;

/// After how many turns of the connection calls are given up: as they leave, which a quick policy notices too.
const GIVEN_UP_AFTER_TURNS: [usize; 4] = [2, 4, 8, 16];

/// When further calls are given up, in milliseconds: while a policy works on them.
const GIVEN_UP_AFTER: [u64; 5] = [1, 2, 5, 10, 20];

/// How often a call with hardly any time is made.
const HURRIED: usize = 4;

/// Checks a policy service. `progress` is told how many callbacks are done, and which is next.
pub async fn run(plan: &Plan, mut progress: impl FnMut(usize, &'static str)) -> Report {
    let mut run = Run::new(plan);
    let mut report = Report::new(&plan.policy.to_string());
    let health = service::health(&run.channel, plan.budget).await;
    let connection = service::of_connection(&run.channel, &health);
    if let Err(fault) = &connection {
        run.stopped = Some(format!("the policy cannot be reached: {}", fault.message));
    }
    report.service.push(Checked::noted(Check::Connection, connection));
    if run.stopped.is_some() {
        let others = Check::OF_SERVICE.into_iter().skip(1).filter(|check| plan.has(*check));
        report.service.extend(others.map(|check| Checked::not_run(check, "the policy cannot be reached")));
        return report.finished(run.stopped);
    }
    if plan.has(Check::Health) {
        report.service.push(Checked::noted(Check::Health, service::of_health(&health, plan.budget)));
    }
    let services = match plan.has(Check::Reflection) {
        true => Some(service::services(&run.channel, plan.budget).await),
        false => None,
    };
    let asked = if plan.asks_callbacks() { &plan.callbacks[..] } else { &[] };
    for (done, callback) in asked.iter().enumerate() {
        progress(done, callback.method());
        report.callbacks.push(run.callback(callback).await);
    }
    if let Some(services) = services {
        let reflection = service::of_reflection(&services, &run.implemented, plan.budget);
        report.service.push(Checked::noted(Check::Reflection, reflection));
    }
    if plan.has(Check::Implemented) {
        report.service.push(run.of_implemented().await);
    }
    report.finished(run.stopped)
}

struct Run<'p> {
    plan: &'p Plan,
    channel: Channel,
    policy: Policy<Channel>,
    implemented: Vec<&'static Callback>,
    /// The number of callbacks that were answered with HTTP status 404.
    not_found: usize,
    /// How many callbacks in a row have answered nothing.
    silent: usize,
    /// Why nothing more is asked.
    stopped: Option<String>,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan) -> Self {
        // The breaker would answer in the policy's place.
        let settings = config::Channel { breaker_failures: u32::MAX, ..config::Channel::default() };
        let channel = Channel::connect(plan.policy.clone(), &settings, &PolicyTls::default());
        let policy = Policy::over(channel.clone(), Config::default().limits.reply);
        Self { plan, channel, policy, implemented: Vec::new(), not_found: 0, silent: 0, stopped: None }
    }

    /// Every check of one callback.
    async fn callback(&mut self, callback: &'static Callback) -> OfCallback {
        let checks = self.plan.checks_of(callback);
        let mut of = OfCallback::new(callback);
        if let Some(why) = &self.stopped {
            of.checks.extend(checks.into_iter().map(|check| Checked::not_run(check, why)));
            return of;
        }
        // It also tells whether the rpc is implemented, so it is made whether it was asked for or not.
        let mut lifelike = Some(self.check(Check::Lifelike, callback).await);
        let first = lifelike.as_ref().and_then(|result| result.as_ref().err());
        if let Some(fault) = first.filter(|fault| fault.is_unimplemented()) {
            self.not_found += usize::from(fault.not_grpc);
            of.implemented = Some(false);
            return of;
        }
        of.implemented = Some(true);
        self.implemented.push(callback);
        let (mut silences, mut answered) = (0, false);
        let checks = checks.into_iter().filter(|check| *check != Check::Lifelike);
        for check in [Check::Lifelike].into_iter().chain(checks) {
            let why = match &self.stopped {
                Some(why) => Some(why.as_str()),
                None => (silences >= MOST_SILENCES).then_some("it does not answer"),
            };
            if let Some(why) = why {
                of.checks.push(Checked::not_run(check, why));
                continue;
            }
            let result = match lifelike.take() {
                Some(result) => result,
                None => self.check(check, callback).await,
            };
            match &result {
                Err(fault) if fault.is_silence() => silences += 1,
                Err(fault) if fault.is_cut_off() => self.see_whether_it_is_gone(check, callback).await,
                _ => answered = true,
            }
            if check != Check::Lifelike || self.plan.has(check) {
                of.checks.push(Checked::of(check, result));
            }
        }
        self.silent = if answered || silences == 0 { 0 } else { self.silent + 1 };
        if self.silent >= MOST_SILENT && self.stopped.is_none() {
            self.stopped = Some(format!("the policy answered nothing of {MOST_SILENT} callbacks in a row"));
        }
        of
    }

    async fn check(&self, check: Check, callback: &'static Callback) -> Result<(), Fault> {
        let posted = post(callback, check)?;
        match check {
            Check::Duplicate => {
                self.ask(check, &posted).await.map_err(|fault| fault.after("the first delivery"))?;
                self.ask(check, &posted.again()).await.map_err(|fault| fault.after("the second delivery"))
            }
            Check::Cancelled => {
                for turns in GIVEN_UP_AFTER_TURNS {
                    tokio::select! {
                        biased;
                        // What comes of it is no matter.
                        _ = self.ask(check, &post(callback, check)?) => {}
                        () = take_turns(turns) => {}
                    }
                }
                for wait in GIVEN_UP_AFTER {
                    let asked = self.ask(check, &post(callback, check)?);
                    drop(timeout(Duration::from_millis(wait), asked).await);
                }
                self.lifelike_after(callback, "after calls that were cancelled").await
            }
            Check::Deadline => {
                for _ in 0..HURRIED {
                    let deadline = Instant::now() + Duration::from_millis(1);
                    drop(self.policy.ask(post(callback, check)?.question(deadline)).await);
                }
                self.lifelike_after(callback, "after calls with a deadline of 1 ms").await
            }
            Check::Concurrent => self.at_once(callback).await,
            _ => self.ask(check, &posted).await,
        }
    }

    /// Asks, and judges the answer.
    fn ask(&self, check: Check, posted: &Posted) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        let (policy, posted, budget) = (self.policy.clone(), posted.clone(), self.plan.budget);
        async move {
            let answer = policy.ask(posted.question(Instant::now() + budget)).await;
            judge(check, &posted, answer, budget)
        }
    }

    async fn lifelike_after(&self, callback: &'static Callback, what: &str) -> Result<(), Fault> {
        let posted = post(callback, Check::Lifelike)?;
        self.ask(Check::Lifelike, &posted).await.map_err(|fault| fault.after(what))
    }

    async fn at_once(&self, callback: &'static Callback) -> Result<(), Fault> {
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE {
            calls.spawn(self.ask(Check::Concurrent, &post(callback, Check::Concurrent)?));
        }
        let mut faults: Vec<Fault> = calls.join_all().await.into_iter().filter_map(Result::err).collect();
        // What fails comes before what hookgate gets on with.
        faults.sort_by_key(|fault| fault.warning);
        let alike = faults.len();
        match faults.into_iter().next() {
            Some(fault) => Err(fault.after(&format!("{alike} of {AT_ONCE} calls, one of them"))),
            None => Ok(()),
        }
    }

    /// Whether nobody listens any more, after a call that was cut off. Something may start the policy again.
    async fn see_whether_it_is_gone(&mut self, check: Check, callback: &Callback) {
        let end = Instant::now() + self.plan.budget;
        loop {
            let heard = service::health(&self.channel, self.plan.budget).await;
            let Heard::Nothing(why) = heard else { return };
            if timeout_at(end, self.channel.changed()).await.is_err() {
                let (callback, check) = (callback.method(), check.name());
                self.stopped = Some(format!("the policy has been gone since {callback}, {check}: {why}"));
                return;
            }
        }
    }

    /// Whether any callback is implemented; a note on the fallback.
    async fn of_implemented(&self) -> Checked {
        let check = Check::Implemented;
        match &self.stopped {
            Some(why) if self.implemented.is_empty() => return Checked::not_run(check, why),
            Some(_) => return Checked::noted(check, Ok(None)),
            None => {}
        }
        if self.implemented.is_empty() {
            let all = self.plan.callbacks.len();
            let message = match self.not_found {
                found if found == all => {
                    format!("HTTP status 404 from all of {all} callbacks: nothing there speaks the contract")
                }
                _ => format!("UNIMPLEMENTED from all of {all} callbacks"),
            };
            let hint = "implement the rpcs that you switch on in OpenIM, and register their services with the server";
            return Checked::noted(check, Err(Fault::new(message, hint)));
        }
        Checked::noted(check, self.of_fallback().await)
    }

    async fn of_fallback(&self) -> Noted {
        let fallback = Callback::fallback();
        match self.ask(Check::Lifelike, &post(fallback, Check::Lifelike)?).await {
            Ok(()) => Ok(None),
            Err(fault) if fault.is_unimplemented() => Ok(Some(format!(
                "{} is not; the callbacks of a newer OpenIM will fail as unimplemented",
                fallback.method()
            ))),
            Err(fault) => Err(Fault { warning: true, ..fault.after(fallback.method()) }),
        }
    }
}

/// Lets everything else that is ready go on, so often.
async fn take_turns(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// The webhook that a check sends. That it can be made is tested for every check and callback.
fn post(callback: &'static Callback, check: Check) -> Result<Posted, Fault> {
    let posted = Posted::new(callback, check);
    posted.map_err(|refusal| Fault::new(format!("hookgate refuses its own request: {refusal}"), "tell us"))
}
