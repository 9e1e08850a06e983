use handfast_core::flow::registration::node::RegistrationMemory;

use super::*;
use crate::registration::record::{self, Identity};
use handfast_core::wire::token::Token;
use handfast_core::{Label, Name, NodeId};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
const ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";

fn identity() -> Identity {
    let name = |text| Name::from(Label::parse(text).unwrap());
    Identity {
        gateway: "ws://pi.local:80/a?b".parse().unwrap(),
        name: name("Kü\"che"),
        room: name("unten"),
    }
}

fn id() -> NodeId {
    NodeId::parse(ID).unwrap()
}

fn paired() -> RegistrationMemory {
    RegistrationMemory::Paired { node_id: id(), token: Token::parse(TOKEN).unwrap() }
}

fn held(root: &tempfile::TempDir) -> HeldState {
    StateDir::at(root.path().join("a/b")).hold().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn what_is_kept_reads_back_and_belongs_to_its_owner_alone() {
    let root = tempfile::tempdir().unwrap();
    let state = held(&root);
    assert_eq!(state.dir().load().unwrap(), None);
    for memory in [RegistrationMemory::Asked { node_id: id() }, paired(), RegistrationMemory::Blank]
    {
        state.save(&identity(), &memory).unwrap();
        assert_eq!(state.dir().load().unwrap(), Some((identity(), memory)));
    }
    assert_eq!(mode(state.dir().path()), 0o700);
    assert_eq!(mode(&state.dir().path().join(FILE)), 0o600);
    assert!(state.erase().unwrap());
    assert!(!state.erase().unwrap());
    assert_eq!(state.dir().load().unwrap(), None);
}

#[test]
fn a_token_that_lives_elsewhere_is_not_written_down_a_second_time() {
    let root = tempfile::tempdir().unwrap();
    let state = held(&root);
    state.save(&identity(), &RegistrationMemory::Asked { node_id: id() }).unwrap();
    assert!(!fs::read_to_string(state.dir().path().join(FILE)).unwrap().contains("token"));
}

#[test]
fn a_half_written_file_beside_is_never_read() {
    let root = tempfile::tempdir().unwrap();
    let state = held(&root);
    let whole = record::write(&identity(), &paired());
    for length in 0..whole.len() {
        fs::write(state.dir().path().join("node.json.tmp"), &whole[..length]).unwrap();
        assert_eq!(state.dir().load().unwrap(), None);
    }
    // Remains of an interrupted write prevent no other one, and are erased with the rest.
    state.save(&identity(), &paired()).unwrap();
    assert_eq!(state.dir().load().unwrap().unwrap().1, paired());
    fs::write(state.dir().path().join("node.json.tmp"), &whole).unwrap();
    state.erase().unwrap();
    assert!(!state.dir().path().join("node.json.tmp").exists());
}

#[test]
fn a_damaged_file_is_an_error_that_neither_shows_nor_changes_it() {
    let root = tempfile::tempdir().unwrap();
    let state = held(&root);
    state.save(&identity(), &paired()).unwrap();
    let path = state.dir().path().join(FILE);
    let whole = fs::read_to_string(&path).unwrap();
    let damaged = [
        whole[..whole.len() / 2].to_owned(),
        whole.replace("\"version\": 1", "\"version\": 2"),
        whole.replace("\"version\": 1", &format!("\"version\": \"{TOKEN}\"")),
        whole.replace("node_id", "nodeid"),
        whole.replace(ID, "7"),
        whole.replace(TOKEN, &TOKEN[1..]),
        whole.replace("unten", "un\\u001bten"),
        String::new(),
        "[]".to_owned(),
    ];
    for content in damaged {
        fs::write(&path, &content).unwrap();
        let error = state.dir().load().unwrap_err().to_string();
        assert!(
            error.contains("node.json is damaged") && error.contains("forget this node"),
            "{error}"
        );
        assert!(!error.contains(&TOKEN[1..]), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn a_directory_or_file_that_others_can_use_is_refused_with_the_command_that_mends_it() {
    let root = tempfile::tempdir().unwrap();
    let state = held(&root);
    state.save(&identity(), &paired()).unwrap();
    let (dir, file) = (state.dir().path().to_owned(), state.dir().path().join(FILE));
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    assert!(
        state
            .dir()
            .load()
            .unwrap_err()
            .to_string()
            .contains(&format!("chmod 600 {}", file.display()))
    );
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    assert!(
        state
            .dir()
            .load()
            .unwrap_err()
            .to_string()
            .contains(&format!("chmod 700 {}", dir.display()))
    );
    assert!(StateDir::at(file).hold().unwrap_err().to_string().contains("no directory"));
}

#[test]
fn only_one_process_at_a_time_holds_the_directory() {
    let root = tempfile::tempdir().unwrap();
    let first = held(&root);
    assert!(first.dir().is_held());
    assert!(matches!(StateDir::at(first.dir().path()).hold(), Err(StateError::Busy { .. })));
    let again = StateDir::at(first.dir().path());
    drop(first);
    assert!(!again.is_held());
    assert!(again.hold().is_ok());
}
