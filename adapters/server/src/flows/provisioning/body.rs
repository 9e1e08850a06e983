//! The body of a registration: JSON, whose further fields are ignored.

use handfast_core::crypto::{base64url, x25519};
use handfast_core::{Label, Name};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// The body of a registration.
#[derive(Debug)]
pub(super) struct RegisterBody {
    pub(super) external: Name,
    /// The token as the node has shown it, whatever it is.
    pub(super) token: Zeroizing<String>,
    pub(super) room: Name,
    pub(super) native_key: Option<x25519::PublicKey>,
}

/// The defects of a body, in the dialect's form. They never contain a value of the body.
pub(super) type Defects = Vec<Value>;

impl RegisterBody {
    /// Reads a body.
    ///
    /// # Errors
    /// Every field that is missing or wrong.
    pub(super) fn read(body: &[u8]) -> Result<Self, Defects> {
        let fields = match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => {
                let text = "Input should be a valid dictionary or object to extract fields from";
                return Err(vec![json!({
                    "type": "model_attributes_type", "loc": ["body"], "msg": text,
                })]);
            }
            Err(error) => {
                return Err(vec![json!({
                    "type": "json_invalid", "loc": ["body", error.column()],
                    "msg": "JSON decode error",
                })]);
            }
        };
        let mut reader = Reader { fields, defects: Vec::new() };
        let external = reader.name("node_id");
        let token = reader.text("provisioning_token").map(|text| Zeroizing::new(text.to_owned()));
        let room = reader.name("room");
        let native_key = reader.key("native_key");
        match (external, token, room) {
            (Some(external), Some(token), Some(room)) if reader.defects.is_empty() => {
                Ok(Self { external, token, room, native_key })
            }
            _ => Err(reader.defects),
        }
    }
}

struct Reader {
    fields: Map<String, Value>,
    defects: Defects,
}

impl Reader {
    fn defect(&mut self, kind: &str, field: &str, message: &str) {
        self.defects.push(json!({ "type": kind, "loc": ["body", field], "msg": message }));
    }

    fn text(&mut self, field: &str) -> Option<&str> {
        match self.fields.get(field) {
            Some(Value::String(_)) => self.fields.get(field).and_then(Value::as_str),
            Some(_) => {
                self.defect("string_type", field, "Input should be a valid string");
                None
            }
            None => {
                self.defect("missing", field, "Field required");
                None
            }
        }
    }

    /// Reads a text that people are shown.
    fn name(&mut self, field: &str) -> Option<Name> {
        let text = self.text(field)?;
        let name = Label::parse(text).filter(|name| name.as_str() == text).map(Name::from);
        if name.is_none() {
            let message = "String should have 1 to 64 characters, none of them invisible";
            self.defect("value_error", field, message);
        }
        name
    }

    /// Reads a key that may be missing or null.
    fn key(&mut self, field: &str) -> Option<x25519::PublicKey> {
        match self.fields.get(field) {
            None | Some(Value::Null) => return None,
            Some(_) => {}
        }
        let text = self.text(field)?;
        let mut bytes = [0; 32];
        let decoded = base64url::decode(text, &mut bytes).map(|decoded| decoded.len());
        let key = decoded.filter(|length| *length == 32);
        let key = key.and_then(|_| x25519::PublicKey::parse(&bytes).ok());
        if key.is_none() {
            let message = "String should be an X25519 public key in base64url without padding";
            self.defect("value_error", field, message);
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(body: &str) -> Vec<(String, String)> {
        let defects = RegisterBody::read(body.as_bytes()).unwrap_err();
        assert!(!format!("{defects:?}").contains("s3cret"), "no value of the body is told");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        defects.iter().map(|defect| (text(&defect["type"]), text(&defect["loc"][1]))).collect()
    }

    #[test]
    fn every_field_that_is_missing_or_wrong_is_named_and_none_of_its_values() {
        let pair = |kind: &str, field: &str| (kind.to_owned(), field.to_owned());
        assert_eq!(
            kinds("{}"),
            ["node_id", "provisioning_token", "room"].map(|field| pair("missing", field))
        );
        let body =
            r#"{"node_id":7,"provisioning_token":"s3cret","room":"a\nb","native_key":"s3cret"}"#;
        assert_eq!(
            kinds(body),
            [
                pair("string_type", "node_id"),
                pair("value_error", "room"),
                pair("value_error", "native_key")
            ]
        );
        assert_eq!(kinds("s3cret"), [pair("json_invalid", "")]);
        assert_eq!(kinds(r#"["s3cret"]"#), [pair("model_attributes_type", "")]);
    }

    #[test]
    fn further_fields_are_ignored_and_a_native_key_may_be_missing() {
        let body = r#"{"node_id":"jarvis-1","provisioning_token":"t","room":"hall","native_key":null,"firmware":[1]}"#;
        let read = RegisterBody::read(body.as_bytes()).unwrap();
        assert_eq!((read.external.as_str(), read.room.as_str()), ("jarvis-1", "hall"));
        assert_eq!(read.native_key, None);
    }
}
