//! What does not build: small contracts that are wrong in one place, and the sentence that says where.

use std::collections::BTreeSet;

use protox::file::{File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use protox::{Compiler, Error};

use super::contract::{self, Contract};
use crate::support::CONTRACT;

/// A contract with one callback, and every option in use.
const GOOD: &str = "
    syntax = 'proto3';
    package openim.policy.v1;
    import 'openim/policy/v1/common.proto';
    import 'openim/policy/v1/options.proto';
    /* import */

    service CaseService {
        rpc BeforeCase(CaseRequest) returns (CaseResponse) {
            option (webhook) = {
                command: 'callbackCase'
                older_commands: 'callbackOlder'
                config_key: 'beforeCase'
                timing: TIMING_BEFORE
                releases: '3.7 3.8'
            };
        }
        rpc Unknown(UnknownRequest) returns (UnknownResponse) {
            option (webhook) = {fallback: true};
        }
        /* rpc */
    }

    message CaseRequest {
        string callback_command = 1; // of the case
        CaseGroup group = 2 [(wire).flatten = true];
        optional OtherGroup other_group = 3 [(wire).flatten = true];
        string name = 4 [(wire).aliases = 'Name'];
        int32 type = 5 [(wire).code_point = true];
        optional int32 level = 6;
        repeated int64 seqs = 7;
        repeated CaseUser users = 8;
        /* request */
        map<string, string> unknown_fields = 100;
    }
    message CaseGroup {
        string group_id = 1;
        bool open = 2;
        /* group */
    }
    message OtherGroup {
        uint32 count = 1;
    }
    message CaseUser {
        string user_id = 1;
        /* user */
    }

    message CaseResponse {
        option (echo_only) = 'groupId';
        Denial denial = 1; // of the case
        optional string name = 2 [(wire) = {echo: true, only_if_sent: true, non_empty: true, json_object: true}];
        optional int32 level = 3 [(wire) = {one_of: [20, 60], refused_when: {field: 'level', values: 100}}];
        UserIdList ids = 4 [(wire) = {bare: true, non_empty: true, refused_unless: {field: 'level', values: [1, 2]}}];
        CaseOptions options = 5 [(wire).bare = true];
        repeated CaseChange changes = 6;
        /* response */
    }
    message CaseOptions {
        map<string, bool> options = 1;
    }
    message CaseChange {
        string user_id = 1 [(wire).non_empty = true];
        int32 level = 2;
        /* change */
    }

    message UnknownRequest {
        string callback_command = 1; // of the fallback
    }
    message UnknownResponse {
        Denial denial = 1;
        /* fallback */
    }
    /* message */
";

/// A source that replaces no file of the contract: what it imports is the real one.
struct Case(String);

impl FileResolver for Case {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        match name {
            "case.proto" => File::from_source(name, &self.0),
            "proto2.proto" => File::from_source(name, "package openim.policy.v1; message Older {}"),
            _ if name.starts_with("google/") => GoogleFileResolver::new().open_file(name),
            _ => IncludeFileResolver::new(concat!(env!("CARGO_MANIFEST_DIR"), "/proto").into()).open_file(name),
        }
    }
}

/// What the build makes of the good contract after some replacements, each of text that stands there once.
fn build(replacements: &[(&str, &str)]) -> Result<Contract, String> {
    let mut source = GOOD.to_owned();
    for (from, to) in replacements {
        assert_eq!(source.matches(from).count(), 1, "{from:?} stands in the good contract once");
        source = source.replace(from, to);
    }
    let mut compiler = Compiler::with_file_resolver(Case(source));
    compiler.open_file("case.proto").map_err(|error| error.to_string())?;
    contract::read(&compiler.descriptor_pool())
}

#[test]
fn the_good_contract_builds() {
    let contract = build(&[]).expect("a good contract");
    assert_eq!(contract.callbacks.len(), 1);
    assert_eq!(contract.callbacks[0].rpc, "/openim.policy.v1.CaseService/BeforeCase");
    assert_eq!(contract.fallback.rpc, "/openim.policy.v1.CaseService/Unknown");
}

#[test]
fn the_contract_itself_builds_from_what_is_embedded() {
    let contract = contract::read(&CONTRACT).expect("the contract");
    assert_eq!(contract.callbacks.len(), 53);
}

/// The good contract with its callback as an After one, and a second one, both with this order.
fn two_after(order: &str) -> Contract {
    let (one, two) = (
        format!("timing: TIMING_AFTER {order}"),
        format!(
            "rpc Two(CaseRequest) returns (UnknownResponse) {{
                option (webhook) = {{command: 'callbackTwo' config_key: 'two' timing: TIMING_AFTER releases: 'none' {order}}};
            }}"
        ),
    );
    let unchanged = "rpc BeforeCase(CaseRequest) returns (CaseResponse)";
    let plain = "rpc BeforeCase(CaseRequest) returns (UnknownResponse)";
    build(&[("timing: TIMING_BEFORE", &one), ("/* rpc */", &two), (unchanged, plain)]).expect("a good contract")
}

