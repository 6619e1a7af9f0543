//! What Prometheus reads, from the program as people start it: every number is one that the test has caused. The judge of
//! the format is another implementation.

mod events;
mod operation;
mod outbox;
mod policy;
mod unknown;
mod webhooks;

use http_body_util::Full;
use openmetrics_parser::{MetricsExposition, OpenMetricsType, OpenMetricsValue, openmetrics, prometheus};

use crate::support::program::{Running, configured};
use crate::support::{Policy, Reply, send};

/// The metrics of a program at a moment.
struct Scrape(MetricsExposition<OpenMetricsType, OpenMetricsValue>);

impl Scrape {
    async fn of(program: &Running) -> Self {
        let reply = ask(program, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        // The judge refuses the unit of a histogram, which the specification has.
        let units = ["callback_duration", "outbox_commit_duration"];
        let units = units.map(|name| format!("# UNIT hookgate_{name}_seconds seconds\n"));
        let text = units.iter().fold(text, |text, unit| text.replace(unit, ""));
        Self(openmetrics::parse_openmetrics(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
    }

    /// Waits for a number that the program comes to by itself.
    async fn until(program: &Running, holds: impl Fn(&Self) -> bool) -> Self {
        loop {
            let scrape = Self::of(program).await;
            if holds(&scrape) {
                return scrape;
            }
        }
    }

    /// The sample of a family with these labels, all of them.
    fn find(&self, family: &str, labels: &[(&str, &str)]) -> Option<&OpenMetricsValue> {
        let family = self.0.families.get(&format!("hookgate_{family}"))?;
        let mut samples = family.iter_samples();
        let found = samples.find(|sample| {
            let set = sample.get_labelset().unwrap();
            set.iter().count() == labels.len()
                && labels.iter().all(|(name, value)| set.get_label_value(name) == Some(*value))
        })?;
        Some(&found.value)
    }

    /// A counter or gauge.
    fn get(&self, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
        match self.find(family, labels)? {
            OpenMetricsValue::Counter(counter) => Some(counter.value.as_f64()),
            OpenMetricsValue::Gauge(gauge) => Some(gauge.as_f64()),
            other => panic!("{family} is {other:?}"),
        }
    }

    /// All samples of a family of counters together.
    fn sum(&self, family: &str) -> f64 {
        let samples = self.0.families.get(&format!("hookgate_{family}")).into_iter().flat_map(|all| all.iter_samples());
        samples
            .map(|sample| match &sample.value {
                OpenMetricsValue::Counter(counter) => counter.value.as_f64(),
                other => panic!("{family} is {other:?}"),
            })
            .sum()
    }

    /// How many samples a family has.
    fn count(&self, family: &str) -> usize {
        self.0.families.get(&format!("hookgate_{family}")).map_or(0, |family| family.iter_samples().count())
    }
}

async fn ask(program: &Running, accept: &str) -> Reply {
    let uri = format!("http://{}/metrics", program.admin);
    send(http::Request::get(uri).header("accept", accept).body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn both_formats_are_what_they_say() {
    let policy = Policy::allow().await;
    let program = Running::of(configured(&policy.url(), "metrics-formats", "")).await;
    program.post("callbackBeforeSendSingleMsgCommand", r#"{"x\"\n\\}": 1}"#).await;
    program.post("callbackTomorrowCommand?command=callback%22%0A%5C%7D", "{}").await;

    let reply = ask(&program, "application/openmetrics-text; version=1.0.0").await;
    assert_eq!(reply.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(reply.body.ends_with(b"# EOF\n"));
    let scrape = Scrape::of(&program).await;
    assert!(matches!(scrape.find("build", &[("version", env!("CARGO_PKG_VERSION"))]), Some(OpenMetricsValue::Info)));

    // curl and promtool ask for nothing.
    for accept in ["*/*", "text/plain"] {
        let reply = ask(&program, accept).await;
        assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        let text = std::str::from_utf8(&reply.body).unwrap();
        let families = prometheus::parse_prometheus(text).unwrap_or_else(|error| panic!("{error}\n{text}")).families;
        assert!(families.contains_key("hookgate_callbacks_total") && families.contains_key("hookgate_build_info"));
    }
}
