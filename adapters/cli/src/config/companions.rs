//! Readers and printers for the tables `setup` and `inbound`.

use handfast_core::grant::scope::{Scope, ScopesBuf};
use handfast_core::limits::LABEL_BYTES;
use handfast_core::registry::inbound::Ident;
use handfast_core::wire::setup::ProfileName;
use handfast_server::public_url::{ExtraHost, ExtraHostRefused, GatewayUrl, UrlRefused, UrlSource};
use url::{Origin, Url};

use super::key::Kind;
use super::print::quoted;
use super::settings::{SetupOptions, scopes};
use super::tables::{permissions, show_permissions};
use super::value::{ConfigProblem, ConfigValue, unknown};

/// Maximum number of profiles in a configuration.
const MOST_PROFILES: usize = 64;

/// Reads the URL of a gateway for companions; `None` for an empty option, which overrides the file.
/// A plain URL is checked later, when all allowed hosts are known: see [`check`].
pub(super) fn address(value: &ConfigValue<'_>) -> Result<Option<String>, ConfigProblem> {
    let text = value.text()?;
    if value.as_words().is_some() && text.is_empty() {
        return Ok(None);
    }
    match GatewayUrl::parse(text, &[]) {
        Ok(url) => Ok(Some(url.as_str().to_owned())),
        Err(UrlRefused::Plain { .. }) => Ok(Some(text.trim().to_owned())),
        // The value is not shown, because it may contain a password.
        Err(why) => Err(value.lacks(why.to_string())),
    }
}

pub(super) fn hosts(value: &ConfigValue<'_>) -> Result<Vec<String>, ConfigProblem> {
    let read = |item: &ConfigValue<'_>| {
        let text = item.text()?.trim();
        let host: Result<ExtraHost, ExtraHostRefused> = text.parse();
        host.map(|_| text.to_owned()).map_err(|_| item.wrong("it must be a host or *. and a suffix, as gateway.example, 100.64.0.7, fd00::1 or *.vpn.example, without scheme or port"))
    };
    value.items().iter().map(read).collect()
}

/// Reads origins in the form that browsers send.
pub(super) fn origins(value: &ConfigValue<'_>) -> Result<Vec<String>, ConfigProblem> {
    let need = "it must be an origin as browsers send it: http:// or https://, a host, and a port if it is not the usual one, without a slash at the end, as in \
                \"https://console.example\"";
    let read = |text: &str| {
        let origin =
            Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?.origin();
        (matches!(origin, Origin::Tuple(..)) && origin.ascii_serialization() == text)
            .then(|| text.to_owned())
    };
    value.items().iter().map(|item| item.parsed(need, read)).collect()
}

/// Reads names of channels.
pub(super) fn channels(value: &ConfigValue<'_>) -> Result<Vec<String>, ConfigProblem> {
    let need = "it must be a name of 1 to 128 bytes, without white space at its ends and without characters that cannot be seen";
    let read = |text| Ident::parse(text).map(|name| name.as_str().to_owned());
    value.items().iter().map(|item| item.parsed(need, read)).collect()
}

pub(super) fn profile_name(value: &ConfigValue<'_>) -> Result<String, ConfigProblem> {
    value.message(LABEL_BYTES)?;
    let read = |text| ProfileName::parse(text).map(|name| name.as_str().to_owned());
    value.parsed("it must be 1 to 64 visible characters", read)
}

/// Permissions by profile, and the names of the profiles that may approve nodes with tokens.
type Profiles = (Vec<(String, ScopesBuf)>, Vec<String>);

/// The key, and the word of an option, for that approval.
const MAY_APPROVE: &str = "may_approve";

/// Permissions by profile: `[setup.profiles.NAME]` tables, or the words `NAME=SCOPE` of an option.
pub(super) fn profiles() -> Kind<SetupOptions> {
    let store = |value: &ConfigValue<'_>, setup: &mut SetupOptions| {
        sorted_profiles(value).map(|given| (setup.profiles, setup.approvers) = given)
    };
    Kind::changing("NAME=SCOPE", store, show_profiles).repeated()
}

