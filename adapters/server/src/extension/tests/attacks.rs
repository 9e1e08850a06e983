//! Extensions that violate the rules, each beside one that obeys them.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::handle::{Extension, Problem};
use super::{Folder, HONEST, LONG, SHORT, answers, problem, until};

/// Starts an extension that misbehaves, and its neighbour.
fn beside(folder: &Folder, python: &str) -> (Extension, Extension) {
    (folder.start("bad", python), folder.start("good", HONEST))
}

async fn neighbour_answers(good: &Extension) {
    assert_eq!(
        good.call("x.ping", json!({"still": "here"}), LONG).await.unwrap(),
        json!({"still": "here"})
    );
    assert_eq!(good.status().restarts, 0);
}

/// Checks that every call fails because the program was ended for this reason, and that it is
/// restarted.
async fn is_ended_for(python: &str, reason: &str) {
    let folder = Folder::new();
    let (bad, good) = beside(&folder, python);
    let all = join_all((0..8).map(|_| problem(&bad, LONG))).await;
    assert!(
        all.iter().all(|problem| matches!(problem, Problem::Down(why) if why.contains(reason))),
        "{all:?}"
    );
    neighbour_answers(&good).await;
    until(|| bad.status().restarts >= 1).await;
    neighbour_answers(&good).await;
    bad.shut_down().await;
    assert_eq!(bad.status().calls_in_flight, 0);
}

#[tokio::test]
#[ignore = "needs Python"]
async fn one_that_dies_at_once_fails_its_callers_and_is_started_again() {
    is_ended_for("sys.exit(3)", "ended").await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn half_a_line_and_then_death_is_no_answer() {
    is_ended_for("r = next(asked())\nsys.stdout.write('{\"id\":%d,\"ok\":true' % r['id'])\nsys.stdout.flush()", "ended").await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_whole_answer_without_the_end_of_its_line_is_none_either() {
    is_ended_for("r = next(asked())\nsys.stdout.write(json.dumps({'id': r['id'], 'ok': True}))\nsys.stdout.flush()", "ended")
        .await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_line_over_one_mebibyte_ends_it() {
    is_ended_for(
        "r = next(asked())\nanswer(r, 'x' * (1 << 20))\ntime.sleep(1000)",
        "longer than 1 MiB",
    )
    .await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_line_that_never_ends_ends_it() {
    is_ended_for("next(asked())\nwhile True: sys.stdout.write('x' * 65536)", "longer than 1 MiB")
        .await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn what_is_no_envelope_ends_it() {
    is_ended_for("next(asked())\nprint('hello', flush=True)\ntime.sleep(1000)", "no JSON object")
        .await;
    is_ended_for(
        "r = next(asked())\nprint('{\"id\":1,\"ok\":true,\"ok\":false}', flush=True)\ntime.sleep(1000)",
        "repeats a key",
    )
    .await;
    is_ended_for("r = next(asked())\nprint('{\"id\":1}', flush=True)\ntime.sleep(1000)", "neither")
        .await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_silent_one_costs_its_callers_their_time_and_nobody_else() {
    let folder = Folder::new();
    let (bad, good) = beside(&folder, "for r in asked(): pass");
    let waiting = join_all((0..64).map(|_| problem(&bad, SHORT)));
    let (all, ()) = tokio::join!(waiting, neighbour_answers(&good));
    assert!(all.iter().all(|problem| *problem == Problem::Timeout(SHORT)), "{all:?}");
    assert_eq!((bad.status().calls_in_flight, bad.status().restarts), (0, 0));
}

#[tokio::test]
#[ignore = "needs Python"]
async fn the_answers_of_a_slow_one_come_too_late_and_are_ignored_without_blame() {
    let folder = Folder::new();
    let slow = "
import threading
folder = sys.argv[1]
late = []
for r in asked():
    if r['method'] == 'x.now':
        for l in late: answer(l, 'x' * 100000)
        answer(r, 'now')
    else: late.append(r)
";
    let (bad, good) = beside(&folder, slow);
    let all = join_all((0..64).map(|_| problem(&bad, SHORT))).await;
    assert!(all.iter().all(|problem| *problem == Problem::Timeout(SHORT)), "{all:?}");
    assert_eq!(bad.call("x.now", Value::Null, LONG).await.unwrap(), "now");
    let late = bad.status().ignored;
    assert!((1..=64).contains(&late), "what was sent is answered: {late}");
    assert_eq!(bad.status().restarts, 0);
    neighbour_answers(&good).await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn answers_with_wrong_ids_and_second_answers_reach_nobody_and_are_counted() {
    let folder = Folder::new();
    let confused = "
for r in asked():
    for wrong in (0, r['id'] + 1, r['id'] + 1000, 18446744073709551615): say({'id': wrong, 'ok': True, 'result': 'wrong'})
    answer(r, 'right')
    answer(r, 'again')
";
    let (bad, good) = beside(&folder, confused);
    for asked in 1..=3 {
        assert_eq!(bad.call("x.ping", Value::Null, LONG).await.unwrap(), "right");
        until(|| bad.status().ignored == 5 * asked).await;
    }
    assert_eq!(bad.status().restarts, 0);
    neighbour_answers(&good).await;
}

#[tokio::test]
#[ignore = "needs Python"]
async fn a_result_nested_deeper_than_is_read_is_an_error_of_its_call_alone() {
    let folder = Folder::new();
    let deep = "
for r in asked():
    if r['method'] == 'x.deep':
        sys.stdout.write('{\"id\":%d,\"ok\":true,\"result\":%s%s}\\n' % (r['id'], '[' * 100000, ']' * 100000))
        sys.stdout.flush()
    else: answer(r)
";
    let (bad, good) = beside(&folder, deep);
    let error = bad.call("x.deep", Value::Null, LONG).await.unwrap_err();
    assert!(matches!(&error.problem, Problem::Malformed(_)), "{error}");
    answers(&bad).await;
    assert_eq!(bad.status().restarts, 0);
    neighbour_answers(&good).await;
}
