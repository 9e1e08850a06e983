//! Extensions that write too much, or read too little.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::handle::Problem;
use super::super::host::{ExtensionHost, NoHost};
use super::super::rules::{ExtensionTimes, MOST_UNSENT};
use super::{Folder, HASTY, HONEST, LONG, SHORT, gone, problem, until};

#[tokio::test]
#[ignore = "needs Python"]
async fn one_that_writes_what_nobody_asked_for_is_ended_whatever_it_writes() {
    for line in
        [r#"{"id":7,"ok":true}"#, "", r#"{"id":7,"ok":true,"result":"' + 'x' * 900000 + '"}"#]
    {
        let folder = Folder::new();
        let bad = folder.start(
            "bad",
            &format!("next(asked())\nwhile True: sys.stdout.write('{line}' + chr(10))"),
        );
        let good = folder.start("good", HONEST);
        match problem(&bad, LONG).await {
            Problem::Down(why) => assert!(why.contains("nobody had asked for"), "{why}"),
            other => panic!("{other}"),
        }
        let ignored = bad.status().ignored;
        assert!((1..=202).contains(&ignored), "it was read for a second's worth: {ignored}");
        assert!(good.call("x.ping", Value::Null, LONG).await.is_ok());
        bad.shut_down().await;
    }
}

struct Counting(AtomicU64);

#[async_trait]
impl ExtensionHost for Counting {
    async fn call(&self, _: &str, _: &str, _: Value) -> Result<Value, String> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Value::Null)
    }
}

#[tokio::test]
#[ignore = "needs Python"]
async fn one_that_floods_the_gateway_with_requests_and_never_reads_an_answer_is_ended() {
    let folder = Folder::new();
    let host = Arc::new(Counting(AtomicU64::new(0)));
    let flood = "next(asked())\nwhile True: sys.stdout.write('{\"id\":1,\"method\":\"pairing.known\"}' + chr(10))";
    let bad = folder.start_with("bad", flood, HASTY, host.clone());
    let good = folder.start("good", HONEST);
    match problem(&bad, LONG).await {
        Problem::Down(why) => assert!(why.contains("nobody had asked for"), "{why}"),
        other => panic!("{other}"),
    }
    assert!(good.call("x.ping", Value::Null, LONG).await.is_ok());
    bad.shut_down().await;
    let asked = host.0.load(Ordering::SeqCst);
    assert!(asked <= 1000 * (1 + bad.status().restarts), "{asked} reached the gateway");
}

#[tokio::test]
#[ignore = "needs Python"]
async fn one_that_floods_its_standard_error_still_answers() {
    let folder = Folder::new();
    let loud = "
import threading
def shout():
    while True: os.write(2, b'x' * 65536)
threading.Thread(target=shout, daemon=True).start()
for r in asked(): answer(r, r['params'])
";
    let (loud, good) = (folder.start("loud", loud), folder.start("good", HONEST));
    for n in 0..20 {
        assert_eq!(loud.call("x.ping", json!(n), LONG).await.unwrap(), n);
        assert_eq!(good.call("x.ping", json!(n), LONG).await.unwrap(), n);
    }
    loud.shut_down().await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn one_that_reads_nothing_gets_no_more_than_the_bound_to_read_and_is_ended() {
    let folder = Folder::new();
    let deaf = "print(os.getpid(), file=open(sys.argv[1] + '/pid', 'w'))\ntime.sleep(1000)";
    let deaf = folder.start_with(
        "deaf",
        deaf,
        ExtensionTimes { restart: LONG, ..HASTY },
        Arc::new(NoHost),
    );
    let good = folder.start("good", HONEST);
    let pid = folder.line("pid").await;
    let large = json!("x".repeat(1_000_000));
    let all = join_all((0..64).map(|_| deaf.call("x.ping", large.clone(), LONG)));
    let (all, neighbour) = tokio::join!(all, good.call("x.ping", large.clone(), LONG));
    assert_eq!(neighbour.unwrap(), large);
    let busy = all
        .iter()
        .filter(|answer| matches!(answer, Err(error) if error.problem == Problem::Busy))
        .count();
    let down = |why: &str| why.contains("did not read its standard input");
    let ended =
        all.iter().filter(|answer| matches!(answer, Err(error) if matches!(&error.problem, Problem::Down(why) if down(why))));
    let ended = ended.count();
    assert_eq!(busy + ended, 64, "{all:?}");
    assert!((1..=MOST_UNSENT / 1_000_000).contains(&ended), "{ended}");
    until(|| gone(&pid)).await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn calls_that_time_out_leave_their_room_to_others() {
    let folder = Folder::new();
    let dozing = "
while not os.path.exists(sys.argv[1] + '/go'): time.sleep(0.01)
for r in asked(): answer(r, len(r['params']))
";
    let dozing = folder.start_with(
        "dozing",
        dozing,
        ExtensionTimes { write: LONG, ..HASTY },
        Arc::new(NoHost),
    );
    let large = json!("x".repeat(1_000_000));
    let all = join_all((0..8).map(|_| dozing.call("x.ping", large.clone(), SHORT))).await;
    assert!(
        all.iter().all(|answer| answer.as_ref().unwrap_err().problem == Problem::Timeout(SHORT)),
        "{all:?}"
    );
    assert_eq!(
        problem_of(dozing.call("x.ping", large.clone(), SHORT).await),
        Problem::Busy,
        "the room is taken until it reads"
    );
    std::fs::write(folder.path("go"), "").unwrap();
    let small = async || dozing.call("x.ping", json!("x"), LONG).await;
    assert_eq!(small().await.unwrap(), 1);
    assert_eq!(dozing.call("x.ping", large, LONG).await.unwrap(), 1_000_000);
}

fn problem_of(answer: Result<Value, super::super::ExtensionError>) -> Problem {
    answer.unwrap_err().problem
}
