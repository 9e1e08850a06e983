//! `handfast doctor`: what is wrong with a gateway and its machine, and what mends it.
//!
//! It looks at the data directory by itself, and asks the gateway if one runs. Of a packaged
//! gateway that is found by its group's socket, it sees only what the gateway tells. It changes
//! nothing.

mod directory;
mod listening;
mod running;

use serde_json::json;

use crate::End;
use crate::args::DoctorArgs;
use crate::print::{put, safe};

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// Its name for programs: lower case and underscores.
    name: &'static str,
    /// What is wrong.
    what: String,
    /// What mends it.
    mend: String,
}

impl Finding {
    fn new(name: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, what: what.into(), mend: mend.into() }
    }
}

pub(crate) async fn run(args: DoctorArgs) -> Result<(), End> {
    let data = args.common.data.gateway()?;
    let mut findings = if data.is_shared() { Vec::new() } else { directory::findings(&data) };
    let answers = running::findings(&data, &mut findings).await;
    if let Some(config) = &args.config {
        findings.extend(listening::findings(config, answers));
    }
    let looked = safe(&data.display().to_string());
    if args.common.json {
        let all: Vec<_> = findings
            .iter()
            .map(|one| json!({"name": one.name, "what": one.what, "mend": one.mend}))
            .collect();
        put(&format!("{}\n", json!({"data": looked, "running": answers, "findings": all})))?;
    } else if findings.is_empty() {
        put(&format!("{looked}: nothing was found\n"))?;
    } else {
        let text = findings.iter().map(|one| format!("{}\n  {}\n", one.what, one.mend));
        put(&text.collect::<String>())?;
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err(End::Refused("1 thing was found".to_owned())),
        several => Err(End::Refused(format!("{several} things were found"))),
    }
}
