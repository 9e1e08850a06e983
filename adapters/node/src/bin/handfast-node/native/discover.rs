//! `handfast-node pair` without an address: the gateways on the network, and the owner's choice.

use std::io::{IsTerminal, stdin};

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::found::{FoundGateway, FoundGateways};
use handfast_node::discovery::{SEARCH_WITHIN, search};
use handfast_node::native::GatewayAt;
use handfast_stdio::note_line;
use unicode_width::UnicodeWidthChar;

use crate::Failure;
use crate::args::native::Chosen;
use crate::ask::Question;
use crate::hint::Hints;

/// Maximum width of a gateway's name in columns.
const NAME_COLUMNS: usize = 40;

/// A gateway on the network that the owner means: where it said it is, and the key that it has to
/// prove there before anything is told to it.
pub(crate) struct FoundChoice {
    pub(crate) gateways: Vec<GatewayAt>,
    pub(crate) fingerprint: Fingerprint,
}

impl From<&FoundGateway> for FoundChoice {
    fn from(gateway: &FoundGateway) -> Self {
        let gateways = GatewayAt::of_found(gateway).collect();
        Self { gateways, fingerprint: *gateway.fingerprint() }
    }
}

/// Looks for gateways, and returns the one that the owner means: that of the given fingerprint, or
/// the one that is chosen on the terminal.
pub(crate) async fn choose(
    way: &Chosen,
    key: Option<&Fingerprint>,
    hints: &Hints,
) -> Result<FoundChoice, Failure> {
    note_line(&format!(
        "Looking for gateways on this network for {} s. None is told anything.",
        SEARCH_WITHIN.as_secs()
    ));
    let found = search(SEARCH_WITHIN, key).await.map_err(|why| {
        Failure::Failed(format!(
            "the network cannot be asked for gateways: {why}; name the gateway with --gateway, \
             like --gateway ws://gateway.local:8765"
        ))
    })?;
    if let Some(key) = key {
        return found.with(key).map(Into::into).ok_or_else(|| {
            Failure::Failed(format!(
                "the gateway {key} does not announce itself on this network; name its address with \
                 --gateway, like --gateway ws://gateway.local:8765"
            ))
        });
    }
    if found.all().is_empty() {
        return Err(Failure::Failed(
            "no gateway announces itself on this network; name the address with --gateway, like \
             --gateway ws://gateway.local:8765 (a gateway on loopback announces nothing)"
                .into(),
        ));
    }
    if !stdin().is_terminal() {
        return Err(Failure::Usage(not_asked(way, &found, hints)));
    }
    note_line(&listed(&found));
    let choice = FoundChoice::from(chosen(&found).await?);
    if *way == Chosen::Approval {
        compared(&choice.fingerprint).await?;
    }
    Ok(choice)
}

/// Returns the list for the owner, with a number for each gateway.
fn listed(found: &FoundGateways) -> String {
    let mut text = String::new();
    for (number, gateway) in (1..).zip(found.all()) {
        let (fingerprint, name) = (gateway.fingerprint(), shown(gateway.name().as_str()));
        text += &format!("{number:>3}  {fingerprint}  {name}\n");
        let mut addresses = GatewayAt::of_found(gateway);
        if let Some(first) = addresses.next() {
            text += &format!("     {first}");
        }
        match addresses.count() {
            0 => text += "\n",
            more => text += &format!(" and {more} more\n"),
        }
    }
    if found.is_full() {
        text += "More gateways announce themselves than are shown here; if yours is not among \
                 them, name it with --gateway.\n";
    }
    text + "Anybody can announce any name: the fingerprint is what counts."
}

/// Returns the error for an owner who cannot be asked, with a command for each gateway.
fn not_asked(way: &Chosen, found: &FoundGateways, hints: &Hints) -> String {
    let mut text = "which gateway is meant cannot be asked without a terminal; name it:".to_owned();
    for gateway in found.all() {
        let FoundChoice { gateways, fingerprint } = gateway.into();
        let hint = hints.pair(way.option(), &gateways);
        let hint = hint.option("--gateway-key", Some(fingerprint.to_string()));
        text += &format!("\n  {hint}\n    {}", shown(gateway.name().as_str()));
    }
    text
}

/// Returns as much of a name as fits into a line. It holds no control characters.
fn shown(name: &str) -> String {
    let mut left = NAME_COLUMNS;
    let fits = |c: &char| {
        let columns = c.width().unwrap_or(0);
        left.checked_sub(columns).map(|rest| left = rest).is_some()
    };
    let shown: String = name.chars().take_while(fits).collect();
    if shown.len() < name.len() { format!("{shown}…") } else { shown }
}

async fn chosen(found: &FoundGateways) -> Result<&FoundGateway, Failure> {
    let most = found.all().len();
    loop {
        let answer = answered(&format!("Which one (1 to {most}; an empty line ends it)")).await?;
        if answer.is_empty() {
            return Err(Failure::Failed("not paired: no gateway was chosen".into()));
        }
        let number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match number.and_then(|number| found.all().get(number)) {
            Some(gateway) => return Ok(gateway),
            None => note_line(&format!("type a number from 1 to {most}")),
        }
    }
}

/// Lets the owner compare the fingerprint: nothing else proves that this is the gateway meant.
async fn compared(fingerprint: &Fingerprint) -> Result<(), Failure> {
    note_line(&format!(
        "Compare this fingerprint with what the gateway shows with: handfast status\n\n  \
         {fingerprint}\n"
    ));
    let answer = answered("Are they the same (yes or no)").await?;
    match answer.eq_ignore_ascii_case("yes") || answer.eq_ignore_ascii_case("y") {
        true => Ok(()),
        false => Err(Failure::Failed(
            "not paired: the fingerprints were not said to be the same. Nothing was told to that \
             gateway"
                .into(),
        )),
    }
}

async fn answered(prompt: &str) -> Result<String, Failure> {
    let mut question = Question::shown(prompt);
    let answer = tokio::select! {
        answer = question.answer(None) => answer,
        _ = tokio::signal::ctrl_c() => None,
    };
    let answer = answer.ok_or_else(|| Failure::Failed("not paired: nothing was typed".into()))?;
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_by_its_width_on_the_terminal() {
        assert_eq!(shown("Hall"), "Hall");
        assert_eq!(shown(&"a".repeat(NAME_COLUMNS)), "a".repeat(NAME_COLUMNS));
        assert_eq!(shown(&"a".repeat(64)), format!("{}…", "a".repeat(NAME_COLUMNS)));
        assert_eq!(shown(&"門".repeat(30)), format!("{}…", "門".repeat(NAME_COLUMNS / 2)));
    }
}
