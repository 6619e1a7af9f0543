//! A webhook and its reply, shown.

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::{Outlook, Reply, Verdict, Webhook};

/// For programs: all of it.
pub fn report(url: &str, webhook: &Webhook, reply: &Reply, outlooks: &[Outlook]) -> Value {
    let callback = webhook.callback();
    let headers: serde_json::Map<_, _> = reply
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    json!({
        "callback": callback.config_key,
        "rpc": callback.rpc,
        "url": url,
        "operation_id": webhook.operation_id,
        "request": readable(&webhook.body),
        "status": reply.status.as_u16(),
        "headers": headers,
        "reply": readable(&reply.body),
        "milliseconds": reply.took.as_secs_f64() * 1000.0,
        "verdict": outlooks.first().map(|outlook| outlook.verdict),
        "openim": outlooks,
    })
}

/// JSON, or the text that it should have been.
fn readable(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}

/// For people: all of it, on standard output.
pub fn print(url: &str, webhook: &Webhook, reply: Option<&Reply>, outlooks: &[Outlook]) {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    anstream::println!("{bold}POST {url}{bold:#}");
    anstream::println!("{dim}operationID: {}{dim:#}", webhook.operation_id);
    anstream::println!("{}\n", pretty(&webhook.body));
    let Some(reply) = reply else { return };
    anstream::println!("{bold}{} after {:.1} ms{bold:#}", reply.status, reply.took.as_secs_f64() * 1000.0);
    for (name, value) in &reply.headers {
        anstream::println!("{dim}{name}: {}{dim:#}", String::from_utf8_lossy(value.as_bytes()));
    }
    anstream::println!("{}\n", pretty(&reply.body));
    if webhook.callback().releases.is_empty() {
        anstream::println!("{dim}No OpenIM that is known sends this callback.{dim:#}");
    }
    for Outlook { releases, verdict, sentence } in outlooks {
        let style = style(*verdict);
        anstream::println!("OpenIM {}: {style}{}{style:#}: {sentence}", releases.join(", "), verdict.as_str());
    }
}

fn style(verdict: Verdict) -> Style {
    let color = match verdict {
        Verdict::Allowed | Verdict::Told => AnsiColor::Green,
        Verdict::Changed => AnsiColor::Cyan,
        Verdict::Denied => AnsiColor::Yellow,
        Verdict::Unreadable | Verdict::Harmful => AnsiColor::Red,
    };
    color.on_default().bold()
}

/// JSON over several lines, what is no JSON as it is.
fn pretty(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(json) => format!("{json:#}"),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}
