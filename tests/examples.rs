//! The example policy services, each started for real with hookgate before it: the same cases for all of them.
//!
//! `examples/check` builds them and runs this; it names the languages in `HOOKGATE_EXAMPLES`. Without that there is
//! nothing to check here: a machine with Rust alone has none of them.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

#[path = "examples/cases.rs"]
mod cases;
#[path = "examples/grpcurl.rs"]
mod grpcurl;
#[path = "examples/policies.rs"]
mod policies;
#[path = "examples/process.rs"]
mod process;
#[path = "it/support/mod.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod support;

use std::future::Future;
use std::pin::Pin;

use libtest_mimic::{Arguments, Trial};
use process::Language;

/// A case that runs.
type Run = Pin<Box<dyn Future<Output = ()>>>;

fn main() {
    let named = std::env::var("HOOKGATE_EXAMPLES").unwrap_or_default();
    let languages: Vec<&'static Language> =
        named.split_whitespace().map(|name| Language::named(name).expect("a language of the examples")).collect();
    let is_chosen = |name| languages.iter().any(|language| language.name == name);
    // Two languages behind one hookgate.
    let of_several = if is_chosen("go") && is_chosen("python") { policies::ALL } else { &[] };
    let of_several = of_several.iter().map(|(name, case)| trial(format!("policies::{name}"), case));
    let grpcurl = std::env::var_os("HOOKGATE_GRPCURL").map(|_| grpcurl::CASE);
    let of_each = languages.iter().copied().flat_map(|language| {
        cases::ALL
            .iter()
            .copied()
            .chain(grpcurl)
            .map(move |(name, case)| trial(format!("{}::{name}", language.name), move || case(language)))
    });
    let trials = of_each.chain(of_several).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(name: String, case: impl FnOnce() -> Run + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(async { tokio::time::timeout(process::PATIENCE, case()).await });
        ended.expect("it comes to an end");
        Ok(())
    })
}
