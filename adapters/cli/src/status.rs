//! `handfast status`: how the gateway stands, on one screen.

use std::time::Duration;

use handfast_server::admin::{
    GatewayList, GatewayView, PairingView, SenderList, SessionList, StatusView,
};
use hyper::Method;
use serde_json::Value;

use crate::End;
use crate::args::StatusArgs;
use crate::client::{ask, ask_all, read};
use crate::clock::mend;
use crate::codes::stands;
use crate::data::DataPlace;
use crate::gateway_key::stands as stands_rotation;
use crate::hints::Next;
use crate::policies::time_left;
use crate::print::{ago, harmless, in_words, put, safe};

/// Time by which a gateway may be behind the registry and is still called in touch: it reads at least
/// once a second.
const BEHIND: Duration = Duration::from_secs(2);

/// Width of the labels, in columns.
const LABEL: usize = 13;

/// The answers that a status is made of.
struct Answers {
    status: StatusView,
    pairing: PairingView,
    sessions: SessionList,
    senders: SenderList,
    gateways: Vec<GatewayView>,
}

pub(crate) async fn run(args: StatusArgs) -> Result<(), End> {
    let data = args.common.data.gateway()?;
    let status = match ask(&data, Method::GET, "/api/v1/status", None).await {
        Ok(status) => status,
        Err(end) => return Err(without_registry(&data, end).await),
    };
    let pairing = ask(&data, Method::GET, "/api/v1/pairing", None).await?;
    let sessions = ask_all(&data, "/api/v1/sessions?filter=live").await?;
    let senders = ask_all(&data, "/api/v1/inbound").await?;
    let gateways = ask_all(&data, "/api/v1/gateways").await?;
    if args.common.json {
        let (mut all, pairing): (Value, Value) = (read(&status)?, read(&pairing)?);
        all["fingerprint"] = pairing["fingerprint"].clone();
        all["pairing"] = pairing;
        all["companions"] = read::<SessionList>(&sessions)?.sessions.len().into();
        all["senders_waiting"] = read::<SenderList>(&senders)?.senders.len().into();
        all["gateways"] = read::<Value>(&gateways)?["items"].clone();
        return put(&format!("{}\n", harmless(&all.to_string())));
    }
    let answers = Answers {
        status: read(&status)?,
        pairing: read(&pairing)?,
        sessions: read(&sessions)?,
        senders: read(&senders)?,
        gateways: read::<GatewayList>(&gateways)?.gateways,
    };
    put(&handfast_stdio::fitted(&text(&answers, &data), LABEL))
}

