//! Rows of the callback table: a command, its rpc, and the messages of both.

use crate::contract::proto::table::{CALLBACKS, COMMANDS, FALLBACK};
use crate::contract::{Message, RequestFields, RequestIs};

/// One kind of webhook, and the rpc that answers it.
#[derive(Debug)]
pub struct Callback {
    /// Index in the table; the fallback's is one past the last.
    pub index: usize,
    /// The command: the last segment of the webhook's URL. Empty for the fallback.
    pub command: &'static str,
    /// The commands of the same event on older OpenIM servers.
    pub older_commands: &'static [&'static str],
    /// The key that switches it on in OpenIM's `webhooks.yml`.
    pub config_key: &'static str,
    /// The keys of older servers, if they differ.
    pub older_config_keys: &'static [&'static str],
    /// Before or after what it is about.
    pub timing: Timing,
    /// The releases of OpenIM that send it, oldest first, as in `3.8.4`.
    pub releases: &'static [&'static str],
    /// The rpc, as the path of an HTTP/2 request: `/package.Service/Method`.
    pub rpc: &'static str,
    /// The message that the policy gets.
    pub request: &'static Message,
    /// The message that the policy answers with.
    pub response: &'static Message,
    /// The fields that make an After event's ordering key: lists of indices in the request's fields. The first list whose
    /// fields all have a text counts; if none does, the event has no key and waits for no other.
    pub ordered_by: &'static [&'static [usize]],
    /// For each field of the response the index of the request's field in which the next policy of a chain sees a change.
    pub counterparts: &'static [Option<usize>],
    /// The domain of its order: events with one key are delivered one after another within a domain, whichever callbacks
    /// they are of. A name that several callbacks have, or the rpc's path, if its order is its own.
    pub order_domain: &'static str,
    /// The body of a typical webhook. Empty for the fallback.
    pub example: &'static str,
    /// True if the webhook is allowed when the policy fails, unless the operator has a failure rule for this very
    /// callback. Its response echoes nothing.
    pub fails_open: bool,
    /// The effect of a denial in OpenIM, whose API client gets no error for it. Empty if the callback does not fail open.
    pub fail_closed_breaks: &'static str,
    /// The denials by a policy that leave OpenIM's data broken.
    pub denial_breaks: Option<DenialBreaks>,
    /// Keys in `webhooks.yml` that look like those of this callback and switch nothing on in any release.
    pub dead_config_keys: &'static [&'static str],
    /// The effect of a list in `attentionIds` below the key, as a sentence without a subject; empty if it is the one that
    /// OpenIM tells of, or nothing reads it.
    pub attention_ids: &'static str,
}

/// The denials of a callback that leave OpenIM's data broken.
#[derive(Debug)]
pub struct DenialBreaks {
    /// The damage, and what repairs it.
    pub what: &'static str,
    /// The requests whose denial does the damage; `None` for all.
    pub when: Option<RequestIs>,
}

/// The time at which OpenIM sends a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Timing {
    /// OpenIM waits for the reply and obeys it.
    Before,
    /// OpenIM tells what has happened, and ignores the reply.
    After,
}

impl Timing {
    /// `before` or `after`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The timing of a command that is not in the table, guessed by its name.
    pub fn of_unknown(command: &str) -> Self {
        if command.starts_with("callbackAfter") { Self::After } else { Self::Before }
    }
}

impl Callback {
    /// Every callback, in the order of the contract.
    pub fn all() -> &'static [Self] {
        &CALLBACKS
    }

    /// The row of the rpc that takes commands which are not in the table.
    pub fn fallback() -> &'static Self {
        &FALLBACK
    }

    /// Finds a callback by its command, today's or an older one.
    pub fn by_command(command: &str) -> Option<&'static Self> {
        Self::lookup_command(command).map(|(.., callback)| callback)
    }

    /// Finds a command, today's or an older one: its index among all commands, its name as a constant, its callback.
    pub(crate) fn lookup_command(command: &str) -> Option<(usize, &'static str, &'static Self)> {
        let index = COMMANDS.binary_search_by_key(&command, |(name, _)| name).ok()?;
        let (command, row) = COMMANDS[index];
        Some((index, command, CALLBACKS.get(row)?))
    }

    /// Every command with its callback, older ones too, sorted by name.
    pub(crate) fn commands() -> impl Iterator<Item = (&'static str, &'static Self)> {
        COMMANDS.iter().map(|(command, row)| (*command, &CALLBACKS[*row]))
    }

    /// Finds a callback by its rpc's path.
    pub fn by_rpc(rpc: &str) -> Option<&'static Self> {
        CALLBACKS.iter().chain([&FALLBACK]).find(|callback| callback.rpc == rpc)
    }

    /// Finds a callback by any of its names: command, rpc with or without service and package, or key in OpenIM's
    /// `webhooks.yml`. If two callbacks have one key, today's wins, which the rpc is named after.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let rpc = name.trim_start_matches('/').trim_start_matches("openim.policy.v1.");
        let by_key = |callback: &&Self| callback.config_key == name || callback.older_config_keys.contains(&name);
        Self::by_command(name)
            .or_else(|| CALLBACKS.iter().find(|callback| callback.service_and_method() == rpc))
            .or_else(|| CALLBACKS.iter().find(|callback| callback.method().eq_ignore_ascii_case(name)))
            .or_else(|| CALLBACKS.iter().find(by_key))
    }

    /// Finds a key in `webhooks.yml` that switches nothing on in any release, and the callback that it seems to be of.
    pub(crate) fn by_dead_config_key(key: &str) -> Option<(&'static Self, &'static str)> {
        let dead =
            CALLBACKS.iter().flat_map(|callback| callback.dead_config_keys.iter().map(move |dead| (callback, *dead)));
        dead.into_iter().find(|(_, dead)| dead.eq_ignore_ascii_case(key))
    }

    /// Its names: rpc with and without its service, key in OpenIM's `webhooks.yml`, command; older ones too.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let today = [self.method(), self.service_and_method(), self.config_key, self.command];
        today.into_iter().chain(self.older_commands.iter().chain(self.older_config_keys).copied())
    }

    /// The rpc's path without its package: `RelationPolicyService/AfterRemoveBlack`.
    pub fn service_and_method(&self) -> &'static str {
        self.rpc.rsplit_once('.').map_or(self.rpc, |(_, short)| short)
    }

    /// The rpc's name: `AfterRemoveBlack`.
    pub fn method(&self) -> &'static str {
        self.rpc.rsplit_once('/').map_or(self.rpc, |(_, method)| method)
    }

    /// The damage in OpenIM of denying the webhook with this body, which was transcoded before; `None` if there is none.
    pub(crate) fn denial_damage(&self, body: &[u8]) -> Option<&'static str> {
        let DenialBreaks { what, when } = self.denial_breaks.as_ref()?;
        let applies = |when: &RequestIs| RequestFields::read(self.request, body).is(when);
        when.as_ref().is_none_or(applies).then_some(*what)
    }

    /// The JSON names of the fields that an allow can change.
    pub fn changes(&self) -> impl Iterator<Item = &'static str> {
        // The first field of a response is its denial; build.rs sees to it.
        self.response.fields.iter().skip(1).map(|field| field.json)
    }
}
