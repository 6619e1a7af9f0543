//! The contract as a whole: what must hold of every callback, message, field and comment, and what does not build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use hookgate::contract::{Callback, Timing};
use hookgate::contract::{Field, Id, Kind, Label, Message};
use hookgate::openim::Release;
use prost::Message as _;
use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::support::{CONTRACT, OPEN, method};

mod comments;
#[path = "../../build/contract.rs"]
#[allow(dead_code, reason = "the build writes the rows down, the tests only ask whether there are any")]
mod contract;
mod refusals;

const PACKAGE: &str = "openim.policy.v1";

fn commands(callback: &Callback) -> impl Iterator<Item = &'static str> {
    callback.older_commands.iter().copied().chain([callback.command])
}

/// Every callback, the fallback too.
fn rows() -> impl Iterator<Item = &'static Callback> {
    Callback::all().iter().chain([Callback::fallback()])
}

/// All messages of the package, but for the entries of maps.
fn messages() -> impl Iterator<Item = MessageDescriptor> {
    CONTRACT.all_messages().filter(|message| message.package_name() == PACKAGE && !message.is_map_entry())
}

fn is_redacted(field: &FieldDescriptor) -> bool {
    let wire = CONTRACT.get_extension_by_name(&format!("{PACKAGE}.wire")).expect("options.proto");
    let options = field.options();
    let wire = options.get_extension(&wire);
    let redacted = wire.as_message().and_then(|wire| wire.get_field_by_name("redacted"));
    redacted.is_some_and(|value| *value == Value::Bool(true))
}

#[test]
fn there_are_53_callbacks() {
    assert_eq!(Callback::all().len(), 53);
}

#[test]
fn every_command_is_one_callbacks_and_stands_in_a_url_as_it_is() {
    let mut seen = BTreeMap::new();
    for callback in Callback::all() {
        for command in commands(callback) {
            assert!(command.starts_with("callback"), "{command}");
            assert!(command.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{command}");
            let other = seen.insert(command, callback.rpc);
            assert_eq!(other, None, "{command} is also that of {}", callback.rpc);
        }
    }
}

#[test]
fn every_command_leads_to_its_callback() {
    for callback in Callback::all() {
        for command in commands(callback) {
            let found = Callback::by_command(command).map(|found| found.rpc);
            assert_eq!(found, Some(callback.rpc), "{command}");
        }
    }
}

#[test]
fn other_names_lead_to_no_callback() {
    for callback in Callback::all() {
        let command = callback.command;
        for other in [&command[1..], &command[..command.len() - 1], &command.to_lowercase(), &format!("{command} ")] {
            assert!(Callback::by_command(other).is_none_or(|found| found.older_commands.contains(&other)), "{other:?}");
        }
    }
    assert!(Callback::by_command("").is_none(), "the fallback has no command");
}

#[test]
fn a_callback_is_found_by_every_name_that_it_has() {
    for callback in Callback::all() {
        let (service, method) = callback.service_and_method().split_once('/').expect("a path");
        let names = [callback.rpc, &callback.rpc[1..], callback.service_and_method(), method];
        for name in names.into_iter().chain(commands(callback)) {
            let found = Callback::by_name(name).map(|found| found.rpc);
            assert_eq!(found, Some(callback.rpc), "{name}");
        }
        assert!(Callback::by_name(service).is_none());
        let keys = callback.older_config_keys.iter().chain([&callback.config_key]);
        for key in keys {
            // The one key that has two commands is that of today's.
            let rpc = if *key == "beforeMemberJoinGroup" { "BeforeMemberJoinGroup" } else { method };
            assert_eq!(Callback::by_name(key).map(Callback::method), Some(rpc), "{key}");
        }
    }
    assert!(Callback::by_name("").is_none() && Callback::by_name("afterRemoveBlac").is_none());
}

#[test]
fn the_releases_that_send_a_callback_are_releases() {
    let known: Vec<_> = Release::ALL.into_iter().map(Release::as_str).collect();
    for callback in Callback::all() {
        assert!(callback.releases.iter().all(|release| known.contains(release)), "{}", callback.rpc);
    }
    let never: Vec<_> = Callback::all().iter().filter(|callback| callback.releases.is_empty()).collect();
    assert_eq!(never.iter().map(|callback| callback.method()).collect::<Vec<_>>(), ["AfterUserKickOff"]);
}

#[test]
fn an_older_command_is_posted_by_the_oldest_release_alone() {
    for callback in Callback::all() {
        let older = !callback.older_commands.is_empty();
        for release in Release::ALL {
            let sends = callback.releases.contains(&release.as_str());
            assert_eq!(release.posts(callback, callback.command), sends && !(older && release == Release::V3_5));
            for command in callback.older_commands {
                assert_eq!(release.posts(callback, command), sends && release == Release::V3_5, "{command}");
            }
        }
    }
}

#[test]
fn every_rpc_is_a_row_and_every_row_an_rpc() {
    let services = CONTRACT.services().filter(|service| service.package_name() == PACKAGE);
    let rpcs: BTreeSet<String> = services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()))
        .collect();
    let of_rows: BTreeSet<String> = rows().map(|callback| callback.rpc.to_owned()).collect();
    assert_eq!(rpcs, of_rows);
    assert_eq!(rows().count(), of_rows.len(), "no rpc has two rows");
    for callback in rows() {
        let method = method(callback.rpc);
        assert_eq!(callback.request.name, method.input().name());
        assert_eq!(callback.response.name, method.output().name());
        assert!(Callback::by_rpc(callback.rpc).is_some_and(|found| std::ptr::eq(found, callback)), "{}", callback.rpc);
    }
}

