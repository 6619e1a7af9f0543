//! A row of the table: a callback's command, its rpc, and the way between, as data.

use crate::contract::proto::table::{CALLBACKS, COMMANDS, FALLBACK};
use crate::contract::{Message, RequestFields, RequestIs};

/// One kind of webhook, and the rpc that answers it.
#[derive(Debug)]
pub struct Callback {
    /// Its place in the table; the fallback's is behind the last.
    pub index: usize,
    /// The command: the last segment of the webhook's URL. Empty for the fallback.
    pub command: &'static str,
    /// The same event's commands on older OpenIM servers.
    pub older_commands: &'static [&'static str],
    /// The key that switches it on in OpenIM's `webhooks.yml`.
    pub config_key: &'static str,
    /// The keys of older servers, where they are others.
    pub older_config_keys: &'static [&'static str],
    /// Whether OpenIM waits for the answer.
    pub timing: Timing,
    /// The releases of OpenIM that send it, oldest first, as in `3.8.4`.
    pub releases: &'static [&'static str],
    /// The rpc, as the path of an HTTP/2 request: `/package.Service/Method`.
    pub rpc: &'static str,
    /// What the webhook carries.
    pub request: &'static Message,
    /// What a policy can answer.
    pub response: &'static Message,
    /// What an After event of it belongs to: lists of places among the request's fields. The first list counts whose
    /// fields all have a text; where none does, the event is delivered on its own.
    pub ordered_by: &'static [&'static [usize]],
    /// A lifelike webhook's body. Empty for the fallback.
    pub example: &'static str,
    /// Allowed without a verdict, where the operator has no failure rule for this callback itself. Its response echoes
    /// nothing.
    pub fails_open: bool,
    /// The damage in OpenIM of a failure rule that denies this callback. Empty where it does not fail open.
    pub fail_closed_breaks: &'static str,
    /// The denials by a policy that leave OpenIM's data broken.
    pub denial_breaks: Option<DenialBreaks>,
}

/// The denials of a callback that leave OpenIM's data broken.
#[derive(Debug)]
pub struct DenialBreaks {
    /// The damage, and what repairs it.
    pub what: &'static str,
    /// The requests whose denial does it; all of them where there is none.
    pub when: Option<RequestIs>,
}

/// When OpenIM sends a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// OpenIM waits, and obeys the answer.
    Before,
    /// OpenIM tells what has happened.
    After,
}

impl Timing {
    /// `before` or `after`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }

    /// The timing of a command that is not in the table, by its name.
    pub fn of_unknown(command: &str) -> Self {
        if command.starts_with("callbackAfter") { Self::After } else { Self::Before }
    }
}

impl Callback {
    /// Every callback, in the order of the contract.
    pub fn all() -> &'static [Self] {
        &CALLBACKS
    }

    /// The rpc that takes the commands which are not in the table.
    pub fn fallback() -> &'static Self {
        &FALLBACK
    }

    /// The callback with this command, today's or an older one.
    pub fn by_command(command: &str) -> Option<&'static Self> {
        Self::lookup_command(command).map(|(.., callback)| callback)
    }

    /// The place of this command among all commands, the command as the table has it, and its callback.
    pub(crate) fn lookup_command(command: &str) -> Option<(usize, &'static str, &'static Self)> {
        let index = COMMANDS.binary_search_by_key(&command, |(name, _)| name).ok()?;
        let (command, row) = COMMANDS[index];
        Some((index, command, CALLBACKS.get(row)?))
    }

    /// Every command, older ones too, in the order of their names, with its callback.
    pub(crate) fn commands() -> impl Iterator<Item = (&'static str, &'static Self)> {
        COMMANDS.iter().map(|(command, row)| (*command, &CALLBACKS[*row]))
    }

    /// The callback with this rpc.
    pub fn by_rpc(rpc: &str) -> Option<&'static Self> {
        CALLBACKS.iter().chain([&FALLBACK]).find(|callback| callback.rpc == rpc)
    }

    /// The callback that somebody means: by command, by the rpc's name with or without its service, or by the key in
    /// OpenIM's `webhooks.yml`. Where two callbacks have one key it is today's, which the rpc is named after.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let rpc = name.trim_start_matches('/').trim_start_matches("openim.policy.v1.");
        let by_key = |callback: &&Self| callback.config_key == name || callback.older_config_keys.contains(&name);
        Self::by_command(name)
            .or_else(|| CALLBACKS.iter().find(|callback| callback.service_and_method() == rpc))
            .or_else(|| CALLBACKS.iter().find(|callback| callback.method().eq_ignore_ascii_case(name)))
            .or_else(|| CALLBACKS.iter().find(by_key))
    }

    /// The rpc without its package: `RelationPolicyService/AfterRemoveBlack`.
    pub fn service_and_method(&self) -> &'static str {
        self.rpc.rsplit_once('.').map_or(self.rpc, |(_, short)| short)
    }

    /// The rpc's own name: `AfterRemoveBlack`.
    pub fn method(&self) -> &'static str {
        self.rpc.rsplit_once('/').map_or(self.rpc, |(_, method)| method)
    }

    /// The damage in OpenIM of denying the webhook with this body, which has been transcoded before; `None` if a denial
    /// does no damage.
    pub(crate) fn denial_damage(&self, body: &[u8]) -> Option<&'static str> {
        let DenialBreaks { what, when } = self.denial_breaks.as_ref()?;
        let does = |when: &RequestIs| RequestFields::read(self.request, body).is(when);
        when.as_ref().is_none_or(does).then_some(*what)
    }

    /// The JSON names of what an allow can change.
    pub fn changes(&self) -> impl Iterator<Item = &'static str> {
        // The first field of a response is its denial; build.rs sees to it.
        self.response.fields.iter().skip(1).map(|field| field.json)
    }
}
