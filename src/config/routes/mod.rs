//! Routes: the webhooks that the policy is asked about, and those that are allowed without asking.
//!
//! - `read`: routes from the file, with all mistakes.
//! - `when`: the rows of `when`, compiled to a [`Filter`] for each callback.
//! - `ids`: files of IDs.

mod ids;
mod read;
mod when;

use std::sync::Arc;

use ring::digest::{Context, SHA256};

use crate::contract::{Callback, Filter, Ids, Place};

pub(super) use read::read;

/// The routes, in the order of the file. A webhook takes the first one that matches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routes {
    all: Vec<Route>,
    /// The steps of each callback, by its index; empty without routes.
    steps: Vec<Vec<Step>>,
}

/// A route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The name; its place in the file, as in `routes[0]`, if it has none.
    pub name: String,
    /// True if the policy is asked; false if the webhook is allowed without asking.
    pub asks: bool,
    /// The route as YAML on one line. Paths of files are resolved.
    pub text: String,
}

/// A route for one callback.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    /// Its index among all routes.
    route: usize,
    filter: Filter,
    share: Option<Share>,
}

/// The part of the users, groups or other values that a route takes.
#[derive(Debug, Clone, PartialEq)]
struct Share {
    by: Place,
    /// The name of the route: two routes take different users.
    salt: String,
    /// From 0 to 100.
    percent: f64,
    /// Those that are in it whatever the percentage.
    cohort: Option<Arc<Ids>>,
}

impl Routes {
    /// Returns the route of a webhook by its encoded request: the first one that matches. `None` if none does.
    pub fn of(&self, callback: &Callback, request: &[u8]) -> Option<&Route> {
        for step in self.steps.get(callback.index)? {
            if step.filter.matches(request)? && step.share.as_ref().is_none_or(|share| share.takes(request)) {
                return self.all.get(step.route);
            }
        }
        None
    }

    /// Returns the routes of a callback in their order, each with true if it takes all of the callback's webhooks that come so
    /// far.
    pub fn of_callback(&self, callback: &Callback) -> impl Iterator<Item = (&Route, bool)> {
        let steps = self.steps.get(callback.index).into_iter().flatten();
        steps.filter_map(|step| Some((self.all.get(step.route)?, step.takes_all())))
    }

    /// Returns all routes, in the order of the file.
    pub fn all(&self) -> &[Route] {
        &self.all
    }
}

impl Step {
    fn takes_all(&self) -> bool {
        self.filter.is_empty() && self.share.is_none()
    }
}

impl Share {
    /// Returns true if a request belongs to the share; false if it has no value to decide by.
    fn takes(&self, request: &[u8]) -> bool {
        let Some(value) = self.by.text(request) else { return false };
        self.cohort.as_ref().is_some_and(|cohort| cohort.contains(value))
            || percentile(&self.salt, value) < self.percent
    }
}

/// Returns the place of a value among all values, from 0 to below 100: the first 8 bytes of SHA-256 of the route's name, a zero
/// byte and the value. The same in every copy and every release.
fn percentile(salt: &str, value: &str) -> f64 {
    let mut digest = Context::new(&SHA256);
    digest.update(salt.as_bytes());
    digest.update(&[0]);
    digest.update(value.as_bytes());
    let digest = digest.finish();
    let first = digest.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    // The upper 53 bits, which a float holds exactly: the result stays below 100.
    (first >> 11) as f64 / (1_u64 << 53) as f64 * 100.0
}