#[test]
fn callbacks_have_one_order_in_a_domain_and_their_own_without() {
    let domains = |contract: Contract| contract.callbacks.into_iter().map(|callback| callback.order_domain);
    let named: Vec<_> = domains(two_after("ordered_by: 'name' order_domain: 'all_cases'")).collect();
    assert_eq!(named, ["all_cases", "all_cases"]);
    let own: Vec<_> = domains(two_after("ordered_by: 'name'")).collect();
    assert_eq!(own, ["/openim.policy.v1.CaseService/BeforeCase", "/openim.policy.v1.CaseService/Two"]);
}

#[test]
fn any_field_can_be_redacted() {
    let contract = build(&[
        (
            "/* request */",
            "string one = 9 [(wire).redacted = true]; repeated int64 list = 10 [(wire).redacted = true];",
        ),
        ("/* user */", "optional string inner = 9 [(wire) = {aliases: 'i', redacted: true}];"),
        (
            "CaseGroup group = 2 [(wire).flatten = true];",
            "CaseGroup group = 2 [(wire) = {flatten: true, redacted: true}];",
        ),
        ("/* response */", "optional string note = 9 [(wire) = {non_empty: true, redacted: true}];"),
        ("5 [(wire).bare = true]", "5 [(wire) = {bare: true, redacted: true}]"),
        ("/* change */", "OtherGroup other = 9 [(wire).redacted = true];"),
    ])
    .expect("a good contract");
    let fields = contract.messages.iter().flat_map(|message| &message.fields);
    let redacted: BTreeSet<&str> = fields.filter(|field| field.redact).map(|field| &*field.name).collect();
    let expected = [
        "CaseRequest.one",
        "CaseRequest.list",
        "CaseUser.inner",
        // The two fields of the flattened group, which has no row of its own.
        "CaseGroup.group_id",
        "CaseGroup.open",
        "CaseResponse.note",
        "CaseResponse.options",
        "CaseChange.other",
    ];
    assert_eq!(redacted, BTreeSet::from(expected));
}

/// The fields 2 to 65: with the first one, one more than there may be.
fn many_fields() -> String {
    (2..=65).map(|number| format!("bool field_{number} = {number};")).collect()
}

/// One test for each: the good contract with `from` replaced by `to` is refused with this sentence.
macro_rules! refused {
    ($($name:ident: $($from:literal => $to:expr),+; $sentence:expr)*) => {$(
        #[test]
        fn $name() {
            let refusal = build(&[$(($from, $to)),+]).expect_err("a bad contract");
            assert_eq!(refusal, $sentence);
        }
    )*};
}

