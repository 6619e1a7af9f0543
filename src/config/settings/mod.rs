//! The settings, one row each: key, kind, place, words, and whether it is a flag and variable too. What stands in one
//! group of the file stands in one file here, with its defaults.

mod access;
mod after;
mod channel;
mod decisions;
mod denial;
mod drain;
mod limits;
mod serve;
mod tls;
mod traces;

use std::sync::LazyLock;

pub use after::{After, SyncRule, WhenFull};
pub use channel::Channel;
pub use decisions::{Decisions, DecisionsTo};
pub use denial::Denial;
pub use drain::Drain;
pub use limits::Limits;
pub use traces::Traces;

use super::draft::{Draft, Own};
use super::rules::{RULE, RULES};
use super::value::{Kind, MAYBE_TIME};
use crate::failure::Class;

/// A setting of a `D`.
pub struct Setting<D> {
    /// Its full path in the file: `limits.body`.
    pub path: String,
    /// What it is.
    pub words: String,
    /// Its kind of value for the help, where it is a flag and a variable too.
    pub everyday: Option<&'static str>,
    /// Whether it is a list, in YAML's way or with commas.
    pub list: bool,
    place: Box<dyn Place<D>>,
}

/// Every setting but those of single callbacks.
pub fn general() -> &'static [Setting<Draft>] {
    static SETTINGS: LazyLock<Vec<Setting<Draft>>> = LazyLock::new(|| {
        let rows = [
            serve::rows(),
            denial::rows(),
            limits::rows(),
            access::rows(),
            tls::rows(),
            channel::rows(),
            after::rows(),
            drain::rows(),
            traces::rows(),
            decisions::rows(),
        ];
        rows.into_iter().flatten().collect()
    });
    &SETTINGS
}

/// Those that are left when all is settled: what OpenIM's file said stands in the callbacks by then, and the rules of all
/// classes stand in one line.
pub fn settled() -> impl Iterator<Item = &'static Setting<Draft>> {
    let is_left = |path: &str| !path.starts_with("openim.") && !path.starts_with("on_failure.");
    general().iter().filter(move |setting| is_left(&setting.path))
}

/// The settings of a single callback.
pub fn of_callback() -> &'static [Setting<Own>] {
    static SETTINGS: LazyLock<Vec<Setting<Own>>> = LazyLock::new(own);
    &SETTINGS
}

fn own() -> Vec<Setting<Own>> {
    let mut rows = vec![
        own_row("budget", MAYBE_TIME, |own| &mut own.budget),
        own_row("on_failure", RULES, |own| &mut own.rules),
        own_row("on_failure.default", RULE, |own| &mut own.rules.default),
    ];
    for class in Class::ALL {
        rows.push(own_row(&format!("on_failure.{class}"), RULE, move |own| own.rules.class(class)));
    }
    rows
}

fn row<T: 'static>(
    path: &str,
    kind: Kind<T>,
    at: impl Fn(&mut Draft) -> &mut T + Send + Sync + 'static,
    words: &str,
) -> Setting<Draft> {
    Setting {
        path: path.to_owned(),
        words: words.to_owned(),
        everyday: None,
        list: kind.list,
        place: Box::new(At { kind, at }),
    }
}

fn own_row<T: 'static>(
    path: &str,
    kind: Kind<T>,
    at: impl Fn(&mut Own) -> &mut T + Send + Sync + 'static,
) -> Setting<Own> {
    Setting {
        path: path.to_owned(),
        words: String::new(),
        everyday: None,
        list: kind.list,
        place: Box::new(At { kind, at }),
    }
}

impl<D> Setting<D> {
    fn everyday(mut self, value: &'static str) -> Self {
        self.everyday = Some(value);
        self
    }

    /// Sets it from text, or says what is wrong with that.
    pub fn set(&self, of: &mut D, text: &str) -> Result<(), String> {
        self.place.set(of, text)
    }

    /// Its value as YAML, if it has one.
    pub fn show(&self, of: &mut D) -> Option<String> {
        self.place.show(of)
    }

    /// Its flag: `--openim-webhooks`.
    pub fn flag(&self) -> String {
        format!("--{}", self.path.replace(['.', '_'], "-"))
    }

    /// Its variable: `HOOKGATE_OPENIM_WEBHOOKS`.
    pub fn variable(&self) -> String {
        format!("HOOKGATE_{}", self.path.replace('.', "_").to_uppercase())
    }
}

/// Where a setting's value is, whatever its type.
trait Place<D>: Send + Sync {
    fn set(&self, of: &mut D, text: &str) -> Result<(), String>;
    fn show(&self, of: &mut D) -> Option<String>;
}

struct At<T, F> {
    kind: Kind<T>,
    at: F,
}

impl<D, T, F: Fn(&mut D) -> &mut T + Send + Sync> Place<D> for At<T, F> {
    fn set(&self, of: &mut D, text: &str) -> Result<(), String> {
        *(self.at)(of) = (self.kind.read)(text)?;
        Ok(())
    }

    fn show(&self, of: &mut D) -> Option<String> {
        (self.kind.show)((self.at)(of))
    }
}
