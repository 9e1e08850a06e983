//! Links of the binary over the native wire: with its stored token, renewal, operator notices, and
//! delegated tokens.

mod support;

use handfast_core::NodeId;
use handfast_core::registry::lifecycle::Notice;
use rustix::process::Signal;
use support::native::{NativeGateway, Seen};
use support::program::{Home, Program, outcome};
use support::soon;

/// Returns a home whose node is paired by PIN.
async fn paired(gateway: &mut NativeGateway) -> (Home, NodeId) {
    let home = Home::new();
    let state = home.state();
    let mut program =
        Program::start_asked(&["pair", "--pin", "--gateway", &gateway.url(), "--state", &state]);
    let pin = gateway.pin().await;
    program.types(&pin).await;
    let done = program.end().await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    let id = gateway.linked().await;
    gateway.sees(Seen::Gone(Some(id))).await;
    gateway.registry(|registry| registry.guesses_left = 5);
    (home, id)
}

fn run(home: &Home) -> Program {
    Program::start(&["run", "--json", "--state", &home.state()])
}

#[tokio::test]
async fn a_restart_uses_the_kept_grant_by_itself_and_shows_no_secret() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    for _ in 0..2 {
        let mut node = run(&home);
        node.says(r#"{"event":"linked""#).await;
        gateway.sees(Seen::Linked(id)).await;
        node.signal(Signal::TERM);
        let ended = node.end().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(!ended.said.contains("hf1."), "a token was shown:\n{}", ended.said);
    }
    assert_eq!(gateway.registry(|registry| registry.grants.len()), 1, "nothing was granted anew");
}

#[tokio::test]
async fn a_gateway_that_goes_and_comes_back_is_linked_to_again() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    let mut node = run(&home);
    gateway.sees(Seen::Linked(id)).await;
    gateway.hang_up();
    node.says(r#""event":"retry in""#).await;
    gateway.sees(Seen::Linked(id)).await;
}

