//! The fuzz targets' entry points on the stable toolchain: what people and OpenIM send, mutated. `HOOKGATE_FUZZ_SECONDS` says
//! for how long each runs; without it a short look.

mod answers;
#[path = "../../fuzz/entry.rs"]
mod entry;
mod mutate;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mutate::mutate;

/// The bytes that mutations begin with.
fn seeds(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.is_file()).map(|path| fs::read(path).expect("a file")).collect()
}

/// The webhooks of the fixtures, each after a byte that chooses the row it belongs to.
fn webhooks() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (place, callback) in hookgate::contract::Callback::all().iter().enumerate() {
        let file = format!("{}/tests/fixtures/{}.json", env!("CARGO_MANIFEST_DIR"), callback.command);
        let fixture: serde_json::Value = serde_json::from_slice(&fs::read(file).expect("a fixture")).expect("JSON");
        for story in fixture["stories"].as_array().expect("stories") {
            let mut seed = vec![u8::try_from(place).expect("few rows")];
            seed.extend_from_slice(story["webhook_sends"].to_string().as_bytes());
            seeds.push(seed);
        }
    }
    seeds
}

fn fuzz(target: fn(&[u8]), seeds: &[Vec<u8>]) {
    let seconds = std::env::var("HOOKGATE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0.5);
    // Each run is another one; a failure prints its input.
    let mut random = fastrand::Rng::new();
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    seeds.iter().for_each(|seed| target(seed));
    while Instant::now() < end {
        let mut data = random.choice(seeds).expect("a seed").clone();
        for _ in 0..random.usize(1..6) {
            mutate(&mut data, seeds, &mut random);
        }
        let failed = std::panic::catch_unwind(|| target(&data)).is_err();
        assert!(!failed, "the input was {:?}", data.escape_ascii().to_string());
    }
}

#[test]
fn decoder() {
    fuzz(entry::decoder, &webhooks());
}

#[test]
fn encoding_json() {
    if entry::go::running().is_none() {
        println!("Go is not installed, so the table of its answers is all that is compared");
        return;
    }
    let mut seeds = webhooks();
    for nth in 0..seeds.len() {
        for reply in
            [r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":1}"#, r#"{"nextCode":0,"ex":"x"}"#]
        {
            seeds.push([&seeds[nth][..1], reply.as_bytes()].concat());
        }
    }
    fuzz(entry::encoding_json, &seeds);
}

#[test]
fn reply() {
    let responses =
        [b"" as &[u8], b"\x0a\x00", b"\x12\x03Bob", b"\x0a\x0c\x08\x89\x27\x12\x07not now", b"\x12\x05\x0a\x03abc"];
    let mut seeds = Vec::new();
    for webhook in webhooks() {
        for response in responses {
            seeds.push([&webhook[..1], response, b"\xff", &webhook[1..]].concat());
        }
    }
    fuzz(entry::reply, &seeds);
}

#[test]
fn config() {
    let mut seeds = seeds("tests/webhooks_yml");
    let everything = hookgate::config::Config::load_from(&hookgate::config::Options::default(), &|_| Ok(String::new()));
    seeds.push(hookgate::config::print(&everything.expect("defaults are legal")).into_bytes());
    seeds
        .push(b"callbacks: {beforeAddBlack: {budget: 2s, on_failure: {deadline: allow}}}\ndrain: {delay: 0s}".to_vec());
    fuzz(entry::config, &seeds);
}

#[test]
fn webhooks_yml() {
    fuzz(entry::webhooks, &seeds("tests/webhooks_yml"));
}
