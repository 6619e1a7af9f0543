//! A new configuration is in force from the next connection on, and no connection is lost.

use hookgate::config::ConfigHandle;
use hookgate::internals::observe::Reason;

use super::{TLS, anywhere, files_of, webhook};
use crate::support::caller::{Way, shake_hands, tcp};
use crate::support::pki::{Ca, Files};
use crate::support::{ALLOWED, Gate, Policy};

const MUTUAL: &str = "tls: {certificate: server.pem, key: server.key, client_ca: ca.pem}";

#[tokio::test]
async fn the_next_connection_is_shown_the_new_certificate_and_the_ones_before_go_on() {
    let ca = Ca::new("ours");
    let (first, second) = (ca.issue("hookgate.test", 30), ca.issue("hookgate.test", 60));
    let config = |pair| Files::default().with_pair("server", pair).config(TLS);
    let (change, in_force) = ConfigHandle::changing(config(&first));
    let policy = Policy::allow().await;
    let gate = Gate::at(&anywhere(), &policy.url(), in_force).await;
    let shown = async || {
        let stream = tcp([127, 0, 0, 1].into(), gate.address).await.unwrap();
        let stream = shake_hands(stream, &ca.client(None)).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap().to_vec()
    };
    let way = Way::to(&gate.place).tls(&ca.client(None));
    let mut before = way.connect().await.unwrap();
    assert_eq!(before.send(webhook()).await.unwrap().body, ALLOWED);
    assert_eq!(shown().await, first.chain());

    change.send_replace(config(&second).into());
    assert_eq!(shown().await, second.chain());
    assert_eq!(before.send(webhook()).await.unwrap().body, ALLOWED);
    assert_eq!(way.send(webhook()).await.unwrap().body, ALLOWED);
}

#[tokio::test]
async fn an_authority_that_is_trusted_no_more_counts_no_more_on_connections_that_are_open_either() {
    let (ca, old, new) = (Ca::new("ours"), Ca::new("old"), Ca::new("new"));
    let trusting = |pem: &str| files_of(&ca).with("ca.pem", pem).config(MUTUAL);
    let (change, in_force) = ConfigHandle::changing(trusting(&old.pem));
    let policy = Policy::allow().await;
    let gate = Gate::at(&anywhere(), &policy.url(), in_force).await;
    let with = |issuer: &Ca| Way::to(&gate.place).tls(&ca.client(Some(&issuer.issue("openim", 30))));
    let mut before = with(&old).connect().await.unwrap();
    assert_eq!(before.send(webhook()).await.unwrap().body, ALLOWED);
    assert_eq!(with(&new).send(webhook()).await.unwrap().status, 401);

    // Both for a while: nobody is cut off.
    change.send_replace(trusting(&format!("{}{}", old.pem, new.pem)).into());
    assert_eq!(before.send(webhook()).await.unwrap().body, ALLOWED);
    assert_eq!(with(&new).send(webhook()).await.unwrap().body, ALLOWED);

    change.send_replace(trusting(&new.pem).into());
    let refused = before.send(webhook()).await.unwrap();
    assert_eq!((refused.status.as_u16(), &refused.headers["connection"]), (401, &"close".parse().unwrap()));
    assert_eq!(with(&new).send(webhook()).await.unwrap().body, ALLOWED);
    assert_eq!(gate.status.callers_refused.counted(Reason::Certificate), 2);
}

#[tokio::test]
async fn a_password_that_is_good_no_more_is_refused_with_the_next_webhook() {
    let config = |password: &str| {
        let files = Files::default().with("passwords", format!("openim:{password}"));
        files.config("access: {passwords: passwords}")
    };
    let (change, in_force) = ConfigHandle::changing(config("old"));
    let policy = Policy::allow().await;
    let gate = Gate::at(&anywhere(), &policy.url(), in_force).await;
    let mut connection = Way::to(&gate.place).connect().await.unwrap();
    let mut post = async || {
        let mut webhook = webhook();
        // openim:old
        webhook.headers_mut().insert("authorization", "Basic b3BlbmltOm9sZA==".parse().unwrap());
        connection.send(webhook).await.unwrap().status.as_u16()
    };
    assert_eq!(post().await, 200);
    change.send_replace(config("new").into());
    assert_eq!(post().await, 401);
    change.send_replace(config("new\nopenim:old").into());
    assert_eq!(post().await, 200);
}

#[tokio::test]
async fn a_connection_in_the_clear_is_for_one_reply_more_when_tls_comes() {
    let ca = Ca::new("ours");
    let (change, in_force) = ConfigHandle::changing(crate::support::config());
    let policy = Policy::allow().await;
    let gate = Gate::at(&anywhere(), &policy.url(), in_force).await;
    let mut before = Way::to(&gate.place).connect().await.unwrap();
    assert!(!before.send(webhook()).await.unwrap().headers.contains_key("connection"));

    change.send_replace(files_of(&ca).config(TLS).into());
    let last = before.send(webhook()).await.unwrap();
    assert_eq!((&*last.body, &last.headers["connection"]), (ALLOWED.as_bytes(), &"close".parse().unwrap()));
    let mut encrypted = Way::to(&gate.place).tls(&ca.client(None)).connect().await.unwrap();
    assert!(!encrypted.send(webhook()).await.unwrap().headers.contains_key("connection"));
    assert_eq!(Way::to(&gate.place).send(webhook()).await.unwrap().status, 400);
}

#[tokio::test]
async fn a_webhook_that_is_being_answered_when_tls_comes_is_the_last_of_its_connection() {
    let ca = Ca::new("ours");
    let (change, in_force) = ConfigHandle::changing(crate::support::config());
    let (policy, mut asked, let_go) = Policy::that_waits().await;
    let gate = Gate::at(&anywhere(), &policy.url(), in_force).await;
    let mut connection = Way::to(&gate.place).connect().await.unwrap();
    let (last, ()) = tokio::join!(connection.send(webhook()), async {
        asked.recv().await.unwrap();
        change.send_replace(files_of(&ca).config(TLS).into());
        let_go.send_replace(true);
    });
    assert_eq!(last.unwrap().headers["connection"], "close");
}