// Rpcs.
refused! {
    an_rpc_without_the_option:
        "/* rpc */" => "rpc Two(CaseRequest) returns (CaseResponse);";
        "CaseService/Two names no webhook command"
    an_rpc_without_a_command:
        "command: 'callbackCase'" => "";
        "CaseService/BeforeCase names no webhook command"
    an_rpc_without_a_config_key:
        "config_key: 'beforeCase'" => "";
        "CaseService/BeforeCase names no config key"
    an_rpc_without_a_timing:
        "timing: TIMING_BEFORE" => "";
        "CaseService/BeforeCase is neither a Before nor an After callback"
    an_rpc_without_releases:
        "releases: '3.7 3.8'" => "";
        r#"CaseService/BeforeCase names the releases ""; it is some of "3.5 3.7 3.8 3.8.3 3.8.4", or "none""#
    a_release_that_is_unknown:
        "'3.7 3.8'" => "'3.6 3.7'";
        r#"CaseService/BeforeCase names the releases "3.6 3.7"; it is some of "3.5 3.7 3.8 3.8.3 3.8.4", or "none""#
    an_effect_of_attention_ids_before:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' attention_ids: 'has none'";
        "CaseService/BeforeCase says what attentionIds does, which OpenIM reads for After callbacks only"
    a_dead_config_key_in_use:
        "config_key: 'beforeCase'" => "config_key: 'beforeCase' dead_config_keys: 'BEFORECASE'";
        "CaseService/BeforeCase calls the config key BEFORECASE dead, which is in use"
    releases_that_are_not_in_order:
        "'3.7 3.8'" => "'3.8 3.7'";
        r#"CaseService/BeforeCase names the releases "3.8 3.7"; it is some of "3.5 3.7 3.8 3.8.3 3.8.4", or "none""#
    a_command_that_is_no_part_of_a_url:
        "'callbackCase'" => "'callback/Case'";
        r#"CaseService/BeforeCase names the command "callback/Case", which must be ASCII letters and digits"#
    an_older_command_that_is_no_part_of_a_url:
        "'callbackOlder'" => "''";
        r#"CaseService/BeforeCase names the command "", which must be ASCII letters and digits"#
    two_rpcs_of_one_command:
        "/* rpc */" => "rpc Two(CaseRequest) returns (CaseResponse) {
            option (webhook) = {command: 'callbackCase', config_key: 'two', timing: TIMING_BEFORE, releases: 'none'};
        }";
        "CaseService/BeforeCase and CaseService/Two both answer callbackCase"
    two_rpcs_of_one_older_command:
        "/* rpc */" => "rpc Two(CaseRequest) returns (CaseResponse) {
            option (webhook) = {command: 'callbackOlder', config_key: 'two', timing: TIMING_BEFORE, releases: 'none'};
        }";
        "CaseService/BeforeCase and CaseService/Two both answer callbackOlder"
    a_command_named_twice:
        "'callbackOlder'" => "'callbackCase'";
        "CaseService/BeforeCase names the command callbackCase twice"
    an_order_of_what_is_not_told_after:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' ordered_by: 'name'";
        "CaseService/BeforeCase says what it is ordered_by, which only an After callback can"
    an_order_by_no_field:
        "timing: TIMING_BEFORE" => "timing: TIMING_AFTER ordered_by: 'name+nobody'";
        "CaseService/BeforeCase is ordered_by \"nobody\", which is not one field of CaseRequest"
    an_order_by_no_text:
        "timing: TIMING_BEFORE" => "timing: TIMING_AFTER ordered_by: 'level'";
        "CaseService/BeforeCase is ordered_by CaseRequest.level, which is not one text"
    a_domain_of_what_is_not_told_after:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' order_domain: 'cases'";
        "CaseService/BeforeCase names an order_domain, which only an After callback can"
    a_domain_without_an_order:
        "timing: TIMING_BEFORE" => "timing: TIMING_AFTER order_domain: 'cases'";
        "CaseService/BeforeCase names the order_domain \"cases\", but not what it is ordered_by"
    a_domain_without_a_name:
        "timing: TIMING_BEFORE" => "timing: TIMING_AFTER ordered_by: 'name' order_domain: ''";
        "CaseService/BeforeCase names the order_domain \"\", which must be of the letters a to z and _"
    a_domain_with_other_letters:
        "timing: TIMING_BEFORE" => "timing: TIMING_AFTER ordered_by: 'name' order_domain: 'Cases-1'";
        "CaseService/BeforeCase names the order_domain \"Cases-1\", which must be of the letters a to z and _"
    a_domain_of_one:
        "timing: TIMING_BEFORE" => "timing: TIMING_AFTER ordered_by: 'name' order_domain: 'cases'",
        "option (echo_only) = 'groupId';" => "",
        "optional string name = 2 [(wire) = {echo: true, only_if_sent: true, non_empty: true, json_object: true}];" => "",
        "optional int32 level = 3 [(wire) = {one_of: [20, 60], refused_when: {field: 'level', values: 100}}];" => "",
        "UserIdList ids = 4 [(wire) = {bare: true, non_empty: true, refused_unless: {field: 'level', values: [1, 2]}}];" => "",
        "CaseOptions options = 5 [(wire).bare = true];" => "",
        "repeated CaseChange changes = 6;" => "",
        "/* rpc */" => "rpc Two(CaseRequest) returns (CaseResponse) {
            option (webhook) = {command: 'callbackTwo', config_key: 'two', timing: TIMING_AFTER, releases: 'none',
                ordered_by: 'name', order_domain: 'other_cases'};
        }";
        "CaseService/BeforeCase is alone in the order_domain \"cases\", which takes two callbacks at least"
    a_domain_of_the_fallback:
        "fallback: true" => "fallback: true, order_domain: 'cases'";
        "CaseService/Unknown is the fallback, so it can say nothing else"
    an_after_callback_that_fails_open:
        "timing: TIMING_BEFORE" => "timing: TIMING_AFTER on_failure: FAILURE_RULE_ALLOW fail_closed_breaks: 'it'",
        "option (echo_only) = 'groupId';" => "",
        "optional string name = 2 [(wire) = {echo: true, only_if_sent: true, non_empty: true, json_object: true}];" => "",
        "optional int32 level = 3 [(wire) = {one_of: [20, 60], refused_when: {field: 'level', values: 100}}];" => "",
        "UserIdList ids = 4 [(wire) = {bare: true, non_empty: true, refused_unless: {field: 'level', values: [1, 2]}}];" => "",
        "CaseOptions options = 5 [(wire).bare = true];" => "",
        "repeated CaseChange changes = 6;" => "";
        "CaseService/BeforeCase says what a denial does, which only one of a Before callback does"
    a_callback_that_fails_open_and_hands_back_what_no_policy_changes:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' on_failure: FAILURE_RULE_ALLOW fail_closed_breaks: 'it'";
        "CaseService/BeforeCase is allowed on failure, but hands back groupId, which a body that is not read hides"
    a_callback_that_fails_open_and_echoes:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' on_failure: FAILURE_RULE_ALLOW fail_closed_breaks: 'it'",
        "option (echo_only) = 'groupId';" => "";
        "CaseService/BeforeCase is allowed on failure, but hands back name, which a body that is not read hides"
    a_callback_that_fails_open_without_a_reason:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' on_failure: FAILURE_RULE_ALLOW",
        "option (echo_only) = 'groupId';" => "",
        "{echo: true, only_if_sent: true, non_empty" => "{non_empty";
        "CaseService/BeforeCase needs both of on_failure and fail_closed_breaks, or neither"
    a_reason_to_fail_open_of_one_that_does_not:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' fail_closed_breaks: 'it'";
        "CaseService/BeforeCase needs both of on_failure and fail_closed_breaks, or neither"
    denials_that_break_nothing:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' denial_breaks: {when: {field: 'level', values: 1}}";
        "CaseService/BeforeCase does not say what a denial breaks"
    denials_that_break_something_in_no_request:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' denial_breaks: {what: 'it', when: {field: 'name', values: 1}}";
        r#"CaseService/BeforeCase is broken by denials at "name", which is no int32 of CaseRequest"#
    denials_that_break_something_at_no_value:
        "releases: '3.7 3.8'" => "releases: '3.7 3.8' denial_breaks: {what: 'it', when: {field: 'level'}}";
        r#"CaseService/BeforeCase is broken by denials at "level", but at no value of it"#
    a_streamed_request:
        "rpc BeforeCase(CaseRequest)" => "rpc BeforeCase(stream CaseRequest)";
        "CaseService/BeforeCase streams; a webhook is one request and one reply"
    a_streamed_response:
        "returns (CaseResponse)" => "returns (stream CaseResponse)";
        "CaseService/BeforeCase streams; a webhook is one request and one reply"
    a_second_fallback:
        "/* rpc */" => "rpc Two(UnknownRequest) returns (UnknownResponse) { option (webhook) = {fallback: true}; }";
        "CaseService/Two is a second fallback beside CaseService/Unknown"
    no_fallback:
        "{fallback: true}" => "{command: 'callbackTwo', config_key: 'two', timing: TIMING_AFTER, releases: 'none'}";
        "no rpc of openim.policy.v1 is the fallback"
    a_fallback_with_a_command:
        "{fallback: true}" => "{fallback: true, command: 'callbackTwo'}";
        "CaseService/Unknown is the fallback, so it can say nothing else"
    a_fallback_with_a_timing:
        "{fallback: true}" => "{fallback: true, timing: TIMING_AFTER}";
        "CaseService/Unknown is the fallback, so it can say nothing else"
}

