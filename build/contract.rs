//! The contract as rows: its rpcs and messages, read from their descriptors and validated.

mod counterparts;
mod messages;
mod options;
mod order;
mod pairs;
mod refusals;

use prost_reflect::{DescriptorPool, MethodDescriptor};

use messages::Messages;
use options::{BEFORE, Options, RELEASES, Webhook};

/// The package that holds the contract and its options.
const PACKAGE: &str = "openim.policy.v1";

/// The number of the map that keeps what a webhook carried beyond the contract, the same in every request.
const UNKNOWN_FIELDS: u32 = 100;

/// The contract, ready to be written as rows.
#[derive(Debug)]
pub struct Contract {
    /// The rpcs in the order of the files, the fallback apart.
    pub callbacks: Vec<Callback>,
    /// The rpc that takes unknown commands.
    pub fallback: Callback,
    /// Every message that a row needs, each after those it holds.
    pub messages: Vec<Message>,
}

/// An rpc and its webhook.
#[derive(Debug)]
pub struct Callback {
    pub command: String,
    pub older_commands: Vec<String>,
    pub config_key: String,
    pub older_config_keys: Vec<String>,
    pub before: bool,
    /// The releases that send it.
    pub releases: Vec<&'static str>,
    pub rpc: String,
    pub request: String,
    pub response: String,
    /// The ordering keys of its events: the first entry applies whose fields, by index in the request, all have a text.
    pub ordered_by: Vec<Vec<usize>>,
    /// For each field of its response the field of its request, by index, in which the next policy of a chain sees a change.
    pub counterparts: Vec<Option<usize>>,
    /// The domain of its order, which the callbacks of one domain share: a name, or its own rpc.
    pub order_domain: String,
    /// True if it is allowed without a verdict, unless the operator has a rule for it.
    pub fails_open: bool,
    /// The effect of a denial, which the API client does not see. Empty if it does not fail open.
    pub fail_closed_breaks: String,
    pub denial_breaks: Option<DenialBreaks>,
    pub dead_config_keys: Vec<String>,
    pub attention_ids: String,
}

/// The denials of a callback that damage OpenIM's data.
#[derive(Debug, PartialEq)]
pub struct DenialBreaks {
    pub what: String,
    /// The requests whose denial does, a field's JSON name and values; `None` for all.
    pub when: Option<(String, Vec<i32>)>,
}

impl Callback {
    /// The rpc without the package: `Service/Rpc`.
    fn name(&self) -> &str {
        self.rpc.trim_start_matches(&format!("/{PACKAGE}."))
    }

    fn is_fallback(&self) -> bool {
        self.command.is_empty()
    }
}

/// A message as its JSON shows it: the fields of flattened groups stand among the others.
#[derive(Debug)]
pub struct Message {
    pub name: String,
    pub fields: Vec<Field>,
    pub groups: Vec<Group>,
    pub unknown_fields: Option<u32>,
    pub echo_only: Vec<String>,
}

/// A flattened group of a message.
#[derive(Debug)]
pub struct Group {
    /// The field as the contract names it, `Message.field`.
    pub name: String,
    pub number: u32,
    pub optional: bool,
}

/// A field of a message's JSON.
#[derive(Debug)]
pub struct Field {
    /// The field as the contract names it, `Message.field`.
    pub name: String,
    pub json: String,
    pub aliases: Vec<String>,
    pub number: u32,
    pub group: Option<usize>,
    pub kind: Kind,
    pub label: Label,
    pub redact: bool,
    pub id: Option<Id>,
    /// The JSON name of the number that says the kind of message whose content it is.
    pub content_of: Option<String>,
    /// The JSON name of the request's field that shows a change; empty for none, `None` for the field of the same name.
    pub seen_as: Option<String>,
    pub rules: Rules,
}

impl Field {
    /// Returns true if it has one value at most.
    fn is_single(&self) -> bool {
        matches!(self.label, Label::Plain | Label::Optional)
    }
}

/// The type of a field's values.
#[derive(Debug, PartialEq)]
pub enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    CodePoint,
    String,
    Message(String),
    Bare(String),
}

/// The cardinality of a field.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Label {
    Plain,
    Optional,
    Repeated,
    Map,
}

/// The kind of ID that a text is.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Id {
    User,
    Group,
}

/// A rule that a change must follow.
#[derive(Debug, Default, PartialEq)]
pub struct Rules {
    pub echo: bool,
    pub only_if_sent: bool,
    pub non_empty: bool,
    pub json_object: bool,
    pub one_of: Vec<i32>,
    pub refused_when: Option<(String, Vec<i32>)>,
    pub refused_unless: Option<(String, Vec<i32>)>,
    pub empty_is_unset: bool,
}

impl Rules {
    /// A condition on the request: a field's JSON name, and values.
    fn conditions(&self) -> impl Iterator<Item = &(String, Vec<i32>)> {
        self.refused_when.iter().chain(&self.refused_unless)
    }
}

/// Reads all services of the package; the error names what is invalid.
pub fn read(pool: &DescriptorPool) -> Result<Contract, String> {
    let options = Options::of(pool)?;
    refusals::check_redaction(pool)?;
    let mut messages = Messages::new(&options);
    let (mut callbacks, mut fallbacks) = (Vec::new(), Vec::new());
    for service in pool.services().filter(|service| service.package_name() == PACKAGE) {
        for method in service.methods() {
            let webhook = options.webhook(&method);
            refusals::check_rpc(&method, &webhook)?;
            messages.read(&method.input())?;
            messages.read(&method.output())?;
            let list = if webhook.fallback { &mut fallbacks } else { &mut callbacks };
            let ordered_by = order::places(&method, &webhook, &messages.rows)?;
            order::check_domain(&method, &webhook)?;
            list.push(callback(&method, webhook, ordered_by));
        }
    }
    refusals::check_commands(&callbacks)?;
    order::check_domains(&callbacks)?;
    let mut contract = Contract { callbacks, fallback: refusals::only(fallbacks)?, messages: messages.rows };
    pairs::check(&contract)?;
    for callback in contract.callbacks.iter_mut().chain([&mut contract.fallback]) {
        callback.counterparts = counterparts::of(&callback.response, &callback.request, &contract.messages)?;
    }
    Ok(contract)
}

/// Returns the known releases among those that an rpc names.
fn releases(webhook: &Webhook) -> Vec<&'static str> {
    RELEASES.into_iter().filter(|release| webhook.releases.split(' ').any(|named| named == *release)).collect()
}

fn callback(method: &MethodDescriptor, webhook: Webhook, ordered_by: Vec<Vec<usize>>) -> Callback {
    let rpc = format!("/{}/{}", method.parent_service().full_name(), method.name());
    Callback {
        releases: releases(&webhook),
        command: webhook.command,
        older_commands: webhook.older_commands,
        config_key: webhook.config_key,
        older_config_keys: webhook.older_config_keys,
        before: webhook.timing == BEFORE,
        order_domain: webhook.order_domain.unwrap_or_else(|| rpc.clone()),
        rpc,
        request: method.input().name().to_owned(),
        response: method.output().name().to_owned(),
        ordered_by,
        counterparts: Vec::new(),
        fails_open: webhook.fails_open,
        fail_closed_breaks: webhook.fail_closed_breaks,
        denial_breaks: webhook.denial_breaks,
        dead_config_keys: webhook.dead_config_keys,
        attention_ids: webhook.attention_ids,
    }
}
