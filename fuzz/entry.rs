//! What is fuzzed: one function an entry point, each of which panics where something is wrong. cargo-fuzz's targets and
//! `tests/it/fuzz.rs` call the same ones.

use clap::{Args, Command, FromArgMatches};
use hookgate::config::{self, Config, Loaded, Options, Report};
use hookgate::contract::Callback;
use hookgate::contract::{self, DecodedMessage};
use hookgate::openim::{self, Reading, Release};

#[path = "go.rs"]
pub mod go;

/// A row of the table, chosen by the first byte, and the rest.
fn row(data: &[u8]) -> Option<(&'static Callback, &[u8])> {
    let (first, rest) = data.split_first()?;
    let rows = Callback::all();
    Some((&rows[usize::from(*first) % rows.len()], rest))
}

/// Any body is transcoded to a message that reads back, or refused in a sentence that repeats none of it.
pub fn decoder(data: &[u8]) {
    let Some((callback, body)) = row(data) else { return };
    match contract::transcode(callback.request, callback.command, body) {
        Ok((message, _)) => {
            DecodedMessage::decode(callback.request, &message).expect("what was written reads back");
            let Reading::Allowed(effects) =
                openim::read(callback, body, &callback.unchanged(body).body(5000), Release::V3_8)
            else {
                panic!("a bare allow is an allow");
            };
            assert!(effects.is_empty(), "a bare allow changes nothing: {effects:?}");
        }
        Err(refusal) => assert!(refusal.to_string().len() < 300),
    }
}

/// Any response to any body becomes a reply that OpenIM can read on every release, or a failure.
pub fn reply(data: &[u8]) {
    let Some((callback, rest)) = row(data) else { return };
    let cut = rest.iter().position(|byte| *byte == 0xff).unwrap_or(rest.len());
    let (response, body) = (&rest[..cut], rest.get(cut + 1..).unwrap_or(b"{}"));
    if contract::transcode(callback.request, callback.command, body).is_err() {
        return;
    }
    let Ok(reply) = callback.reply(response, body) else { return };
    for release in Release::ALL {
        let reading = openim::read(callback, body, &reply.body(5000), release);
        assert!(matches!(reading, Reading::Allowed(_) | Reading::Denied(_)), "{release:?}: {reading:?}");
    }
}

/// Any body is read as Go's encoding/json reads it, or refused; any reply is judged as Go reads it. Without Go nothing
/// is looked at.
pub fn encoding_json(data: &[u8]) {
    let Some(go) = go::running() else { return };
    let Some((callback, body)) = row(data) else { return };
    go::compare_request(callback, body, &go.ask(callback.index, body));
    go::compare_reply(callback, body, &go.ask(Callback::all().len() + callback.index, body));
}

/// Any configuration file is taken or refused with a report; one that is taken is printed as one that says the same.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let policy: &[&str] = if text.contains("policy:") { &[] } else { &["--policy", "builtin"] };
    let Ok(loaded) = load(&[&["--config", "hookgate.yaml"], policy].concat(), &text) else { return };
    let printed = config::print(&loaded);
    let again = load(&["--config", "hookgate.yaml"], &printed).unwrap_or_else(|report| panic!("{report}\n{printed}"));
    assert_eq!(loaded.config, again.config, "{printed}");
}

/// Any webhooks.yml of OpenIM is taken or refused with a report.
pub fn webhooks(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match load(&["--openim-webhooks", "webhooks.yml"], &text) {
        Ok(loaded) => drop(loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()),
        Err(report) => assert!(!report.to_string().is_empty()),
    }
}

fn load(args: &[&str], text: &str) -> Result<Loaded, Report> {
    let command = Options::augment_args(Command::new("hookgate"));
    let matches = command.get_matches_from([&["hookgate"], args].concat());
    let options = Options::from_arg_matches(&matches).expect("clap has read them");
    // Any other file is one of IDs, or of something that is refused.
    Config::load_from(&options, &|file| {
        Ok(if args.contains(&&*file.to_string_lossy()) { text } else { "u1\n" }.to_owned())
    })
}