// Messages.
refused! {
    a_message_of_another_package:
        "/* import */" => "import 'google/protobuf/empty.proto';",
        "returns (UnknownResponse)" => "returns (google.protobuf.Empty)";
        "google.protobuf.Empty is no top-level message of openim.policy.v1"
    a_message_within_another:
        "/* request */" => "message Inner {} Inner inner = 9;";
        "openim.policy.v1.CaseRequest.Inner is no top-level message of openim.policy.v1"
    a_message_of_proto2:
        "/* import */" => "import 'proto2.proto';",
        "/* request */" => "Older older = 9;";
        "openim.policy.v1.Older is not written in proto3"
    a_oneof:
        "/* request */" => "oneof choice { string a = 9; }";
        "CaseRequest.choice is a oneof, which no webhook has"
    a_oneof_of_a_flattened_group:
        "/* group */" => "oneof choice { string a = 9; }";
        "CaseGroup.choice is a oneof, which no webhook has"
    a_message_that_holds_itself:
        "/* user */" => "CaseUser friend = 9;";
        "CaseUser holds itself"
    messages_that_hold_each_other:
        "/* user */" => "Friend friend = 9;",
        "/* message */" => "message Friend { repeated CaseUser users = 1; }";
        "CaseUser holds itself"
    a_group_that_holds_its_holder:
        "/* group */" => "CaseRequest request = 9;";
        "CaseRequest holds itself"
    one_json_name_twice_across_a_group:
        "/* request */" => "string other = 9 [json_name = 'groupId'];";
        "CaseRequest has two JSON fields named groupId"
    one_json_name_twice_by_an_alias:
        "/* request */" => "string other = 9 [(wire).aliases = 'name'];";
        "CaseRequest has two JSON fields named name"
    two_json_names_that_differ_only_in_case:
        "/* request */" => "string other = 9 [json_name = 'NAME'];";
        "CaseRequest has two JSON fields named NAME, which Go reads without regard to case"
    two_json_names_of_which_one_is_in_a_group:
        "/* group */" => "string other = 9 [json_name = 'NAME'];";
        "CaseRequest has two JSON fields named Name, which Go reads without regard to case"
    a_json_name_beyond_ascii:
        "/* request */" => "string other = 9 [(wire).aliases = 'stra\u{df}e'];";
        "CaseRequest.other has the JSON name stra\u{df}e, which is not ASCII"
    one_json_name_twice_by_two_aliases:
        "/* request */" => "string other = 9 [(wire).aliases = 'Name'];";
        "CaseRequest has two JSON fields named Name"
    a_message_of_more_than_64_fields:
        "/* user */" => &many_fields();
        "CaseUser has more than 64 JSON fields"
}

