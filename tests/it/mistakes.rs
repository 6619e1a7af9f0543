//! Mistakes that authors of policies make first: what the log, `trigger` and `verify` say of each. The manual has the same
//! table, in `docs/policies/README.md`.

use std::sync::Arc;

use hookgate::contract::proto;
use prost::Message;
use tonic::Status;

use crate::support::program::{Running, configured};
use crate::support::{denial, nobody};
use crate::trigger::trigger;
use crate::verify::policy::{Behave, at_once, bad_at, never};
use crate::verify::verify;

/// The manual's table.
const MANUAL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies/README.md"));

/// A mistake, and what is said of it.
struct Mistake {
    /// Its name in the manual.
    name: &'static str,
    /// The rpc at which a policy makes it.
    rpc: &'static str,
    /// The policy's answer. `None` if no policy is there.
    policy: Option<Behave>,
    /// The time that the policy has.
    budget: &'static str,
    /// Fields of the webhook that shows it, for `--set`.
    set: &'static [&'static str],
    /// The check of `verify` that shows it.
    check: &'static str,
    /// The phrase of the log, and parts of that line.
    log: [&'static str; 2],
    /// A part of what `trigger` says.
    trigger: &'static str,
    /// A part of what `verify` says.
    verify: &'static str,
}

fn mistakes() -> Vec<Mistake> {
    let mistake = |name, rpc, policy, log, trigger, verify| Mistake {
        name,
        rpc,
        policy: Some(policy),
        budget: "4500ms",
        set: &[],
        check: "lifelike",
        log,
        trigger,
        verify,
    };
    let (closed, changed) = ("webhook failed closed", "webhook changed");
    let content =
        |content: &str| Ok(proto::BeforeMsgModifyResponse { content: Some(content.to_owned()), ..Default::default() });
    vec![
        mistake(
            "content that is no JSON",
            "BeforeMsgModify",
            answers(content("***")),
            [closed, r#"class="invalid_reply" cause="the change of content must be one JSON object""#],
            "the policy's answer: the change of content must be one JSON object",
            "an invalid reply, which hookgate refuses: the change of content must be one JSON object",
        ),
        mistake(
            "JSON of another type",
            "BeforeMsgModify",
            answers(content(r#"{"text":"***"}"#)),
            [changed, r#"caution="content of another type: content""#],
            "content of another type: content has text and no content, which is not contentType 101 (text)",
            "content has text and no content, which is not contentType 101 (text)",
        ),
        mistake(
            "`INVALID_ARGUMENT` for a denial",
            "BeforeAddBlack",
            answers::<proto::BeforeAddBlackResponse>(Err(Status::invalid_argument("not this one"))),
            [closed, r#"hint="this status does not deny: a denial in the response or PERMISSION_DENIED does""#],
            "the policy's answer: INVALID_ARGUMENT: this status does not deny",
            "INVALID_ARGUMENT for a denial",
        ),
        mistake(
            "code 5 in a denial",
            "BeforeAddBlack",
            at_once(|_| Ok(denial(5, "no"))),
            ["webhook denied", "code=5000 replaced_code=5"],
            "the policy's code 5 became 5000: OpenIM 3.8.4 makes its own error of codes below 100",
            "a denial with code 5: hookgate sends 5000 instead",
        ),
        Mistake {
            budget: "1s",
            ..mistake(
                "blocks for 10 s",
                "BeforeSendSingleMsg",
                Box::new(|_| never(&Arc::default())),
                [closed, r#"class="deadline" cause="the budget is spent""#],
                "failed-closed:deadline is no verdict of the policy: it did not answer within the budget",
                "no answer in time",
            )
        },
        mistake(
            "throws",
            "BeforeSendSingleMsg",
            answers::<proto::BeforeSendSingleMsgResponse>(Err(Status::unknown("Exception calling application: 'msg'"))),
            [
                closed,
                r#"cause="Unknown: Exception calling application: 'msg'" hint="gRPC libraries answer UNKNOWN for an uncaught exception""#,
            ],
            "the policy's answer: UNKNOWN: gRPC libraries answer UNKNOWN for an uncaught exception",
            "an uncaught exception: UNKNOWN",
        ),
        mistake(
            "copies the request back",
            "BeforeSetGroupMemberInfo",
            at_once(|call| {
                let request = proto::BeforeSetGroupMemberInfoRequest::decode(&*call.message).unwrap();
                let response = proto::BeforeSetGroupMemberInfoResponse {
                    nick_name: Some(request.nick_name().to_owned()),
                    face_url: Some(request.face_url().to_owned()),
                    ex: Some(request.ex().to_owned()),
                    ..Default::default()
                };
                Ok(response.encode_to_vec())
            }),
            [changed, r#"caution="a change to an empty value: faceURL, a change to an empty value: ex""#],
            "faceURL becomes empty, whatever it was",
            "faceURL becomes empty, where the request leaves it as it is",
        ),
        mistake(
            "half-filled list",
            "BeforeUserRegister",
            at_once(|call| {
                let request = proto::BeforeUserRegisterRequest::decode(&*call.message).unwrap();
                let user = |user: proto::UserInfo| proto::NewUser { user_id: user.user_id, ..Default::default() };
                let users = Some(proto::NewUserList { users: request.users.into_iter().map(user).collect() });
                Ok(proto::BeforeUserRegisterResponse { users, ..Default::default() }.encode_to_vec())
            }),
            [changed, r#"caution="a change that drops values: users""#],
            "a change that drops values: users[0] loses nickname",
            "users[0] loses nickname",
        ),
        Mistake {
            set: &["contentType=1511"],
            check: "must-allow",
            ..mistake(
                "denies a 1511",
                "BeforeGroupOnlinePush",
                at_once(|_| Ok(denial(5001, "no"))),
                ["webhook denied", "the members stay in the dismissed group"],
                "the members stay in the dismissed group until it is called",
                "a denial that damages OpenIM",
            )
        },
        Mistake {
            policy: None,
            ..mistake(
                "wrong port",
                "BeforeAddBlack",
                at_once(|_| Ok(Vec::new())),
                [closed, r#"class="unavailable" cause="not connected:"#],
                "hookgate has no connection to it, or it broke off. Is it up, and is the setting policy its gRPC address and port?",
                "see that --policy has its gRPC address and port",
            )
        },
    ]
}

/// A policy that answers each call alike.
fn answers<M: Message + 'static>(answer: Result<M, Status>) -> Behave {
    let answer = answer.map(|response| response.encode_to_vec());
    at_once(move |_| answer.clone())
}

#[tokio::test]
async fn ten_mistakes_are_named_by_the_log_by_trigger_by_verify_and_in_the_manual() {
    let mut wrong = Vec::new();
    for (number, mistake) in mistakes().into_iter().enumerate() {
        let Mistake {
            name,
            rpc,
            policy,
            budget,
            set,
            check,
            log: [phrase, part],
            trigger: triggered,
            verify: verified,
        } = mistake;
        let policy = match policy {
            Some(behave) => Some(bad_at(rpc, behave).await),
            None => None,
        };
        let url = match &policy {
            Some(policy) => policy.url(),
            None => format!("http://{}", nobody().await),
        };
        let mut gate = Running::of(configured(&url, &format!("mistake-{number}"), &format!("budget: {budget}"))).await;
        let to = format!("http://{}", gate.webhooks);
        let args = [rpc, "--to", &to].into_iter().chain(set.iter().flat_map(|set| ["--set", *set]));
        let said = trigger("mistakes", &args.collect::<Vec<_>>()).await;
        let said = String::from_utf8(said.stdout).unwrap();
        let line = gate.says(phrase).await;
        let only = format!("{rpc},{check}");
        let judged = verify(&["--policy", &url, "--only", &only, "--timeout", budget]).await;
        let row = format!("| {name} | `{phrase}`, `{part}` | `{triggered}` | `{verified}` |");
        if !MANUAL.contains(&row) {
            wrong.push(format!("the manual has no row {row}"));
        }
        // It breaks lines between words.
        let judged = format!("{}{}", judged.out, judged.err).split_whitespace().collect::<Vec<_>>().join(" ");
        for (by, said, part) in [("log", &line, part), ("trigger", &said, triggered), ("verify", &judged, verified)] {
            if !said.contains(part) {
                wrong.push(format!("{name}: {by} has no {part:?}:\n{said}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
