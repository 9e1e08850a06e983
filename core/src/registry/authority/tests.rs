use std::string::ToString;

use super::*;

const END: UnixTime = UnixTime::from_secs(1000);
const LATER: UnixTime = UnixTime::from_secs(1001);

fn session(scopes: &str) -> Authority {
    Authority::Delegated(Delegated {
        right: Right::Session(SessionId::from_bytes([1; 16])),
        scopes: ScopesBuf::parse(scopes).unwrap(),
        ends: Some(END),
        may_approve: false,
    })
}

fn mints(
    authority: &Authority,
    scopes: &str,
    until: Until,
) -> Result<UnixTime, std::string::String> {
    let scopes = ScopesBuf::parse(scopes).unwrap();
    authority.mint(&scopes.scopes(), until).map_err(|wider| wider.to_string())
}

#[test]
fn a_delegated_right_mints_what_it_covers_and_names_the_first_scope_that_it_does_not() {
    let own = session("read:/lights/**\nadmin:/gateway/pairing/codes\n");
    assert_eq!(mints(&own, "read:/lights/hall\n", Until::Exactly(END)), Ok(END));
    assert_eq!(mints(&own, "", Until::Exactly(END)), Ok(END));
    for (wanted, named) in [
        ("admin:/**\n", "admin:/**"),
        ("read:/lights/**\nwrite:/lights/hall\nread:/**\n", "write:/lights/hall"),
        ("admin:/gateway/**\n", "admin:/gateway/**"),
        ("read:/*/hall\n", "read:/*/hall"),
    ] {
        let wider = mints(&own, wanted, Until::AtMost(END)).unwrap_err();
        assert!(wider.contains(named), "{wanted:?}: {wider}");
    }
}

#[test]
fn a_pattern_for_everything_covers_nothing_of_the_gateways_own() {
    let own = session("admin:/**\n");
    assert_eq!(mints(&own, "admin:/**\nread:/lights/**\n", Until::Exactly(END)), Ok(END));
    for wanted in ["admin:/gateway/**\n", "read:/gateway\n", "admin:/gateway/setup\n"] {
        assert!(mints(&own, wanted, Until::Exactly(END)).is_err(), "{wanted:?}");
    }
    assert!(mints(&own, "read:/gatewayed/x\n", Until::Exactly(END)).is_ok());
    let gateways = session("admin:/gateway/**\n");
    assert_eq!(mints(&gateways, "read:/gateway/devices\n", Until::Exactly(END)), Ok(END));
    assert!(mints(&gateways, "read:/lights/**\n", Until::Exactly(END)).is_err());
}

#[test]
fn what_is_minted_ends_no_later_than_the_right_and_is_not_shortened_in_silence() {
    let own = session("read:/**\n");
    assert_eq!(mints(&own, "read:/a\n", Until::AtMost(LATER)), Ok(END));
    assert_eq!(
        mints(&own, "read:/a\n", Until::AtMost(UnixTime::from_secs(9))),
        Ok(UnixTime::from_secs(9))
    );
    let longer = mints(&own, "read:/a\n", Until::Exactly(LATER)).unwrap_err();
    assert!(longer.contains("1970-01-01T00:16:40Z"), "{longer}");
    assert_eq!(mints(&Authority::OWNER, "admin:/**\n", Until::Exactly(LATER)), Ok(LATER));
}

#[test]
fn a_node_without_scopes_is_approved_by_operators_and_by_rights_that_say_so() {
    let Authority::Delegated(own) = session("admin:/gateway/devices/**\n") else { panic!() };
    assert_eq!(Authority::Delegated(own.clone()).approve_unbounded(), Err(Wider::Unbounded));
    assert_eq!(
        Authority::Delegated(Delegated { may_approve: true, ..own }).approve_unbounded(),
        Ok(())
    );
    assert_eq!(Authority::OWNER.approve_unbounded(), Ok(()));
}

#[test]
fn what_is_not_kept_makes_nothing_that_is() {
    let Authority::Delegated(own) = session("read:/**\n") else { panic!() };
    assert_eq!(
        Authority::Delegated(own.clone()).maker(),
        Ok(Maker::Session(SessionId::from_bytes([1; 16])))
    );
    for right in [Right::Capability(None), Right::Bearer] {
        assert_eq!(
            Authority::Delegated(Delegated { right, ..own.clone() }).maker(),
            Err(Wider::NotKept)
        );
    }
}

#[test]
fn each_role_reaches_what_its_scopes_say() {
    let reaches = |role, action, address| {
        Authority::Operator(role).reaches(action, &Address::parse(address).unwrap())
    };
    for (address, read, operate) in [
        ("/gateway/devices", true, true),
        ("/gateway/pairing/codes", true, true),
        ("/gateway/ca/rotate", true, false),
        ("/gateway/roles", true, false),
        ("/gateway/tokens/x", true, false),
        ("/gateway/sessions/revoke-all", true, false),
        ("/gateway/paired/revoke-all", true, false),
        ("/lights", false, false),
    ] {
        assert_eq!(reaches(Role::Viewer, Action::Read, address), read, "{address}");
        assert!(!reaches(Role::Viewer, Action::Admin, address), "{address}");
        assert_eq!(reaches(Role::Operator, Action::Admin, address), operate, "{address}");
        assert_eq!(reaches(Role::Owner, Action::Admin, address), read, "{address}");
    }
    assert_eq!(Role::parse("viewer"), Some(Role::Viewer));
    assert_eq!(Role::parse("root"), None);
}