// Types.
refused! {
    a_double:
        "/* request */" => "double height = 9;";
        "CaseRequest.height is of the type double, which no field of a webhook has"
    bytes:
        "/* response */" => "optional bytes data = 9;";
        "CaseResponse.data is of the type bytes, which no field of a webhook has"
    an_enum:
        "/* request */" => "Timing timing = 9;";
        "CaseRequest.timing is of the type openim.policy.v1.Timing, which no field of a webhook has"
    a_number_of_64_bits_without_sign:
        "/* group */" => "uint64 size = 9;";
        "CaseGroup.size is of the type uint64, which no field of a webhook has"
    a_map_in_a_request:
        "/* request */" => "map<string, bool> options = 9;";
        "CaseRequest.options is a map, which no webhook's request has"
    a_map_in_a_message_of_a_request:
        "/* user */" => "map<string, bool> options = 9;";
        "CaseUser.options is a map, which no webhook's request has"
    a_map_whose_keys_are_numbers:
        "/* response */" => "map<int32, bool> switches = 9;";
        "CaseResponse.switches is a map whose keys are not texts"
    a_map_of_enums:
        "/* response */" => "map<string, Timing> timings = 9;";
        "CaseResponse.timings is of the type openim.policy.v1.Timing, which no field of a webhook has"
}

// The shape of the JSON.
refused! {
    a_flattened_text:
        "/* request */" => "string other = 9 [(wire).flatten = true];";
        "CaseRequest.other is flattened but not one message"
    a_flattened_list:
        "/* request */" => "repeated CaseUser other = 9 [(wire).flatten = true];";
        "CaseRequest.other is flattened but not one message"
    a_flattened_map:
        "/* request */" => "map<string, CaseUser> other = 9 [(wire).flatten = true];";
        "CaseRequest.other is flattened but not one message"
    a_flattened_group_with_another_option:
        "/* request */" => "CaseUser other = 9 [(wire) = {flatten: true, aliases: 'o'}];";
        "CaseRequest.other is flattened and has another option beside, which would have no effect"
    a_flattened_group_within_another:
        "/* group */" => "CaseUser other = 9 [(wire).flatten = true];";
        "CaseGroup.other is flattened within a flattened group"
    a_flattened_field_of_a_response:
        "/* response */" => "CaseUser other = 9 [(wire).flatten = true];";
        "CaseResponse.other is flattened but stands in a response"
    a_flattened_field_of_a_change:
        "/* change */" => "OtherGroup other = 9 [(wire).flatten = true];";
        "CaseChange.other is flattened but stands in a response"
    a_code_point_that_is_no_int32:
        "/* request */" => "int64 other = 9 [(wire).code_point = true];";
        "CaseRequest.other is a code_point but not one int32"
    a_list_of_code_points:
        "/* request */" => "repeated int32 other = 9 [(wire).code_point = true];";
        "CaseRequest.other is a code_point but not one int32"
    a_code_point_in_a_response:
        "/* response */" => "optional int32 other = 9 [(wire).code_point = true];";
        "CaseResponse.other is read like a request's field but stands in a response"
    aliases_in_a_response:
        "/* change */" => "string other = 9 [(wire).aliases = 'o'];";
        "CaseChange.other is read like a request's field but stands in a response"
    a_message_of_both_ways_that_is_right_for_one:
        "/* response */" => "CaseRow row = 9;",
        "/* request */" => "CaseRow row = 9;",
        "/* message */" => "message CaseRow { string a = 1 [(wire).aliases = 'b']; }";
        "CaseRow.a is read like a request's field but stands in a response"
    an_id_in_a_response:
        "/* response */" => "optional string other = 9 [(wire).id = ID_USER];";
        "CaseResponse.other is read like a request's field but stands in a response"
    an_id_that_is_a_number:
        "/* request */" => "int64 other = 9 [(wire).id = ID_GROUP];";
        "CaseRequest.other is an ID but no text"
    a_bare_text:
        "/* response */" => "optional string other = 9 [(wire).bare = true];";
        "CaseResponse.other is bare but not one wrapper of a list or map"
    a_bare_message_of_two_fields:
        "/* response */" => "CaseChange other = 9 [(wire).bare = true];";
        "CaseResponse.other is bare but not one wrapper of a list or map"
    a_bare_message_of_one_text:
        "/* response */" => "Text other = 9 [(wire).bare = true];",
        "/* message */" => "message Text { string text = 1; }";
        "CaseResponse.other is bare but not one wrapper of a list or map"
    a_bare_list_of_wrappers:
        "/* response */" => "repeated UserIdList other = 9 [(wire).bare = true];";
        "CaseResponse.other is bare but not one wrapper of a list or map"
    a_bare_field_of_a_request:
        "/* request */" => "UserIdList other = 9 [(wire).bare = true];";
        "CaseRequest.other is bare but stands in a request"
}

