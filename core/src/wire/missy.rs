//! The `missy` dialect: one JSON object per WebSocket text frame, told apart by `type`. Unknown
//! fields and types are skipped; of a repeated field the last one counts.

use super::json::{self, Text, Value};
use super::json_write::ObjectWriter;
use super::registration::{
    Auth, AuthFailure, GatewayMessage, Heartbeat, NodeMessage, PairRequest, Profile,
};
use super::token::Token;
use crate::error::{Field, Malformed};
use crate::id::NodeId;
use crate::text::Label;

/// Reads a frame from a node. `scratch` takes texts with escapes.
///
/// # Errors
/// The first defect of the frame. A message that is wrong in part is an error as a whole.
pub fn decode_from_node<'b>(
    frame: &'b str,
    scratch: &'b mut [u8],
) -> Result<NodeMessage<'b>, Malformed> {
    let mut fields = NodeFields::default();
    // The original's nodes write numbers as Python does, with `-Infinity` for a silent microphone.
    // Such a reading counts as absent.
    json::members_of_python(frame, |key, value| fields.take(key, value))?;
    let mut room = scratch;
    let Some(Value::Text(kind)) = fields.kind else {
        return Ok(NodeMessage::Other);
    };
    if kind.is("pair_request") {
        Ok(NodeMessage::PairRequest(PairRequest {
            name: label(fields.name, Field::FriendlyName, &mut room)?,
            room: label(fields.room, Field::Room, &mut room)?,
            profile: match fields.profile {
                None => Profile::EMPTY,
                Some(Value::Object(text)) => {
                    profile(text, &mut room).ok_or(Malformed::Field(Field::HardwareProfile))?
                }
                Some(_) => return Err(Malformed::Field(Field::HardwareProfile)),
            },
        }))
    } else if kind.is("auth") {
        let node_id = text(fields.node_id, Field::NodeId)?
            .and_then(|t| parse_decoded(t, &mut room, NodeId::parse));
        let token = text(fields.token, Field::Token)?
            .and_then(|t| parse_decoded(t, &mut room, Token::parse));
        // An unreadable id or token is answered like a wrong one.
        Ok(NodeMessage::Auth(match (node_id, token) {
            (Some(node_id), Some(token)) => Auth::Presented { node_id, token },
            _ => Auth::Unusable,
        }))
    } else if kind.is("heartbeat") {
        Ok(NodeMessage::Heartbeat(Heartbeat {
            occupancy: boolean(fields.occupancy, Field::Occupancy)?,
            noise_level: match fields.noise_level {
                None | Some(Value::Null) => None,
                // Parsed again, because the scanner accepts longer numbers than a message may
                // carry.
                Some(Value::Number(n)) => Some(
                    json::Number::parse(n.as_str()).ok_or(Malformed::Field(Field::NoiseLevel))?,
                ),
                Some(_) => return Err(Malformed::Field(Field::NoiseLevel)),
            },
            wake_word_fp: boolean(fields.wake_word_fp, Field::WakeWordFp)?,
        }))
    } else {
        Ok(NodeMessage::Other)
    }
}

