//! The settings. Each is declared once, in the [`settings!`] of its group. The declaration gives the field with its
//! documentation, the default, the key in the file, the flag, the variable, the help, the printed form and the reference.

mod access;
mod after;
mod budget;
mod channel;
mod decisions;
mod denial;
mod drain;
mod limits;
mod openim;
mod policy;
mod tls;
mod traces;

use std::sync::LazyLock;

pub use access::Access;
pub(super) use access::AccessFiles;
pub use after::{After, SyncRule, WhenFull};
pub use budget::{Handling, Override};
pub use channel::Channel;
pub use decisions::{Decisions, DecisionsTo};
pub use denial::Denial;
pub use drain::Drain;
pub use limits::Limits;
pub(super) use openim::OpenIm;
pub use tls::PolicyTls;
pub(super) use tls::{PolicyTlsFiles, TlsFiles};
pub use traces::Traces;

use super::Config;
use super::builder::{Builder, CallbackSettings};
use super::rules::rules;
use super::validate::Check;
use super::value::{Kind, time};

/// Declares a group of settings: a struct, its defaults, and a [`Setting`] for each.
///
/// ```text
/// settings! {
///     /// The documentation of the struct.
///     pub struct Traces("traces"), |builder| builder.config.traces;
///
///     /// The documentation of the field, which is the help of the setting too.
///     sample: f64 = 1.0, fraction(), needs_restart();
/// }
/// ```
///
/// `"traces"` is the group in the file, `""` for the top level. The expression behind it is where a [`Builder`] holds the
/// struct. A setting has a type, a default, a kind of value, and options: methods of [`Setting`]. Fields that are no
/// settings follow behind `fields:`.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident($group:literal), |$builder:ident| $place:expr;
        $(
            $(#[doc = $help:literal])+
            $setting:ident: $type:ty = $default:expr, $kind:expr $(, $option:ident($($argument:expr)?))*;
        )*
        $(
            fields:
            $( $(#[doc = $field_words:literal])+ $field:ident: $field_type:ty = $field_default:expr; )*
        )?
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        $visibility struct $name {
            $( $(#[doc = $help])+ pub $setting: $type, )*
            $( $( $(#[doc = $field_words])+ pub $field: $field_type, )* )?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $setting: $default, )* $( $( $field: $field_default, )* )? }
            }
        }

        impl $name {
            /// Returns the settings of this group.
            pub(in crate::config) fn settings() -> Vec<$crate::config::settings::Setting> {
                use $crate::config::{builder::Builder, settings::Setting};
                vec![$(
                    Setting::new(
                        $group,
                        stringify!($setting),
                        concat!($($help),+),
                        $kind,
                        $default,
                        |$builder: &mut Builder| &mut $place.$setting,
                    )$(.$option($($argument)?))*,
                )*]
            }
        }
    };
}
pub(super) use settings;

/// A setting whose value is a field of `B`: `Builder` for the whole configuration, `CallbackSettings` for one callback.
pub struct Setting<B = Builder> {
    /// Its full path in the file: `limits.body`.
    pub path: String,
    /// Its description: the help.
    pub help: String,
    /// The name of its kind of value, as in `time`.
    pub kind: &'static str,
    /// True if it is a list: a YAML sequence, or one string with commas.
    pub is_list: bool,
    /// Its default as YAML; `None` where it has none.
    pub default: Option<String>,
    /// Its default with `data` set, as text; `None` if it is the same.
    pub default_on_disk: Option<&'static str>,
    /// The placeholder of its flag's value; `None` where it has no flag and no variable.
    pub value_name: Option<&'static str>,
    /// True if a change takes a restart; false if a reload applies it.
    pub needs_restart: bool,
    /// The setting without which this one has no effect.
    pub needs: Option<&'static str>,
    set: Set<B>,
    print: Print<B>,
}

/// Sets a field of a `B` from text.
type Set<B> = Box<dyn Fn(&mut B, &str) -> Result<(), String> + Send + Sync>;

/// Prints a field of a `B` as YAML; `None` for no value.
type Print<B> = Box<dyn Fn(&mut B) -> Option<String> + Send + Sync>;

/// Returns every setting but those of single callbacks, group by group.
pub fn general() -> &'static [Setting] {
    static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
        let groups = [
            Builder::settings(),
            Config::settings(),
            Handling::settings(),
            policy::on_failure(),
            OpenIm::settings(),
            Denial::settings(),
            denial::messages(),
            Limits::settings(),
            AccessFiles::settings(),
            Access::settings(),
            TlsFiles::settings(),
            PolicyTlsFiles::settings(),
            PolicyTls::settings(),
            Channel::settings(),
            After::settings(),
            Drain::settings(),
            Traces::settings(),
            Decisions::settings(),
        ];
        groups.into_iter().flatten().collect()
    });
    &SETTINGS
}

/// Returns the setting with a path.
pub(super) fn find(path: &str) -> Option<&'static Setting> {
    general().iter().find(|setting| setting.path == path)
}

/// Returns the checks of settings against each other, group by group.
pub(super) fn checks() -> impl Iterator<Item = &'static Check> {
    [policy::CHECKS, budget::CHECKS, limits::CHECKS, access::CHECKS, tls::CHECKS, after::CHECKS].into_iter().flatten()
}