// Requests.
refused! {
    a_request_without_unknown_fields:
        "map<string, string> unknown_fields = 100;" => "";
        "CaseRequest has no unknown_fields = 100"
    unknown_fields_of_another_type:
        "map<string, string> unknown_fields" => "map<string, int32> unknown_fields";
        "CaseRequest.unknown_fields takes the number of map<string, string> unknown_fields"
    another_field_with_the_number_of_unknown_fields:
        "map<string, string> unknown_fields" => "map<string, string> others";
        "CaseRequest.others takes the number of map<string, string> unknown_fields"
    unknown_fields_with_another_number:
        "unknown_fields = 100" => "unknown_fields = 99";
        "CaseRequest.unknown_fields is a map, which no webhook's request has"
    unknown_fields_within_a_request:
        "/* user */" => "map<string, string> unknown_fields = 100;";
        "CaseUser has unknown_fields but is not an rpc's request"
    unknown_fields_in_a_response:
        "/* response */" => "map<string, string> unknown_fields = 100;";
        "CaseResponse has unknown_fields but is not an rpc's request"
    a_request_that_does_not_begin_with_its_command:
        "callback_command = 1; // of the case" => "command = 1;";
        "CaseRequest does not begin with string callback_command = 1"
    a_command_that_is_no_text:
        "string callback_command = 1; // of the case" => "int32 callback_command = 1;";
        "CaseRequest does not begin with string callback_command = 1"
    a_fallback_that_does_not_begin_with_its_command:
        "callback_command = 1; // of the fallback" => "command = 1;";
        "UnknownRequest does not begin with string callback_command = 1"
    echo_in_a_request:
        "/* request */" => "string other = 9 [(wire).echo = true];";
        "CaseRequest.other is checked like a change but stands in a request"
    only_if_sent_in_a_request:
        "/* request */" => "string other = 9 [(wire).only_if_sent = true];";
        "CaseRequest.other is checked like a change but stands in a request"
    content_within_a_request:
        "/* user */" => "string other = 9 [(wire).content_of = 'level'];";
        "CaseUser.other is content, which only a field of an rpc's own messages can be"
    content_that_is_no_text:
        "/* request */" => "int32 other = 9 [(wire).content_of = 'level'];";
        "CaseRequest.other is the content of \"level\", which takes a text and an int32 of CaseRequest"
    content_of_a_kind_that_the_request_does_not_say:
        "/* response */" => "optional string other = 9 [(wire).content_of = 'name'];";
        "CaseResponse.other is the content of \"name\", which takes a text and an int32 of CaseRequest"
    empty_is_unset_of_what_the_request_lacks:
        "/* response */" => "optional string other = 9 [(wire).empty_is_unset = true];";
        "CaseResponse.other is compared with other, which CaseRequest does not have in that type"
    non_empty_in_a_request:
        "/* request */" => "string other = 9 [(wire).non_empty = true];";
        "CaseRequest.other is checked like a change but stands in a request"
    json_object_in_a_request:
        "/* request */" => "string other = 9 [(wire).json_object = true];";
        "CaseRequest.other is checked like a change but stands in a request"
    one_of_in_a_request:
        "/* request */" => "string other = 9 [(wire).one_of = 2];";
        "CaseRequest.other is checked like a change but stands in a request"
    refused_when_in_a_request:
        "/* request */" => "string other = 9 [(wire).refused_when = {field: 'level', values: 1}];";
        "CaseRequest.other is checked like a change but stands in a request"
    refused_unless_in_a_request:
        "/* request */" => "string other = 9 [(wire).refused_unless = {field: 'level', values: 1}];";
        "CaseRequest.other is checked like a change but stands in a request"
    echo_only_in_a_request:
        "/* request */" => "option (echo_only) = 'name';";
        "CaseRequest has echo_only but is not an rpc's response"
    echo_only_within_a_response:
        "/* change */" => "option (echo_only) = 'name';";
        "CaseChange has echo_only but is not an rpc's response"
}

