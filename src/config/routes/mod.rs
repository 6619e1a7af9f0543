//! Routes: the policies that are asked about a webhook, and the webhooks that are allowed without asking.
//!
//! - `read`, `ask`, `shadow`, `guard`: routes from the file, with all mistakes.
//! - `when`: the rows of `when`, compiled to a [`Filter`] for each callback.
//! - `ids`, `paths`: files of IDs, and their names.
//! - `asked`: the policies that are asked about a callback, in words.

mod ask;
mod asked;
mod guard;
mod ids;
mod paths;
mod read;
mod shadow;
mod when;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ring::digest::{Context, SHA256};

use crate::contract::{Callback, Filter, Ids, Place};

pub(super) use ask::check;
pub use guard::Guard;
pub(super) use read::read;
pub use shadow::Shadow;

/// The routes, in the order of the file. A webhook takes the first one that matches.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    all: Vec<Route>,
    /// The digests of the files of IDs.
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// The steps of each callback, by its index; empty without routes.
    steps: Vec<Vec<Step>>,
}

impl PartialEq for Routes {
    /// Compares what the steps are made of: a file may hold a million IDs.
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all && self.files == other.files
    }
}

/// A route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The name; its place in the file, as in `routes[0]`, if it has none.
    pub name: Arc<str>,
    /// The policies that are asked, as indices of [`Config::policies`](super::Config::policies), in their order. Empty if the
    /// webhook is allowed without asking.
    pub policies: Vec<usize>,
    /// The way in which several policies are asked.
    pub ask: Ask,
    /// The policy that is asked beside them, if there is one.
    pub shadow: Option<Shadow>,
    /// The bounds of a route that takes a percentage.
    pub guard: Option<Guard>,
    /// The route as YAML on one line. Paths of files are resolved.
    pub text: String,
}

/// The way in which several policies are asked about a Before callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Calls to all of them at once.
    All,
    /// Calls to one after another; each sees the changes of those before it.
    Chain,
}

/// A route for one callback.
#[derive(Debug, Clone)]
struct Step {
    /// Its index among all routes.
    route: usize,
    filter: Filter,
    sample: Option<Sample>,
}

/// The part of the users, groups or other values that a route takes.
#[derive(Debug, Clone)]
struct Sample {
    by: Place,
    /// The name of the route: two routes take different users.
    salt: Arc<str>,
    /// Up to 100; 0 if there is a cohort alone.
    percent: f64,
    /// The values that are in it whatever the percentage.
    cohort: Option<Arc<Ids>>,
}

impl Routes {
    /// Returns the index of a webhook's route by its encoded request: the first one that matches. `None` if none does.
    pub fn of(&self, callback: &Callback, request: &[u8]) -> Option<usize> {
        self.of_all_but(callback, request, |_| false)
    }

    /// Returns the same, without the routes that `is_left` says.
    pub(crate) fn of_all_but(
        &self,
        callback: &Callback,
        request: &[u8],
        is_left: impl Fn(&Route) -> bool,
    ) -> Option<usize> {
        for step in self.steps.get(callback.index)? {
            if self.all.get(step.route).is_some_and(&is_left) {
                continue;
            }
            if step.filter.matches(request)? && step.sample.as_ref().is_none_or(|sample| sample.takes(request)) {
                return Some(step.route);
            }
        }
        None
    }

    /// Returns true if one of the routes takes all webhooks of a callback that come so far.
    fn take_all(&self, callback: &Callback) -> bool {
        self.steps.get(callback.index).into_iter().flatten().any(Step::takes_all)
    }

    /// Returns true if the policy is never asked about a callback.
    fn skip_all(&self, callback: &Callback) -> bool {
        let asks = |step: &&Step| self.all.get(step.route).is_none_or(|route| !route.policies.is_empty());
        let mut steps = self.steps.get(callback.index).into_iter().flatten();
        // The first one that asks, or takes all that is left.
        steps.find(|step| asks(step) || step.takes_all()).is_some_and(|step| !asks(&step))
    }

    /// Returns all routes, in the order of the file.
    pub fn all(&self) -> &[Route] {
        &self.all
    }
}

impl Step {
    fn takes_all(&self) -> bool {
        self.filter.is_empty() && self.sample.is_none()
    }
}

impl Sample {
    /// Returns true if a request belongs to the sample; false if it has no value to decide by.
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
