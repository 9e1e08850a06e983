use std::format;
use std::string::String;

use super::*;

const BODY: &str = r#"{"wifi_ssid":"HomeNetwork","wifi_password":"correct horse","room":"K\u00fcche",
 "command_center_url":"https://cc.local:7703/","household_id":"h1","node_id":"jarvis-1a2b3c4d",
 "provisioning_token":"prov_abc","config_service_url":null,"more":{"a":[1]}}"#;

fn provision(body: &str) -> Result<String, BodyDefect> {
    let mut room = [0; 512];
    ProvisionRequest::read(body, &mut room).map(|request| format!("{request:?}"))
}

fn defects(body: &str) -> std::vec::Vec<(&'static str, Problem)> {
    match provision(body) {
        Err(BodyDefect::Fields(fields)) => fields.iter().collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_read_with_its_escapes_and_shown_without_its_secrets() {
    let mut room = [0; 512];
    let request = ProvisionRequest::read(BODY, &mut room).unwrap();
    assert_eq!((request.ssid.as_str(), request.room.as_str()), ("HomeNetwork", "Küche"));
    assert_eq!(request.passphrase.expose(), "correct horse");
    let Target::CommandCenter { url, household_id, token } = request.target else {
        panic!("{request:?}")
    };
    assert_eq!((url, household_id), ("https://cc.local:7703/", "h1"));
    assert_eq!((token.expose(), request.config_service), ("prov_abc", None));
    let shown = format!("{request:?}");
    assert!(!shown.contains("horse") && !shown.contains("prov_abc"), "{shown}");
}

#[test]
fn a_country_is_an_extra_field_that_is_checked_where_it_is_there() {
    let with =
        |country: &str| BODY.replace("\"more\"", &format!("\"wifi_country\":{country},\"more\""));
    let mut room = [0; 512];
    assert_eq!(ProvisionRequest::read(BODY, &mut room).unwrap().country, None);
    let body = with("\"at\"");
    assert_eq!(ProvisionRequest::read(&body, &mut room).unwrap().country, Country::parse("AT"));
    let body = with("null");
    assert_eq!(ProvisionRequest::read(&body, &mut room).unwrap().country, None);
    for (wrong, problem) in [
        ("\"XX\"", Problem::NotACountry),
        ("\"\"", Problem::NotACountry),
        ("\"AT\\ncountry_code=US\"", Problem::NotACountry),
        ("7", Problem::NotText),
    ] {
        assert_eq!(defects(&with(wrong)), [("wifi_country", problem)], "{wrong}");
    }
    let body = r#"{"wifi_ssid":"a","wifi_password":"","wifi_country":"CH"}"#;
    assert_eq!(NetworkRequest::read(body, &mut room).unwrap().country, Country::parse("CH"));
}

#[test]
fn an_invitation_takes_the_command_centers_place_only_where_it_is_sealed() {
    const INVITATION: &str = "handfast:1?a=ws://192.168.1.10:8765&k=AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO&c=K7QF-ABCDEFGHJKLMNPQR";
    let body = |gateway: &str| {
        format!(
            r#"{{"wifi_ssid":"a","wifi_password":"","room":"b","node_id":"c","gateway":"{gateway}"}}"#
        )
    };
    let (invited, none) = (body(INVITATION), body("handfast:1?a=ws://192.168.1.10"));
    let mut room = [0; 512];
    let request = ProvisionRequest::read_sealed(&invited, &mut room).unwrap();
    let Target::Gateway(invitation) = request.target else { panic!("{request:?}") };
    assert_eq!(invitation.expose(), INVITATION);
    assert!(!format!("{request:?}").contains("K7QF"));
    let mut room = [0; 512];
    match ProvisionRequest::read_sealed(&none, &mut room) {
        Err(BodyDefect::Fields(fields)) => {
            assert!(fields.iter().eq([("gateway", Problem::NotAnInvitation)]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        defects(&invited),
        ["command_center_url", "household_id", "provisioning_token"]
            .map(|name| (name, Problem::Missing))
    );
    let mut room = [0; 512];
    let request = ProvisionRequest::read_sealed(BODY, &mut room).unwrap();
    assert!(matches!(request.target, Target::CommandCenter { .. }));
}

#[test]
fn every_field_that_is_wrong_is_named_at_once_and_none_of_its_value() {
    assert_eq!(
        defects(
            r#"{"wifi_password":7,"room":"a\nb","node_id":"a:b","provisioning_token":"","wifi_ssid":""}"#
        ),
        [
            ("wifi_ssid", Problem::Empty),
            ("wifi_password", Problem::NotText),
            ("room", Problem::Characters),
            ("command_center_url", Problem::Missing),
            ("household_id", Problem::Missing),
            ("node_id", Problem::Characters),
            ("provisioning_token", Problem::Empty),
        ]
    );
    let long = BODY.replace("HomeNetwork", "a name of more than thirty-two bytes");
    assert_eq!(defects(&long), [("wifi_ssid", Problem::TooLong(32))]);
    assert_eq!(provision("{"), Err(BodyDefect::NotJson));
    assert_eq!(provision("[]"), Err(BodyDefect::NotAnObject));
}

#[test]
fn the_last_of_a_repeated_member_counts() {
    let twice = BODY.replace("\"more\":", "\"room\":\"Hall\",\"more\":");
    assert!(provision(&twice).unwrap().contains("Hall"));
}

fn k2(k2: &str, created_at: &str) -> String {
    format!(r#"{{"node_id":"n","kid":"k","k2":"{k2}","created_at":{created_at}}}"#)
}

#[test]
fn k2_is_taken_with_and_without_padding_and_says_what_is_wrong_with_it() {
    let key = base64url::encode_32(&[7; 32]);
    let key = core::str::from_utf8(&key).unwrap();
    let time = "\"2026-11-30T04:00:00+01:00\"";
    let read = |text: &str| {
        let body = k2(text, time);
        let mut room = [0; 512];
        K2Request::read(&body, &mut room).unwrap().k2.map(|key| *key.expose())
    };
    assert_eq!(read(key), Ok([7; 32]));
    assert_eq!(read(&format!("{key}=")), Ok([7; 32]));
    assert_eq!(read("AAAA"), Err(NoK2::Length(3)));
    assert_eq!(read(""), Err(NoK2::Length(0)));
    for junk in ["A", "AA=", "AA===", "AAAA====", "AB+/", "AA==AA==", "Ä", "AB"] {
        assert_eq!(read(junk), Err(NoK2::Encoding), "{junk}");
    }
}

#[test]
fn the_time_of_k2_is_rfc_3339_or_a_number_since_1970() {
    let read = |time: &str| {
        let body = k2("AAAA", time);
        let mut room = [0; 512];
        K2Request::read(&body, &mut room).map(|request| request.created_at.as_secs())
    };
    for same in ["\"1970-01-01T00:20:00Z\"", "1200", "1200.75", "\"1200\""] {
        assert_eq!(read(same), Ok(1200), "{same}");
    }
    assert_eq!(read("1764475200123"), Ok(1_764_475_200));
    for none in ["\"yesterday\"", "-5", "1e3", "true", "null", "\"+5\"", "\"5.\""] {
        let Err(BodyDefect::Fields(fields)) = read(none) else { panic!("{none} is read") };
        assert!(fields.iter().eq([("created_at", Problem::NotATime)]), "{none}");
    }
}

#[test]
fn an_answer_names_a_whole_gateway_or_none() {
    let key = base64url::encode_32(
        crate::crypto::x25519::KeyPair::generate(&crate::entropy::Entropy::from_recorded([9; 32]))
            .public()
            .as_bytes(),
    );
    let key = core::str::from_utf8(&key).unwrap();
    let read = |more: &str| {
        let body = format!(r#"{{"node_id":"n","node_key":"id.secret","user":null{more}}}"#);
        let mut room = [0; 512];
        match RegisterAnswer::read(&body, &mut room) {
            Ok(answer) => Ok(answer.gateway.is_some()),
            Err(BodyDefect::Fields(fields)) => Err(fields.iter().next().unwrap()),
            Err(other) => panic!("{other:?}"),
        }
    };
    let address = r#","gateway_address":"ws://10.0.0.2:8765""#;
    assert_eq!(read(""), Ok(false));
    assert_eq!(read(&format!(r#","gateway_key":"{key}"{address}"#)), Ok(true));
    assert_eq!(read(address), Err(("gateway_key", Problem::Missing)));
    assert_eq!(
        read(&format!(r#","gateway_key":"{key}""#)),
        Err(("gateway_address", Problem::Missing))
    );
    assert_eq!(
        read(&format!(r#","gateway_key":"{}"{address}"#, &key[1..])),
        Err(("gateway_key", Problem::Characters))
    );
}

#[test]
fn the_words_of_a_refusal_are_shown_as_far_as_a_line_can_show_them() {
    let mut room = [0; 128];
    let detail = r#"{"detail":"Invalid or expired\u0020token\n\u001b[2J"}"#;
    assert_eq!(
        refusal_detail(detail, &mut room).map(|label| label.as_str()),
        Some("Invalid or expired token")
    );
    for none in ["", "{}", r#"{"detail":[1]}"#, "<html>"] {
        assert_eq!(refusal_detail(none, &mut [0; 64]), None, "{none}");
    }
}
