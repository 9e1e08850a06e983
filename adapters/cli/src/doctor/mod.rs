//! `handfast doctor`: what is wrong with a gateway and its machine, and what mends it.
//!
//! It looks at the data directory by itself, and asks the gateway if one runs. Of a packaged
//! gateway that is found by its group's socket, it sees only what the gateway tells. It changes
//! nothing.

mod directory;
mod listening;
mod running;

use std::path::{Path, PathBuf};

use handfast_cli::config::Options;
use serde_json::json;

use crate::End;
use crate::args::DoctorArgs;
use crate::data::DataPlace;
use crate::print::{put, safe};
use crate::serve::store_key;

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

/// The place that is looked at, and what is known of it.
struct Place<'a> {
    data: &'a DataPlace,
    /// The configuration file that was named.
    config: Option<&'a Path>,
    /// The store key's file that the configuration names; `None` without a configuration.
    store_key: Option<PathBuf>,
}

pub(crate) async fn run(args: DoctorArgs) -> Result<(), End> {
    let data = args.common.data.gateway()?;
    let config = args.config.as_deref();
    let settings = config.map(|config| Options::of_file(config.to_owned()).settings());
    let known = settings.as_ref().and_then(|read| read.as_ref().ok());
    let mut told = Vec::new();
    let running = running::findings(&data, config, &mut told).await;
    let mut findings = Vec::new();
    if !data.is_shared() {
        // The file of a gateway whose registry is in a database is not the one that it serves.
        let in_file = !running.shares && known.is_none_or(|settings| settings.store.is_none());
        let store_key = known.map(|settings| store_key(&data, settings));
        let place = Place { data: &data, config, store_key };
        findings.extend(directory::findings(&place, in_file));
    }
    findings.append(&mut told);
    match settings {
        Some(Ok(settings)) => {
            findings.extend(listening::findings(&settings, &data, running.answers));
        }
        Some(Err(error)) => findings.push(Finding::new(
            "config",
            safe(&error.to_string()),
            "correct the file; the gateway does not start with it",
        )),
        None => {}
    }
    let answers = running.answers;
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
        put(&handfast_stdio::fitted(&text.collect::<String>(), 0))?;
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err(End::Refused("1 thing was found".to_owned())),
        several => Err(End::Refused(format!("{several} things were found"))),
    }
}
