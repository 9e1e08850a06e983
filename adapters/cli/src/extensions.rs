//! `handfast extensions`: the gateway's extensions, and the start of their programs.

use std::os::unix::process::CommandExt;
use std::process::Command;

use handfast_server::admin::ExtensionList;
use handfast_server::extension::{AdminAnswer, ExtensionConfig, Transport};
use hyper::Method;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use serde_json::json;

use crate::End;
use crate::args::{ExtensionsArgs, ExtensionsVerb, RunExtension};
use crate::client::{ask, ask_all, read};
use crate::print::{put, safe, show};
use crate::table::table;

const EXTENSIONS: &str = "/api/v1/extensions";
/// Name of the hidden verb that starts a program.
const RUN: &str = "run-extension";
/// This program, even if its file has been replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

pub(crate) async fn run(args: ExtensionsArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb {
        ExtensionsVerb::List => {
            let answer = ask_all(&data, EXTENSIONS).await?;
            show(json, &answer, |list: ExtensionList| listed(&list))
        }
        ExtensionsVerb::Call { method, params } => {
            let body = json!({ "method": &method, "params": params });
            let path = format!("{EXTENSIONS}/call");
            let answer = ask(&data, Method::POST, &path, Some(body)).await?;
            called(json, &method, &answer)
        }
    }
}

fn listed(list: &ExtensionList) -> String {
    if list.extensions.is_empty() {
        return "this gateway has no extensions\n".to_owned();
    }
    let rows: Vec<Vec<String>> = list
        .extensions
        .iter()
        .map(|extension| {
            vec![
                safe(&extension.name),
                if extension.alive { "yes" } else { "no" }.to_owned(),
                extension.calls_in_flight.to_string(),
                extension.restarts.to_string(),
                safe(extension.last_error.as_deref().unwrap_or("-")),
            ]
        })
        .collect();
    table(&["NAME", "RUNS", "CALLS", "RESTARTS", "LAST ERROR"], &rows)
}

/// Prints the result of a call; an extension's error is one of the verb.
fn called(as_json: bool, method: &str, answer: &str) -> Result<(), End> {
    let AdminAnswer { ok, result, error } = read(answer)?;
    if as_json {
        put(&format!("{}\n", answer.trim_end()))?;
    } else if ok {
        put(&format!("{}\n", safe(&result.unwrap_or_default().to_string())))?;
    }
    if ok {
        return Ok(());
    }
    let error = error.unwrap_or_else(|| "no reason was given".to_owned());
    Err(End::Refused(format!("{}: {}", safe(method), safe(&error))))
}

/// Returns extensions whose programs end with this process, however it ends.
pub(crate) fn tied(extensions: &[ExtensionConfig]) -> Vec<ExtensionConfig> {
    let tie = |extension: &ExtensionConfig| {
        let transport = match &extension.transport {
            Transport::Stdio { command } => Transport::Stdio { command: tied_command(command) },
            Transport::Http { url } => Transport::Http { url: url.clone() },
        };
        ExtensionConfig { transport, ..extension.clone() }
    };
    extensions.iter().map(tie).collect()
}

/// Returns a command whose program ends with this process, however it ends; nothing for nothing.
pub(crate) fn tied_command(command: &[String]) -> Vec<String> {
    if command.is_empty() {
        return Vec::new();
    }
    let parent = std::process::id().to_string();
    let start = [THIS_PROGRAM, RUN, "--parent", &parent, "--"].map(str::to_owned);
    start.into_iter().chain(command.iter().cloned()).collect()
}

/// Replaces this process by the program, which the kernel kills when its parent ends.
pub(crate) fn start(args: &RunExtension) -> Result<(), End> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(End::refused)?;
    // The parent may have ended before the signal was set.
    if getppid().map(Pid::as_raw_pid) != Some(args.parent) {
        return Err(End::Refused("the gateway has ended".to_owned()));
    }
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(End::Usage("no program is named".to_owned()));
    };
    let error = Command::new(program).args(arguments).exec();
    Err(End::Refused(format!("{} cannot be started: {error}", program.display())))
}
