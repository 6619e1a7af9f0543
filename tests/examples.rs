//! The example policy services, each started for real with hookgate before it: the same cases for all of them.
//!
//! `examples/check` builds them and runs this; it names the languages in `HOOKGATE_EXAMPLES`. Without that there is
//! nothing to check here: a machine with Rust alone has none of them.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

#[path = "examples/cases.rs"]
mod cases;
#[path = "examples/grpcurl.rs"]
mod grpcurl;
#[path = "examples/process.rs"]
mod process;
#[path = "it/support/mod.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod support;

use libtest_mimic::{Arguments, Trial};
use process::Language;

fn main() {
    let named = std::env::var("HOOKGATE_EXAMPLES").unwrap_or_default();
    let languages: Vec<&'static Language> =
        named.split_whitespace().map(|name| Language::named(name).expect("a language of the examples")).collect();
    let grpcurl = std::env::var_os("HOOKGATE_GRPCURL").map(|_| grpcurl::CASE);
    let trials = languages.into_iter().flat_map(|language| {
        cases::ALL.iter().copied().chain(grpcurl).map(move |(name, case)| {
            Trial::test(format!("{}::{name}", language.name), move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let ended = runtime.block_on(async { tokio::time::timeout(process::PATIENCE, case(language)).await });
                ended.expect("it comes to an end");
                Ok(())
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
