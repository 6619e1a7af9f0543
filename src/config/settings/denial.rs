//! The denials that hookgate makes itself.

use std::collections::BTreeMap;

use super::{Setting, settings};
use crate::config::Builder;
use crate::config::value::{Kind, number, quoted};
use crate::failure::Class;

settings! {
    /// The code and messages of denials where the policy gave none.
    pub struct Denial("denial"), |builder| builder.config.denial;

    /// Error code of a denial whose own code is less than 100.
    code: i32 = 5000, number("error code", 100.., "a whole number of 100 or more: OpenIM replaces lower ones");

    fields:
    /// Message of a denial by failure class.
    messages: BTreeMap<Class, String> = Class::ALL.map(|class| (class, class.sentence().to_owned())).into();
}

/// Returns the setting of each class's message.
pub(super) fn messages() -> Vec<Setting> {
    let row = |class: Class| {
        let help = format!("Message that the API client gets when the failure class is {class}.");
        let default = class.sentence().to_owned();
        Setting::new("denial.messages", class.as_str(), &help, message(), default, move |builder: &mut Builder| {
            builder.config.denial.messages.entry(class).or_default()
        })
    };
    Class::ALL.map(row).into()
}

fn message() -> Kind<String> {
    let read =
        |text: &str| if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) };
    Kind::new("text", read, |text: &String| quoted(text))
}