/// Reads a frame from a gateway; returns `None` for a type that this version does not know, which
/// the node skips.
///
/// # Errors
/// The first defect of the frame.
pub fn decode_from_gateway<'b>(
    frame: &'b str,
    scratch: &'b mut [u8],
) -> Result<Option<GatewayMessage<'b>>, Malformed> {
    let mut fields = GatewayFields::default();
    json::members(frame, |key, value| fields.take(key, value))?;
    let mut room = scratch;
    let Some(Value::Text(kind)) = fields.kind else {
        return Ok(None);
    };
    let mut node_id = || {
        let given = text(fields.node_id, Field::NodeId)?;
        given
            .and_then(|t| parse_decoded(t, &mut room, NodeId::parse))
            .ok_or(Malformed::Field(Field::NodeId))
    };
    Ok(Some(if kind.is("pair_pending") {
        GatewayMessage::PairPending { node_id: node_id()? }
    } else if kind.is("auth_ok") {
        // The room is only shown to people, so one that exceeds this system's bounds must not keep
        // the node from linking.
        let shown = |room: &mut &'b mut [u8]| {
            label(fields.room, Field::Room, room).unwrap_or(Label::UNKNOWN)
        };
        GatewayMessage::AuthOk { node_id: node_id()?, room: shown(&mut room) }
    } else if kind.is("auth_fail") {
        let reason = text(fields.reason, Field::Reason)?;
        // An unknown reason is still a refusal.
        let known = [AuthFailure::InvalidCredentials, AuthFailure::NotApproved];
        let named = |f: &AuthFailure| reason.is_some_and(|r| r.is(f.as_str()));
        GatewayMessage::AuthFail(known.into_iter().find(named).unwrap_or(AuthFailure::Other))
    } else if kind.is("muted") {
        GatewayMessage::Muted
    } else if kind.is("error") {
        let message = text(fields.message, Field::Message)?;
        GatewayMessage::Error(message.and_then(|t| t.decode(&mut room)).unwrap_or("unreadable"))
    } else {
        return Ok(None);
    }))
}

/// Writes a message of a node; returns `None` if `out` is too small, and for
/// [`NodeMessage::Other`].
#[must_use]
pub fn encode_from_node<'b>(message: &NodeMessage<'_>, out: &'b mut [u8]) -> Option<&'b str> {
    let object = ObjectWriter::new(out);
    match message {
        NodeMessage::PairRequest(PairRequest { name, room, profile }) => object
            .text("type", "pair_request")
            .text("friendly_name", name.as_str())
            .text("room", room.as_str())
            .verbatim("hardware_profile", profile.as_str())
            .finish(),
        NodeMessage::Auth(Auth::Presented { node_id, token }) => object
            .text("type", "auth")
            .text("node_id", node_id.text().as_str())
            .text("token", token.expose())
            .finish(),
        NodeMessage::Auth(Auth::Unusable) => object.text("type", "auth").finish(),
        NodeMessage::Heartbeat(Heartbeat { occupancy, noise_level, wake_word_fp }) => object
            .text("type", "heartbeat")
            .boolean("occupancy", *occupancy)
            .number("noise_level", *noise_level)
            // The dialect has no `null` for this field.
            .boolean("wake_word_fp", Some(wake_word_fp.unwrap_or(false)))
            .finish(),
        NodeMessage::Other => None,
    }
}

/// Writes a message of a gateway; returns `None` if `out` is too small.
#[must_use]
pub fn encode_from_gateway<'b>(message: &GatewayMessage<'_>, out: &'b mut [u8]) -> Option<&'b str> {
    let object = ObjectWriter::new(out);
    match message {
        GatewayMessage::PairPending { node_id } => {
            object.text("type", "pair_pending").text("node_id", node_id.text().as_str()).finish()
        }
        GatewayMessage::AuthOk { node_id, room } => object
            .text("type", "auth_ok")
            .text("node_id", node_id.text().as_str())
            .text("room", room.as_str())
            .finish(),
        GatewayMessage::AuthFail(failure) => {
            object.text("type", "auth_fail").text("reason", failure.as_str()).finish()
        }
        GatewayMessage::Muted => object.text("type", "muted").finish(),
        GatewayMessage::Error(message) => {
            object.text("type", "error").text("message", message).finish()
        }
    }
}

/// Returns the text of the `error` frame for a malformed frame.
#[must_use]
pub const fn complaint(malformed: Malformed) -> &'static str {
    match malformed {
        Malformed::Json => "Malformed JSON",
        Malformed::NotAnObject => "Message must be a JSON object",
        Malformed::Field(field) => match field {
            Field::FriendlyName => {
                "friendly_name must be text of at most 64 characters without control characters"
            }
            Field::Room => "room must be text of at most 64 characters without control characters",
            Field::HardwareProfile => {
                "hardware_profile must be a JSON object of at most 4096 bytes"
            }
            Field::NodeId => "node_id must be text",
            Field::Token => "token must be text",
            Field::Occupancy => "occupancy must be true, false or null",
            Field::NoiseLevel => "noise_level must be a number or null",
            Field::WakeWordFp => "wake_word_fp must be true or false",
            Field::Reason => "reason must be text",
            Field::Message => "message must be text",
        },
    }
}

