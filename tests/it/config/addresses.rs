//! Addresses in every form that people write, and what they are taken for.

use hookgate::config::{Address, PolicyUrl};

use super::load;

#[test]
fn a_policy_is_named_by_a_url_or_as_grpc_names_targets() {
    for (text, expected) in [
        ("policy:50051", "http://policy:50051"),
        ("127.0.0.1:50051", "http://127.0.0.1:50051"),
        ("[::1]:50051", "http://[::1]:50051"),
        ("localhost:50051", "http://localhost:50051"),
        ("dns:///policy.chat.svc:50051", "http://policy.chat.svc:50051"),
        ("dns:policy:50051", "http://policy:50051"),
        ("http://policy:50051/", "http://policy:50051"),
        ("https://policy", "https://policy"),
        ("unix:/run/policy.sock", "unix:///run/policy.sock"),
        ("unix:///run/policy.sock", "unix:///run/policy.sock"),
    ] {
        let loaded = load(&["--policy", text], &[]).unwrap_or_else(|report| panic!("{text}: {report}"));
        let policy = loaded.config.policy.unwrap();
        assert_eq!((policy.to_string(), policy.is_tls()), (expected.to_owned(), text.starts_with("https")));
        assert_eq!(expected.parse::<PolicyUrl>().unwrap(), policy, "it is read back");
    }
    let expected = "expected a host and a port, as in policy:50051, http://policy:50051 or https://policy:50051, or a \
                    socket's path, as in unix:///run/policy.sock";
    let path = "expected a file's path from the root on, as in unix:///run/policy.sock";
    for (text, expected) in [
        ("policy", expected.to_owned()),
        ("bultin", expected.to_owned()),
        (":50051", format!("no host or no port; {expected}")),
        ("dns:///policy", expected.to_owned()),
        ("dns://8.8.8.8/policy:50051", format!("invalid format; {expected}")),
        ("policy:0", format!("no host or no port; {expected}")),
        ("policy:http", expected.to_owned()),
        ("policy:50051/path", expected.to_owned()),
        ("me:MARKER@policy:50051", "a user and password are not sent to a policy service".to_owned()),
        ("unix:policy.sock", format!("\"unix:policy.sock\": {path}")),
        ("unix://run/policy.sock", format!("\"unix://run/policy.sock\": {path}")),
    ] {
        let report = load(&["--policy", text], &[]).unwrap_err();
        assert!(report.starts_with("--policy: ") && report.ends_with(&expected), "{text}: {report}");
        assert!(!report.contains("MARKER"), "{report}");
    }
}

#[test]
fn a_listener_is_named_by_a_port_alone_too() {
    let flags = ["--listen", "--admin-listen", "--builtin-listen"];
    for (text, expected) in [
        (":10009", "0.0.0.0:10009"),
        ("localhost:10009", "127.0.0.1:10009"),
        ("0.0.0.0:10009", "0.0.0.0:10009"),
        ("[::]:10009", "[::]:10009"),
    ] {
        for flag in flags {
            let config = load(&[flag, text], &[]).unwrap_or_else(|report| panic!("{flag} {text}: {report}")).config;
            let builtin = Address::Tcp(config.builtin_listen);
            let address = match flag {
                "--listen" => config.listen,
                "--admin-listen" => config.admin_listen,
                _ => builtin,
            };
            assert_eq!(address.to_string(), expected, "{flag} {text}");
        }
    }
    for text in ["10006", "localhost", "hookgate:10006", ":", ":99999", "::1:10006", "http://127.0.0.1:10006"] {
        for flag in flags {
            let report = load(&[flag, text], &[]).unwrap_err();
            assert!(report.starts_with(&format!("{flag}: {text:?}: expected an IP address and a port")), "{report}");
        }
    }
    let everybody = load(&["--listen", ":10006"], &[]).unwrap();
    assert!(everybody.warnings[0].to_string().starts_with("--listen: ANYBODY who reaches 0.0.0.0:10006"));
    let socket = load(&["--listen", "unix:/run/hookgate.sock"], &[]).unwrap().config.listen;
    assert_eq!(socket.to_string(), "unix:///run/hookgate.sock");
}
