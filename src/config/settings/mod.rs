//! The settings. Each is declared once, in the [`settings!`] of its group. The declaration gives the field with its
//! documentation, the default, the key in the file, the flag, the variable, the help, the printed form and the reference.

mod access;
mod after;
mod general;
mod limits;
mod nats;
mod observe;
mod policy;

use std::sync::LazyLock;

pub use access::{Access, PolicyTls, Tls};
pub use after::{After, Order, SyncRule, WhenFull};
pub use general::Config;
pub use limits::{Drain, Limits};
pub use nats::Nats;
pub use observe::{Decisions, DecisionsTo, LogFormat, Traces};
pub use policy::{Channel, Denial, Enabled, OpenIm};

use super::Rules;
use super::rules::{self, Override};
use super::value::{Kind, time};

/// Declares a group of settings: a struct, its defaults, and a [`Setting`] for each.
///
/// ```text
/// settings! {
///     /// The documentation of the struct.
///     pub struct Traces("traces"), |config| config.traces;
///
///     /// The documentation of the field, which is the help of the setting too.
///     sample: f64 = 1.0, fraction(), needs_restart = true;
/// }
/// ```
///
/// `"traces"` is the group in the file, `""` for the top level. The expression behind it is where a [`Config`] holds the
/// struct. A setting has a type, a default, a kind of value, and perhaps more fields of [`Setting`]. Fields that are no
/// settings follow behind `fields:`.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident($group:literal), |$config:ident| $place:expr;
        $(
            $(#[doc = $help:literal])+
            $setting:ident: $type:ty = $default:expr, $kind:expr $(, $more:ident = $value:expr)*;
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
                Self::settings_of($group, |$config: &mut $crate::config::Config| &mut $place)
            }

            /// Returns the settings of this group, called `group`, in the place of a `C` that `place` returns.
            pub(in crate::config) fn settings_of<C: 'static>(
                group: &str,
                place: impl Fn(&mut C) -> &mut Self + Copy + Send + Sync + 'static,
            ) -> Vec<$crate::config::settings::Setting<C>> {
                use $crate::config::settings::Setting;
                vec![$(Setting {
                    $($more: $value.into(),)*
                    ..Setting::new(
                        group,
                        stringify!($setting),
                        concat!($($help),+),
                        $kind,
                        $default,
                        move |config: &mut C| &mut place(config).$setting,
                    )
                },)*]
            }
        }
    };
}
pub(super) use settings;

/// A setting whose value is a field of `C`: `Config` for the whole configuration, `Override` for one callback.
pub struct Setting<C = Config> {
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
    /// Sets it from text. The error is a sentence.
    pub(super) set: Set<C>,
    /// Returns its value as YAML, if it has one.
    pub(super) print: Print<C>,
}

type Set<C> = Box<dyn Fn(&mut C, &str) -> Result<(), String> + Send + Sync>;

type Print<C> = Box<dyn Fn(&mut C) -> Option<String> + Send + Sync>;

/// Returns every setting but those of single callbacks, group by group.
pub fn general() -> &'static [Setting] {
    static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
        let groups = [
            Config::settings(),
            rules::general(),
            OpenIm::settings(),
            Denial::settings(),
            policy::denial_messages(),
            Limits::settings(),
            Access::settings(),
            Tls::settings(),
            PolicyTls::settings(),
            Channel::settings(),
            After::settings(),
            Nats::settings(),
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

/// Returns the settings that a resolved configuration still has, with their values as YAML, `None` for no value:
/// `openim.*` has been applied to the callbacks, `on_failure.CLASS` merged into `on_failure`, and `builtin_listen` has no
/// effect on a policy service of the operator's, nor `policy` beside named ones.
pub(super) fn resolved(config: &Config) -> impl Iterator<Item = (&'static Setting, Option<String>)> {
    let mut config = config.clone();
    let is_left = |path: &str| !path.starts_with("openim.") && !path.starts_with("on_failure.");
    general().iter().filter(move |setting| is_left(&setting.path)).map(move |setting| {
        let has_effect = match &*setting.path {
            "policy" => config.policies.is_empty(),
            "builtin_listen" => config.asks_builtin(),
            _ => true,
        };
        (setting, (setting.print)(&mut config).filter(|_| has_effect))
    })
}

/// Returns the settings of a single callback.
pub fn of_callback() -> &'static [Setting<Override>] {
    static SETTINGS: LazyLock<Vec<Setting<Override>>> = LazyLock::new(|| {
        let help = "Time from the webhook's arrival to the reply.";
        let budget = Setting::new("", "budget", help, time().optional(), None, |own: &mut Override| &mut own.budget);
        let help = "Reply to a webhook of this callback without a verdict.";
        // Without values of their own, those of all callbacks apply.
        let rules = rules::settings(help, Rules::print, |own: &mut Override| &mut own.on_failure);
        let help =
            "Order of the events of this callback, in place of after.order; for After callbacks with an ordering key.";
        let order = Kind::plain("key or none", "key or none").optional();
        let order = Setting::new("", "order", help, order, None, |own: &mut Override| &mut own.order);
        [budget].into_iter().chain(rules).chain([order]).collect()
    });
    &SETTINGS
}

impl<C: 'static> Setting<C> {
    /// A setting with values of `kind`, stored in the field of `C` that `field` returns.
    pub fn new<T: 'static>(
        group: &str,
        key: &str,
        help: &str,
        kind: Kind<T>,
        default: T,
        field: impl Fn(&mut C) -> &mut T + Copy + Send + Sync + 'static,
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
            set: Box::new(move |config, text| {
                *field(config) = read(text)?;
                Ok(())
            }),
            print: Box::new(move |config| print(field(config))),
        }
    }

    /// Returns true if `text`, as a value of this setting, is a file path.
    pub fn is_path(&self, text: &str) -> bool {
        !text.is_empty() && (self.kind == "path" || self.kind == "stdout or path" && text != "stdout")
    }
}

/// Returns the flag of a setting: `--openim-webhooks`.
pub fn flag_name(path: &str) -> String {
    format!("--{}", path.replace(['.', '_'], "-"))
}

/// Returns the variable of a setting: `HOOKGATE_OPENIM_WEBHOOKS`.
pub fn variable(path: &str) -> String {
    format!("HOOKGATE_{}", path.replace('.', "_").to_uppercase())
}
