//! `handfast nodes invoke`, `cancel` and `results`: tasks for nodes.

use std::io::Read;
use std::time::Duration;

use handfast_server::admin::{CapabilityList, DispatchList, DispatchView};
use handfast_stdio::Waiting;
use hyper::Method;
use serde_json::{Value, json};

use crate::End;
use crate::args::InvokeArgs;
use crate::client::{ask, encoded, named, read};
use crate::data::DataPlace;
use crate::gateway_time::now;
use crate::hints::Next;
use crate::print::{ago, left, put, safe, show, shown};
use crate::table::{short_ids, table};

/// Time after a task's deadline for which its outcome is still awaited.
const GRACE: u64 = 3;
/// Maximum length of an input that is read from standard input, in bytes. The gateway takes less.
const INPUT_BYTES: u64 = 64 * 1024;
/// Maximum length of a result in a table, in characters.
const SHOWN: usize = 60;

pub(crate) async fn invoke(data: &DataPlace, json: bool, args: InvokeArgs) -> Result<(), End> {
    let tasks = format!("/api/v1/nodes/{}/dispatches", named(&args.node, data)?);
    let timeout = args.timeout.map(|timeout| timeout.as_secs());
    let answer = match &args.retry {
        Some(id) => {
            let path = format!("{tasks}/{}/retry", encoded(id));
            ask(data, Method::POST, &path, Some(json!({ "timeout_seconds": timeout }))).await?
        }
        None => {
            let body = json!({
                "capability": args.capability,
                "input": input(args.input.as_deref())?,
                "timeout_seconds": timeout,
                "max_payload": args.max_result,
                "request_id": args.request_id,
            });
            ask(data, Method::POST, &tasks, Some(body)).await?
        }
    };
    let view: DispatchView = read(&answer)?;
    if !args.wait {
        return show(json, &answer, |view| begun(&view, data));
    }
    let (answer, view) = wait(data, &tasks, answer, view).await?;
    let printed = match (json, &view.result) {
        (true, _) => put(&shown(true, &answer, |_: DispatchView| String::new())?),
        (false, Some(result)) if view.state == "succeeded" => {
            put(&format!("{}\n", safe(&result.to_string())))
        }
        (false, _) => Ok(()),
    };
    match view.state.as_str() {
        "succeeded" => printed,
        _ => printed.and(Err(End::Refused(failed(&view, data)))),
    }
}

pub(crate) async fn cancel(data: &DataPlace, json: bool, node: &str, id: &str) -> Result<(), End> {
    let node = named(node, data)?;
    let path = format!("/api/v1/nodes/{node}/dispatches/{}/cancel", encoded(id));
    let answer = ask(data, Method::POST, &path, None).await?;
    let view: DispatchView = read(&answer)?;
    let done = view.cancelling || view.state == "cancelled";
    let printed = show(json, &answer, |view: DispatchView| match view.state.as_str() {
        "cancelled" => format!("task {} cancelled\n", view.id),
        _ if view.cancelling => {
            let results = Next::Results(&view.node_id).on(data);
            format!("task {}: the node is told to stop; see how it ends with: {results}\n", view.id)
        }
        _ => String::new(),
    });
    match done {
        true => printed,
        false => printed.and(Err(End::Refused(format!(
            "task {} is over already: {}",
            view.id,
            words(&view)
        )))),
    }
}

pub(crate) async fn results(
    data: &DataPlace,
    json: bool,
    node: &str,
    id: Option<&str>,
    limit: usize,
) -> Result<(), End> {
    let tasks = format!("/api/v1/nodes/{}/dispatches", named(node, data)?);
    if let Some(id) = id {
        let answer = ask(data, Method::GET, &format!("{tasks}/{}", encoded(id)), None).await?;
        return show(json, &answer, |view: DispatchView| details(&view));
    }
    let answer =
        ask(data, Method::GET, &format!("{tasks}?limit={}", limit.clamp(1, 500)), None).await?;
    show(json, &answer, |list: DispatchList| listing(&list))
}

