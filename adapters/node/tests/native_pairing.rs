//! Pairing of the binary over the native wire with a gateway of core's own machine, over real
//! sockets.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use handfast_core::wire::native::pair::{PairRefusal, Selector};
use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use support::native::{NativeGateway, Seen};
use support::program::{Ended, Home, Program, outcome};

/// Starts `pair` with these arguments.
fn pair(home: &Home, arguments: &[&str]) -> Program {
    let state = home.state();
    Program::start_asked(
        &[&["pair", "--name", "Kitchen Pi", "--state", &state], arguments].concat(),
    )
}

async fn paired_by_pin(home: &Home, gateway: &mut NativeGateway, url: &str) -> Ended {
    let mut program = pair(home, &["--pin", "--gateway", url]);
    let pin = gateway.pin().await;
    program.types(&pin).await;
    program.end().await
}

async fn status(home: &Home) -> serde_json::Value {
    let ended = outcome(&["status", "--json", "--state", &home.state()]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    serde_json::from_str(ended.said.trim()).unwrap()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_node_pairs_by_pin_and_everything_it_keeps_is_its_owners_alone() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let url = gateway.url();
    let done = paired_by_pin(&home, &mut gateway, &url).await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    let id = gateway.linked().await;
    assert!(
        done.said.contains(&id.to_string())
            && done.said.contains(&gateway.fingerprint().to_string()),
        "{}",
        done.said
    );
    assert!(!done.said.contains("847291"), "the PIN was shown:\n{}", done.said);

    assert_eq!(mode(home.state()), 0o700);
    for name in ["keys.json", "native.json", "tokens.json", "tokens.key"] {
        assert_eq!(mode(home.path(&format!("state/{name}"))), 0o600, "{name}");
    }
    let tokens = std::fs::read_to_string(home.path("state/tokens.json")).unwrap();
    assert!(tokens.contains("enc1:") && !tokens.contains("hf1."), "the token is not sealed");

    let shown = status(&home).await;
    assert_eq!(shown["standing"], "paired");
    assert_eq!(shown["node_id"], id.to_string());
    assert_eq!(shown["gateway_fingerprint"], gateway.fingerprint().to_string());
    assert_eq!(shown["permissions"], serde_json::json!(["read:/lights/**", "write:/lights/**"]));
    assert!(shown["expires_at"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_wrong_pin_says_how_many_attempts_are_left_and_asks_again() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let mut program = pair(&home, &["--pin", "--gateway", &gateway.url()]);
    gateway.pin().await;
    program.types("000000").await;
    program.says("wrong PIN, 4 attempts left").await;
    program.types("12").await;
    program.says("that is no PIN").await;
    program.types("847 291").await;
    let done = program.end().await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    gateway.registry(|registry| {
        assert_eq!(registry.guesses_left, 3, "what is no PIN costs no attempt");
    });
}

#[tokio::test]
async fn five_wrong_pins_end_it_and_say_what_mends_that() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let mut program = pair(&home, &["--pin", "--gateway", &gateway.url()]);
    gateway.pin().await;
    for left in ["4 attempts", "3 attempts", "2 attempts", "1 attempt left"] {
        program.types("000000").await;
        program.says(left).await;
    }
    program.types("000000").await;
    let ended = program.end().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.said.contains("too many wrong attempts")
            && ended.said.contains("handfast pairing open"),
        "{}",
        ended.said
    );
}

#[tokio::test]
async fn every_refusal_has_a_text_of_its_own_and_ends_with_one() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    gateway.registry(|registry| registry.pairing_open = false);
    let url = gateway.url();
    let ended = pair(&home, &["--pin", "--gateway", &url]).end().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("pairing is closed"), "{}", ended.said);
    gateway.registry(|registry| registry.pairing_open = true);

    for (refusal, text) in [
        (PairRefusal::Denied { reason: None }, "turned the request down"),
        (PairRefusal::Expired, "ran out"),
        (PairRefusal::Revoked, "handfast-node reset --state"),
        (PairRefusal::Busy { retry_in: 7 }, "try again in 7 s"),
        (PairRefusal::CannotStore { retry_in: 7 }, "cannot store anything at the moment"),
    ] {
        gateway.registry(|registry| (registry.refuses, registry.guesses_left) = (Some(refusal), 5));
        let ended = paired_by_pin(&home, &mut gateway, &url).await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.said.contains(text), "{text}: {}", ended.said);
    }
}