// Responses.
refused! {
    a_response_that_does_not_begin_with_its_denial:
        "Denial denial = 1; // of the case" => "Denial denial = 7;";
        "CaseResponse does not begin with a plain Denial denial = 1"
    another_message_in_the_place_of_the_denial:
        "Denial denial = 1; // of the case" => "CaseUser denial = 1;";
        "CaseResponse does not begin with a plain Denial denial = 1"
    a_denial_with_a_rule:
        "Denial denial = 1; // of the case" => "Denial denial = 1 [(wire).refused_when = {field: 'level', values: 1}];";
        "CaseResponse does not begin with a plain Denial denial = 1"
    a_change_that_is_not_optional:
        "/* response */" => "string other = 9;";
        "CaseResponse.other is not optional: left out and empty would be one"
    a_change_on_an_after_callback:
        "TIMING_BEFORE" => "TIMING_AFTER";
        "CaseResponse has more than a denial, but only a Before callback takes changes"
    a_change_on_the_fallback:
        "/* fallback */" => "optional string other = 9;";
        "UnknownResponse has more than a denial, but only a Before callback takes changes"
    a_change_with_the_name_of_the_verdict:
        "/* response */" => "optional int32 next = 9 [json_name = 'nextCode'];";
        "CaseResponse puts a second nextCode into the reply"
    a_change_with_the_name_of_another_to_openim:
        "/* response */" => "optional int32 other = 9 [json_name = 'LEVEL'];";
        "CaseResponse has two JSON fields named LEVEL, which Go reads without regard to case"
    a_change_of_what_is_only_handed_back:
        "/* response */" => "optional string group_id = 9;";
        "CaseResponse puts a second groupId into the reply"
    handing_back_what_the_request_lacks:
        "(echo_only) = 'groupId'" => "(echo_only) = 'userId'";
        "CaseResponse hands back userId, which CaseRequest does not have"
    echo_of_what_the_request_lacks:
        "/* response */" => "optional string other = 9 [(wire).echo = true];";
        "CaseResponse.other is compared with other, which CaseRequest does not have in that type"
    echo_of_what_is_of_another_type_in_the_request:
        "/* response */" => "optional string type = 9 [(wire).echo = true];";
        "CaseResponse.type is compared with type, which CaseRequest does not have in that type"
    only_if_sent_of_what_the_request_lacks:
        "/* response */" => "optional string other = 9 [(wire).only_if_sent = true];";
        "CaseResponse.other is compared with other, which CaseRequest does not have in that type"
    only_if_sent_of_what_is_of_another_type_in_the_request:
        "/* response */" => "optional string type = 9 [(wire).only_if_sent = true];";
        "CaseResponse.type is compared with type, which CaseRequest does not have in that type"
    echo_of_what_is_a_list_in_the_request:
        "/* response */" => "optional int64 seqs = 9 [(wire).echo = true];";
        "CaseResponse.seqs is compared with seqs, which CaseRequest does not have in that type"
    a_change_that_the_next_policy_would_see_in_a_field_of_another_type:
        "/* response */" => "optional string type = 9;";
        "CaseResponse.type has another type than CaseRequest.type: seen_as names the field that shows its change, or none by \
         an empty text"
    seen_as_what_the_request_lacks:
        "/* response */" => "optional string other = 9 [(wire).seen_as = 'others'];";
        r#"CaseResponse.other is seen_as "others", which is no field of CaseRequest"#
    refused_when_of_what_the_request_lacks:
        "/* response */" => "optional string other = 9 [(wire).refused_when = {field: 'other', values: 1}];";
        r#"CaseResponse.other is refused by "other", which is no int32 of CaseRequest"#
    refused_when_of_a_text:
        "/* response */" => "optional string other = 9 [(wire).refused_when = {field: 'name', values: 1}];";
        r#"CaseResponse.other is refused by "name", which is no int32 of CaseRequest"#
    refused_when_without_values:
        "/* response */" => "optional string other = 9 [(wire).refused_when = {field: 'level'}];";
        r#"CaseResponse.other is refused by "level", but at no value of it"#
    refused_unless_of_what_the_request_lacks:
        "/* response */" => "optional string other = 9 [(wire).refused_unless = {field: 'other', values: 1}];";
        r#"CaseResponse.other is refused by "other", which is no int32 of CaseRequest"#
    refused_unless_of_a_text:
        "/* response */" => "optional string other = 9 [(wire).refused_unless = {field: 'name', values: 1}];";
        r#"CaseResponse.other is refused by "name", which is no int32 of CaseRequest"#
    refused_unless_without_values:
        "/* response */" => "optional string other = 9 [(wire).refused_unless = {field: 'level'}];";
        r#"CaseResponse.other is refused by "level", but at no value of it"#
    a_comparison_with_the_request_within_a_change:
        "/* change */" => "string name = 9 [(wire).echo = true];";
        "CaseChange.name is compared with the request, which only a response's own fields can be"
    a_condition_on_the_request_within_a_change:
        "/* change */" => "string name = 9 [(wire).refused_when = {field: 'level', values: 1}];";
        "CaseChange.name is compared with the request, which only a response's own fields can be"
    a_number_that_is_non_empty:
        "/* response */" => "optional int32 other = 9 [(wire).non_empty = true];";
        "CaseResponse.other cannot be non_empty: only a text, or a wrapped list or map, can"
    a_list_that_is_non_empty:
        "/* response */" => "repeated string other = 9 [(wire).non_empty = true];";
        "CaseResponse.other cannot be non_empty: only a text, or a wrapped list or map, can"
    a_list_of_json_objects:
        "/* response */" => "repeated string other = 9 [(wire).json_object = true];";
        "CaseResponse.other cannot be a json_object: only a text can"
    a_number_that_is_a_json_object:
        "/* change */" => "int32 other = 9 [(wire).json_object = true];";
        "CaseChange.other cannot be a json_object: only a text can"
    a_text_that_is_one_of_some_numbers:
        "/* response */" => "optional string other = 9 [(wire).one_of = 1];";
        "CaseResponse.other cannot be one_of: only an int32 can"
    a_list_that_is_one_of_some_numbers:
        "/* change */" => "repeated int32 other = 9 [(wire).one_of = 1];";
        "CaseChange.other cannot be one_of: only an int32 can"
}

