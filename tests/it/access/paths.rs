//! A secret path, in every form in which OpenIM posts to it.

use super::assert_denied;
use crate::support::caller::Way;
use crate::support::pki::Files;
use crate::support::{ALLOWED, COMMAND, Gate, Policy, webhook};

#[tokio::test]
async fn a_command_is_found_behind_a_secret_path_in_every_form_of_openim_s_url() {
    let policy = Policy::allow().await;
    let config = Files::default().with("paths", "a/secret").config("access: {paths: paths}");
    let gate = Gate::configured(&policy.url(), config).await;
    for (path, good) in [
        ("/a/secret/COMMAND", true),
        ("/a/secret//COMMAND", true),
        ("//a/secret/COMMAND?contenttype=json", true),
        ("/a/secret/callbackExample/COMMAND", true),
        ("/a/secret?token=x/COMMAND", true),
        ("/a/secret/?token=x/COMMAND", true),
        ("/a/secret?command=COMMAND", true),
        ("/COMMAND", false),
        ("/a/COMMAND", false),
        ("/a/secret2/COMMAND", false),
        ("/a//secret/COMMAND", false),
        ("/a%2Fsecret/COMMAND", false),
        ("/A/secret/COMMAND", false),
        ("/COMMAND?/a/secret", false),
        ("/?a/secret/COMMAND", false),
    ] {
        let reply = Way::to(&gate.place).send(webhook(&path.replace("COMMAND", COMMAND), &[])).await.unwrap();
        if good {
            assert_eq!(reply.body, ALLOWED, "{path}")
        } else {
            assert_denied(&reply, path)
        }
        assert_eq!(policy.take_calls().len(), usize::from(good), "{path}");
    }
    // Behind the secret everything is as it is without one.
    let nowhere = Way::to(&gate.place).send(webhook("/a/secret/elsewhere", &[])).await.unwrap();
    assert_eq!(nowhere.status, 404);
    let alone = Way::to(&gate.place).send(webhook("/a/secret", &[])).await.unwrap();
    assert_eq!(alone.status, 404);
}
