use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::super::handle::Problem;
use super::super::host::{ExtensionHost, NoHost};
use super::super::rules::{ExtensionTimes, MOST_CALLS, MOST_REQUESTS, MOST_REQUESTS_WAITING};
use super::{Folder, HASTY, HONEST, LONG, SHORT, answers, gone, problem, until};

#[tokio::test]
#[ignore = "needs Python"]
async fn answers_in_any_order_reach_whoever_asked_and_the_call_beyond_the_bound_is_refused_at_once()
{
    let folder = Folder::new();
    let backwards = "
import itertools
calls = asked()
while True:
    first = next(calls)
    if first['method'] == 'x.ping':
        answer(first)
        continue
    some = [first] + list(itertools.islice(calls, 63))
    for r in reversed(some): answer(r, r['params'])
";
    let extension = folder.start("backwards", backwards);
    let beyond = async {
        until(|| extension.status().calls_in_flight == MOST_CALLS - 1).await;
        let (last, refused) = tokio::join!(
            extension.call("x.same", json!("last"), LONG),
            extension.call("x.same", json!(1), LONG)
        );
        assert_eq!(refused.unwrap_err().problem, Problem::Busy);
        last
    };
    let all = join_all((0..MOST_CALLS - 1).map(|n| extension.call("x.same", json!(n), LONG)));
    let (all, last) = tokio::join!(all, beyond);
    for (n, answer) in all.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), json!(n));
    }
    assert_eq!(last.unwrap(), json!("last"));
    answers(&extension).await;
    assert_eq!(extension.status().calls_in_flight, 0);
}

#[tokio::test]
#[ignore = "needs Python"]
async fn what_an_extension_refuses_and_what_is_too_large_to_ask_are_errors_that_name_it() {
    let folder = Folder::new();
    let refusing =
        "for r in asked(): say({'id': r['id'], 'ok': False, 'error': 'not \\x1b[31m today'})";
    let extension = folder.start("refusing", refusing);
    let error = extension.call("x.ping", Value::Null, LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "extension refusing: it refused: not  [31m today");
    assert_eq!(extension.status().last_error.as_deref(), Some("it refused: not  [31m today"));
    let large = extension.call("x.ping", json!("x".repeat(1 << 20)), LONG).await.unwrap_err();
    assert_eq!(large.problem, Problem::TooLarge);
    let fits =
        extension.call("x.ping", json!("x".repeat((1 << 20) - 100)), LONG).await.unwrap_err();
    assert!(matches!(fits.problem, Problem::Refused(_)), "{fits}");
    assert_eq!(extension.status().restarts, 0);
}

