//! The plan of a webhook: its route, and who is asked.

use std::sync::Arc;

use super::ServerState;
use super::body::BodyError;
use super::guards::Guards;
use super::handler::{Decoded, counted};
use super::record::Record;
use super::work;
use crate::config::{Ask, Config, Route};
use crate::contract::Callback;
use crate::failure::{Class, Failure};
use crate::policy::Transport;

/// The policies that are asked about a webhook.
pub(super) enum Plan<'a> {
    /// Calls to these policies, by their indices.
    Ask(&'a [usize], Ask),
    /// A skip: the route of this name asks no policy.
    Skip(&'a Arc<str>),
    /// A webhook that no route takes.
    Unrouted,
}

impl<'a> Plan<'a> {
    /// Returns the plan of a route, or the one of webhooks without a route: the only policy is asked about them.
    pub(super) fn of(config: &Config, callback: &Callback, route: Option<&'a Route>) -> Self {
        match route {
            Some(route) if route.policies.is_empty() => Self::Skip(&route.name),
            Some(route) => Self::Ask(&route.policies, route.ask),
            None if config.policies.len() < 2 || callback.index == Callback::fallback().index => {
                Self::Ask(&[0], Ask::Chain)
            }
            None => Self::Unrouted,
        }
    }
}

impl<T: Transport> ServerState<T> {
    /// Returns the index of a webhook's route, if one takes it. Looks into a long message on the blocking pool.
    pub(super) async fn route(
        &self,
        record: &Record,
        callback: &'static Callback,
        decoded: &Decoded,
    ) -> Result<Option<usize>, BodyError> {
        let (config, message) = (&record.config, &decoded.message);
        if config.routes.all().is_empty() || !work::is_long(message.len()) {
            return Ok(route_of(config, callback, message, &self.shared.guards));
        }
        let (config, message) = (config.clone(), counted(message.clone(), &decoded.share));
        let guards = self.shared.guards.clone();
        let found = move || route_of(&config, callback, &message, &guards);
        let found = self.run_blocking(decoded.deadline, found).await;
        found.ok_or_else(|| {
            let cause = "the budget or the drain time ended before a route was found";
            BodyError::Failed(Failure::because(Class::Deadline, cause).unasked())
        })
    }
}

/// Returns the index of a webhook's route, without those that were left.
fn route_of(config: &Config, callback: &Callback, message: &[u8], guards: &Guards) -> Option<usize> {
    config.routes.of_all_but(callback, message, |route| guards.has_left(route))
}
