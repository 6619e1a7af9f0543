//! The handling of callbacks: their budgets and failure rules. Failure rules are resolved, for every failure class; or as
//! configured, for some classes, for the rest, or none.

use std::time::Duration;

use super::Config;
use super::settings::Setting;
use super::value::{Kind, parts};
use crate::contract::Callback;
use crate::failure::Class;

/// The resolved handling of a callback.
#[derive(Debug, Clone, PartialEq)]
pub struct Handling {
    /// Time from a webhook's arrival to its reply.
    pub budget: Duration,
    /// Failure rules of a webhook without a verdict.
    pub on_failure: OnFailure,
}

/// The settings of one callback, which override those of all callbacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// Its budget.
    pub budget: Option<Duration>,
    /// Its failure rules.
    pub on_failure: Rules,
}

/// A failure rule for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnFailure([Rule; Class::ALL.len()]);

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

/// Failure rules as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The rule of the classes that have none of their own.
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
    let all = Kind { name: "failure rules", is_list: false, read: Box::new(Rules::parse), print: Box::new(print) };
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

impl OnFailure {
    /// One rule for every class.
    pub fn all(rule: Rule) -> Self {
        Self([rule; Class::ALL.len()])
    }

    /// Returns the rule of a class.
    pub fn rule(&self, class: Class) -> Rule {
        self.0[class as usize]
    }
}

impl Default for OnFailure {
    fn default() -> Self {
        Self::all(Rule::Deny)
    }
}

impl Rules {
    /// Sets the rule of a class.
    pub fn set(&mut self, class: Class, rule: Rule) {
        self.classes[class as usize] = Some(rule);
    }

    /// Returns true if these rules have one for a class.
    pub(super) fn has(&self, class: Class) -> bool {
        self.classes[class as usize].or(self.default).is_some()
    }

    /// Resolves these rules, with `rest` for the classes that have none.
    pub fn over(&self, rest: OnFailure) -> OnFailure {
        let rest = self.default.map_or(rest, OnFailure::all);
        OnFailure(Class::ALL.map(|class| self.classes[class as usize].unwrap_or(rest.rule(class))))
    }

    /// Returns the exceptions from `default` that resolve to the same.
    pub(super) fn resolved(&self, default: Rule) -> Self {
        let rules = self.over(OnFailure::default()).0;
        Self { default: None, classes: rules.map(|rule| (rule != default).then_some(rule)) }
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
        let allows_all = self.over(OnFailure::default()) == OnFailure::all(Rule::Allow);
        let default = if allows_all { Rule::Allow } else { Rule::Deny };
        Self { default: Some(default), ..self.resolved(default) }.print()
    }

    /// Parses all rules in one text: `allow`, or a list such as `unavailable=allow,deadline=allow`.
    fn parse(text: &str) -> Result<Self, String> {
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

impl From<OnFailure> for Rules {
    fn from(rules: OnFailure) -> Self {
        Self { default: None, classes: rules.0.map(Some) }
    }
}