fn text(answers: &Answers, data: &DataPlace) -> String {
    let Answers { status, pairing, sessions, senders, gateways } = answers;
    let StatusView {
        name,
        version: _,
        nodes,
        linked,
        waiting,
        companion_url,
        links: _,
        store,
        clock,
        policies,
        quarantined,
        older_than_nodes_since,
        key_rotation,
    } = status;
    let mend = mend(clock, data).map_or_else(String::new, |mend| format!(": {mend}"));
    let linked_companions = sessions.sessions.iter().filter(|session| session.linked).count();
    let mut text = format!(
        "gateway:     {}{}\n\
         data:        {}\n\
         nodes:       {} pending, {} paired, {} muted, {} revoked{}\n\
         connections: {linked} linked, {waiting} not yet authenticated\n\
         pairing:     {}\n\
         companions:  {} with a session, {linked_companions} linked; {}\n\
         senders:     {} waiting\n\
         clock:       {}{mend}\n",
        name.as_ref().map_or_else(String::new, |name| format!("{}, ", safe(name))),
        pairing.fingerprint,
        safe(&data.display().to_string()),
        nodes.pending,
        nodes.paired,
        nodes.muted,
        nodes.revoked,
        match nodes.forgotten {
            0 => String::new(),
            1 => "; 1 key of a forgotten node stays revoked".to_owned(),
            n => format!("; {n} keys of forgotten nodes stay revoked"),
        },
        stands(pairing, data),
        sessions.sessions.len(),
        companion_url.as_deref().map_or_else(
            || "not reached from other machines without --public-url".to_owned(),
            |url| format!("reached at {}", safe(url))
        ),
        senders.senders.len(),
        clock.state,
    );
    text += &listed(gateways);
    for one in policies {
        text += &format!(
            "in advance:  whoever asks from {} is approved, for {} and {} more nodes ({}); end it \
             with: {}\n",
            safe(&one.from),
            time_left(one),
            one.left,
            safe(&one.state),
            Next::EndPolicy(&one.id).on(data)
        );
    }
    if let Some(rotation) = key_rotation {
        text += &stands_rotation(rotation);
    }
    if *quarantined > 0 {
        text += &format!(
            "quarantine:  {quarantined} with a copied state; see the ways out with: {}\n",
            Next::Nodes.on(data)
        );
    }
    if let Some(since) = older_than_nodes_since {
        text += &format!(
            "registry:    older than its nodes, as one of them showed {}: it was restored from a \
             backup; look through who was put out since\n",
            ago(*since)
        );
    }
    if store.failing {
        let mend = match gateways.is_empty() {
            true => "free disk space",
            false => "start its database, or mend the way to it",
        };
        text += &format!("store:       the registry cannot be written; {mend}\n");
    }
    for one in &store.unstored {
        text += &format!(
            "not stored yet: {}, since {}, until this gateway restarts\n",
            safe(&one.what),
            ago(one.since)
        );
    }
    if nodes.pending > 0 || !senders.senders.is_empty() {
        text += &format!("see what waits with: {}\n", Next::Pending.on(data));
    }
    text
}

/// Returns the failure of a gateway that cannot read its registry, with what it knows of the others.
async fn without_registry(data: &DataPlace, end: End) -> End {
    let gateways = ask_all(data, "/api/v1/gateways").await;
    let gateways = gateways.and_then(|text| read::<GatewayList>(&text));
    match gateways {
        Ok(list) if !list.gateways.is_empty() => End::Refused(format!(
            "{}; the gateways as this one heard of them last:\n{}",
            end.message(),
            listed(&list.gateways).trim_end()
        )),
        Ok(_) | Err(_) => end,
    }
}

/// Returns the gateways of a shared registry as lines.
fn listed(gateways: &[GatewayView]) -> String {
    let line = |(number, one)| {
        let head = if number == 0 { "gateways:" } else { "" };
        format!("{head:<13}{}\n", gateway(one))
    };
    gateways.iter().enumerate().map(line).collect()
}

/// Returns a gateway of a shared registry as a line.
fn gateway(one: &GatewayView) -> String {
    let behind = Duration::try_from_secs_f64(one.behind_seconds).unwrap_or_default();
    let silent = Duration::try_from_secs_f64(one.silent_seconds).unwrap_or_default();
    let contact = one.contact.as_deref().filter(|contact| *contact != "in touch");
    let stands = if !one.is_present {
        format!("not heard of for {}", in_words(silent.as_secs()))
    } else if let Some(contact) = contact {
        safe(contact)
    } else if behind > BEHIND {
        format!("{} behind", in_words(behind.as_secs()))
    } else {
        "in touch".to_owned()
    };
    let links = match one.links {
        1 => "1 link".to_owned(),
        links => format!("{links} links"),
    };
    let at = one.address.as_ref().map_or_else(String::new, |at| format!(", at {}", safe(at)));
    let bus = match (one.bus.as_deref(), one.bus_away_seconds) {
        (Some("connected"), _) => ", bus connected".to_owned(),
        (Some(_), away) => {
            let away = Duration::try_from_secs_f64(away.unwrap_or(0.0)).unwrap_or_default();
            format!(", bus away for {}", in_words(away.as_secs()))
        }
        (None, _) => String::new(),
    };
    let this = if one.is_this { " (this one)" } else { "" };
    format!("{}: {stands}, {links}, version {}{at}{bus}{this}", safe(&one.name), safe(&one.version))
}
