//! Failure rules: as they hold, for every class; and as they are said, for some classes, for the rest, or not at all.

use std::time::Duration;

use super::value::{Kind, parts};
use crate::failure::Class;

/// The handling of a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handling {
    /// The time from a webhook's arrival to its reply.
    pub budget: Duration,
    /// What becomes of a webhook without a verdict, for each class of failure.
    pub on_failure: OnFailure,
}

/// The settings of one callback, which go before those of all callbacks. Parts that are not set are left to these.
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

/// What becomes of a webhook that has no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Rule {
    /// It is stopped.
    #[default]
    Deny,
    /// It goes on, unchanged.
    Allow,
}

/// What was said of a callback's failures, or of all callbacks'.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// For the classes that have none of their own.
    pub default: Option<Rule>,
    classes: [Option<Rule>; Class::ALL.len()],
}

/// A rule, perhaps not set.
pub const RULE: Kind<Option<Rule>> =
    Kind { list: false, read: |text| rule(text).map(Some), show: |rule| rule.map(|rule| rule.as_str().to_owned()) };

/// All rules at once: `allow`, or a list such as `unavailable=allow,deadline=allow`.
pub const RULES: Kind<Rules> =
    Kind { list: false, read: rules, show: |rules| Some(show(&rules.over(OnFailure::default()))) };

impl Default for Handling {
    fn default() -> Self {
        Self { budget: Duration::from_millis(4500), on_failure: OnFailure::default() }
    }
}

impl Rule {
    /// As it is configured: `deny` or `allow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

impl OnFailure {
    /// The same rule for every class.
    pub fn all(rule: Rule) -> Self {
        Self([rule; Class::ALL.len()])
    }

    /// The rule of a class.
    pub fn rule(&self, class: Class) -> Rule {
        self.0[class as usize]
    }

    /// Sets the rule of a class.
    pub fn set(&mut self, class: Class, rule: Rule) {
        self.0[class as usize] = rule;
    }
}

impl Default for OnFailure {
    fn default() -> Self {
        Self::all(Rule::Deny)
    }
}

impl Rules {
    /// The rule of a class.
    pub fn class(&mut self, class: Class) -> &mut Option<Rule> {
        &mut self.classes[class as usize]
    }

    /// These rules where there are some, and `rest` elsewhere.
    pub fn over(&self, rest: OnFailure) -> OnFailure {
        let mut rules = self.default.map_or(rest, OnFailure::all);
        for class in Class::ALL {
            if let Some(rule) = self.classes[class as usize] {
                rules.set(class, rule);
            }
        }
        rules
    }
}

impl From<OnFailure> for Rules {
    fn from(rules: OnFailure) -> Self {
        let mut said = Self::default();
        for class in Class::ALL {
            *said.class(class) = Some(rules.rule(class));
        }
        said
    }
}

/// Rules as they were said, as YAML; nothing where none was.
pub fn show_said(rules: &Rules) -> Option<String> {
    let classes = Class::ALL.into_iter().map(|class| (class.as_str(), rules.classes[class as usize]));
    let said = |(name, rule): (&str, Option<Rule>)| rule.map(|rule| format!("{name}: {}", rule.as_str()));
    let classes: Vec<_> = classes.filter_map(said).collect();
    match (said(("default", rules.default)), classes.is_empty()) {
        (_, true) => rules.default.map(|rule| rule.as_str().to_owned()),
        (Some(default), false) => Some(format!("{{{default}, {}}}", classes.join(", "))),
        (None, false) => Some(format!("{{{}}}", classes.join(", "))),
    }
}

/// The rules of all classes as YAML.
pub fn show(rules: &OnFailure) -> String {
    let exceptions: Vec<_> = Class::ALL.into_iter().filter(|class| rules.rule(*class) != Rule::Deny).collect();
    match exceptions.len() {
        0 => Rule::Deny.as_str().to_owned(),
        all if all == Class::ALL.len() => Rule::Allow.as_str().to_owned(),
        _ => {
            let exceptions = exceptions.iter().map(|class| format!(", {class}: {}", rules.rule(*class).as_str()));
            format!("{{default: {}{}}}", Rule::Deny.as_str(), exceptions.collect::<String>())
        }
    }
}

fn rule(text: &str) -> Result<Rule, String> {
    let rule = [Rule::Deny, Rule::Allow].into_iter().find(|rule| rule.as_str() == text);
    rule.ok_or_else(|| format!("{text:?}: expected deny or allow"))
}

fn rules(text: &str) -> Result<Rules, String> {
    let mut rules = Rules::default();
    for part in parts(text) {
        let (class, word) = part.split_once('=').unwrap_or(("default", part));
        let (class, word) = (class.trim(), word.trim());
        let place = match Class::ALL.into_iter().find(|known| known.as_str() == class) {
            Some(class) => rules.class(class),
            None if class == "default" => &mut rules.default,
            None => {
                let known = Class::ALL.map(Class::as_str).join(", ");
                return Err(format!("{class:?}: no such class of failure; expected default, {known}"));
            }
        };
        if place.replace(rule(word)?).is_some() {
            return Err(format!("{class} is given twice"));
        }
    }
    Ok(rules)
}
