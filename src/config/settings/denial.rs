//! What the API client is told where the policy did not say it.

use std::collections::BTreeMap;

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{CODE, SENTENCE};
use crate::failure::Class;

/// What the API client is told where the policy did not say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// The code of a denial that has none of 100 or more.
    pub code: i32,
    /// The sentences of the failure classes.
    pub messages: BTreeMap<Class, String>,
}

impl Default for Denial {
    fn default() -> Self {
        Self { code: 5000, messages: Class::ALL.iter().map(|class| (*class, class.sentence().to_owned())).collect() }
    }
}

pub(super) fn rows() -> Vec<Setting<Draft>> {
    let mut rows = vec![row(
        "denial.code",
        CODE,
        |d| &mut d.config.denial.code,
        "The code of a denial that has none of 100 or more",
    )];
    for class in Class::ALL {
        let words = format!("What the API client is told when the class of failure is {class}");
        let path = format!("denial.messages.{class}");
        rows.push(row(&path, SENTENCE, move |d| d.config.denial.messages.entry(class).or_default(), &words));
    }
    rows
}
