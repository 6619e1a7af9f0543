//! Whose word counts for where a caller is.

use hookgate::config::Address;
use hookgate::internals::observe::Reason;
use hyper::header::HeaderValue;

use super::{assert_denied, refused_callers};
use crate::support::caller::Way;
use crate::support::pki::Files;
use crate::support::{ALLOWED, COMMAND, Gate, Policy, webhook};

#[tokio::test]
async fn the_nearest_address_that_is_no_trusted_proxy_counts_in_whatever_form_it_is_written() {
    let yaml = "access: {sources: [10.1.0.0/16, \"fd00::/8\"], trusted_proxies: [127.0.0.1, \"fd99::1\"]}";
    let policy = Policy::allow().await;
    let address = Address::Tcp(([127, 0, 0, 1], 0).into());
    let gate = Gate::at(&address, &policy.url(), Files::default().config(yaml)).await;
    let table: [(&[&str], bool); 19] = [
        (&["10.1.2.3"], true),
        (&["10.1.2.3:8080"], true),
        (&["fd00::7"], true),
        (&["[fd00::7]"], true),
        (&["[fd00::7]:80"], true),
        (&["::ffff:10.1.2.3"], true),
        (&["6.6.6.6", "10.1.2.3"], true),
        (&["6.6.6.6,10.1.2.3 , fd99::1"], true),
        (&["6.6.6.6", "10.1.2.3", "127.0.0.1"], true),
        (&["127.0.0.1, fd99::1"], false),
        (&["10.1.2.3", "6.6.6.6"], false),
        (&["10.1.2.3", ""], false),
        (&["10.1.2.3,"], false),
        (&["10.1.2.3", "10.1.2.3:99999"], false),
        (&["10.1.2.3/16"], false),
        (&["fd00::7%eth0"], false),
        (&["[10.1.2.3]"], false),
        (&["unknown"], false),
        (&[""], false),
    ];
    for (forwarded, good) in table {
        let mut request = webhook(&format!("/{COMMAND}"), &[]);
        for value in forwarded {
            request.headers_mut().append("x-forwarded-for", value.parse().unwrap());
        }
        let reply = Way::to(&gate.place).send(request).await.unwrap();
        let of = format!("{forwarded:?}");
        if good {
            assert_eq!(reply.body, ALLOWED, "{of}")
        } else {
            assert_denied(&reply, &of)
        }
        // Nobody is to try passwords who has none to give.
        assert!(!reply.headers.contains_key("www-authenticate"));
    }
    let mut request = webhook(&format!("/{COMMAND}"), &[]);
    request.headers_mut().append("x-forwarded-for", HeaderValue::from_bytes(b"10.1.2.3, \xff").unwrap());
    assert_denied(&Way::to(&gate.place).send(request).await.unwrap(), "not text");
    assert_eq!(refused_callers(&gate), [(Reason::Source, 11)]);
    assert_eq!(policy.take_calls().len(), 9);
}
