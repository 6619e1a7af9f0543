//! Unix sockets: the files that they are, on both sides.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use hookgate::config::Address;
use tokio::net::UnixListener;

use super::webhook;
use crate::support::caller::Way;
use crate::support::program::{Running, hookgate};
use crate::support::{ALLOWED, COMMAND, Policy, free, pki::Files};

fn at(path: &Path) -> String {
    format!("unix://{}", path.display())
}

async fn failure(args: &[&str]) -> (Option<i32>, String) {
    let output = hookgate(args).output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn webhooks_and_the_admin_s_questions_come_through_sockets_that_are_gone_at_the_end() {
    let (webhooks, admin) = (free("webhooks.sock"), free("admin.sock"));
    let policy = Policy::allow().await;
    // One that nobody listens on any more is no hindrance.
    drop(UnixListener::bind(&webhooks).unwrap());
    let args = ["--listen", &at(&webhooks), "--admin-listen", &at(&admin), "--policy", &policy.url()];
    let running = Running::start(&args).await;
    let reply = Way::to(&Address::Unix(webhooks.as_path().into())).send(webhook()).await.unwrap();
    assert_eq!(reply.body, ALLOWED);
    let ask = http::Request::get("/status").body("".into()).unwrap();
    let status = Way::to(&Address::Unix(admin.as_path().into())).send(ask).await.unwrap().json();
    assert_eq!(status["callbacks"][COMMAND]["outcomes"]["allow"], 1);
    running.signal("-INT").await;
    let (code, said) = running.end().await;
    assert_eq!(code, Some(0), "{said}");
    let ready = format!("hookgate ready: webhooks {} policy {} admin {} ", at(&webhooks), policy.url(), at(&admin));
    assert!(said.contains(&ready), "{said}");
    assert!(!webhooks.exists() && !admin.exists());
}

#[tokio::test]
async fn a_path_that_is_taken_is_one_sentence_and_exit_code_1() {
    let (used, file, nowhere) = (free("used.sock"), free("no-socket"), free("no-folder").join("x.sock"));
    let _listener = UnixListener::bind(&used).unwrap();
    std::fs::write(&file, "keep me").unwrap();
    for (path, why) in [
        (&used, "another program listens there"),
        (&file, "a file that is no socket is there"),
        (&nowhere, "No such file or directory (os error 2)"),
    ] {
        for (option, other) in [("--listen", "--admin-listen"), ("--admin-listen", "--listen")] {
            let args = [option, &at(path), other, "127.0.0.1:0", "--builtin-listen", "127.0.0.1:0"];
            let said = failure(&args).await;
            let expected = format!("hookgate: cannot listen on {}: {why} ({option} takes another address)\n", at(path));
            assert_eq!(said, (Some(1), expected));
        }
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "keep me");
    assert!(std::fs::symlink_metadata(&used).unwrap().file_type().is_socket());
}

#[test]
fn a_path_that_no_socket_can_have_is_a_mistake_of_the_configuration() {
    let long = format!("/{}", "x".repeat(107));
    let table = [
        (
            format!("listen: unix://{long}"),
            format!("listen: \"unix://{long}\": a socket's path has 107 bytes at most, and no zero byte"),
        ),
        (
            format!("policy: unix://{long}"),
            format!("policy: \"unix://{long}\": a socket's path has 107 bytes at most, and no zero byte"),
        ),
        (
            "admin_listen: unix://run/x.sock".to_owned(),
            "admin_listen: \"unix://run/x.sock\": expected a file's path from the root on, as in unix:///run/policy.sock"
                .to_owned(),
        ),
        (
            "listen: unix:///run/\nadmin_listen: unix:///x".to_owned(),
            "listen: \"unix:///run/\": expected a file's path from the root on, as in unix:///run/policy.sock".to_owned(),
        ),
    ];
    for (yaml, expected) in table {
        assert_eq!(Files::default().load(&yaml).expect_err(&yaml), format!("hookgate.yaml:1: {expected}"));
    }
    let both = Files::default().load("listen: unix:///x\nadmin_listen: unix:///x").unwrap_err();
    assert!(both.contains("need an address each; two take unix:///x"), "{both}");
    let longest = format!("listen: unix:///{}", "x".repeat(106));
    assert!(Files::default().load(&longest).is_ok());
}