#[test]
fn a_secret_that_lets_nodes_in_is_shown_to_whoever_could_mint_it() {
    let own = session("admin:/gateway/**\n");
    assert!(own.is_shown_secrets_of(Maker::Session(SessionId::from_bytes([1; 16]))));
    assert!(!own.is_shown_secrets_of(Maker::Session(SessionId::from_bytes([2; 16]))));
    assert!(!own.is_shown_secrets_of(Maker::Operator));
    assert!(!Authority::Operator(Role::Viewer).is_shown_secrets_of(Maker::Operator));
    assert!(Authority::Operator(Role::Operator).is_shown_secrets_of(Maker::Operator));
}

#[test]
fn a_profile_that_was_widened_later_gives_no_more_than_its_makers() {
    let [own, minted] = ["read:/lights/**\n", "read:/lights/a\nwrite:/lights/a\n"]
        .map(|text| ScopesBuf::parse(text).unwrap());
    assert_eq!(within(&own, &minted).as_str(), "read:/lights/a\n");
}

#[test]
fn codes_and_grants_have_upper_bounds() {
    let bounds = Bounds::DEFAULT;
    let days = |days: u64| Span::from_secs(days * 86_400);
    assert_eq!(bounds.check_code(days(1), 255, Some(days(400))), Ok(()));
    assert_eq!(bounds.check_code(days(2), 1, None), Err(Exceeded::CodeFor));
    assert_eq!(bounds.check_code(days(1), 256, None), Err(Exceeded::CodeUses));
    assert_eq!(bounds.check_code(days(1), 1, Some(days(401))), Err(Exceeded::GrantFor));
}

#[test]
fn a_delegated_right_exchanges_messages_with_nodes_only_where_its_own_scopes_reach() {
    let at = |text| Address::parse(text).unwrap();
    let own = session("admin:/gateway/**\nwrite:/lights/hall\nread:/lights/*\n");
    assert_eq!(own.sends(Action::Write, at("/lights/hall")), Ok(()));
    for (action, address) in
        [(Action::Admin, "/lights/hall"), (Action::Write, "/doors/1"), (Action::Write, "/lights/1")]
    {
        assert!(matches!(own.sends(action, at(address)), Err(Wider::Scope { .. })), "{address}");
    }
    assert!(own.hears(Some(at("/lights/1"))) && !own.hears(Some(at("/doors/1"))));
    assert!(!own.hears(None), "no scope allows what has no address");
    // A pattern for everything means the application's addresses.
    assert!(session("write:/**\n").sends(Action::Write, at("/gateway/devices")).is_err());

    let viewer = Authority::Operator(Role::Viewer);
    assert!(viewer.sends(Action::Read, at("/a")).is_err() && !viewer.hears(None));
    assert_eq!(Authority::OWNER.sends(Action::Admin, at("/a")), Ok(()));
    assert!(Authority::OWNER.hears(None) && Authority::OWNER.hears(Some(at("/a"))));
}

#[test]
fn an_operators_login_may_what_its_role_may_and_only_its_codes_are_its_own() {
    let id = LoginId::from_bytes([7; 16]);
    for role in [Role::Viewer, Role::Operator, Role::Owner] {
        let (login, socket) = (Authority::Login(role, id), Authority::Operator(role));
        for text in ["/gateway/devices", "/gateway/ca/rotate", "/gateway/tokens", "/lights/1"] {
            let address = Address::parse(text).unwrap();
            for action in [Action::Read, Action::Write, Action::Admin] {
                assert_eq!(login.reaches(action, &address), socket.reaches(action, &address));
            }
        }
        assert_eq!(login.code_maker(), Ok(Maker::Login(id)));
        assert_eq!(login.maker(), Ok(Maker::Operator), "what it approves outlives it");
        assert_eq!(login.is_viewer(), role == Role::Viewer);
        assert_eq!(login.is_shown_secrets_of(Maker::Operator), role != Role::Viewer);
        assert!(!login.is_delegated());
    }
    assert_eq!(Maker::Login(id).lasting(), Maker::Operator);
    let session = Maker::Session(SessionId::from_bytes([1; 16]));
    assert_eq!(session.lasting(), session);
}

#[test]
fn roles_tokens_logins_and_everything_at_once_are_the_owners() {
    let reaches = |role, text| {
        Authority::Operator(role).reaches(Action::Admin, &Address::parse(text).unwrap())
    };
    for text in [
        "/gateway/tokens",
        "/gateway/tokens/ab/revoke",
        "/gateway/operators/ab/revoke",
        "/gateway/logins",
        "/gateway/ca/rotate",
        "/gateway/paired/revoke-all",
        "/gateway/certs/revoke-all",
    ] {
        assert!(reaches(Role::Owner, text) && !reaches(Role::Operator, text), "{text}");
        let address = Address::parse(text).unwrap();
        for scopes in ["admin:/gateway/**\n", "admin:/gateway/tokens/**\nread:/gateway/**\n"] {
            let delegated = session(scopes);
            assert!(!delegated.reaches(Action::Admin, &address), "{text} by {scopes}");
            assert!(delegated.reaches(Action::Read, &address), "{text} by {scopes}");
        }
    }
    assert!(reaches(Role::Operator, "/gateway/devices/a/pair"));
}
