//! What is wrong with certificates and keys, and when they expire.

use std::path::Path;
use std::time::{Duration, SystemTime};

use hookgate::config;

use super::{ISSUED_KEY, P521, P521_KEY, RSA_1024, TLS, V1};
use crate::support::Policy;
use crate::support::pki::{Ca, Files};
use crate::support::program::{Running, configured};

#[test]
fn each_mistake_is_one_line_that_names_the_key_and_the_file() {
    let (ca, other) = (Ca::new("ours"), Ca::new("theirs"));
    let pair = ca.issue("hookgate.test", 30);
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let rubbish = "-----BEGIN CERTIFICATE-----\nTUFSS0VS\n-----END CERTIFICATE-----\n";
    let files = Files::default()
        .with_pair("server", &pair)
        .with_pair("other", &other.issue("hookgate.test", 30))
        .with("ca.pem", &*ca.pem)
        .with("text.pem", "MARKER")
        .with("rubbish.pem", rubbish)
        .with("second.pem", format!("{}{rubbish}", ca.pem))
        .with("cut.pem", cut(&pair.certificate))
        .with("cut.key", cut(&pair.key))
        .with("base64.pem", "-----BEGIN CERTIFICATE-----\nMARKER!\n-----END CERTIFICATE-----\n")
        .with("wrong.key", "-----BEGIN PRIVATE KEY-----\nTUFSS0VS\n-----END PRIVATE KEY-----\n")
        .with(
            "encrypted.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nTUFSS0VS\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
    let tls = |settings: &str| format!("tls: {{{settings}}}");
    let policy_tls = |settings: &str| format!("policy_tls: {{{settings}}}\npolicy: https://policy");
    let no_certificate = "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
    let table = [
        (
            tls("certificate: missing.pem, key: server.key"),
            "tls.certificate: cannot read missing.pem: not there".to_owned(),
        ),
        (
            tls("certificate: server.pem, key: missing.key"),
            "tls.key: cannot read the file that tls.key names: not there".to_owned(),
        ),
        (tls("certificate: text.pem, key: server.key"), format!("tls.certificate: text.pem: {no_certificate}")),
        (tls("certificate: server.key, key: server.key"), format!("tls.certificate: server.key: {no_certificate}")),
        (
            tls("certificate: rubbish.pem, key: server.key"),
            "tls.certificate: rubbish.pem: certificate 1 is no X.509 certificate".to_owned(),
        ),
        (
            tls("certificate: cut.pem, key: server.key"),
            "tls.certificate: cut.pem: certificate 1 is cut short: its END line is missing".to_owned(),
        ),
        (
            tls("certificate: base64.pem, key: server.key"),
            "tls.certificate: base64.pem: certificate 1 is not in base64".to_owned(),
        ),
        (
            tls("certificate: server.pem, key: cut.key"),
            "tls.key: cut.key: the key is cut short: its END line is missing".to_owned(),
        ),
        (
            tls("certificate: server.pem, key: text.pem"),
            "tls.key: text.pem: holds no private key in PEM (-----BEGIN PRIVATE KEY-----)".to_owned(),
        ),
        (
            tls("certificate: server.pem, key: encrypted.key"),
            "tls.key: encrypted.key: the key is encrypted, and nobody is there to be asked for its password".to_owned(),
        ),
        (
            tls("certificate: server.pem, key: other.key"),
            "tls.key: other.key: does not belong to the first certificate in server.pem".to_owned(),
        ),
        (
            tls("certificate: server.pem, key: server.key, client_ca: text.pem"),
            format!("tls.client_ca: text.pem: {no_certificate}"),
        ),
        (
            tls("certificate: server.pem, key: server.key, client_ca: second.pem"),
            "tls.client_ca: second.pem: certificate 2 is no X.509 certificate".to_owned(),
        ),
        (tls("certificate: server.pem"), "tls.certificate: has no effect without tls.key".to_owned()),
        (tls("key: server.key"), "tls.key: has no effect without tls.certificate".to_owned()),
        (tls("client_ca: ca.pem"), "tls.client_ca: has no effect without tls.certificate".to_owned()),
        (
            "tls: {certificate: server.pem, key: server.key}\nlisten: unix:///run/x.sock".to_owned(),
            "tls.certificate: has no effect on a Unix socket, which listen is".to_owned(),
        ),
        (policy_tls("ca: text.pem"), format!("policy_tls.ca: text.pem: {no_certificate}")),
        (
            policy_tls("certificate: server.pem, key: other.key"),
            "policy_tls.key: other.key: does not belong to the first certificate in server.pem".to_owned(),
        ),
        (
            policy_tls("certificate: server.pem"),
            "policy_tls.certificate: has no effect without policy_tls.key".to_owned(),
        ),
        (
            policy_tls("server_name: \"no name\""),
            "policy_tls.server_name: \"no name\": expected a host name or an IP address".to_owned(),
        ),
        (
            "policy_tls: {ca: ca.pem}".to_owned(),
            "policy_tls.ca: has no effect without a policy whose URL begins with https://".to_owned(),
        ),
        (
            "policy_tls: {server_name: p}\npolicy: http://policy".to_owned(),
            "policy_tls.server_name: has no effect without a policy whose URL begins with https://".to_owned(),
        ),
    ];
    let pair = Ca::new("marked").issue("hookgate.test", 90);
    let files = files
        .with("indented.pem", format!("{}  {}", pair.certificate, pair.certificate))
        .with("indented.key", format!("\t{}", pair.key));
    let place = pair.certificate.lines().count() + 1;
    let table = table.into_iter().chain([
        (
            tls("certificate: indented.pem, key: server.key"),
            format!("tls.certificate: indented.pem: line {place}: has whitespace before -----BEGIN"),
        ),
        (
            tls("certificate: server.pem, key: indented.key"),
            "tls.key: indented.key: line 1: has whitespace before -----BEGIN".to_owned(),
        ),
    ]);
    for (yaml, expected) in table {
        let report = files.load(&yaml).expect_err(&yaml);
        assert_eq!(report, format!("hookgate.yaml:1: {expected}"), "{yaml}");
    }
    let wrong = files.load(&tls("certificate: server.pem, key: wrong.key")).unwrap_err();
    assert!(wrong.starts_with("hookgate.yaml:1: tls.key: wrong.key: ") && !wrong.contains("MARKER"), "{wrong}");
}

#[test]
fn what_is_read_is_printed_without_keys_and_compared_by_what_the_files_hold() {
    let (ca, name) = (Ca::new("ours"), "hookgate.test");
    let files =
        Files::default().with_pair("s", &ca.issue(name, 30)).with("ca", &*ca.pem).with_pair("c", &ca.issue("c", 30));
    let yaml = "policy: https://policy\ntls: {certificate: s.pem, key: s.key, client_ca: ca}\n\
                policy_tls: {ca: ca, certificate: c.pem, key: c.key, server_name: p.test}";
    let loaded = files.load(yaml).unwrap();
    let printed = config::print(&loaded);
    for line in [
        "  certificate: \"s.pem\"  # hookgate.yaml:2",
        "  client_ca: \"ca\"  # hookgate.yaml:2",
        "  server_name: \"p.test\"  # hookgate.yaml:3",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }
    assert!(!format!("{loaded:?}").contains("PRIVATE") && !printed.contains("PRIVATE"));
    assert_eq!(files.load(&printed).unwrap().config, loaded.config);
    let changed = files.clone().with_pair("s", &ca.issue(name, 30)).load(yaml).unwrap();
    assert!(changed.config != loaded.config && changed.config.policy_tls == loaded.config.policy_tls);
    let changed = files.with("ca", Ca::new("new").pem).load(yaml).unwrap();
    assert!(changed.config.tls != loaded.config.tls && changed.config.policy_tls != loaded.config.policy_tls);
}

#[test]
fn a_certificate_that_is_over_or_nearly_is_a_warning() {
    let ca = Ca::new("ours");
    let warnings = |days| {
        let loaded = Files::default().with_pair("server", &ca.issue("hookgate.test", days)).load(TLS).unwrap();
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(warnings(15), "");
    let starts = |days, what: &str| {
        let said = warnings(days);
        assert!(
            said.starts_with(&format!("hookgate.yaml:1: tls.certificate: server.pem: certificate 1 {what}")),
            "{said}"
        );
    };
    starts(13, "expires soon, at ");
    starts(-3, "expired at ");
}

#[test]
fn what_rustls_refuses_is_said_in_an_operator_s_words() {
    let ca = Ca::new("ours");
    let files = Files::default()
        .with_pair("server", &ca.issue("hookgate.test", 30))
        .with_pair("ca", &ca.pair())
        .with("v1.pem", V1)
        .with("p521.pem", P521)
        .with("rsa.pem", RSA_1024)
        .with("issued.key", ISSUED_KEY)
        .with("p521.key", P521_KEY);
    let keys = "TLS here takes RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, and Ed25519";
    for (settings, expected) in [
        (
            "certificate: v1.pem, key: issued.key",
            "tls.certificate: v1.pem: certificate 1 is an X.509 certificate of version 1: make one of version 3 (openssl x509 \
             -req does with -extfile)"
                .to_owned(),
        ),
        (
            "certificate: p521.pem, key: p521.key",
            format!("tls.certificate: p521.pem: certificate 1 has a key of a kind that cannot be used, ECDSA on P-521: {keys}"),
        ),
        (
            "certificate: rsa.pem, key: issued.key",
            format!("tls.certificate: rsa.pem: certificate 1 has a key of a kind that cannot be used, RSA of 1024 bits: {keys}"),
        ),
        (
            "certificate: server.pem, key: p521.key",
            format!("tls.key: p521.key: holds no private key of a kind that can be used: {keys}"),
        ),
    ] {
        let report = files.load(&format!("tls: {{{settings}}}")).expect_err(settings);
        assert_eq!(report, format!("hookgate.yaml:1: {expected}"));
    }
    for (yaml, expected) in [
        (
            "tls: {certificate: ca.pem, key: ca.key}",
            "tls.certificate: ca.pem: certificate 1 is marked as an authority (CA:TRUE), which some peers refuse: make one with \
             basicConstraints=CA:FALSE"
                .to_owned(),
        ),
        (
            "policy_tls: {ca: p521.pem}\npolicy: https://policy",
            format!("policy_tls.ca: p521.pem: certificate 1 has a key of a kind that cannot be used, ECDSA on P-521: {keys}"),
        ),
    ] {
        let warnings = files.load(yaml).unwrap().warnings;
        assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [format!("hookgate.yaml:1: {expected}")]);
    }
}

#[test]
fn every_certificate_in_force_is_listed_with_the_first_end() {
    let ca = Ca::new("ours");
    let chain = format!("{}{}", ca.issue("hookgate.test", 30).certificate, ca.pem);
    let server = ca.issue("hookgate.test", 40);
    let files = Files::default()
        .with_pair("server", &server)
        .with("server.pem", format!("{}{}", server.certificate, ca.issue("between", 20).certificate))
        .with("ca.pem", chain)
        .with_pair("client", &ca.issue("client", 50));
    let yaml = "tls: {certificate: server.pem, key: server.key, client_ca: ca.pem}\npolicy: https://policy\n\
                policy_tls: {ca: ca.pem, certificate: client.pem, key: client.key}\n\
                after: {store: \"tls://a:4222\", nats: {ca: ca.pem, certificate: client.pem, key: client.key}}";
    let config = files.load(yaml).unwrap().config;
    let days: Vec<_> =
        config.certificates().map(|(name, at)| (name, config::days_until(at + Duration::from_secs(60)))).collect();
    let days: Vec<_> = days.iter().map(|(name, days)| (&**name, *days)).collect();
    let policy = [("webhooks", 20), ("client_ca", 30), ("policy_ca", 30), ("policy_client", 50)];
    assert_eq!(days, [&policy[..], &[("nats_ca", 30), ("nats_client", 50)]].concat());
    assert_eq!(config::days_until(SystemTime::now() - Duration::from_secs(1)), -1);
    assert_eq!(config::Config::default().certificates().count(), 0);
}

#[tokio::test]
async fn the_program_serves_over_tls_and_says_until_when() {
    let (ca, policy) = (Ca::new("ours"), Policy::allow().await);
    let pair = ca.issue("hookgate.test", 10);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(folder.join("program.pem"), &pair.certificate).unwrap();
    std::fs::write(folder.join("program.key"), &pair.key).unwrap();
    let yaml = "tls: {certificate: program.pem, key: program.key}";
    let running = Running::of(configured(&policy.url(), "program-tls", yaml)).await;
    let way = crate::support::caller::Way::to(&hookgate::config::Address::Tcp(running.webhooks)).tls(&ca.client(None));
    assert_eq!(way.send(super::webhook()).await.unwrap().body, crate::support::ALLOWED);
    let status = running.status().await;
    let certificate = &status["certificates"]["webhooks"];
    assert!(certificate["days"] == 9 && certificate["expires"].as_str().unwrap().ends_with('Z'), "{status}");
    running.signal("-INT").await;
    let (code, said) = running.end().await;
    assert!(code == Some(0) && said.contains("hookgate ready: webhooks https://127.0.0.1:"), "{said}");
    assert!(
        said.contains("WARN") && said.contains("tls.certificate: ") && said.contains("expires soon, at "),
        "{said}"
    );
}

#[test]
fn a_byte_order_mark_takes_no_certificate_away() {
    let (ca, other) = (Ca::new("ours"), Ca::new("other"));
    let pair = ca.issue("hookgate.test", 90);
    let marked = |text: &str| format!("\u{feff}{text}");
    let files = Files::default()
        .with("server.pem", marked(&pair.certificate))
        .with("server.key", marked(&pair.key))
        .with("ca.pem", marked(&format!("{}{}", ca.pem, other.pem)));
    let tls = files.load("tls: {certificate: server.pem, key: server.key, client_ca: ca.pem}").unwrap().config.tls;
    assert_eq!(tls.server.unwrap().client_ca.unwrap().roots.certificates.list.len(), 2);
}
