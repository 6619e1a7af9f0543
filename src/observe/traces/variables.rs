//! OpenTelemetry's environment variables about traces, which take precedence over the settings. Those of the exporter and of
//! the resource are read by its SDK.

use std::env;

use opentelemetry_sdk::trace::Sampler;
use tracing::warn;

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Returns the variable that turns traces off, if one does.
pub(super) fn turned_off_by() -> Option<&'static str> {
    if value(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Some(DISABLED);
    }
    match value(EXPORTER)?.as_str() {
        "none" => Some(EXPORTER),
        "otlp" => None,
        other => {
            warn!(variable = EXPORTER, value = other, known = "otlp, none", "variable ignored");
            None
        }
    }
}

/// Returns the sampler that a variable names. The SDK reads the variable too, but takes everything that it does not
/// know for `parentbased_always_on`, silently.
pub(super) fn sampler() -> Option<Sampler> {
    let name = value(SAMPLER)?;
    let by_caller = name.strip_prefix("parentbased_");
    let root = match by_caller.unwrap_or(&name) {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::TraceIdRatioBased(ratio()),
        _ => {
            let known = "always_on, always_off, traceidratio, each with or without parentbased_ before it";
            warn!(variable = SAMPLER, value = name, known, "variable ignored");
            return None;
        }
    };
    Some(if by_caller.is_some() { Sampler::ParentBased(Box::new(root)) } else { root })
}

/// Returns the ratio of a sampler: all, if the variable has none.
fn ratio() -> f64 {
    let Some(text) = value(SAMPLER_ARG) else { return 1.0 };
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.unwrap_or_else(|| {
        warn!(variable = SAMPLER_ARG, value = text, known = "0 to 1", "variable ignored");
        1.0
    })
}

/// Returns the value of a variable; an empty one is as good as none.
fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
