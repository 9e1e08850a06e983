//! Tests of the `missy` dialect.

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
        let Ok(NodeMessage::PairRequest(request)) = decode_from_node(&frame, &mut scratch) else {
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
    let frame = r#"{"type":"auth","room":7,"type":"pair_request","room":"a","room":"K\u00fcche"}"#;
    let NodeMessage::PairRequest(request) = decode_from_node(frame, &mut scratch).unwrap() else {
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
        assert!(encode_from_node(&NodeMessage::PairRequest(request), &mut [0; SCRATCH]).is_some());
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
    let fail = decode_from_gateway(r#"{"type":"auth_fail","reason":"full moon"}"#, &mut scratch);
    assert_eq!(fail, Ok(Some(GatewayMessage::AuthFail(AuthFailure::Other))));
}
