//! `handfast-node pair` with a gateway that knows only tokens.

use handfast_core::NodeId;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::limits::PROFILE_BYTES;
use handfast_core::wire::registration::Profile;
use handfast_node::native::GatewayAt;
use handfast_node::{
    Events, HeldState, Identity, LinuxNode, Lost, NodeConfig, RegistrationEvent, Waits, token_file,
};
use handfast_stdio::note_line;

use crate::args;
use crate::hint::Hints;
use crate::{Failure, put};

pub(crate) async fn pair(args: args::Pair, hints: &Hints) -> Result<(), Failure> {
    let args::Pair { flow, name, room, profile, gateway, tokens, state, ca } = args;
    let needed = |what: &str| {
        Failure::Usage(format!("name the {what}, or choose --pin, --code, --qr or --approval"))
    };
    if flow.gateway_key.is_some()
        || flow.no_certificate
        || tokens.path.is_some()
        || tokens.plain_tokens
    {
        return Err(Failure::Usage(
            "--gateway-key, --no-certificate, --tokens and --plain-tokens go with --pin, --code, --qr or --approval"
                .into(),
        ));
    }
    let name = name.ok_or_else(|| needed("node with --name"))?;
    let room = room.ok_or_else(|| needed("room with --room"))?;
    let gateway = match gateway.ok_or_else(|| needed("gateway with --gateway"))? {
        GatewayAt::WebSocket(url) => url,
        other @ (GatewayAt::Tcp { .. } | GatewayAt::Mtls { .. } | GatewayAt::Serial { .. }) => {
            return Err(Failure::Usage(format!(
                "over {other} nodes pair with --pin, --code, --qr or --approval; choose one of them"
            )));
        }
    };
    let profile = read_profile(&profile)?;
    let ca = ca.checked(&gateway)?;
    if let Some(warning) = gateway.warning() {
        note_line(&format!("handfast-node: warning: {warning}"));
    }
    let state: HeldState = state.dir()?.hold()?;
    if state.dir().load_native()?.is_some_and(|(_, memory)| memory != NativeMemory::Blank) {
        return Err(Failure::Failed(format!(
            "{} keeps a node that was paired with --pin or the like; to pair it by token, {}",
            state.dir().path().display(),
            hints.forget_first()
        )));
    }
    // Read before it is replaced, to tell the owner which id is forgotten.
    let before = state.dir().load()?.and_then(|(_, memory)| memory.node_id());
    let identity = Identity { gateway, name, room };
    let node = LinuxNode::new(NodeConfig {
        identity,
        profile,
        state,
        token: None,
        ask_anew: true,
        ca,
        waits: Waits::DEFAULT,
    })?;
    let events = node.events();
    let node_id = tokio::select! {
        outcome = first_answer(events) => outcome?,
        ended = node.run(std::future::pending()) => {
            ended?;
            return Err(Failure::Failed("the node ended before the gateway answered".into()));
        }
    };
    let mut out = format!(
        "This node waits for approval. Its node id is\n\n  {node_id}\n\n\
         On the gateway, the operator types\n\n  handfast approve {node_id}\n\n\
         and is shown a token once. Here, start the node, which asks for the token and keeps \
         it:\n\n  {}\n\n(A service reads it from {} or another --token-file.)\n",
        hints.run_asking_token(),
        token_file::DEFAULT_PATH
    );
    if let Some(before) = before.filter(|before| *before != node_id) {
        out += &format!(
            "\nUntil now this node was {before}; that id is forgotten here, and a token issued for it does not fit any more.\n"
        );
    }
    put(&out)
}

/// Waits for the outcome of the single attempt.
async fn first_answer(mut events: Events) -> Result<NodeId, Failure> {
    let mut why = Lost::Silent.to_string();
    let mut complaint = None;
    while let Some(event) = events.next().await {
        match event {
            RegistrationEvent::WaitsForApproval(node_id) => return Ok(node_id),
            RegistrationEvent::Complaint(words) => complaint = Some(words),
            RegistrationEvent::Lost(lost) => why = lost.to_string(),
            RegistrationEvent::RetryIn(_) => break,
            RegistrationEvent::Refused(_)
            | RegistrationEvent::Connecting
            | RegistrationEvent::TokenKept
            | RegistrationEvent::Linked { .. }
            | RegistrationEvent::NothingAsked
            | RegistrationEvent::Forgotten => {}
            // An event of a newer library is no answer.
            _ => {}
        }
    }
    // The gateway's complaint tells more than the way it closed the connection.
    Err(Failure::Failed(format!("not paired: {}", complaint.unwrap_or(why))))
}

pub(crate) fn read_profile(given: &str) -> Result<String, Failure> {
    let (text, place) = match given.strip_prefix('@') {
        None => (given.to_owned(), "--profile".to_owned()),
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => (text.trim().to_owned(), format!("the profile file {path}")),
            Err(why) => {
                return Err(Failure::Usage(format!(
                    "the profile file {path} cannot be read: {why}"
                )));
            }
        },
    };
    match Profile::parse(&text) {
        Some(_) => Ok(text),
        None => Err(Failure::Usage(format!(
            "{place} must be one JSON object of at most {PROFILE_BYTES} bytes, like '{{\"model\":\"Pi 5\"}}'"
        ))),
    }
}
