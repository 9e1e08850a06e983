//! Spans in the log: the connection or the operator's verb that a line belongs to.

use super::gateway::Gateway;

#[tokio::test(flavor = "multi_thread")]
async fn lines_name_their_connection_or_the_operators_verb_and_no_secret() {
    let gateway = Gateway::start();
    let id = gateway.ask("Kitchen Pi").await;
    let token = gateway.json(&["pair", &id])["token"].as_str().unwrap().to_owned();
    assert_eq!(gateway.auth(&id, &token).await, "auth_ok");
    let (code, code_shown, _) = gateway.verb(&["pairing", "code"]);
    assert_eq!(code, 0);
    assert_eq!(gateway.devices(&["unpair", "--yes", &id]).0, 0);
    let log = gateway.log();
    let lines = |words: &[&str]| {
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    let span = ["connection{number=", "source=127.0.0.1", "flow=\"registration\""];
    assert!(lines(&span) > 0, "{log}");
    let node = format!("node={id}");
    assert!(
        lines(&[&span[..], &[node.as_str()]].concat()) > 0,
        "the node once it is proven: {log}"
    );
    assert!(lines(&["operator{verb=\"POST devices pair\"}"]) > 0, "{log}");
    assert!(!log.contains(&token) && !log.contains(&token[8..30]), "a token is in the log");
    for line in log.lines().filter(|line| line.contains("operator{")) {
        let verb = line.split("operator{").nth(1).unwrap().split("\"}").next().unwrap();
        assert!(!verb.contains(&id) && !verb.contains('?'), "{verb}");
    }
    assert!(!code_shown.is_empty());
}