#[tokio::test]
async fn a_pin_or_a_token_on_the_command_line_is_refused_with_the_reason_and_not_repeated() {
    let home = Home::new();
    for given in [&["--pin", "123456"][..], &["--pin=123456"], &["--code", "K7QF-123456"]] {
        let ended = pair(&home, &[given, &["--gateway", "ws://127.0.0.1:1"]].concat()).end().await;
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(
            ended.said.contains("every user of this machine") && !ended.said.contains("123456"),
            "{}",
            ended.said
        );
    }
    let ended = outcome(&[
        "present",
        "--token",
        "hf1.AAAA",
        "--gateway",
        "ws://127.0.0.1:1",
        "--state",
        &home.state(),
    ])
    .await;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.said.contains("every user of this machine") && !ended.said.contains("AAAA"),
        "{}",
        ended.said
    );
}

#[tokio::test]
async fn a_code_is_asked_for_and_an_invitation_brings_address_fingerprint_and_code() {
    let (home, gateway) = (Home::new(), NativeGateway::start().await);
    gateway.registry(|registry| {
        registry.code = Some((Selector::parse("K7QF").unwrap(), "847291".into()));
    });
    let mut program = pair(&home, &["--code", "--gateway", &gateway.url()]);
    program.types("k7qf-111111").await;
    program.says("wrong code, 4 attempts left").await;
    program.types("K7QF-847291").await;
    let done = program.end().await;
    assert_eq!(done.code, Some(0), "{}", done.said);

    let secret = "ABCDEFGHJKLMNPQR";
    gateway.registry(|registry| {
        registry.code = Some((Selector::parse("K7QF").unwrap(), secret.into()));
    });
    let text = format!(
        "handfast:1?a=ws://127.0.0.1:1&a={}&k={}&c=K7QF-{secret}",
        gateway.url(),
        gateway.fingerprint()
    );
    for by_stdin in [false, true] {
        let home = Home::new();
        gateway.registry(|registry| registry.guesses_left = 5);
        let done = if by_stdin {
            let mut program = pair(&home, &["--qr", "-"]);
            program.types(&text).await;
            program.end().await
        } else {
            pair(&home, &["--qr", &text]).end().await
        };
        assert_eq!(done.code, Some(0), "{}", done.said);
        assert!(done.said.contains("as expected") && !done.said.contains(secret), "{}", done.said);
        let kept = std::fs::read_to_string(home.path("state/native.json")).unwrap();
        let first = kept.find(&gateway.url()).expect("the address is kept");
        assert!(
            first < kept.find("127.0.0.1:1/").unwrap(),
            "the address that answered comes first: {kept}"
        );
    }
}

#[tokio::test]
async fn an_operator_approves_by_fingerprint_and_trust_on_first_use_is_said() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let mut program = pair(&home, &["--approval", "--gateway", &gateway.url()]);
    let asked = gateway
        .until("a request", |seen| if let Seen::Asked(it) = seen { Some(*it) } else { None })
        .await;
    program.says("trust on first use").await;
    program.says("and approves it").await;
    gateway.approve("read:/lights/**\n");
    let done = program.end().await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    assert!(done.said.contains(&asked.to_string()), "{}", done.said);

    let home = Home::new();
    let pinned = gateway.fingerprint().to_string();
    let done = pair(&home, &["--approval", "--gateway", &gateway.url(), "--gateway-key", &pinned])
        .end()
        .await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    assert!(done.said.contains("as expected"), "{}", done.said);
}

#[tokio::test]
async fn another_gateway_than_the_pinned_one_is_told_nothing() {
    let (home, gateway) = (Home::new(), NativeGateway::start().await);
    let other = "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA";
    let ended =
        pair(&home, &["--pin", "--gateway", &gateway.url(), "--gateway-key", other]).end().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.said.contains("another gateway answers") && ended.said.contains("Nothing was told"),
        "{}",
        ended.said
    );
}

#[tokio::test]
async fn a_node_waiting_for_approval_that_is_killed_goes_on_asking_with_run() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let mut program = pair(&home, &["--approval", "--gateway", &gateway.url()]);
    program.says("and approves it").await;
    program.signal(Signal::KILL);
    program.end().await;
    gateway.approve("read:/lights/**\n");
    let _node = Program::start(&["run", "--state", &home.state()]);
    gateway.linked().await;
}