#[test]
fn an_rpc_is_named_after_its_config_key_and_its_timing() {
    // The one key that has two commands.
    let shared = ["BeforeMemberJoinGroup", "BeforeOneMemberJoinGroup"];
    let mut keys = BTreeMap::new();
    for callback in Callback::all() {
        let (_, rpc) = callback.rpc.rsplit_once('/').expect("a path");
        let key = callback.config_key;
        if shared.contains(&rpc) {
            assert_eq!(key, "beforeMemberJoinGroup");
        } else {
            assert_eq!(key[..1].to_uppercase() + &key[1..], rpc);
            assert_eq!(keys.insert(key, rpc), None, "{key} is that of two rpcs");
        }
        let timing = if rpc.starts_with("Before") { Timing::Before } else { Timing::After };
        assert_eq!(callback.timing, timing, "{rpc}");
    }
}

#[test]
fn a_config_key_of_an_older_server_is_no_other_callbacks() {
    let mut seen = BTreeMap::new();
    for callback in Callback::all() {
        for key in callback.older_config_keys.iter().chain([&callback.config_key]) {
            let other = seen.insert(key, callback.config_key);
            // Two rows of one key share its older ones too.
            assert!(other.is_none_or(|other| other == callback.config_key), "{key} is also that of {}", callback.rpc);
        }
    }
}

#[test]
fn everything_has_a_comment() {
    let files = FileDescriptorSet::decode(hookgate::contract::proto::DESCRIPTORS).expect("descriptors").file;
    let files: Vec<_> = files.into_iter().filter(|file| file.package() == PACKAGE).collect();
    assert!(files.len() > 8, "every file of the package is embedded");
    let mut without = Vec::new();
    for file in &files {
        for (place, name) in places(file) {
            let locations = &file.source_code_info.as_ref().expect("comments are kept").location;
            let comment = locations.iter().find(|location| location.path == place).map(|l| l.leading_comments().trim());
            if comment.is_none_or(str::is_empty) {
                without.push(format!("{}: {name}", file.name()));
            }
        }
    }
    assert_eq!(without, Vec::<String>::new());
}

