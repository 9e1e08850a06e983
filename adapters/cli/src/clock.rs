//! `handfast clock`: the gateway's time, and its trust in the system's clock.

use handfast_server::admin::{AcceptedView, ClockView, Time};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::{ClockArgs, ClockVerb};
use crate::client::ask;
use crate::data::DataPlace;
use crate::hints::Next;
use crate::print::show;

const CLOCK: &str = "/api/v1/clock";

pub(crate) async fn run(args: ClockArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb.unwrap_or(ClockVerb::Show) {
        ClockVerb::Show => {
            let answer = ask(&data, Method::GET, CLOCK, None).await?;
            show(json, &answer, |view: ClockView| stands(&view, &data))
        }
        ClockVerb::Accept { at } => {
            let body = json!({ "at": at.map(Time::from) });
            let answer = ask(&data, Method::POST, CLOCK, Some(body)).await?;
            show(json, &answer, |view: AcceptedView| accepted(&view, &data))
        }
    }
}

/// Returns the remedy for a clock that is not good, with its command.
pub(crate) fn mend(view: &ClockView, data: &DataPlace) -> Option<String> {
    let system = view.system.to_string();
    let (what, next) = match view.state.as_str() {
        "behind" => ("if the system's clock is right, say so with", Next::SetClock(&system)),
        _ => ("accept it with", Next::AcceptClock),
    };
    view.mend.as_ref().map(|mend| format!("{mend}; {what}: {}", next.on(data)))
}

fn stands(view: &ClockView, data: &DataPlace) -> String {
    let synchronised =
        if view.synchronised { "synchronised" } else { "not known to be synchronised" };
    let mend = mend(view, data).map_or_else(String::new, |mend| format!("{mend}\n"));
    format!(
        "clock: {}\nthe gateway goes by {}\nthe system's clock says {}, {synchronised}\n{mend}",
        view.state, view.now, view.system
    )
}

fn accepted(view: &AcceptedView, data: &DataPlace) -> String {
    let AcceptedView { clock, moved, ended } = view;
    let ended = match ended {
        0 => String::new(),
        ended => format!(
            "ended, because they were made under a false time: {ended}; such nodes and companions pair again\n"
        ),
    };
    format!(
        "{}moved with the clock, with the same life left: {moved}\n{ended}",
        stands(clock, data)
    )
}
