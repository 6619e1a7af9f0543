//! A configuration file does not have the built-in policy asked without a word.

use hookgate::config::{self, PolicyUrl};

use super::load_exactly;

#[test]
fn with_a_file_the_built_in_policy_must_be_named() {
    let builtin: Option<PolicyUrl> = None;
    let missing = "hookgate.yaml: policy: not there, and no flag or variable names one; say which policy service is asked, \
                   or policy: builtin for the one that allows everything";
    for (yaml, args, expected) in [
        ("", &[][..], Err(missing)),
        ("# policy: http://policy\n", &[], Err(missing)),
        ("policy:\n", &[], Err(missing)),
        ("builtin_listen: 127.0.0.1:50051", &[], Err(missing)),
        ("policy: builtin", &[], Ok(builtin.clone())),
        ("", &["--policy", "builtin"], Ok(builtin.clone())),
        ("policy: http://policy", &["--policy", "builtin"], Ok(builtin.clone())),
        ("policy: builtin", &["--policy", "http://p:1"], Ok(Some("http://p:1".parse().unwrap()))),
        ("", &["--policy", "http://p:1"], Ok(Some("http://p:1".parse().unwrap()))),
    ] {
        let loaded = load_exactly(&[&["--config", "hookgate.yaml"], args].concat(), &[("hookgate.yaml", yaml)]);
        let policy = loaded.map(|loaded| loaded.config.policy);
        assert_eq!(policy, expected.map_err(ToOwned::to_owned), "{yaml:?} {args:?}");
    }
    let without = load_exactly(&[], &[]).unwrap();
    assert_eq!(without.config.policy, builtin);
    assert!(config::print(&without).lines().any(|line| line == "policy: builtin"), "it is read back");
}