/// Returns the settings that a resolved configuration still has: `openim.*` has been applied to the callbacks, and
/// `on_failure.CLASS` merged into `on_failure`.
pub(super) fn resolved() -> impl Iterator<Item = &'static Setting> {
    let is_left = |path: &str| !path.starts_with("openim.") && !path.starts_with("on_failure.");
    general().iter().filter(move |setting| is_left(&setting.path))
}

/// Returns the settings of a single callback.
pub fn of_callback() -> &'static [Setting<CallbackSettings>] {
    static SETTINGS: LazyLock<Vec<Setting<CallbackSettings>>> = LazyLock::new(|| {
        let help = "Time from the webhook's arrival to the reply.";
        let budget = Setting::new("", "budget", help, time().optional(), None, |callback: &mut CallbackSettings| {
            &mut callback.budget
        });
        let help = "Reply to a webhook of this callback without a verdict.";
        let rules = rules(help, |callback: &mut CallbackSettings| &mut callback.rules);
        // No defaults of their own: the settings for all callbacks apply.
        [budget].into_iter().chain(rules).map(|setting| Setting { default: None, ..setting }).collect()
    });
    &SETTINGS
}

impl<B: 'static> Setting<B> {
    /// A setting with values of `kind`, stored in the field of `B` that `field` returns.
    pub fn new<T: 'static>(
        group: &str,
        key: &str,
        help: &str,
        kind: Kind<T>,
        default: T,
        field: impl Fn(&mut B) -> &mut T + Copy + Send + Sync + 'static,
    ) -> Self {
        let Kind { name, is_list, read, print } = kind;
        Self {
            path: if group.is_empty() { key.to_owned() } else { format!("{group}.{key}") },
            help: help.trim().trim_end_matches('.').to_owned(),
            kind: name,
            is_list,
            default: print(&default),
            default_on_disk: None,
            value_name: None,
            needs_restart: false,
            needs: None,
            set: Box::new(move |builder, text| {
                *field(builder) = read(text)?;
                Ok(())
            }),
            print: Box::new(move |builder| print(field(builder))),
        }
    }

    /// Gives it a flag and a variable. `value` is the placeholder in the help, as in `TIME`.
    pub fn flag(self, value: &'static str) -> Self {
        Self { value_name: Some(value), ..self }
    }

    /// Declares that a reload does not apply it.
    pub fn needs_restart(self) -> Self {
        Self { needs_restart: true, ..self }
    }

    /// Declares that it has no effect without a value of another setting.
    pub fn needs(self, path: &'static str) -> Self {
        Self { needs: Some(path), ..self }
    }

    /// Gives it another default where After events are kept on disk.
    pub fn on_disk(self, default: &'static str) -> Self {
        Self { default_on_disk: Some(default), ..self }
    }

    /// Returns true if `text`, as a value of this setting, is a file path.
    pub fn is_path(&self, text: &str) -> bool {
        match self.kind {
            "path" => !text.is_empty(),
            "stdout or path" => !text.is_empty() && text != "stdout",
            _ => false,
        }
    }

    /// Sets it from text. The error is a sentence.
    pub fn set(&self, builder: &mut B, text: &str) -> Result<(), String> {
        (self.set)(builder, text)
    }

    /// Returns its value as YAML, if it has one.
    pub fn print(&self, builder: &mut B) -> Option<String> {
        (self.print)(builder)
    }

    /// Returns its flag: `--openim-webhooks`.
    pub fn flag_name(&self) -> String {
        format!("--{}", self.path.replace(['.', '_'], "-"))
    }

    /// Returns its variable: `HOOKGATE_OPENIM_WEBHOOKS`.
    pub fn variable(&self) -> String {
        format!("HOOKGATE_{}", self.path.replace('.', "_").to_uppercase())
    }
}
