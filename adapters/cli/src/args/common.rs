//! Options that several verbs share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as Arguments;
use handfast_core::grant::scope::{Action, Pattern, Scope, Scopes, ScopesBuf};
use handfast_server::admin::PermissionsView;

use crate::End;

/// Where the gateway keeps its data and its operator's socket.
#[derive(Debug, Clone, Arguments)]
pub(crate) struct DataDir {
    /// Data directory of the gateway, or the directory of its group's socket
    /// [default: $HANDFAST_DATA, else $STATE_DIRECTORY, else /run/handfast if a gateway has its
    /// socket there and the verb asks it, else $XDG_DATA_HOME/handfast, else
    /// ~/.local/share/handfast]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
}

/// The options of every verb that talks to the running gateway.
#[derive(Debug, Clone, Arguments)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What may be done.
#[derive(Debug, Default, Arguments)]
pub(crate) struct Permissions {
    /// Allow reading there, for instance /lights/**; may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    read: Vec<String>,
    /// Allow writing there, and reading
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    write: Vec<String>,
    /// Allow administering there, and reading and writing
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    admin: Vec<String>,
}

impl Permissions {
    /// What was named; none, if nothing was.
    fn scopes(&self) -> Result<Option<ScopesBuf>, End> {
        let named = [
            (Action::Read, &self.read),
            (Action::Write, &self.write),
            (Action::Admin, &self.admin),
        ];
        let mut scopes = Scopes::new();
        for (action, patterns) in named {
            for text in patterns {
                let wrong = |error: handfast_core::grant::scope::ScopeError| {
                    End::Usage(format!("--{action} {text}: {}", error.as_str()))
                };
                let pattern = Pattern::parse(text).map_err(wrong)?;
                scopes.push(Scope { action, pattern }).map_err(wrong)?;
            }
        }
        Ok((!scopes.as_slice().is_empty()).then(|| (&scopes).into()))
    }

    /// The same as the gateway's API takes it.
    pub(crate) fn view(&self) -> Result<serde_json::Value, End> {
        Ok(serde_json::json!(self.scopes()?.as_ref().map(PermissionsView::of)))
    }
}

/// Reads a length of time: whole seconds, at least one.
pub(crate) fn length_of_time(text: &str) -> Result<Duration, String> {
    let wrong =
        || "a length of time of at least a second is needed, as in 300, 5m or 30d".to_owned();
    let span = handfast_cli::config::length_of_time(text).ok_or_else(wrong)?;
    // Far beyond it, dates have no meaning.
    let most = 100 * 365 * 86_400;
    match span.as_millis() / 1000 {
        secs if (1..=most).contains(&secs) && span.as_millis() % 1000 == 0 => {
            Ok(Duration::from_secs(secs))
        }
        _ => Err(wrong()),
    }
}

fn pattern(text: &str) -> Result<String, String> {
    Pattern::parse(text).map(|_| text.to_owned()).map_err(|error| error.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_whole_seconds() {
        assert_eq!(length_of_time("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(length_of_time("300"), Ok(Duration::from_secs(300)));
        for bad in ["", "0", "0.5", "1.5", "5 m", "-1", "forever", "5000w5000w", "9999999999999"] {
            assert!(length_of_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn permissions_that_are_not_named_are_none_and_not_nothing() {
        assert_eq!(Permissions::default().scopes().unwrap(), None);
        let named =
            Permissions { read: vec!["/a".into()], write: vec!["/b/**".into()], admin: Vec::new() };
        assert_eq!(named.scopes().unwrap().unwrap().as_str(), "read:/a\nwrite:/b/**\n");
        let many = Permissions {
            read: (0..17).map(|n| format!("/{n}")).collect(),
            ..Permissions::default()
        };
        assert!(matches!(many.scopes(), Err(End::Usage(_))));
    }
}
