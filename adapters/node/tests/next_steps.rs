//! Each next command that the binary prints works as it is printed, in a shell.

mod support;

use handfast_core::registry::lifecycle::Notice;
use rustix::process::Signal;
use support::gateway::Gateway;
use support::native::{NativeGateway, Seen};
use support::program::{Home, Program, outcome};

/// Returns the commands of this program in its output, in order and as printed.
fn commands(said: &str) -> Vec<String> {
    said.lines()
        .filter_map(|line| line.find("handfast-node ").and_then(|at| line.get(at..)))
        .filter(|command| command.contains(" --state "))
        .map(str::to_owned)
        .collect()
}

/// A directory whose name a shell has to be told about.
fn state(home: &Home) -> String {
    home.path("my node's state")
}

#[tokio::test]
async fn a_native_node_is_led_from_the_first_command_to_a_new_pairing_after_its_revocation() {
    let (home, mut gateway) = (Home::new(), NativeGateway::start().await);
    let state = state(&home);
    let first = outcome(&["run", "--state", &state]).await;
    assert_eq!(first.code, Some(1));
    let pair = commands(&first.said).remove(0).replace("URL", &gateway.url());

    let mut program = Program::start_line(&pair);
    let pin = gateway.pin().await;
    program.types(&pin).await;
    let done = program.end().await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    let id = gateway.linked().await;
    gateway.sees(Seen::Gone(Some(id))).await;
    let run = commands(&done.said).remove(0);

    let mut node = Program::start_line(&run);
    gateway.sees(Seen::Linked(id)).await;
    gateway.push(id, Notice::Unpaired);
    node.says("forget the pairing, and pair with new keys").await;
    node.says("handfast-node pair").await;
    node.signal(Signal::TERM);
    let logged = commands(&node.end().await.said);
    gateway.registry(|registry| {
        registry.revoke(id);
        registry.guesses_left = 5;
    });
    // Each verb gives the same advice.
    for verb in ["run", "status"] {
        let said = outcome(&[verb, "--state", &state]).await.said;
        assert_eq!(commands(&said), logged, "{verb}: {said}");
    }
    let [reset, again] = <[String; 2]>::try_from(logged).expect("two commands");
    let forgotten = Program::start_line(&reset).end().await;
    assert_eq!(forgotten.code, Some(0), "{}", forgotten.said);
    let mut program = Program::start_line(&again);
    let pin = gateway.pin().await;
    program.types(&pin).await;
    let done = program.end().await;
    assert_eq!(done.code, Some(0), "{}", done.said);
}

#[tokio::test]
async fn a_node_that_was_paired_by_token_is_led_to_its_link_and_to_another_kind_of_pairing() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    let (state, url) = (state(&home), gateway.url());
    let asks = ["pair", "--name", "Pi", "--room", "Hall", "--gateway", &url, "--state", &state];
    let asked = outcome(&asks).await;
    assert_eq!(asked.code, Some(0), "{}", asked.said);
    let id = gateway.asked().await;
    let token = gateway.approve(id).await;
    let mut node = Program::start_line(&commands(&asked.said).remove(0));
    node.types(&token).await;
    // The end of the input; on a terminal the end of the line suffices.
    node.types_no_more();
    node.says("linked").await;
    node.signal(Signal::TERM);
    assert_eq!(node.end().await.code, Some(0));

    let native = ["pair", "--pin", "--gateway", &url, "--state", &state];
    let refused = outcome(&native).await;
    assert_eq!(refused.code, Some(1));
    let reset = commands(&refused.said).remove(0);
    let unsure = outcome(&["reset", "--state", &state]).await;
    assert_eq!(commands(&unsure.said), std::slice::from_ref(&reset), "{}", unsure.said);
    assert_eq!(Program::start_line(&reset).end().await.code, Some(0));
    assert!(!outcome(&native).await.said.contains("forget that first"));
}
