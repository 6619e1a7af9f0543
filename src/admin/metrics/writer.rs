//! One family of metrics at a time, in whichever format is asked for.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::observe::durations::Histogram;

/// A label and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// Writes families of metrics; their names are without the prefix, the unit and `_total`. A family without samples is
/// left out.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

/// What a family is called, and what it says.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
}

/// A family without a unit.
pub(super) const fn plain(name: &'static str, help: &'static str) -> Family {
    Family { name, help, unit: None }
}

/// A family whose name ends with a unit.
pub(super) const fn in_unit(name: &'static str, unit: Unit, help: &'static str) -> Family {
    Family { name, help, unit: Some(unit) }
}

impl Writer<'_> {
    /// What only ever grows.
    pub(super) fn counters<'l, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([Label<'l>; N], u64)>,
    ) -> fmt::Result {
        self.family(family, MetricType::Counter, samples, |mut encoder, value| {
            encoder.encode_counter::<NoLabelSet, u64, u64>(&value, None)
        })
    }

    /// What goes up and down.
    pub(super) fn gauges<'l, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([Label<'l>; N], f64)>,
    ) -> fmt::Result {
        self.family(family, MetricType::Gauge, samples, |mut encoder, value| encoder.encode_gauge(&value))
    }

    /// Distributions.
    pub(super) fn histograms<'l, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([Label<'l>; N], Histogram)>,
    ) -> fmt::Result {
        self.family(family, MetricType::Histogram, samples, |mut encoder, Histogram { count, sum, buckets }| {
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        })
    }

    /// What does not change while it runs.
    pub(super) fn info<const N: usize>(&mut self, family: &Family, labels: [Label<'_>; N]) -> fmt::Result {
        let Family { name, help, unit } = family;
        self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Info)?.encode_info(&labels)
    }

    /// A single sample that only ever grows.
    pub(super) fn counter(&mut self, family: &Family, value: u64) -> fmt::Result {
        self.counters(family, [([], value)])
    }

    /// A single sample that goes up and down.
    pub(super) fn gauge(&mut self, family: &Family, value: f64) -> fmt::Result {
        self.gauges(family, [([], value)])
    }

    fn family<'l, T, const N: usize>(
        &mut self,
        family: &Family,
        kind: MetricType,
        samples: impl IntoIterator<Item = ([Label<'l>; N], T)>,
        write: impl Fn(MetricEncoder<'_>, T) -> fmt::Result,
    ) -> fmt::Result {
        let Family { name, help, unit } = family;
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        samples.try_for_each(|(labels, value)| write(encoder.encode_family(&labels)?, value))
    }
}