/// Formats what a node can do, for the lines of `nodes describe`.
pub(crate) fn can(list: &CapabilityList) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    for (at, one) in list.capabilities.iter().enumerate() {
        let mut text = format!("{} {}", safe(&one.name), safe(&one.version));
        if !one.available {
            text += ", not available now";
        }
        if one.idempotent {
            text += ", may run twice";
        }
        rows.push((if at == 0 { "can" } else { "" }, text));
    }
    if list.capabilities.is_empty() {
        rows.push(("can", "nothing announced".to_owned()));
    }
    rows.extend(list.takes_none.iter().map(|why| ("takes no tasks", safe(why))));
    if list.open > 0 {
        rows.push(("tasks", format!("{} not over", list.open)));
    }
    rows
}

/// Reads the input of a task: JSON from the command line, or from standard input.
fn input(given: Option<&str>) -> Result<Value, End> {
    let text = match given {
        None => return Ok(Value::Null),
        Some("-") => {
            let mut text = String::new();
            let mut from = std::io::stdin().lock().take(INPUT_BYTES);
            from.read_to_string(&mut text).map_err(|error| {
                End::Usage(format!("the input cannot be read from standard input: {error}"))
            })?;
            text
        }
        Some(text) => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| {
        End::Usage(format!("the input is not JSON ({error}); a text needs its quotes: '\"text\"'"))
    })
}

/// Waits until the task is over, or nobody can tell, and shows how far it has come.
async fn wait(
    data: &DataPlace,
    tasks: &str,
    mut answer: String,
    mut view: DispatchView,
) -> Result<(String, DispatchView), End> {
    loop {
        let now = now();
        let late = view.deadline.as_secs().saturating_add(GRACE).saturating_sub(now);
        if view.over || (late == 0 && view.state == "unknown") {
            return Ok((answer, view));
        }
        let path =
            format!("{tasks}/{}?wait_seconds={}&known={}", view.id, late.clamp(1, 30), view.seen);
        let _waiting = Waiting::at_most(
            &format!("task {}: {}", &view.id[..8], progress(&view)),
            Duration::from_secs(view.deadline.as_secs().saturating_sub(now)),
        );
        answer = ask(data, Method::GET, &path, None).await?;
        view = read(&answer)?;
    }
}

fn begun(view: &DispatchView, data: &DataPlace) -> String {
    let results = Next::Results(&view.node_id).on(data);
    match view.over {
        true => format!("task {}: {}\n", view.id, words(view)),
        false => format!(
            "task {}: {}, for {} more\nSee its result with: {results}\n",
            view.id,
            progress(view),
            left(view.deadline)
        ),
    }
}

fn failed(view: &DispatchView, data: &DataPlace) -> String {
    let mut text = format!("task {}: {}", view.id, words(view));
    if view.may_retry {
        let retry = Next::Retry(&view.node_id, &view.id).on(data);
        text += &format!("; it never ran, so send it again with: {retry}");
    }
    text
}

/// Describes the state of a task that is under way.
fn progress(view: &DispatchView) -> String {
    let mut text = match view.state.as_str() {
        "queued" => "queued, and sent as soon as the node is linked".to_owned(),
        "awaiting_mediation" => "somebody at the node has to agree".to_owned(),
        state => state.to_owned(),
    };
    if let Some(percent) = view.percent {
        text += &format!(", {percent} %");
    }
    if let Some(note) = &view.note {
        text += &format!(", {}", safe(note));
    }
    if view.cancelling {
        text += ", being cancelled";
    }
    text
}

/// Describes how a task has ended.
fn words(view: &DispatchView) -> String {
    let mut text = match view.state.as_str() {
        "expired" => "its time was over before it ran".to_owned(),
        "timed_out" => "its time was over before the node answered".to_owned(),
        "unknown" if view.over => {
            "it was sent, and nobody can tell any more whether it ran".to_owned()
        }
        "unknown" => {
            "it was sent, and its node's link was lost; the node is asked once it links".to_owned()
        }
        state => state.replace('_', " "),
    };
    if let Some(reason) = &view.reason {
        text += &format!(": {}", safe(reason));
    }
    if let Some(late) = &view.late {
        text += &format!("; after that the node told: {}", late.replace('_', " "));
    }
    text
}

