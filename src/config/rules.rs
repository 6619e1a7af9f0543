//! The handling of callbacks: their budgets and failure rules, and the order of their events.

use std::str::FromStr;
use std::time::Duration;

use super::settings::Setting;
use super::value::{Kind, parts};
use super::{Config, Order};
use crate::contract::Callback;
use crate::failure::Class;

/// The resolved handling of a callback.
#[derive(Debug, Clone, PartialEq)]
pub struct Handling {
    /// Time from a webhook's arrival to its reply.
    pub budget: Duration,
    /// Failure rules of a webhook without a verdict.
    pub on_failure: Rules,
    /// Order of the events; none for a callback whose events have no key.
    pub order: Order,
}

/// The settings of one callback, which override those of all callbacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// Its budget.
    pub budget: Option<Duration>,
    /// Its failure rules.
    pub on_failure: Rules,
    /// The order of its events.
    pub order: Option<Order>,
}

/// The reply to a webhook without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Rule {
    /// OpenIM stops the operation.
    #[default]
    Deny,
    /// The operation goes on, unchanged.
    Allow,
}

/// Failure rules: of some classes, and of the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// The rule of the classes that have none of their own; without it they are denied.
    pub default: Option<Rule>,
    classes: [Option<Rule>; Class::ALL.len()],
}

/// Returns the settings of the failure rules of all callbacks.
pub(super) fn general() -> Vec<Setting> {
    let open: Vec<_> = Callback::all().iter().filter(|row| row.fails_open).map(|row| row.config_key).collect();
    let help = format!(
        "Reply to a Before callback without a verdict: deny or allow, or a list by failure class as in \
         unavailable=allow,deadline=allow. Does not apply to these callbacks, whose denial damages OpenIM's data: they are \
         allowed unless callbacks.NAME.on_failure denies them: {}",
        open.join(", ")
    );
    let mut settings = settings(&help, Rules::print_resolved, |config: &mut Config| &mut config.on_failure);
    settings[0].value_name = Some("RULE");
    settings
}

/// Returns the settings `on_failure`, `on_failure.default` and one for each failure class.
pub(super) fn settings<C: 'static>(
    help: &str,
    print: fn(&Rules) -> Option<String>,
    field: impl Fn(&mut C) -> &mut Rules + Copy + Send + Sync + 'static,
) -> Vec<Setting<C>> {
    let rule = || Kind::plain("deny or allow", "deny or allow").optional();
    let all = Kind { name: "failure rules", is_list: false, read: Box::new(str::parse), print: Box::new(print) };
    let rest = "Rule of the failure classes that have none of their own: deny or allow.";
    let mut settings = vec![
        Setting::new("", "on_failure", help, all, Rules::default(), field),
        Setting::new("on_failure", "default", rest, rule(), None, move |config| &mut field(config).default),
    ];
    settings.extend(Class::ALL.map(|class| {
        let help = format!("Rule of the failure class {class}: deny or allow.");
        Setting::new("on_failure", class.as_str(), &help, rule(), None, move |config| {
            &mut field(config).classes[class as usize]
        })
    }));
    settings
}

impl Rules {
    /// One rule for every class.
    pub fn all(rule: Rule) -> Self {
        Self { default: Some(rule), ..Self::default() }
    }

    /// Returns the rule of a class.
    pub fn rule(&self, class: Class) -> Rule {
        self.classes[class as usize].or(self.default).unwrap_or_default()
    }

    /// Returns true if these rules have one for a class.
    pub(super) fn has(&self, class: Class) -> bool {
        self.classes[class as usize].or(self.default).is_some()
    }

    /// Returns these rules, with those of `rest` for the classes that have none.
    pub(super) fn over(self, rest: Self) -> Self {
        if self.default.is_some() {
            return self;
        }
        let classes = Class::ALL.map(|class| self.classes[class as usize].or(rest.classes[class as usize]));
        Self { default: rest.default, classes }
    }

    /// Returns the exceptions from `default` that have the same effect.
    pub(super) fn exceptions(&self, default: Rule) -> Self {
        let classes = Class::ALL.map(|class| Some(self.rule(class)).filter(|rule| *rule != default));
        Self { default: None, classes }
    }

    /// Prints rules as they were configured, as YAML; `None` for none.
    pub(super) fn print(&self) -> Option<String> {
        let print = |(name, rule): (&str, Option<Rule>)| rule.map(|rule| format!("{name}: {rule}"));
        let classes = Class::ALL.into_iter().map(|class| (class.as_str(), self.classes[class as usize]));
        let rules: Vec<_> = [("default", self.default)].into_iter().chain(classes).filter_map(print).collect();
        match (self.default, rules.len()) {
            (None, 0) => None,
            (Some(rule), 1) => Some(rule.to_string()),
            _ => Some(format!("{{{}}}", rules.join(", "))),
        }
    }

    /// Prints the rules of all classes as YAML: one word, or the exceptions from `deny`.
    fn print_resolved(&self) -> Option<String> {
        let allows_all = self.exceptions(Rule::Allow) == Self::default();
        let default = if allows_all { Rule::Allow } else { Rule::Deny };
        Self { default: Some(default), ..self.exceptions(default) }.print()
    }
}

impl FromStr for Rules {
    type Err = String;

    /// Parses all rules in one text: `allow`, or a list such as `unavailable=allow,deadline=allow`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for part in parts(text) {
            let (name, word) = part.split_once('=').unwrap_or(("default", part));
            let (name, word) = (name.trim(), word.trim());
            let rule = match Class::ALL.into_iter().find(|class| class.as_str() == name) {
                Some(class) => &mut rules.classes[class as usize],
                None if name == "default" => &mut rules.default,
                None => {
                    let known = Class::ALL.map(Class::as_str).join(", ");
                    return Err(format!("{name:?}: no such class of failure; expected default, {known}"));
                }
            };
            let read = word.parse().map_err(|_| format!("{word:?}: expected deny or allow"))?;
            if rule.replace(read).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        Ok(rules)
    }
}