// Options.
refused! {
    a_misspelt_option:
        "/* request */" => "string other = 9 [(wire).alias = 'o'];";
        "option field '(wire).alias' is not defined"
    a_misspelt_option_of_an_rpc:
        "config_key:" => "config_kee:";
        "invalid value of type 'openim.policy.v1.Webhook' for option '(webhook)'"
    debug_redact_in_a_request:
        "/* request */" => "string other = 9 [debug_redact = true];";
        "CaseRequest.other has debug_redact, which protoc 3.21 of Debian 12 and Ubuntu 24.04 does not know, so that nobody \
         could compile the contract there; (wire).redacted is in its place"
    debug_redact_that_is_off:
        "/* request */" => "string other = 9 [debug_redact = false];";
        "CaseRequest.other has debug_redact, which protoc 3.21 of Debian 12 and Ubuntu 24.04 does not know, so that nobody \
         could compile the contract there; (wire).redacted is in its place"
    debug_redact_in_a_change:
        "/* response */" => "optional string other = 9 [(wire).non_empty = true, debug_redact = true];";
        "CaseResponse.other has debug_redact, which protoc 3.21 of Debian 12 and Ubuntu 24.04 does not know, so that nobody \
         could compile the contract there; (wire).redacted is in its place"
    debug_redact_on_a_flattened_group:
        "CaseGroup group = 2 [(wire).flatten = true];" => "CaseGroup group = 2 [(wire).flatten = true, debug_redact = true];";
        "CaseRequest.group has debug_redact, which protoc 3.21 of Debian 12 and Ubuntu 24.04 does not know, so that nobody \
         could compile the contract there; (wire).redacted is in its place"
    debug_redact_on_the_unknown_fields:
        "unknown_fields = 100;" => "unknown_fields = 100 [debug_redact = true];";
        "CaseRequest.unknown_fields has debug_redact, which protoc 3.21 of Debian 12 and Ubuntu 24.04 does not know, so that \
         nobody could compile the contract there; (wire).redacted is in its place"
    debug_redact_in_a_message_that_no_rpc_has:
        "/* message */" => "message Alone { string other = 1 [debug_redact = true]; }";
        "Alone.other has debug_redact, which protoc 3.21 of Debian 12 and Ubuntu 24.04 does not know, so that nobody could \
         compile the contract there; (wire).redacted is in its place"
    an_id_that_is_redacted:
        "/* user */" => "string other = 9 [(wire) = {id: ID_USER, redacted: true}];";
        "CaseUser.other is an ID, which the decision log has, and redacted"
    an_id_in_a_group_that_is_redacted:
        "CaseGroup group = 2 [(wire).flatten = true];" => "CaseGroup group = 2 [(wire) = {flatten: true, redacted: true}];",
        "/* group */" => "string other = 9 [(wire).id = ID_USER];";
        "CaseGroup.other is an ID, which the decision log has, and redacted"
    an_order_by_what_is_redacted:
        "timing: TIMING_BEFORE" => "timing: TIMING_AFTER ordered_by: 'other'",
        "/* request */" => "string other = 9 [(wire).redacted = true];";
        "CaseService/BeforeCase is ordered_by CaseRequest.other, which is redacted, and its key would be shown"
}
