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
mod tests {
    use super::*;
    use crate::limits::SCRATCH;

    const ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";

    fn from_node(frame: &str) -> Result<std::string::String, Malformed> {
        let mut scratch = [0; SCRATCH];
        decode_from_node(frame, &mut scratch).map(|m| std::format!("{m:?}"))
    }

    #[test]
    fn numbers_as_python_writes_them_count_as_none_and_the_rest_of_the_frame_is_used() {
        for number in ["NaN", "Infinity", "-Infinity"] {
            let frame = std::format!(
                r#"{{"type":"heartbeat","occupancy":true,"noise_level":{number},"x":[{number},{{"y":{number}}}]}}"#
            );
            let mut scratch = [0; SCRATCH];
            let heartbeat = Heartbeat { occupancy: Some(true), ..Heartbeat::default() };
            assert_eq!(
                decode_from_node(&frame, &mut scratch),
                Ok(NodeMessage::Heartbeat(heartbeat)),
                "{frame}"
            );
            let frame =
                std::format!(r#"{{"type":"heartbeat","occupancy":{number},"noise_level":-3.5}}"#);
            let noise_level = json::Number::parse("-3.5");
            assert_eq!(
                decode_from_node(&frame, &mut [0; SCRATCH]),
                Ok(NodeMessage::Heartbeat(Heartbeat { noise_level, ..Heartbeat::default() }))
            );
            let frame = std::format!(
                r#"{{"type":"pair_request","hardware_profile":{{"a\"NaN":"NaN \\","b":[{number}, 1]}}}}"#
            );
            let mut scratch = [0; SCRATCH];
            let Ok(NodeMessage::PairRequest(request)) = decode_from_node(&frame, &mut scratch)
            else {
                panic!("{frame}")
            };
            assert_eq!(
                request.profile.as_str(),
                r#"{"a\"NaN":"NaN \\","b":[null, 1]}"#,
                "what is kept is JSON"
            );
            assert_eq!(
                from_node(&std::format!(r#"{{"type":"levels","db":{number}}}"#)),
                Ok("Other".into())
            );
        }
        for wrong in [
            "-NaN",
            "+Infinity",
            "nan",
            "inf",
            "Infinit",
            "Infinityx",
            "--Infinity",
            "NaNNaN",
            "- Infinity",
        ] {
            assert_eq!(
                from_node(&std::format!(r#"{{"type":"heartbeat","noise_level":{wrong}}}"#)),
                Err(Malformed::Json),
                "{wrong}"
            );
        }
        let named = r#"{"type":"pair_request","friendly_name":NaN}"#;
        assert_eq!(from_node(named), Err(Malformed::Field(Field::FriendlyName)));
    }

    #[test]
    fn a_pair_request_fills_in_what_is_missing() {
        let mut scratch = [0; SCRATCH];
        let message =
            decode_from_node(r#"{"type":"pair_request","node_id":"x","more":[1]}"#, &mut scratch)
                .unwrap();
        let expected =
            PairRequest { name: Label::UNKNOWN, room: Label::UNKNOWN, profile: Profile::EMPTY };
        assert_eq!(message, NodeMessage::PairRequest(expected));
    }

    #[test]
    fn the_last_of_two_equal_fields_counts() {
        let mut scratch = [0; SCRATCH];
        let frame =
            r#"{"type":"auth","room":7,"type":"pair_request","room":"a","room":"K\u00fcche"}"#;
        let NodeMessage::PairRequest(request) = decode_from_node(frame, &mut scratch).unwrap()
        else {
            panic!("not a pair_request");
        };
        assert_eq!(request.room.as_str(), "Küche");
    }

    #[test]
    fn wrong_types_and_characters_name_the_field() {
        for (frame, field) in [
            (r#"{"type":"pair_request","friendly_name":7}"#, Field::FriendlyName),
            (r#"{"type":"pair_request","friendly_name":null}"#, Field::FriendlyName),
            (r#"{"type":"pair_request","friendly_name":"\ud800"}"#, Field::FriendlyName),
            (r#"{"type":"pair_request","friendly_name":"\u001b[2J"}"#, Field::FriendlyName),
            (r#"{"type":"pair_request","room":{}}"#, Field::Room),
            (r#"{"type":"pair_request","hardware_profile":[]}"#, Field::HardwareProfile),
            (r#"{"type":"auth","node_id":7}"#, Field::NodeId),
            (r#"{"type":"auth","token":false}"#, Field::Token),
            (r#"{"type":"heartbeat","occupancy":1}"#, Field::Occupancy),
            (r#"{"type":"heartbeat","noise_level":"1"}"#, Field::NoiseLevel),
            (r#"{"type":"heartbeat","wake_word_fp":"no"}"#, Field::WakeWordFp),
        ] {
            assert_eq!(from_node(frame), Err(Malformed::Field(field)), "{frame}");
        }
    }

    #[test]
    fn credentials_that_nobody_was_given_are_unusable_and_not_an_error() {
        for frame in [
            r#"{"type":"auth"}"#,
            r#"{"type":"auth","node_id":"","token":""}"#,
            r#"{"type":"auth","node_id":"caa4270d-912f-4099-ac2d-45e9d0253e3e","token":"short"}"#,
        ] {
            let mut scratch = [0; SCRATCH];
            assert_eq!(
                decode_from_node(frame, &mut scratch),
                Ok(NodeMessage::Auth(Auth::Unusable)),
                "{frame}"
            );
        }
    }

    #[test]
    fn a_message_without_a_known_type_is_the_applications() {
        for frame in ["{}", r#"{"type":7}"#, r#"{"type":"audio_start"}"#, r#"{"type":""}"#] {
            let mut scratch = [0; SCRATCH];
            assert_eq!(decode_from_node(frame, &mut scratch), Ok(NodeMessage::Other), "{frame}");
        }
    }

    #[test]
    fn every_message_of_a_node_reads_back() {
        let node_id = NodeId::parse(ID).unwrap();
        let token = || Token::parse("HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ").unwrap();
        let label = |s| Label::parse(s).unwrap();
        let profile = Profile::parse(r#"{"board":"qemu"}"#).unwrap();
        for message in [
            NodeMessage::PairRequest(PairRequest {
                name: label("\"Kü\\che\""),
                room: label("2"),
                profile,
            }),
            NodeMessage::Auth(Auth::Presented { node_id, token: token() }),
            NodeMessage::Heartbeat(Heartbeat {
                occupancy: Some(true),
                noise_level: json::Number::parse("0.25"),
                wake_word_fp: Some(false),
            }),
        ] {
            let (mut out, mut scratch) = ([0; SCRATCH], [0; SCRATCH]);
            let frame = encode_from_node(&message, &mut out).unwrap();
            assert_eq!(decode_from_node(frame, &mut scratch).unwrap(), message);
        }
    }

    #[test]
    fn the_longest_request_with_a_small_profile_fits_the_scratch() {
        let worst: std::string::String =
            core::iter::repeat_n('"', crate::limits::LABEL_CHARS).collect();
        let widest: std::string::String =
            core::iter::repeat_n('𐍈', crate::limits::LABEL_CHARS).collect();
        let object =
            std::format!("{{\"x\":\"{}\"}}", "y".repeat(crate::limits::SMALL_PROFILE_BYTES - 8));
        for text in [&worst, &widest] {
            let label = Label::parse(text).unwrap();
            let request =
                PairRequest { name: label, room: label, profile: Profile::parse(&object).unwrap() };
            assert!(
                encode_from_node(&NodeMessage::PairRequest(request), &mut [0; SCRATCH]).is_some()
            );
        }
    }

    #[test]
    fn every_message_of_a_gateway_reads_back() {
        let node_id = NodeId::parse(ID).unwrap();
        for message in [
            GatewayMessage::PairPending { node_id },
            GatewayMessage::AuthOk { node_id, room: Label::parse("\"Küche\"").unwrap() },
            GatewayMessage::AuthFail(AuthFailure::InvalidCredentials),
            GatewayMessage::AuthFail(AuthFailure::NotApproved),
            GatewayMessage::Muted,
            GatewayMessage::Error("Malformed JSON"),
        ] {
            let (mut out, mut scratch) = ([0; SCRATCH], [0; SCRATCH]);
            let frame = encode_from_gateway(&message, &mut out).unwrap();
            assert_eq!(decode_from_gateway(frame, &mut scratch).unwrap(), Some(message));
        }
    }

    #[test]
    fn a_gateway_may_say_things_this_version_does_not_know() {
        let mut scratch = [0; SCRATCH];
        assert_eq!(decode_from_gateway(r#"{"type":"tts","x":1}"#, &mut scratch), Ok(None));
        let mut scratch = [0; SCRATCH];
        let fail =
            decode_from_gateway(r#"{"type":"auth_fail","reason":"full moon"}"#, &mut scratch);
        assert_eq!(fail, Ok(Some(GatewayMessage::AuthFail(AuthFailure::Other))));
    }
}