/// What must have a comment in a file: its place, as descriptor.proto counts, and its name.
fn places(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let mut places = Vec::new();
    for (at, service) in (0..).zip(&file.service) {
        places.push((vec![6, at], service.name().to_owned()));
        for (inner, method) in (0..).zip(&service.method) {
            places.push((vec![6, at, 2, inner], format!("{}.{}", service.name(), method.name())));
        }
    }
    for (at, extension) in (0..).zip(&file.extension) {
        places.push((vec![7, at], extension.name().to_owned()));
    }
    for (at, message) in (0..).zip(&file.message_type) {
        places_of_message(vec![4, at], message, &mut places);
    }
    for (at, values) in (0..).zip(&file.enum_type) {
        places_of_enum(vec![5, at], values, &mut places);
    }
    places
}

fn places_of_message(path: Vec<i32>, message: &DescriptorProto, places: &mut Vec<(Vec<i32>, String)>) {
    let within = |step: [i32; 2]| [&path[..], &step[..]].concat();
    for (at, field) in (0..).zip(&message.field) {
        places.push((within([2, at]), format!("{}.{}", message.name(), field.name())));
    }
    for (at, inner) in (0..).zip(&message.nested_type) {
        // A map's entry is written by the compiler.
        if !inner.options.as_ref().is_some_and(|options| options.map_entry()) {
            places_of_message(within([3, at]), inner, places);
        }
    }
    for (at, values) in (0..).zip(&message.enum_type) {
        places_of_enum(within([4, at]), values, places);
    }
    places.push((path, message.name().to_owned()));
}

fn places_of_enum(path: Vec<i32>, values: &EnumDescriptorProto, places: &mut Vec<(Vec<i32>, String)>) {
    for (at, value) in (0..).zip(&values.value) {
        places.push(([&path[..], &[2, at]].concat(), value.name().to_owned()));
    }
    places.push((path, values.name().to_owned()));
}

#[test]
fn no_line_is_long_unless_it_is_an_rpcs() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/openim/policy/v1");
    let mut files = 0;
    for entry in fs::read_dir(directory).expect("the contract") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("text");
        for (at, line) in (1..).zip(text.lines()) {
            let long = line.chars().count() > 120 && !line.trim_start().starts_with("rpc ");
            assert!(!long, "{}:{at} has {} characters", path.display(), line.chars().count());
        }
        files += 1;
    }
    assert!(files > 8, "every file of the contract was read");
}

#[test]
fn every_request_ends_with_the_unknown_fields() {
    for callback in Callback::all() {
        let request = method(callback.rpc).input();
        let last = request.fields().last().expect("a field");
        assert_eq!((last.name(), last.number()), ("unknown_fields", 100), "{}", request.name());
        assert!(last.is_map(), "{}", request.name());
        assert_eq!(callback.request.unknown_fields, Some(100), "{}", request.name());
        assert_eq!(callback.response.unknown_fields, None, "{}", request.name());
    }
}

#[test]
fn what_belongs_in_no_log_is_redacted_and_nothing_else() {
    const NAMES: [&str; 14] = [
        "attached_info",
        "body_json",
        "content",
        "desc",
        "ex",
        "group_ex",
        "handle_msg",
        "reason",
        "req_message",
        "req_msg",
        "secret",
        "signal_info",
        "title",
        "unknown_fields",
    ];
    let mut found = BTreeSet::new();
    for field in messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        let expected = NAMES.contains(&field.name());
        assert_eq!(is_redacted(&field), expected, "{}", field.full_name());
        if expected {
            found.insert(field.name().to_owned());
        }
    }
    assert!(found.iter().map(String::as_str).eq(NAMES), "the contract has all of them: {found:?}");
}