/// Reads profiles, and sorts them by name.
fn sorted_profiles(value: &ConfigValue<'_>) -> Result<Profiles, ConfigProblem> {
    let (mut found, mut approvers) =
        if value.as_words().is_some() { from_words(value)? } else { from_tables(value)? };
    if found.len() > MOST_PROFILES {
        return Err(value.lacks(format!("there is room for {MOST_PROFILES} profiles")));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    approvers.sort();
    approvers.dedup();
    Ok((found, approvers))
}

fn from_tables(value: &ConfigValue<'_>) -> Result<Profiles, ConfigProblem> {
    let (mut found, mut approvers) = (Vec::new(), Vec::new());
    for profile in value.fields("[setup.profiles]")? {
        let table = format!("[setup.profiles.{}]", profile.name);
        let name = ProfileName::parse(profile.name).ok_or_else(|| {
            profile.value.lacks("the name of a profile must be 1 to 64 visible characters")
        })?;
        let mut allowed = None;
        for field in profile.value.fields(&table)? {
            match field.name {
                "permissions" => {
                    allowed = Some(permissions(&field.value, &format!("permissions of {table}"))?);
                }
                MAY_APPROVE if field.value.flag()? => approvers.push(name.as_str().to_owned()),
                MAY_APPROVE => {}
                other => {
                    return Err(unknown(
                        other,
                        &table,
                        field.offset,
                        &["permissions", MAY_APPROVE],
                    ));
                }
            }
        }
        let allowed = allowed.ok_or_else(|| profile.value.lacks("`permissions` is missing"))?;
        found.push((name.as_str().to_owned(), allowed));
    }
    Ok((found, approvers))
}

fn from_words(value: &ConfigValue<'_>) -> Result<Profiles, ConfigProblem> {
    let mut approvers = Vec::new();
    let mut found: Vec<(String, Vec<Scope<'_>>)> = Vec::new();
    for item in value.items() {
        let split = item
            .text()?
            .split_once('=')
            .and_then(|(name, scope)| Some((ProfileName::parse(name)?.as_str(), scope)));
        let (name, scope) = split.ok_or_else(|| {
            item.wrong("it must read NAME=SCOPE, as in lamp=read:/lights/**, or NAME= for nothing")
        })?;
        let at = found.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            found.push((name.to_owned(), Vec::new()));
            found.len() - 1
        });
        if scope == MAY_APPROVE {
            approvers.push(name.to_owned());
        } else if !scope.is_empty() {
            let scope = Scope::parse(scope).map_err(|error| item.wrong(error.as_str()))?;
            if let Some((_, all)) = found.get_mut(at) {
                all.push(scope);
            }
        }
    }
    let whole = |(name, all): (String, Vec<Scope<'_>>)| {
        Ok((name, scopes(all).map_err(|error| value.lacks(error.as_str()))?))
    };
    Ok((found.into_iter().map(whole).collect::<Result<_, _>>()?, approvers))
}

/// Prints profiles as TOML. `None` for no profiles: an empty table would conflict with one that is
/// added to a printed file.
fn show_profiles(setup: &SetupOptions) -> Option<String> {
    let shown = setup.profiles.iter().map(|(name, scopes)| {
        let more = if setup.approvers.contains(name) { ", may_approve = true" } else { "" };
        format!("{} = {{ permissions = {}{more} }}", quoted(name), show_permissions(scopes))
    });
    (!setup.profiles.is_empty()).then(|| format!("{{ {} }}", shown.collect::<Vec<_>>().join(", ")))
}

/// Checks settings against each other, and returns one line per problem.
pub(super) fn check(setup: &SetupOptions) -> Vec<String> {
    let named = [
        ("public_url", UrlSource::Public, &setup.public_url),
        ("tunnel_url", UrlSource::Tunnel, &setup.tunnel_url),
        ("gateway_url", UrlSource::Gateway, &setup.gateway_url),
    ];
    let plain_hosts = setup.extra_hosts();
    let refused = named.into_iter().filter_map(|(key, source, text)| {
        let why = GatewayUrl::parse(text.as_ref()?, &plain_hosts).err()?;
        Some(format!("the {source} URL ({key} in [setup]) cannot stand in a setup code: {why}"))
    });
    let mut problems: Vec<String> = refused.collect();
    if setup.session_longest < setup.session_ttl {
        problems.push(
            "session_longest in [setup] is shorter than session_ttl: a session may not live longer at once than in all; raise the first or lower the second"
                .to_owned(),
        );
    }
    problems
}
