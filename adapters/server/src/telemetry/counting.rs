//! The library that counts and writes the metrics, and what else is counted with it.

use std::fmt;

use prometheus_client::encoding::{
    EncodeLabel, EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::{MetricType, TypedMetric};

pub(super) use prometheus_client::encoding::text::{encode_eof, encode_registry};
pub(super) use prometheus_client::metrics::counter::Counter;
pub(super) use prometheus_client::metrics::family::Family;
pub(super) use prometheus_client::metrics::gauge::Gauge;
pub(super) use prometheus_client::registry::{Registry, Unit};

use super::durations::Durations;
use super::labels::Labels;

/// `true` if anything is counted.
pub(crate) const IS_COUNTED: bool = true;

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        if let Some((key, value)) = &self.open {
            (*key, value.as_ref()).encode(encoder.encode_label())?;
        }
        if let Some(closed) = &self.closed {
            closed.encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let buckets = self.buckets();
        // The total is not counted separately, so that it always equals the last bucket.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
