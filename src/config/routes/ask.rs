//! The policies that a route asks, and the way of asking.

use super::read::{Parts, RouteReader};
use super::{Ask, Route, Routes};
use crate::config::Loaded;
use crate::config::report::{did_you_mean, nearest};
use crate::contract::{Callback, Timing};

impl RouteReader<'_, '_> {
    /// Reads the indices of the policies that are asked, none if the webhook is allowed without asking; and the way of asking.
    pub(super) fn asked(
        &mut self,
        path: &str,
        line: usize,
        parts: &Parts<'_>,
        callbacks: &[&'static Callback],
    ) -> (Vec<usize>, Ask) {
        let named = self.named(&format!("{path}.policies"), parts);
        let Some(node) = parts.get("ask") else {
            if named.is_empty() && parts.get("policies").is_none() && self.policies.len() > 1 {
                self.file.mistake(line, path, "asks nobody: name its policies, or say ask: none");
            }
            if named.len() > 1 && callbacks.iter().any(|callback| callback.timing == Timing::Before) {
                let what = "say how these policies are asked: ask: all (at once) or ask: chain (one after another)";
                self.file.mistake(line, path, what);
            }
            return (if named.is_empty() { vec![0] } else { named }, Ask::Chain);
        };
        let path = format!("{path}.ask");
        match self.single(&path, node) {
            Some("none") => {
                if parts.get("policies").is_some() {
                    self.file.mistake(node.line, &path, "none asks nobody, and policies names some");
                } else if parts.get("callbacks").is_none() && parts.get("timing").is_none() {
                    // A file that was cut short must not turn the policy off.
                    self.file.mistake(node.line, &path, "needs callbacks or timing; callbacks: '*' takes all");
                }
                return (Vec::new(), Ask::Chain);
            }
            Some(word @ ("all" | "chain")) => {
                if parts.get("policies").is_none() {
                    self.file.mistake(node.line, &path, format!("{word} needs policies"));
                }
                let ask = if word == "all" { Ask::All } else { Ask::Chain };
                self.check_ask(&path, node.line, &named, ask, callbacks);
                return (named, ask);
            }
            Some(_) => self.file.mistake(node.line, &path, "expected none, all or chain"),
            None => {}
        }
        (named, Ask::Chain)
    }

    /// Reads the names of policies; returns their indices.
    fn named(&mut self, path: &str, parts: &Parts<'_>) -> Vec<usize> {
        let Some(node) = parts.get("policies") else { return Vec::new() };
        let mut named = Vec::new();
        for (line, name) in self.texts(path, node) {
            match self.policy(path, line, name) {
                Some(index) if named.contains(&index) => {
                    self.file.mistake(line, path, format!("{name:?}: named twice"))
                }
                index => named.extend(index),
            }
        }
        named
    }

    /// Returns the index of a policy; adds a mistake if there is none of this name.
    pub(super) fn policy(&mut self, path: &str, line: usize, name: &str) -> Option<usize> {
        let names = self.policies.iter().map(|policy| &*policy.name);
        let found = names.clone().position(|known| known == name);
        if found.is_none() {
            let all = names.clone().collect::<Vec<_>>().join(", ");
            let hint = did_you_mean(nearest(name, names), &format!("expected {all}"));
            self.file.mistake(line, path, format!("{name:?}: no such policy; {hint}"));
        }
        found
    }

    fn check_ask(&mut self, path: &str, line: usize, named: &[usize], ask: Ask, callbacks: &[&'static Callback]) {
        let before = || callbacks.iter().filter(|callback| callback.timing == Timing::Before);
        let changed = before().find(|callback| callback.changes().next().is_some());
        let changing = named.iter().filter(|index| !self.policies[**index].observe).count();
        match (ask, changed) {
            (Ask::All, Some(changed)) if changing > 1 => {
                let what = format!(
                    "{} has changes, and of policies that are asked at once one alone may make them: ask: chain, or \
                     observe: true for the others",
                    changed.config_key
                );
                self.file.mistake(line, path, what);
            }
            (Ask::Chain, None) if named.len() > 1 && before().next().is_some() => {
                self.file.warning(line, path, "none of these callbacks has changes: ask: all takes less time");
            }
            _ => {}
        }
    }
}

/// Adds a mistake for callbacks that no route takes to a policy of several, and a warning of policies that are never asked.
pub(in crate::config) fn check(loaded: &mut Loaded) {
    let config = loaded.config.clone();
    if config.policies.len() < 2 {
        return;
    }
    if config.routes.all().is_empty() {
        loaded.mistake("policies", "several policies need routes, which say which of them is asked about what");
        return;
    }
    let enables = config.openim.enables.as_ref();
    let is_enabled = |callback: &&Callback| enables.is_none_or(|enabled| enabled.commands.contains(callback.command));
    let mut left = Callback::all().iter().filter(is_enabled).filter(|callback| !config.routes.take_all(callback));
    if let Some(first) = left.next() {
        let more = match left.count() {
            0 => String::new(),
            more => format!(" and {more} more callbacks"),
        };
        let what = format!(
            "no route takes every webhook of {}{more}: add one for what is left, with policies, or with ask: none",
            first.config_key
        );
        loaded.mistake("routes", what);
    }
    for (index, policy) in config.policies.iter().enumerate() {
        if !config.routes.ask(index) {
            loaded.warning(&format!("policies.{}", policy.name), "is never asked: no route names it");
        }
    }
}

impl Routes {
    /// Returns true if one of the routes asks the policy with this index.
    fn ask(&self, policy: usize) -> bool {
        let asks =
            |route: &Route| route.policies.contains(&policy) || route.shadow.is_some_and(|it| it.policy == policy);
        self.all.iter().any(asks)
    }
}
