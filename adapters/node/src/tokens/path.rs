//! The default path of the store, and the addresses of its entries.

use std::ffi::OsString;
use std::path::PathBuf;

use super::error::TokensError;
use crate::gateway_url::GatewayUrl;

/// Returns the default path of the store: `${XDG_CONFIG_HOME:-~/.config}/handfast/tokens.json`; on
/// macOS `~/Library/Application Support/handfast/tokens.json`; on Windows
/// `%APPDATA%\handfast\tokens.json`.
///
/// # Errors
/// [`TokensError::NoPlace`] if the environment names none of these directories.
pub fn default_path() -> Result<PathBuf, TokensError> {
    path_on(std::env::consts::OS, |name| std::env::var_os(name)).ok_or(TokensError::NoPlace)
}

fn path_on(system: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A relative path would name another place in every directory.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match system {
        "macos" => absolute("HOME").map(|home| home.join("Library/Application Support")),
        "windows" => absolute("APPDATA"),
        _ => absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config"))),
    };
    base.map(|base| base.join("handfast").join("tokens.json"))
}

/// Returns the address of a gateway's entry: host and port, with brackets around an IPv6 address.
#[must_use]
pub fn router_of(gateway: &GatewayUrl) -> String {
    let (host, port) = (gateway.host(), gateway.port());
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(system: &str, variables: &[(&str, &str)]) -> Option<PathBuf> {
        path_on(system, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn each_system_has_its_place() {
        let home = ("HOME", "/home/ada");
        for (system, variables, expected) in [
            ("linux", vec![home], "/home/ada/.config/handfast/tokens.json"),
            ("linux", vec![home, ("XDG_CONFIG_HOME", "/etc/ada")], "/etc/ada/handfast/tokens.json"),
            (
                "linux",
                vec![home, ("XDG_CONFIG_HOME", "")],
                "/home/ada/.config/handfast/tokens.json",
            ),
            (
                "linux",
                vec![home, ("XDG_CONFIG_HOME", "here")],
                "/home/ada/.config/handfast/tokens.json",
            ),
            (
                "macos",
                vec![home, ("XDG_CONFIG_HOME", "/x")],
                "/home/ada/Library/Application Support/handfast/tokens.json",
            ),
            ("windows", vec![home, ("APPDATA", "/roaming")], "/roaming/handfast/tokens.json"),
        ] {
            assert_eq!(on(system, &variables), Some(expected.into()), "{system} {variables:?}");
        }
    }

    #[test]
    fn without_a_home_there_is_no_place() {
        for system in ["linux", "macos", "windows"] {
            assert_eq!(on(system, &[]), None);
            assert_eq!(on(system, &[("HOME", ""), ("APPDATA", "")]), None);
        }
    }

    #[test]
    fn an_entry_stands_under_host_and_port() {
        for (url, router) in [
            ("ws://192.168.1.100:7330", "192.168.1.100:7330"),
            ("wss://studio.local", "studio.local:8765"),
            ("wss://studio.local:443/pair?x", "studio.local:443"),
            ("ws://[2001:db8::1]:7330", "[2001:db8::1]:7330"),
        ] {
            assert_eq!(router_of(&url.parse().unwrap()), router);
        }
    }
}
