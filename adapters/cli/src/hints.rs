//! Every command that this program advises, made from a verb and the options that were given.

use std::path::Path;

use handfast_server::admin::PermissionsView;
use handfast_stdio::Hint;

use crate::args::CompanionArgs;
use crate::data::{DATABASE, DataPlace};

const PROGRAM: &str = "handfast";
const NODE_PROGRAM: &str = "handfast-node";

/// A next step of the operator, for the gateway of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    Serve,
    /// Start the gateway with this configuration file.
    ServeFrom(&'a Path),
    Status,
    Pending,
    /// Approve this node.
    Approve(&'a str),
    /// End the quarantine of this node.
    Release(&'a str),
    /// Put this node out for good.
    Revoke(&'a str),
    /// Approve the only node that waits.
    ApproveOnly,
    /// Let this node do exactly this.
    Permit(&'a str, &'a PermissionsView),
    Nodes,
    /// List all certificates of nodes.
    Certificates,
    /// Make a new root of the certificate authority.
    RotateAuthority,
    /// List the nodes that are paired by their keys, with what they may do.
    Paired,
    /// See how the clock stands, and what mends it.
    Clock,
    /// Say that the system's clock is right.
    AcceptClock,
    /// Say that it is this time.
    SetClock(&'a str),
    RotateSetupKey,
    OpenPairing,
    CreateCode,
    Codes,
    /// Withdraw the code with this selector.
    Withdraw(&'a str),
    Invite,
    /// Make a setup code that leads to this address.
    InviteAt(&'a str),
    Companions,
    /// Log in with a browser.
    Login,
    /// List the sessions of operators.
    Operators,
    /// List the tokens of programs.
    Tokens,
    /// Make a token that only reads.
    CreateToken,
    /// List the approvals in advance.
    Policies,
    /// End this approval in advance.
    EndPolicy(&'a str),
    Senders,
    /// List every sender that the gateway knows.
    KnownSenders,
    Watch,
    /// Restore this backup.
    Restore(&'a Path),
    /// List the tasks of this node with their results.
    Results(&'a str),
    /// Send this task of this node again.
    Retry(&'a str, &'a str),
}

impl Next<'_> {
    /// Returns the command, with `--data` unless the command finds the directory by itself.
    pub(crate) fn on(self, data: &DataPlace) -> Hint {
        let verb = |verb| Hint::new(PROGRAM, verb);
        let hint = match self {
            Self::Serve => verb("serve"),
            Self::ServeFrom(config) => {
                let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
                verb("serve").option("--config", Some(config))
            }
            Self::Status => verb("status"),
            Self::Pending => verb("pending"),
            Self::Approve(node) => verb("approve").arg(node),
            Self::Release(node) => verb("nodes release").arg(node),
            Self::Revoke(node) => verb("nodes revoke").arg(node),
            Self::ApproveOnly => verb("approve"),
            Self::Permit(node, PermissionsView { read, write, admin }) => {
                let nothing = read.is_empty() && write.is_empty() && admin.is_empty();
                verb("nodes permissions")
                    .arg(node)
                    .flag("--none", nothing)
                    .options("--read", read)
                    .options("--write", write)
                    .options("--admin", admin)
            }
            Self::Nodes => verb("nodes list"),
            Self::Certificates => verb("certs list --all"),
            Self::RotateAuthority => verb("certs rotate"),
            Self::Paired => verb("nodes list --permissions"),
            Self::Clock => verb("clock"),
            Self::AcceptClock => verb("clock accept"),
            Self::SetClock(time) => verb("clock accept --at").arg(time),
            Self::RotateSetupKey => verb("companions rotate-key --at-once"),
            Self::OpenPairing => verb("pairing open"),
            Self::CreateCode => verb("codes create"),
            Self::Codes => verb("codes list"),
            Self::Withdraw(selector) => verb("codes withdraw").arg(selector),
            Self::Invite => verb("companions invite"),
            Self::InviteAt(url) => verb("companions invite --public-url").arg(url),
            Self::Companions => verb("companions list"),
            Self::Login => verb("login"),
            Self::Operators => verb("operators list"),
            Self::Tokens => verb("tokens list"),
            Self::CreateToken => verb("tokens create --role viewer"),
            Self::Policies => verb("policies list"),
            Self::EndPolicy(id) => verb("policies end").arg(id),
            Self::Senders => verb("senders list"),
            Self::KnownSenders => verb("senders list --include-revoked"),
            Self::Watch => verb("watch"),
            Self::Restore(backup) => verb("restore").arg(backup),
            Self::Results(node) => verb("nodes results").arg(node),
            Self::Retry(node, task) => verb("nodes invoke").arg(node).option("--retry", Some(task)),
        };
        hint.option("--data", data.option())
    }
}

/// A next step of a companion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextCompanion {
    /// Begin a session with a code that is pasted.
    Pair,
    /// Begin a session in the place of the one that is there.
    PairAnew,
    Status,
    End,
}

impl NextCompanion {
    /// Returns the command with the options of `args` that say where the session is and how its
    /// gateway is reached.
    pub(crate) fn with(self, args: &CompanionArgs) -> Hint {
        let verb = |verb| Hint::new(PROGRAM, verb);
        let pairs = |hint: Hint| hint.option("--url", args.url.as_deref());
        let hint = match self {
            Self::Pair => pairs(verb("companion --code -")),
            Self::PairAnew => pairs(verb("companion --code - --force")),
            Self::Status => verb("companion status"),
            Self::End => verb("companion end"),
        };
        hint.option("--session", args.session.as_deref())
            .option("--ca", args.ca.as_deref())
            .options("--allow-plain", &args.allow_plain)
    }
}

/// A next step on another machine, whose options are not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextElsewhere<'a> {
    /// Ask to be paired.
    Ask,
    /// Type a code at a node, which reaches the gateway at this address.
    TypeCode(&'a str),
    /// Paste a scanned invitation at a node.
    PasteInvitation,
    /// Paste a setup code at a companion.
    PasteSetupCode,
    /// Paste a bound setup code at a node.
    PasteBoundSetupCode,
    /// Make a setup code, at the gateway.
    Invite,
    /// List the sessions of companions, at the gateway.
    Companions,
    /// See how the clock stands, at the gateway.
    Clock,
    /// Play the demo with its chapter of microcontrollers.
    DemoWithBoards,
    /// Play the demo of several gateways.
    DemoWithGateways,
    /// Serve the registry of this database, or of the one in the variable, with this key.
    ServeShared(Option<&'a str>, &'a Path),
    /// Make a store key in this file.
    MakeStoreKey(&'a Path),
}

impl NextElsewhere<'_> {
    pub(crate) fn hint(self) -> Hint {
        let node = |verb| Hint::new(NODE_PROGRAM, verb);
        match self {
            Self::Ask => node("pair --gateway URL --name NAME --room ROOM"),
            Self::TypeCode(gateway) => node("pair --code --gateway").arg(gateway),
            Self::PasteInvitation => node("pair --qr -"),
            Self::PasteSetupCode => Hint::new(PROGRAM, "companion --code -"),
            Self::PasteBoundSetupCode => node("pair --setup -"),
            Self::Invite => Hint::new(PROGRAM, "companions invite"),
            Self::Companions => Hint::new(PROGRAM, "companions list"),
            Self::Clock => Hint::new(PROGRAM, "clock"),
            Self::DemoWithBoards => Hint::new(PROGRAM, "demo --boards"),
            Self::DemoWithGateways => Hint::new(PROGRAM, "demo --gateways 3"),
            Self::ServeShared(store, key) => Hint::new(PROGRAM, "serve")
                .option("--store-key", Some(key))
                .option("--store", store),
            Self::MakeStoreKey(file) => Hint::new(PROGRAM, "store make-key").arg(file),
        }
    }
}

/// Returns the words that say how the gateway of a data directory is started, with its configuration
/// file if one is known. A directory without a registry may be that of a gateway whose registry is in
/// a database, so a command that would begin another one in a file is not all that is said there.
pub(crate) fn how_to_start(data: &DataPlace, config: Option<&Path>) -> String {
    match config {
        Some(config) => format!("start it with: {}", Next::ServeFrom(config).on(data)),
        None if data.join(DATABASE).exists() || !has_files(data) => {
            format!("start one with: {}", Next::Serve.on(data))
        }
        None => format!(
            "it has no registry in a file, so start its gateway with the --config or --store that it \
             had; a new one, with a registry in a file, is started with: {}",
            Next::Serve.on(data)
        ),
    }
}

fn has_files(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut files| files.next().is_some())
}

/// Returns the command that makes a user a member of a group.
pub(crate) fn join_group(group: &str, user: &str) -> Hint {
    Hint::new("sudo", "usermod -aG").arg(group).arg(user)
}

/// Returns the command that makes a group of the system.
pub(crate) fn make_group(group: &str) -> Hint {
    Hint::new("sudo", "groupadd --system").arg(group)
}

/// Returns the command that starts the packaged gateway.
pub(crate) fn start_service() -> Hint {
    Hint::new("sudo", "systemctl start handfast")
}

/// Returns the command that lets nobody but its owner read or write a file.
pub(crate) fn hide_file(path: &Path) -> Hint {
    Hint::new("chmod", "600").arg(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::args::{Args, Verb};

    static NOTHING: PermissionsView =
        PermissionsView { read: Vec::new(), write: Vec::new(), admin: Vec::new() };

    /// One of each; the match makes a new one fail to compile until it is in the list.
    fn every() -> Vec<Next<'static>> {
        use Next::{
            AcceptClock, Approve, ApproveOnly, Certificates, Clock, Codes, Companions, CreateCode,
            CreateToken, EndPolicy, Invite, InviteAt, KnownSenders, Login, Nodes, OpenPairing,
            Operators, Paired, Pending, Permit, Policies, Release, Restore, Results, Retry, Revoke,
            RotateAuthority, RotateSetupKey, Senders, Serve, ServeFrom, SetClock, Status, Tokens,
            Watch, Withdraw,
        };
        let all = vec![
            Serve,
            ServeFrom(Path::new("/c/my gateway.toml")),
            Status,
            Pending,
            Approve("0123456789ab"),
            Release("0123456789ab"),
            Revoke("0123456789ab"),
            ApproveOnly,
            Permit("0123456789ab", &NOTHING),
            Nodes,
            Certificates,
            RotateAuthority,
            Paired,
            Clock,
            AcceptClock,
            SetClock("2026-11-29T14:00:00Z"),
            RotateSetupKey,
            OpenPairing,
            CreateCode,
            Codes,
            Withdraw("K7QF"),
            Policies,
            EndPolicy("0123456789ab"),
            Invite,
            InviteAt("wss://gateway.example"),
            Companions,
            Login,
            Operators,
            Tokens,
            CreateToken,
            Senders,
            KnownSenders,
            Watch,
            Restore(Path::new("/b/my backup.db")),
            Results("0123456789ab"),
            Retry("0123456789ab", "4567"),
        ];
        for one in &all {
            match one {
                Release(_) | Revoke(_) | Serve | ServeFrom(_) | Status | Pending | Approve(_)
                | ApproveOnly | Login | Operators | Tokens | CreateToken | Certificates
                | RotateAuthority | Permit(..) | Nodes | Paired | Clock | AcceptClock
                | SetClock(_) | RotateSetupKey | OpenPairing | CreateCode | Codes | Withdraw(_)
                | Invite | InviteAt(_) | Companions | Senders | KnownSenders | Watch
                | Restore(_) | Results(_) | Retry(..) | Policies | EndPolicy(_) => {}
            }
        }
        all
    }

    #[test]
    fn every_hint_of_the_operator_is_a_command_that_this_program_takes() {
        let data = DataPlace::named(Path::new("/d/with room"));
        for next in every() {
            let hint = next.on(&data);
            assert!(hint.to_string().ends_with(" --data '/d/with room'"), "{hint}");
            let taken = Args::try_parse_from(hint.words());
            assert!(taken.is_ok(), "{hint}: {}", taken.unwrap_err());
        }
    }

    #[test]
    fn a_companions_hint_repeats_where_its_session_is_and_how_its_gateway_is_reached() {
        let line = "handfast companion --code x --url wss://g.example --session /s --ca /ca.pem \
                    --allow-plain a.example --allow-plain b.example";
        let Verb::Companion(given) = Args::try_parse_from(line.split_whitespace()).unwrap().verb
        else {
            panic!("a companion")
        };
        let all = [
            NextCompanion::Pair,
            NextCompanion::PairAnew,
            NextCompanion::Status,
            NextCompanion::End,
        ];
        for next in all {
            let hint = next.with(&given);
            let Ok(Args { verb: Verb::Companion(read) }) = Args::try_parse_from(hint.words())
            else {
                panic!("{hint}")
            };
            assert_eq!(
                (read.session, read.ca, read.allow_plain),
                (given.session.clone(), given.ca.clone(), given.allow_plain.clone()),
                "{hint}"
            );
            let pairs = matches!(next, NextCompanion::Pair | NextCompanion::PairAnew);
            assert_eq!(read.url.is_some(), pairs, "{hint}");
        }
        use NextElsewhere::{
            Clock, Companions, DemoWithBoards, DemoWithGateways, Invite, MakeStoreKey,
            PasteSetupCode, ServeShared,
        };
        let shared = ServeShared(Some("postgres://a@localhost/x"), "a key".as_ref());
        assert!(Args::try_parse_from(shared.hint().words()).is_ok());
        let (key, gateways) = (MakeStoreKey("a key".as_ref()), DemoWithGateways);
        for elsewhere in [PasteSetupCode, Invite, Companions, Clock, DemoWithBoards, key, gateways]
        {
            let hint = elsewhere.hint();
            assert!(Args::try_parse_from(hint.words()).is_ok(), "{hint}");
        }
    }
}
