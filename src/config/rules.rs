//! Failure rules as they are said: for some classes, for the rest, or not at all.

use super::value::Kind;
use super::{OnFailure, Rule};
use crate::error::Class;

/// What was said of a callback's failures, or of all callbacks'.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// For the classes that have none of their own.
    pub default: Option<Rule>,
    classes: [Option<Rule>; Class::ALL.len()],
}

/// A rule, perhaps not set.
pub const RULE: Kind<Option<Rule>> =
    Kind { read: |text| rule(text).map(Some), show: |rule| rule.map(|rule| word(rule).to_owned()) };

/// All rules at once: `allow`, or a list such as `unavailable=allow,deadline=allow`.
pub const RULES: Kind<Rules> = Kind { read: rules, show: |rules| Some(show(&rules.over(OnFailure::default()))) };

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

/// The rules as YAML.
pub fn show(rules: &OnFailure) -> String {
    let exceptions: Vec<_> = Class::ALL.into_iter().filter(|class| rules.rule(*class) != Rule::Deny).collect();
    match exceptions.len() {
        0 => word(Rule::Deny).to_owned(),
        all if all == Class::ALL.len() => word(Rule::Allow).to_owned(),
        _ => {
            let exceptions = exceptions.iter().map(|class| format!(", {class}: {}", word(rules.rule(*class))));
            format!("{{default: {}{}}}", word(Rule::Deny), exceptions.collect::<String>())
        }
    }
}

fn word(rule: Rule) -> &'static str {
    match rule {
        Rule::Deny => "deny",
        Rule::Allow => "allow",
    }
}

fn rule(text: &str) -> Result<Rule, String> {
    let rule = [Rule::Deny, Rule::Allow].into_iter().find(|rule| word(*rule) == text);
    rule.ok_or_else(|| format!("{text:?}: expected deny or allow"))
}

fn rules(text: &str) -> Result<Rules, String> {
    let mut rules = Rules::default();
    for part in text.split(',').map(str::trim) {
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