/// A message, and those that it holds.
fn with_inner(message: &'static Message) -> Vec<&'static Message> {
    let inner = message.fields.iter().filter_map(|field| match field.kind {
        Kind::Message(inner) | Kind::Bare(inner) => Some(inner),
        _ => None,
    });
    [message].into_iter().chain(inner.flat_map(with_inner)).collect()
}

#[test]
fn every_row_is_as_its_descriptor_says() {
    for message in rows().flat_map(|callback| [callback.request, callback.response]).flat_map(with_inner) {
        let descriptor = CONTRACT.get_message_by_name(&format!("{PACKAGE}.{}", message.name)).expect(message.name);
        for field in message.fields {
            let holder = match field.group {
                None => descriptor.clone(),
                Some(group) => {
                    let flattened = descriptor.get_field(message.groups[group].number).expect("the group's field");
                    flattened.kind().as_message().expect("a group is a message").clone()
                }
            };
            let twin = holder.get_field(field.number).expect(field.json);
            assert_eq!(field.json, twin.json_name());
            assert_eq!(field.redact, is_redacted(&twin), "{}", twin.full_name());
            let label = match () {
                () if twin.is_map() => Label::Map,
                () if twin.is_list() => Label::Repeated,
                () if twin.supports_presence() => Label::Optional,
                () => Label::Plain,
            };
            assert_eq!(field.label, label, "{}", twin.full_name());
        }
        let flattened = message.groups.iter().map(|group| group.number).chain(message.unknown_fields);
        let of_no_group = message.fields.iter().filter(|field| field.group.is_none()).map(|field| field.number);
        let numbers: BTreeSet<u32> = of_no_group.chain(flattened).collect();
        assert_eq!(numbers, descriptor.fields().map(|field| field.number()).collect(), "{}", message.name);
    }
}

fn has_id(message: &Message, id: Id) -> bool {
    message.fields.iter().any(|field| field.id == Some(id))
}

/// The names of a request's fields are OpenIM's, and so are the exceptions.
#[test]
fn what_is_called_the_id_of_a_user_or_a_group_is_marked_as_one() {
    const USERS: [&str; 8] =
        ["send_id", "recv_id", "receive_id", "owner_id", "apply_id", "members_id", "at_user_list", "user_id_list"];
    for message in rows().map(|callback| callback.request).flat_map(with_inner) {
        for field in message.fields.iter().filter(|field| matches!(field.kind, Kind::String)) {
            let name = field.name.trim_end_matches("_list").trim_end_matches('s');
            let expected = match () {
                () if name.ends_with("user_id") || USERS.contains(&field.name) => Some(Id::User),
                () if name.ends_with("group_id") => Some(Id::Group),
                () => None,
            };
            assert_eq!(field.id, expected, "{}.{}", message.name, field.name);
            assert!(field.id.is_none() || !field.redact, "{}.{} is content", message.name, field.name);
        }
    }
    // Every webhook concerns somebody.
    let neither: Vec<_> = Callback::all()
        .iter()
        .filter(|callback| {
            let messages = with_inner(callback.request);
            !messages.iter().any(|message| has_id(message, Id::User) || has_id(message, Id::Group))
        })
        .map(Callback::method)
        .collect();
    assert_eq!(neither, [""; 0]);
}

/// Read by prost-reflect: the contract's own words, not the table.
fn option_of(method: &MethodDescriptor, name: &str) -> Option<Value> {
    let webhook = CONTRACT.get_extension_by_name(&format!("{PACKAGE}.webhook")).expect("options.proto");
    let options = method.options();
    let set = options.get_extension(&webhook).as_message().expect("a message").clone();
    set.has_field_by_name(name).then(|| set.get_field_by_name(name).expect("a field").into_owned())
}

#[test]
fn pushes_and_new_conversations_alone_fail_open() {
    let open = rows().filter(|callback| {
        let rule = option_of(&method(callback.rpc), "on_failure").and_then(|rule| rule.as_enum_number());
        assert_eq!(rule == Some(1), callback.fails_open, "{}", callback.rpc);
        callback.fails_open
    });
    let mut commands: Vec<_> = open.map(|callback| callback.command).collect();
    let mut expected = OPEN;
    commands.sort_unstable();
    expected.sort_unstable();
    assert_eq!(commands, expected);
}

#[test]
fn online_and_offline_and_the_members_of_a_group_are_a_domain_each() {
    let mut domains: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for callback in rows() {
        let domain = option_of(&method(callback.rpc), "order_domain");
        let domain = domain.as_ref().and_then(Value::as_str);
        assert_eq!(callback.order_domain, domain.unwrap_or(callback.rpc), "{}", callback.rpc);
        if let Some(domain) = domain {
            domains.entry(domain.to_owned()).or_default().push(callback.method());
        }
    }
    let membership =
        ["AfterCreateGroup", "AfterQuitGroup", "AfterKickGroupMember", "AfterDismissGroup", "AfterJoinGroup"];
    let expected = [("membership", membership.to_vec()), ("presence", vec!["AfterUserOnline", "AfterUserOffline"])];
    assert_eq!(domains, expected.map(|(domain, its)| (domain.to_owned(), its)).into());
    // Each by one thing, so that their keys are comparable.
    for (domain, field) in [("membership", "group_id"), ("presence", "user_id")] {
        for callback in rows().filter(|callback| callback.order_domain == domain) {
            assert_eq!(callback.ordering_fields().collect::<Vec<_>>(), [[field]], "{}", callback.rpc);
        }
    }
}

/// Prometheus knows callbacks by their rpcs alone.
#[test]
fn the_alerts_know_the_callbacks_that_fail_open() {
    let alerts = include_str!("../../deploy/helm/hookgate/files/alerts.yaml");
    let pattern =
        |rest: &'static str| rest.strip_prefix("=~\"").or_else(|| rest.strip_prefix("!~\""))?.split('"').next();
    let patterns: Vec<_> = alerts.split("rpc").filter_map(pattern).collect();
    assert!(patterns.len() == 4 && patterns.iter().all(|other| *other == patterns[0]), "{patterns:?}");
    let prefixes: Vec<_> = patterns[0].split('|').map(|part| part.strip_suffix(".+").expect("a prefix")).collect();
    for callback in rows() {
        let selected = prefixes.iter().any(|prefix| callback.service_and_method().starts_with(prefix));
        assert_eq!(selected, callback.fails_open, "{}", callback.rpc);
    }
}

/// Returns true if a change is not seen in the request's field of its name.
fn hides_a_change(callback: &Callback) -> bool {
    let mut changes = callback.response.fields.iter().zip(callback.counterparts);
    let has = |name| callback.request.fields.iter().any(|field| field.json == name);
    changes.any(|(change, counterpart)| counterpart.is_none() && has(change.json))
}

#[test]
fn every_option_is_used_by_a_row() {
    let messages: Vec<_> =
        rows().flat_map(|callback| [callback.request, callback.response]).flat_map(with_inner).collect();
    let any = |uses: fn(&Field) -> bool| messages.iter().flat_map(|message| message.fields).any(uses);
    let wire = CONTRACT.get_message_by_name(&format!("{PACKAGE}.Wire")).expect("options.proto");
    for option in wire.fields() {
        let used = match option.name() {
            "flatten" => messages.iter().any(|message| !message.groups.is_empty()),
            "aliases" => any(|field| !field.aliases.is_empty()),
            "code_point" => any(|field| matches!(field.kind, Kind::CodePoint)),
            "bare" => any(|field| matches!(field.kind, Kind::Bare(_))),
            "redacted" => any(|field| field.redact),
            "id" => [Id::User, Id::Group].into_iter().all(|id| messages.iter().any(|message| has_id(message, id))),
            "echo" => any(|field| field.rules.echo),
            "only_if_sent" => any(|field| field.rules.only_if_sent),
            "non_empty" => any(|field| field.rules.non_empty),
            "json_object" => any(|field| field.rules.json_object),
            "one_of" => any(|field| !field.rules.one_of.is_empty()),
            "refused_when" => any(|field| field.rules.refused_when.is_some()),
            "content_of" => any(|field| field.content_of.is_some()),
            "empty_is_unset" => any(|field| field.rules.empty_is_unset),
            "refused_unless" => any(|field| field.rules.refused_unless.is_some()),
            "seen_as" => rows().any(hides_a_change),
            other => panic!("this test does not know the option {other}"),
        };
        assert!(used, "no row uses {}", option.name());
    }
    assert!(messages.iter().any(|message| !message.echo_only.is_empty()), "no row uses echo_only");
}