#[tokio::test]
#[ignore = "needs Python"]
async fn an_extension_that_ended_is_started_again_and_its_calls_under_way_fail() {
    let folder = Folder::new();
    let mortal = "
for r in asked():
    if r['method'] == 'x.die': sys.exit(1)
    answer(r)
";
    let extension = folder.start("mortal", mortal);
    for restarts in 1..=3 {
        answers(&extension).await;
        let died = extension.call("x.die", Value::Null, LONG).await.unwrap_err();
        assert!(matches!(&died.problem, Problem::Down(why) if why.contains("ended")), "{died}");
        until(|| extension.status().restarts == restarts).await;
    }
    answers(&extension).await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_program_that_is_not_there_is_tried_again_no_more_often_than_the_backoff_says() {
    let folder = Folder::new();
    let mut config = folder.config("missing", "");
    config.transport = super::Transport::Stdio { command: vec!["/nowhere/at-all".to_owned()] };
    let extension = super::Extension::new(config, Arc::new(NoHost)).unwrap();
    assert!(
        matches!(problem(&extension, LONG).await, Problem::Down(why) if why == "it is not started")
    );
    tokio::time::pause();
    extension.start();
    assert!(
        matches!(problem(&extension, LONG).await, Problem::Down(why) if why.contains("no program \"/nowhere/at-all\""))
    );
    let began = tokio::time::Instant::now();
    let mut seen = Vec::new();
    while seen.len() < 8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if extension.status().restarts > seen.len() as u64 {
            seen.push(began.elapsed().as_secs_f64().round() as u64);
        }
    }
    assert_eq!(seen, [1, 3, 7, 15, 31, 63, 123, 183]);
    assert!(!extension.status().alive);
    extension.shut_down().await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_call_whose_caller_has_gone_is_not_sent_behind_their_back() {
    let folder = Folder::new();
    let dozing = "
folder = sys.argv[1]
done = []
print('up', file=open(folder + '/up', 'w'))
while not os.path.exists(folder + '/go'): time.sleep(0.01)
for r in asked():
    done.append(r['method'])
    answer(r, done)
";
    let extension = folder.start_with(
        "dozing",
        dozing,
        ExtensionTimes { write: LONG, ..HASTY },
        Arc::new(NoHost),
    );
    folder.line("up").await;
    // More than a pipe holds, so the line stays half written.
    let plug = extension.call("x.plug", json!("x".repeat(1 << 19)), LONG);
    let rest = async {
        let forgotten = extension.call("x.forgotten", Value::Null, SHORT).await;
        assert_eq!(forgotten.unwrap_err().problem, Problem::Timeout(SHORT));
        std::fs::write(folder.path("go"), "").unwrap();
        extension.call("x.last", Value::Null, LONG).await.unwrap()
    };
    let (plug, last) = tokio::join!(plug, rest);
    assert_eq!(plug.unwrap(), json!(["x.plug"]));
    assert_eq!(last, json!(["x.plug", "x.last"]));
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_program_gets_its_name_and_none_of_the_gateways_environment_that_it_does_not_need() {
    let folder = Folder::new();
    let extension = folder.start("curious", "for r in asked(): answer(r, dict(os.environ))");
    let environment = extension.call("x.env", Value::Null, LONG).await.unwrap();
    assert_eq!(environment["HANDFAST_EXTENSION"], "curious");
    assert_eq!(environment.get("PATH").and_then(Value::as_str).map(str::is_empty), Some(false));
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert_eq!(environment.get("CARGO_MANIFEST_DIR"), None);
}

const PARENT: &str = "
import subprocess
folder = sys.argv[1]
child = subprocess.Popen(['sleep', '1000'])
print(os.getpid(), child.pid, file=open(folder + '/pids', 'w'))
for r in asked(): answer(r)
if 'stays' in sys.argv[0]: time.sleep(1000)
";

#[tokio::test]
#[ignore = "needs Python"]
async fn after_a_shutdown_the_program_is_gone_with_what_it_had_started_and_nothing_starts_again() {
    for name in ["leaves", "stays"] {
        let folder = Folder::new();
        let extension = folder.start(name, PARENT);
        let pids = folder.line("pids").await;
        let silent = extension.call("x.ping", Value::Null, LONG).await;
        assert!(silent.is_ok());
        extension.shut_down().await;
        for pid in pids.split_whitespace() {
            until(|| gone(pid)).await;
        }
        extension.start();
        assert!(
            matches!(problem(&extension, LONG).await, Problem::Down(why) if why == "it was shut down")
        );
        assert!(!extension.status().alive);
    }
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_program_ends_with_its_last_handle() {
    let folder = Folder::new();
    let extension = folder.start("stays", PARENT);
    let pids = folder.line("pids").await;
    drop(extension.clone());
    answers(&extension).await;
    drop(extension);
    for pid in pids.split_whitespace() {
        until(|| gone(pid)).await;
    }
}

/// A host that answers on permission, and counts waiting requests.
struct Slow {
    may: Semaphore,
    entered: AtomicUsize,
}

#[async_trait]
impl ExtensionHost for Slow {
    async fn call(&self, extension: &str, method: &str, params: Value) -> Result<Value, String> {
        if method != "pairing.known" {
            return Err(format!("{extension} may not ask {method}"));
        }
        self.entered.fetch_add(1, Ordering::SeqCst);
        let _may = self.may.acquire().await.unwrap();
        Ok(json!({"extension": extension, "params": params}))
    }
}

#[tokio::test]
#[ignore = "needs Python"]
async fn what_an_extension_asks_the_gateway_is_answered_sixteen_at_a_time_while_the_rest_waits_and_its_own_answers_get_through()
 {
    let folder = Folder::new();
    // Its ids equal those of the gateway's calls; neither side may confuse them.
    let asking = "
got = {}
for r in asked():
    if 'ok' in r: got[r['id']] = r
    elif r['method'] == 'x.ask':
        for n in range(r['params']): say({'id': n, 'method': 'pairing.known', 'params': [n]})
        answer(r)
    elif r['method'] == 'x.more':
        for n in range(r['params']): say({'id': 1000 + n, 'method': 'pairing.known', 'params': [n]})
        answer(r)
    elif r['method'] == 'x.wrong':
        say({'id': 2000, 'method': 'devices.revoke'})
        answer(r)
    else: answer(r, [[n, got[n]] for n in sorted(got)])
";
    let host = Arc::new(Slow { may: Semaphore::new(0), entered: AtomicUsize::new(0) });
    let extension = folder.start_with("asking", asking, HASTY, host.clone());
    let most = MOST_REQUESTS + MOST_REQUESTS_WAITING;
    extension.call("x.ask", json!(most), LONG).await.unwrap();
    extension.call("x.more", json!(4), LONG).await.unwrap();
    until(|| host.entered.load(Ordering::SeqCst) == MOST_REQUESTS).await;
    extension.call("x.wrong", Value::Null, LONG).await.unwrap();
    let got = async || extension.call("x.got", Value::Null, LONG).await.unwrap();
    while got().await.as_array().unwrap().len() < 5 {}
    for refused in got().await.as_array().unwrap() {
        assert!(
            refused[1]["error"].as_str().unwrap().starts_with("too many requests"),
            "{refused}"
        );
    }
    assert_eq!(host.entered.load(Ordering::SeqCst), MOST_REQUESTS);
    host.may.add_permits(100);
    while got().await.as_array().unwrap().len() < most + 5 {}
    let all = got().await;
    let good: Vec<&Value> =
        all.as_array().unwrap().iter().filter(|entry| entry[1]["ok"] == true).collect();
    assert_eq!(good.len(), most, "a burst waits, and none of it is lost");
    for entry in good {
        assert_eq!(entry[1]["result"], json!({"extension": "asking", "params": [entry[0]]}));
    }
    extension.call("x.wrong", Value::Null, LONG).await.unwrap();
    let refusal = async || {
        got().await.as_array().unwrap().last().unwrap()[1]["error"].as_str().unwrap().to_owned()
    };
    while refusal().await != "asking may not ask devices.revoke" {}
    assert_eq!(extension.status().restarts, 0);
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_child_may_write_its_last_answer_and_end() {
    let folder = Folder::new();
    let extension = folder.start("brief", "answer(next(asked()), 'bye')");
    assert_eq!(extension.call("x.ping", Value::Null, LONG).await.unwrap(), "bye");
    let honest = folder.start("honest", HONEST);
    assert_eq!(honest.call("x.ping", json!([1, "ü"]), LONG).await.unwrap(), json!([1, "ü"]));
}
