//! `handfast companion …` on the command line.

use std::path::PathBuf;

use clap::{Args as Arguments, Subcommand};
use handfast_node::companion::ExtraHost;

/// What stands in the file of a session.
const FILE: &str = "The session's file is JSON that only its owner can read: {\"url\":\"…\",\"session_token\":\"…\"}, where url is the address that the code named; \
                    beside them ca and plain_hosts, if --ca or --allow-plain were needed, which then need not be given again.";

/// Shows a setup code to its gateway and keeps the session that comes of it, or uses that session.
#[derive(Debug, Arguments)]
#[command(after_help = FILE)]
pub(crate) struct CompanionArgs {
    /// The setup code: the line that `handfast companions invite` shows, or with --url its bootstrap
    /// token alone; - reads it from standard input, where
    /// nobody else sees it
    #[arg(long, value_name = "PAYLOAD|-")]
    pub(crate) code: Option<String>,
    /// Where the gateway is, in place of where the payload says; needed with a bare bootstrap token
    #[arg(long, value_name = "URL", requires = "code")]
    pub(crate) url: Option<String>,
    /// Replace a session that the file holds already
    #[arg(long, requires = "code")]
    pub(crate) force: bool,
    /// Print the token of the session, too, which is otherwise in the file alone
    #[arg(long, requires = "code")]
    pub(crate) show_token: bool,
    /// The file of the session
    /// [default: $XDG_STATE_HOME/handfast/companion.json, else ~/.local/state/handfast/companion.json]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) session: Option<PathBuf>,
    /// PEM file of a CA to trust besides the system's
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// Host outside the local network that may be reached without TLS; may be repeated
    #[arg(long, value_name = "HOST", global = true, value_parser = host)]
    pub(crate) allow_plain: Vec<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Option<CompanionVerb>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CompanionVerb {
    /// Ask the gateway how the session stands
    Status,
    /// Let the session live on, as long as the gateway allows
    Refresh,
    /// End the session for good, and remove its file
    End,
    /// Send one text frame to the gateway's application
    Send {
        /// The text, at most 65536 bytes; - reads it from standard input
        #[arg(value_name = "TEXT|-", allow_hyphen_values = true)]
        text: String,
    },
    /// Stay connected and print what the gateway's application sends, a line for each frame, until
    /// interrupted
    Listen,
}

fn host(text: &str) -> Result<String, String> {
    text.parse::<ExtraHost>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}