#[derive(Default)]
struct NodeFields<'b> {
    kind: Option<Value<'b>>,
    name: Option<Value<'b>>,
    room: Option<Value<'b>>,
    profile: Option<Value<'b>>,
    node_id: Option<Value<'b>>,
    token: Option<Value<'b>>,
    occupancy: Option<Value<'b>>,
    noise_level: Option<Value<'b>>,
    wake_word_fp: Option<Value<'b>>,
}

impl<'b> NodeFields<'b> {
    fn take(&mut self, key: Text<'b>, value: Value<'b>) {
        let places = [
            ("type", &mut self.kind),
            ("friendly_name", &mut self.name),
            ("room", &mut self.room),
            ("hardware_profile", &mut self.profile),
            ("node_id", &mut self.node_id),
            ("token", &mut self.token),
            ("occupancy", &mut self.occupancy),
            ("noise_level", &mut self.noise_level),
            ("wake_word_fp", &mut self.wake_word_fp),
        ];
        put(places, key, value);
    }
}

#[derive(Default)]
struct GatewayFields<'b> {
    kind: Option<Value<'b>>,
    node_id: Option<Value<'b>>,
    room: Option<Value<'b>>,
    reason: Option<Value<'b>>,
    message: Option<Value<'b>>,
}

impl<'b> GatewayFields<'b> {
    fn take(&mut self, key: Text<'b>, value: Value<'b>) {
        let places = [
            ("type", &mut self.kind),
            ("node_id", &mut self.node_id),
            ("room", &mut self.room),
            ("reason", &mut self.reason),
            ("message", &mut self.message),
        ];
        put(places, key, value);
    }
}

fn put<'b, const N: usize>(
    places: [(&str, &mut Option<Value<'b>>); N],
    key: Text<'b>,
    value: Value<'b>,
) {
    if let Some((_, place)) = places.into_iter().find(|(name, _)| key.is(name)) {
        // The last of a repeated member counts, as the original reads it.
        *place = Some(value);
    }
}

fn text<'b>(value: Option<Value<'b>>, field: Field) -> Result<Option<Text<'b>>, Malformed> {
    match value {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Malformed::Field(field)),
    }
}

fn boolean(value: Option<Value<'_>>, field: Field) -> Result<Option<bool>, Malformed> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(bool)) => Ok(Some(bool)),
        Some(_) => Err(Malformed::Field(field)),
    }
}

fn label<'b>(
    value: Option<Value<'b>>,
    field: Field,
    room: &mut &'b mut [u8],
) -> Result<Label<'b>, Malformed> {
    match text(value, field)? {
        None => Ok(Label::UNKNOWN),
        Some(text) => text.decode(room).and_then(Label::parse).ok_or(Malformed::Field(field)),
    }
}

/// Reads a profile, with Python's extra numbers replaced by `null`.
fn profile<'b>(text: &'b str, room: &mut &'b mut [u8]) -> Option<Profile<'b>> {
    // Most profiles are plain JSON, so they are not rewritten.
    Profile::parse(text).or_else(|| {
        let length = json::without_python(text, room)?.len();
        let (mine, rest) = core::mem::take(room).split_at_mut_checked(length)?;
        *room = rest;
        Profile::parse(core::str::from_utf8(mine).ok()?)
    })
}

/// Decodes and parses a text; a text that does not decode parses as `None`.
fn parse_decoded<'b, T>(
    text: Text<'b>,
    room: &mut &'b mut [u8],
    parse: fn(&str) -> Option<T>,
) -> Option<T> {
    parse(text.decode(room)?)
}

#[cfg(test)]
mod tests;