/// Returns the open terminals of this process.
fn terminals() -> Vec<PathBuf> {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let paths = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    paths
        .filter(|path| path.parent() == Some(Path::new("/dev/pts")) && !path.ends_with("ptmx"))
        .collect()
}

#[tokio::test]
async fn a_pin_that_is_typed_at_a_terminal_is_not_shown_there_and_the_terminal_is_left_as_it_was() {
    let _alone = TERMINALS.lock().await;
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let before = terminals();
    let (person, _line) = serial2_tokio::SerialPort::pair().unwrap();
    let path = terminals()
        .into_iter()
        .find(|path| !before.contains(path))
        .expect("the other end of the line");
    let terminal = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut modes = tcgetattr(&terminal).unwrap();
    modes.local_modes.insert(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Now, &modes).unwrap();

    let (state, url) = (home.state(), gateway.url());
    let arguments = ["pair", "--pin", "--gateway", &url, "--state", &state];
    let mut program = Program::start_at(&arguments, terminal.try_clone().unwrap());
    let pin = gateway.pin().await;
    program.says("The gateway shows a PIN").await;
    while tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    person.write_all(format!("{pin}\n").as_bytes()).await.unwrap();
    let done = program.end().await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    assert!(
        tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO),
        "the terminal stays silent"
    );
    let mut shown = [0; 256];
    let shown =
        match tokio::time::timeout(std::time::Duration::from_millis(100), person.read(&mut shown))
            .await
        {
            Ok(read) => String::from_utf8_lossy(&shown[..read.unwrap()]).into_owned(),
            Err(_) => String::new(),
        };
    assert!(!shown.contains(&pin), "{shown:?}");
}

/// Held while a test opens terminals and looks for the new ones, so that no other test interferes.
static TERMINALS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn pairing_over_tcp_and_over_a_serial_line_works_as_over_a_websocket() {
    let _alone = TERMINALS.lock().await;
    let (home, mut gateway) = (Home::new(), NativeGateway::start_tcp().await);
    let url = gateway.tcp();
    let done = paired_by_pin(&home, &mut gateway, &url).await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    gateway.linked().await;

    let home = Home::new();
    let before = terminals();
    let (ours, line) = serial2_tokio::SerialPort::pair().unwrap();
    let path = terminals()
        .into_iter()
        .find(|path| !before.contains(path))
        .expect("the other end of the line");
    gateway.serve_line(ours);
    let url = format!("serial:{}?baud=9600", path.display());
    let done = paired_by_pin(&home, &mut gateway, &url).await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    gateway.linked().await;
    // A line does not end with the program, so the next program has to start over on it.
    let mut node = Program::start(&["run", "--state", &home.state()]);
    gateway.linked().await;
    node.says("linked").await;
    node.signal(Signal::TERM);
    assert_eq!(node.end().await.code, Some(0));
    drop(line);
}

#[tokio::test]
async fn a_gateway_that_only_knows_tokens_says_so() {
    let (home, gateway) = (Home::new(), support::gateway::Gateway::start().await);
    let ended =
        pair(&home, &["--pin", "--gateway", &format!("ws://{}", gateway.address)]).end().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("does not speak handfast.v1"), "{}", ended.said);
}

#[tokio::test]
async fn one_state_directory_keeps_one_kind_of_pairing_until_it_is_reset() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let (url, state) = (gateway.url(), home.state());
    paired_by_pin(&home, &mut gateway, &url).await;
    let ended =
        outcome(&["pair", "--name", "a", "--room", "b", "--gateway", &url, "--state", &state])
            .await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("handfast-node reset --state"), "{}", ended.said);

    assert_eq!(outcome(&["reset", "--yes", "--state", &state]).await.code, Some(0));
    assert_eq!(outcome(&["status", "--state", &state]).await.code, Some(1));
    for name in ["keys.json", "native.json"] {
        assert!(!Path::new(&home.path(&format!("state/{name}"))).exists(), "{name}");
    }
    let tokens = std::fs::read_to_string(home.path("state/tokens.json")).unwrap();
    assert!(!tokens.contains("enc1:"), "the token is forgotten, too");
}
