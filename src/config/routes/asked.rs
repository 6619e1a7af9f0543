//! The policies that are asked about a callback, in words.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::Ask;
use crate::config::Config;
use crate::contract::{Callback, Timing};

/// The policies that are asked about some webhooks of a callback.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Asked {
    /// The names of the policies, in the order of the route; empty if nobody is asked.
    policies: Vec<String>,
    /// `all` or `chain` for several policies about a Before callback, `none` for a route that allows without asking.
    ask: Option<&'static str>,
    /// The name of the route; `None` for webhooks that no route takes.
    route: Option<String>,
    /// The name of the shadow, if the route has one for callbacks of this timing.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<String>,
    /// True if the route takes only webhooks that meet its conditions, or only a part of the users.
    conditional: bool,
}

impl Config {
    /// Returns the policies that are asked about the webhooks of a callback, in the order in which routes take them.
    pub(crate) fn asked_about(&self, callback: &Callback) -> Vec<Asked> {
        let policies = self.policies();
        let steps = self.routes.steps.get(callback.index).map(Vec::as_slice).unwrap_or_default();
        let mut all = Vec::new();
        for step in steps {
            let Some(route) = self.routes.all.get(step.route) else { continue };
            let ask = match (&*route.policies, callback.timing) {
                ([], _) => Some("none"),
                ([_], _) | (_, Timing::After) => None,
                _ if route.ask == Ask::All => Some("all"),
                _ => Some("chain"),
            };
            let shadow = route.shadow.filter(|shadow| callback.timing == Timing::Before || shadow.events);
            let shadow = shadow.and_then(|shadow| Some(policies.get(shadow.policy)?.name.to_string()));
            let names = route.policies.iter().filter_map(|index| policies.get(*index));
            let policies = names.map(|policy| policy.name.to_string()).collect();
            let (route, conditional) = (Some(route.name.to_string()), !step.takes_all());
            all.push(Asked { policies, ask, route, shadow, conditional });
            if step.takes_all() {
                return all;
            }
        }
        // One policy is asked about what no route takes.
        let only = if let [only] = &*policies { vec![only.name.to_string()] } else { Vec::new() };
        all.push(Asked { policies: only, ask: None, route: None, shadow: None, conditional: false });
        all
    }
}

impl Display for Asked {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match (&*self.policies, self.ask) {
            ([], Some(ask)) => write!(to, "nobody (ask: {ask})"),
            ([], None) => write!(to, "nobody (no route)"),
            (policies, None) => write!(to, "{}", policies.join(", ")),
            (policies, Some(ask)) => write!(to, "{} ({ask})", policies.join(", ")),
        }?;
        if let Some(shadow) = &self.shadow {
            write!(to, ", shadow {shadow}")?;
        }
        match &self.route {
            Some(route) if self.conditional => write!(to, " if route {route:?} matches"),
            _ => Ok(()),
        }
    }
}
