//! The JSON document of the store. Unknown fields are preserved verbatim.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use zeroize::{Zeroize, Zeroizing};

const ROUTERS: &str = "routers";

/// A JSON value as it stands in the file. Wiped on drop, because it may be an unsealed token.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct RawText(Box<RawValue>);

impl Drop for RawText {
    fn drop(&mut self) {
        Box::<str>::from(std::mem::take(&mut self.0)).zeroize();
    }
}

/// The fields of an object, each as it stands in the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct DocumentFields(BTreeMap<String, RawText>);

impl DocumentFields {
    /// Returns one field; `None` if it is missing or null, an error if it has another type.
    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ()> {
        self.0.get(name).map_or(Ok(None), |raw| serde_json::from_str(raw.0.get()).map_err(|_| ()))
    }

    /// Sets one field, or removes it.
    pub(super) fn set(&mut self, name: &str, value: Option<&(impl Serialize + ?Sized)>) {
        // Serializing texts and lists of texts cannot fail.
        match value.and_then(|value| to_raw_value(value).ok()) {
            Some(raw) => self.0.insert(name.to_owned(), RawText(raw)),
            None => self.0.remove(name),
        };
    }
}

/// The whole file.
#[derive(Default)]
pub(super) struct Document {
    /// The entries by address.
    pub(super) routers: BTreeMap<String, DocumentFields>,
    /// All fields besides `routers`.
    pub(super) rest: DocumentFields,
}

impl Document {
    /// Parses the file. The error never contains any part of it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
        serde_json::from_str(text).map_err(|error| {
            // Only the place is reported: the parser's message may quote a token.
            let what = match error.classify() {
                serde_json::error::Category::Eof => "it ends too early",
                serde_json::error::Category::Data => "a value in it is of the wrong kind",
                serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                    "it is no JSON"
                }
            };
            format!("{what} (line {}, column {})", error.line(), error.column())
        })
    }

    /// Writes indented JSON. `bytes` is the initial capacity, which should suffice, so that growth
    /// leaves no copies of plain tokens behind.
    pub(super) fn write(&self, bytes: usize) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(bytes));
        // Writing texts into memory cannot fail.
        let written = serde_json::to_writer_pretty(&mut *text, self);
        debug_assert!(written.is_ok(), "a document is always written");
        text.push(b'\n');
        text
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.rest.0.len() + 1))?;
        for (name, value) in &self.rest.0 {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(ROUTERS, &self.routers)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            // Implemented by hand, because serde's `flatten` cannot deserialize raw values.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut document = Document::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == ROUTERS {
                        document.routers = map.next_value()?;
                    } else {
                        document.rest.0.insert(name, map.next_value()?);
                    }
                }
                Ok(document)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