fn listing(list: &DispatchList) -> String {
    if list.dispatches.is_empty() {
        return format!("no tasks of node {} are kept\n", list.node_id);
    }
    let ids: Vec<&str> = list.dispatches.iter().map(|view| view.id.as_str()).collect();
    let row = |(view, id): (&DispatchView, String)| {
        let told = match (&view.result, &view.reason) {
            (Some(result), _) => safe(&result.to_string()),
            (None, Some(reason)) => safe(reason),
            (None, None) => String::new(),
        };
        let told = match told.chars().count() > SHOWN {
            true => told.chars().take(SHOWN).chain(['…']).collect(),
            false => told,
        };
        let state = match (&view.late, view.over) {
            (Some(late), _) => format!("{}, late: {late}", view.state),
            (None, true) => view.state.clone(),
            (None, false) => progress(view),
        };
        vec![id, safe(&view.capability), state.replace('_', " "), ago(view.made_at), told]
    };
    let rows: Vec<Vec<String>> = list.dispatches.iter().zip(short_ids(&ids)).map(row).collect();
    table(&["ID", "CAPABILITY", "STATE", "MADE", "RESULT"], &rows)
}

fn details(view: &DispatchView) -> String {
    let state = if view.over { words(view) } else { progress(view) };
    let mut rows = vec![
        ("id", view.id.clone()),
        ("node", view.node_id.clone()),
        ("capability", safe(&view.capability)),
        ("state", state),
        ("made", format!("{} by {}", ago(view.made_at), safe(&view.made_by))),
        ("changed", ago(view.changed_at)),
    ];
    rows.extend((!view.over).then(|| ("time left", left(view.deadline))));
    rows.extend(view.input.as_ref().map(|input| ("input", safe(&input.to_string()))));
    rows.extend(view.result.as_ref().map(|result| ("result", safe(&result.to_string()))));
    rows.into_iter().map(|(label, value)| format!("{label:<12}{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: &str, over: bool) -> DispatchView {
        let text = json!({
            "id": "000102030405060708090a0b0c0d0e0f", "node_id": "n", "capability": "echo",
            "state": state, "over": over, "seen": "s", "number": 1, "made_at": "1970-01-01T00:00:01Z",
            "deadline": "1970-01-01T00:00:02Z",
            "changed_at": "1970-01-01T00:00:01Z", "made_by": "operator",
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn an_input_is_json_or_nothing() {
        assert_eq!(input(None).unwrap(), Value::Null);
        assert_eq!(input(Some(r#"{"a":1}"#)).unwrap(), json!({"a": 1}));
        let Err(End::Usage(text)) = input(Some("hello")) else { panic!("it is no JSON") };
        assert!(text.contains("quotes"), "{text}");
    }

    #[test]
    fn what_is_unknown_is_never_told_as_done_or_failed() {
        let lost = words(&view("unknown", false));
        assert!(lost.contains("asked once it links"), "{lost}");
        let gone = words(&view("unknown", true));
        assert!(gone.contains("nobody can tell"), "{gone}");
    }

    #[test]
    fn only_what_never_ran_is_advised_to_be_sent_again() {
        let data = DataPlace::named(std::path::Path::new("/d"));
        assert!(!failed(&view("failed", true), &data).contains("--retry"));
        let expired = DispatchView { may_retry: true, ..view("expired", true) };
        let text = failed(&expired, &data);
        assert!(text.contains("nodes invoke n --retry 000102030405060708090a0b0c0d0e0f"), "{text}");
    }

    #[test]
    fn a_table_of_results_fits_eighty_columns() {
        let mut long = view("succeeded", true);
        long.result = Some(json!("x".repeat(500)));
        let list = DispatchList {
            node_id: "n".to_owned(),
            friendly_name: "lamp".to_owned(),
            dispatches: vec![long, view("timed_out", true)],
            next: None,
            total: 2,
        };
        let shown = listing(&list);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("timed out") && shown.contains('…'), "{shown}");
    }
}
