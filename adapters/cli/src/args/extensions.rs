//! `handfast extensions`, and the hidden verb that starts an extension's program.

use std::ffi::OsString;

use clap::{Args as Arguments, Subcommand};

use super::Common;

#[derive(Debug, Arguments)]
pub(crate) struct ExtensionsArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: ExtensionsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExtensionsVerb {
    /// List the extensions, whether they run, and their last errors
    List,
    /// Call a method of an extension, and print its result as JSON
    Call {
        /// The method, as mail.queue
        #[arg(value_name = "METHOD")]
        method: String,
        /// The parameters as JSON
        #[arg(value_name = "JSON", default_value = "null", value_parser = json)]
        params: serde_json::Value,
    },
}

/// Runs a program that ends with the process that started it.
#[derive(Debug, Arguments)]
pub(crate) struct RunExtension {
    /// Process id of the gateway
    #[arg(long, value_name = "PID")]
    pub(crate) parent: i32,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it must be JSON: {error}"))
}
