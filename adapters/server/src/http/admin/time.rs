//! Times of the operator's API.

use std::borrow::Cow;
use std::fmt::{Display, Formatter};

use handfast_core::{UnixTime, rfc3339};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A time in whole seconds. As text and in JSON it is RFC 3339: written in UTC, and read with any
/// offset from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(UnixTime);

impl Time {
    /// Returns the seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0.as_secs()
    }
}

impl From<UnixTime> for Time {
    fn from(time: UnixTime) -> Self {
        Self(time)
    }
}

impl From<Time> for UnixTime {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl From<Time> for u64 {
    fn from(time: Time) -> Self {
        time.as_secs()
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(rfc3339::write(self.0).as_str())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(rfc3339::write(self.0).as_str())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        rfc3339::read(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no time: write it as 2026-11-30T16:00:00Z"))
        })
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let text =
            "A time as RFC 3339, in whole seconds: written in UTC, and read with any offset.";
        let schema = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
        schema.description(Some(text)).into()
    }
}

impl ToSchema for Time {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_any_offset_and_written_in_utc_and_a_number_is_none() {
        for text in ["2026-11-22T06:17:50Z", "2026-11-22T07:17:50+01:00"] {
            let time: Time = serde_json::from_value(text.into()).unwrap();
            assert_eq!(time.as_secs(), 1_795_328_270, "{text}");
            assert_eq!(serde_json::to_value(time).unwrap(), "2026-11-22T06:17:50Z");
            assert_eq!(time.to_string(), "2026-11-22T06:17:50Z");
        }
        for wrong in [serde_json::json!(1_795_328_270), serde_json::json!("yesterday")] {
            assert!(serde_json::from_value::<Time>(wrong).is_err());
        }
    }
}