#[tokio::test]
async fn a_token_is_renewed_at_two_thirds_of_its_life_and_the_new_one_is_kept() {
    let mut gateway = NativeGateway::start().await;
    gateway.registry(|registry| registry.lasts = 9);
    let (home, id) = paired(&mut gateway).await;
    gateway.registry(|registry| registry.lasts = 3600);
    let before = std::fs::read_to_string(home.path("state/tokens.json")).unwrap();
    let mut node = run(&home);
    gateway.sees(Seen::Linked(id)).await;
    gateway.sees(Seen::Renewed(id)).await;
    gateway.sees(Seen::Activated(id)).await;
    node.says(r#""event":"renewed""#).await;
    let after = std::fs::read_to_string(home.path("state/tokens.json")).unwrap();
    assert_ne!(before, after);
    let grants = gateway.registry(|registry| registry.grants.clone());
    let number = |grant: &handfast_core::registry::grants::Grant| {
        format!("{:032x}", u128::from_be_bytes(*grant.id.as_bytes()))
    };
    assert!(after.contains(&number(&grants[1])), "{after}");
    assert!(
        std::fs::read_to_string(home.path("state/native.json"))
            .unwrap()
            .contains(&number(&grants[1]))
    );
}

#[tokio::test]
async fn the_operator_mutes_unmutes_and_unpairs_a_linked_node() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    let mut node = run(&home);
    gateway.sees(Seen::Linked(id)).await;
    for (notice, event) in
        [(Notice::Muted, "muted"), (Notice::Unmuted, "unmuted"), (Notice::Unpaired, "unpaired")]
    {
        gateway.push(id, notice);
        node.says(&format!(r#""event":"{event}""#)).await;
    }
    node.says(r#""event":"forgotten""#).await;
    node.signal(Signal::TERM);
    node.end().await;
    let ended = outcome(&["run", "--state", &home.state()]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("handfast-node pair --state"), "{}", ended.said);
}

#[tokio::test]
async fn a_node_that_the_gateway_does_not_know_any_more_keeps_its_pairing_and_says_pair_again() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    gateway.registry(|registry| registry.revoke(id));
    let mut node = run(&home);
    node.says(&format!("handfast-node reset --state {} --yes", home.state())).await;
    node.says(&format!("handfast-node pair --state {} --pin --gateway ws://", home.state())).await;
    node.signal(Signal::TERM);
    node.end().await;
    assert!(
        std::fs::read_to_string(home.path("state/native.json")).unwrap().contains(&id.to_string())
    );
}

#[tokio::test]
async fn a_power_cut_after_the_grant_is_kept_and_before_the_gateway_hears_of_it_changes_nothing() {
    let mut gateway = NativeGateway::start().await;
    gateway.deaf_after_grants(true);
    let home = Home::new();
    let state = home.state();
    let mut program =
        Program::start_asked(&["pair", "--pin", "--gateway", &gateway.url(), "--state", &state]);
    let pin = gateway.pin().await;
    program.types(&pin).await;
    let id = gateway
        .until("an offer", |seen| if let Seen::Offered(id) = seen { Some(*id) } else { None })
        .await;
    program.says("Paired").await;
    program.signal(Signal::KILL);
    program.end().await;
    gateway.deaf_after_grants(false);
    gateway.registry(|registry| {
        assert!(
            matches!(
                registry.grants[0].state,
                handfast_core::registry::grants::State::Offered { .. }
            ),
            "not confirmed yet"
        );
    });

    let _node = run(&home);
    gateway.sees(Seen::Linked(id)).await;
    gateway.sees(Seen::Activated(id)).await;
}

#[tokio::test]
async fn a_power_cut_between_the_two_files_of_a_renewal_goes_on_with_the_newer_grant() {
    let mut gateway = NativeGateway::start().await;
    gateway.registry(|registry| registry.lasts = 3);
    let (home, id) = paired(&mut gateway).await;
    let path = home.path("state/native.json");
    let before = std::fs::read(&path).unwrap();
    gateway.registry(|registry| registry.lasts = 3600);
    let mut node = run(&home);
    node.says(r#""event":"renewed""#).await;
    node.signal(Signal::KILL);
    node.end().await;
    gateway.sees(Seen::Renewed(id)).await;
    // The state of the file system if the power had failed after the token and before the rest.
    std::fs::write(&path, before).unwrap();
    let _node = run(&home);
    gateway.sees(Seen::Linked(id)).await;
    gateway.sees(Seen::Activated(id)).await;
}

#[tokio::test]
async fn send_and_listen_say_what_the_token_does_not_allow() {
    let mut gateway = NativeGateway::start().await;
    let (home, _) = paired(&mut gateway).await;
    let state = home.state();
    let sent = outcome(&["send", "write", "/lights/1", "on", "--state", &state]).await;
    assert_eq!(sent.code, Some(0), "{}", sent.said);
    gateway.sees(Seen::App("/lights/1".into(), b"on".to_vec())).await;
    for arguments in [&["send", "write", "/doors/1", "open"][..], &["listen", "/**"]] {
        let refused = outcome(&[arguments, &["--state", &state]].concat()).await;
        assert_eq!(refused.code, Some(1));
        assert!(
            refused.said.contains("not allowed: no scope of this node's token covers"),
            "{}",
            refused.said
        );
    }
    for arguments in
        [&["send", "watch", "/x", "y"][..], &["send", "write", "x", "y"], &["listen", "/a/**/**"]]
    {
        assert_eq!(
            outcome(&[arguments, &["--state", &state]].concat()).await.code,
            Some(2),
            "{arguments:?}"
        );
    }
    let listening = Program::start(&["listen", "/lights/**", "--state", &state]);
    gateway.sees(Seen::Subscribed("/lights/**".into())).await;
    listening.signal(Signal::INT);
    assert_eq!(soon("its end", listening.end()).await.code, Some(0));
}

#[tokio::test]
async fn a_token_is_delegated_offline_and_counts_only_for_its_new_holder() {
    let mut gateway = NativeGateway::start().await;
    let (home, _) = paired(&mut gateway).await;
    let (other, thief) = (Home::new(), Home::new());
    let identity = outcome(&["identity", "--json", "--state", &other.state()]).await;
    let identity: serde_json::Value = serde_json::from_str(identity.said.trim()).unwrap();
    let (channel, signing) =
        (identity["channel_key"].as_str().unwrap(), identity["signing_key"].as_str().unwrap());
    let state = home.state();
    let delegate = |scope: &'static str, lasts: &'static str| {
        let to = ["--to-channel-key", channel, "--to-signing-key", signing];
        [&["delegate", "--scope", scope, "--for", lasts, "--state", &state][..], &to].concat()
    };
    for (wrong, code) in [
        (delegate("admin:/lights/1", "1m"), 1),
        (delegate("read:/lights/1", "1d"), 1),
        (delegate("x", "1m"), 2),
    ] {
        let ended = outcome(&wrong).await;
        assert_eq!(ended.code, Some(code), "{}", ended.said);
    }
    let made = outcome(&delegate("write:/lights/1", "10m")).await;
    assert_eq!(made.code, Some(0), "{}", made.said);
    let token = made.said.lines().find(|line| line.starts_with("hf1.")).unwrap();

    let (url, key) = (gateway.url(), gateway.fingerprint().to_string());
    let present = |home: &Home, rest: &[&str]| {
        let (file, state) = (home.token(token, 0o600), home.state());
        let arguments: Vec<String> = [
            "present",
            "--token",
            &file,
            "--gateway",
            &url,
            "--gateway-key",
            &key,
            "--state",
            &state,
        ]
        .iter()
        .chain(rest)
        .map(|&argument| argument.to_owned())
        .collect();
        async move { outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let done = present(&other, &["--send", "write", "/lights/1", "off"]).await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    gateway.sees(Seen::Delegate).await;
    gateway.sees(Seen::App("/lights/1".into(), b"off".to_vec())).await;
    let refused = present(&other, &["--send", "write", "/lights/2", "off"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.said.contains("not allowed"), "{}", refused.said);
    let stolen = present(&thief, &[]).await;
    assert_eq!(stolen.code, Some(1));
    assert!(stolen.said.contains("belongs to another key"), "{}", stolen.said);
    assert!(!stolen.said.contains(token) && !done.said.contains(token));
}
