//! Failure rules: resolved, for every failure class; and as configured, for some classes, for the rest, or none.

use super::settings::Setting;
use super::value::{Kind, choice, parts};
use crate::failure::Class;

/// A failure rule for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnFailure([Rule; Class::ALL.len()]);

/// The reply to a webhook without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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

/// Returns the settings `on_failure`, `on_failure.default` and one for each failure class.
pub(super) fn rules<B: 'static>(
    help: &str,
    field: impl Fn(&mut B) -> &mut Rules + Copy + Send + Sync + 'static,
) -> Vec<Setting<B>> {
    let print = |rules: &Rules| print(&rules.over(OnFailure::default()));
    let all = Kind::new("failure rules", parse_rules, print);
    let rest = "Rule of the failure classes that have none of their own: deny or allow.";
    let mut settings = vec![
        Setting::new("", "on_failure", help, all, Rules::default(), field),
        Setting::new("on_failure", "default", rest, rule().optional(), None, move |b| &mut field(b).default),
    ];
    for class in Class::ALL {
        let help = format!("Rule of the failure class {class}: deny or allow.");
        let kind = rule().optional();
        settings.push(Setting::new("on_failure", class.as_str(), &help, kind, None, move |b| field(b).class(class)));
    }
    settings
}

fn rule() -> Kind<Rule> {
    choice("deny or allow", &[("deny", Rule::Deny), ("allow", Rule::Allow)])
}

impl Rule {
    /// Returns its name in the configuration: `deny` or `allow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
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
    /// Returns the rule of a class, to change it.
    pub fn class(&mut self, class: Class) -> &mut Option<Rule> {
        &mut self.classes[class as usize]
    }

    /// Resolves these rules, with `rest` for the classes that have none.
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
        Self { default: None, classes: Class::ALL.map(|class| Some(rules.rule(class))) }
    }
}

/// Prints rules as they were configured, as YAML; `None` for none.
pub(super) fn print_configured(rules: &Rules) -> Option<String> {
    let classes = Class::ALL.into_iter().map(|class| (class.as_str(), rules.classes[class as usize]));
    let print = |(name, rule): (&str, Option<Rule>)| rule.map(|rule| format!("{name}: {}", rule.as_str()));
    let classes: Vec<_> = classes.filter_map(print).collect();
    match (print(("default", rules.default)), classes.is_empty()) {
        (_, true) => rules.default.map(|rule| rule.as_str().to_owned()),
        (Some(default), false) => Some(format!("{{{default}, {}}}", classes.join(", "))),
        (None, false) => Some(format!("{{{}}}", classes.join(", "))),
    }
}

/// Prints the rules of all classes as YAML.
fn print(rules: &OnFailure) -> String {
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

/// Parses all rules in one text: `allow`, or a list such as `unavailable=allow,deadline=allow`.
fn parse_rules(text: &str) -> Result<Rules, String> {
    let mut rules = Rules::default();
    for part in parts(text) {
        let (class, word) = part.split_once('=').unwrap_or(("default", part));
        let (class, word) = (class.trim(), word.trim());
        let rule_of = match Class::ALL.into_iter().find(|known| known.as_str() == class) {
            Some(class) => rules.class(class),
            None if class == "default" => &mut rules.default,
            None => {
                let known = Class::ALL.map(Class::as_str).join(", ");
                return Err(format!("{class:?}: no such class of failure; expected default, {known}"));
            }
        };
        if rule_of.replace((rule().read)(word)?).is_some() {
            return Err(format!("{class} is given twice"));
        }
    }
    Ok(rules)
}
