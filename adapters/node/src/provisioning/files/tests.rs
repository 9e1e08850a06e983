use std::os::unix::fs::PermissionsExt;

use handfast_core::flow::native::node::NativeMemory;
use handfast_core::wire::provisioning::{K2Request, NetworkRequest, ProvisionRequest};

use super::*;

const BODY: &str = r#"{"wifi_ssid":"HomeNetwork","wifi_password":"correct horse","room":"Kitchen",
 "command_center_url":"http://cc.local:7703","household_id":"h","node_id":"jarvis-1a2b3c4d",
 "provisioning_token":"prov_secret"}"#;

/// A state directory that is private, below a temporary one that may not be.
struct State {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl State {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        Self { _dir: dir, path }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

fn files(state: &Path) -> ProvisioningFiles {
    ProvisioningFiles::open(state).unwrap()
}

fn request(files: &ProvisioningFiles) {
    let mut room = [0; 1024];
    let request = ProvisionRequest::read(BODY, &mut room).unwrap();
    files.store(&Change::Request(request)).unwrap();
}

fn answer(files: &ProvisioningFiles, more: &str) -> Result<(), ProvisioningFileError> {
    let body = format!(r#"{{"node_id":"jarvis-1a2b3c4d","node_key":"id.secret"{more}}}"#);
    let mut room = [0; 1024];
    files.store(&Change::Registration(RegisterAnswer::read(&body, &mut room).unwrap()))
}

fn k2(files: &ProvisioningFiles, node_id: &str) {
    let body = format!(
        r#"{{"node_id":"{node_id}","kid":"k1","k2":"{}","created_at":1200}}"#,
        "B".repeat(42) + "A"
    );
    let mut room = [0; 1024];
    let K2Request { node_id, kid, k2, created_at } = K2Request::read(&body, &mut room).unwrap();
    let k2 = k2.unwrap();
    files.store(&Change::K2 { node_id, kid, k2, created_at }).unwrap();
}

fn names(state: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(state.join("provisioning"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock")
        .collect();
    names.sort();
    names
}

fn provisioned(state: &Path) -> ProvisioningFiles {
    let files = files(state);
    k2(&files, "jarvis-1a2b3c4d");
    request(&files);
    answer(&files, "").unwrap();
    files.store(&Change::Commit).unwrap();
    files
}

#[test]
fn a_node_keeps_the_dialects_files_each_private_and_without_a_secret_in_clear() {
    let dir = State::new();
    let state = dir.path();
    let files = provisioned(state);
    assert_eq!(
        names(state),
        [MARKER, CONFIG, K2, K2_METADATA, K1, WIFI],
        "nothing of the request is left"
    );
    for name in names(state) {
        let path = state.join("provisioning").join(&name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("horse") && !text.contains("prov_secret"), "{name}");
    }
    let key = std::fs::read_to_string(state.join("provisioning").join(K1)).unwrap();
    assert_eq!((key.len(), key.ends_with('=')), (44, true));
    let wifi = files.wifi().unwrap().unwrap();
    assert_eq!((&*wifi.ssid, &**wifi.passphrase), ("HomeNetwork", "correct horse"));
    assert_eq!(files.memory().unwrap().known, Ssid::parse("HomeNetwork"));
}

#[test]
fn a_start_finds_how_far_an_interrupted_run_was() {
    let dir = State::new();
    let files = files(dir.path());
    let unfinished = || files.memory().unwrap().unfinished;
    let ssid = || Ssid::parse("HomeNetwork").unwrap();
    assert_eq!(unfinished(), Unfinished::Nothing);
    request(&files);
    assert_eq!(unfinished(), Unfinished::Request(ssid()));
    answer(&files, "").unwrap();
    assert_eq!(unfinished(), Unfinished::Registered(ssid()));
    // A new request takes the place of both.
    request(&files);
    assert_eq!(unfinished(), Unfinished::Request(ssid()));
    files.store(&Change::Discard).unwrap();
    assert_eq!(
        files.memory().unwrap(),
        ProvisioningMemory { known: None, country: None, unfinished: Unfinished::Nothing }
    );
}

#[test]
fn a_factory_reset_leaves_k1_alone_and_an_interrupted_one_goes_on_at_the_next_start() {
    let dir = State::new();
    let files = provisioned(dir.path());
    let k1 = std::fs::read(dir.path().join("provisioning").join(K1)).unwrap();
    // As after a power cut right behind the first write.
    files.write(ERASING, b"").unwrap();
    drop(files);
    let files = self::files(dir.path());
    assert_eq!(names(dir.path()), [K1]);
    assert_eq!(std::fs::read(dir.path().join("provisioning").join(K1)).unwrap(), k1);
    drop(files);
    let files = provisioned(dir.path());
    files.store(&Change::Erase).unwrap();
    assert_eq!(names(dir.path()), [K1]);
    assert_eq!(std::fs::read(dir.path().join("provisioning").join(K1)).unwrap(), k1);
}

#[test]
fn the_copy_of_the_keys_in_a_pairing_that_was_given_up_does_not_outlive_it() {
    let dir = State::new();
    let folder = dir.path().join("provisioning").join("pairing");
    let left = || {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("keys.json"), b"{}").unwrap();
    };
    let opened = files(dir.path());
    for change in [Change::Discard, Change::Erase] {
        left();
        opened.store(&change).unwrap();
        assert!(!folder.exists(), "{change:?}");
    }
    // As after a power cut.
    left();
    drop(opened);
    drop(files(dir.path()));
    assert!(!folder.exists());
}

#[test]
fn another_network_stands_beside_the_one_in_force_until_it_is_committed() {
    let dir = State::new();
    let files = provisioned(dir.path());
    let network = |files: &ProvisioningFiles| {
        let body = r#"{"wifi_ssid":"New","wifi_password":"battery staple"}"#;
        let mut room = [0; 64];
        let request = NetworkRequest::read(body, &mut room).unwrap();
        files.store(&Change::Network(request)).unwrap();
    };
    let in_force = |files: &ProvisioningFiles| files.wifi().unwrap().unwrap().ssid;
    network(&files);
    let text = std::fs::read_to_string(dir.path().join("provisioning").join(NETWORK)).unwrap();
    assert!(!text.contains("staple"));
    let memory = files.memory().unwrap();
    assert_eq!(memory.known, Ssid::parse("HomeNetwork"));
    assert_eq!(memory.unfinished, Unfinished::Network(Ssid::parse("New").unwrap()));
    files.store(&Change::Discard).unwrap();
    assert_eq!(files.memory().unwrap().unfinished, Unfinished::Nothing);
    assert!(files.requested_wifi().unwrap().is_none() && in_force(&files) == "HomeNetwork");
    network(&files);
    files.store(&Change::CommitNetwork).unwrap();
    assert_eq!(
        (&*in_force(&files), files.memory().unwrap().unfinished),
        ("New", Unfinished::Nothing)
    );
    // Whole settings and a network alone never stand side by side.
    network(&files);
    request(&files);
    assert_eq!(names(dir.path()).iter().filter(|name| *name == NETWORK).count(), 0);
    network(&files);
    assert_eq!(names(dir.path()).iter().filter(|name| *name == REQUEST).count(), 0);
}

#[test]
fn a_country_holds_although_its_request_fails_and_goes_with_a_factory_reset() {
    let dir = State::new();
    let files = files(dir.path());
    let country = || files.memory().unwrap().country;
    request(&files);
    assert_eq!(country(), None);
    let body = BODY.replacen('{', r#"{"wifi_country":"nz","#, 1);
    let mut room = [0; 1024];
    let named = ProvisionRequest::read(&body, &mut room).unwrap();
    files.store(&Change::Request(named)).unwrap();
    assert_eq!(country(), Country::parse("NZ"));
    files.store(&Change::Discard).unwrap();
    assert_eq!(country(), Country::parse("NZ"));
    // A later request that names none leaves it.
    request(&files);
    assert_eq!(country(), Country::parse("NZ"));
    files.write(COUNTRY, b"XX").unwrap();
    assert!(matches!(files.memory(), Err(ProvisioningFileError::Damaged { .. })));
    files.store(&Change::Erase).unwrap();
    assert_eq!(country(), None);
}

#[test]
fn k2_for_another_node_id_does_not_survive_the_commit() {
    let dir = State::new();
    let files = files(dir.path());
    k2(&files, "jarvis-ffffffff");
    request(&files);
    answer(&files, "").unwrap();
    files.store(&Change::Commit).unwrap();
    assert!(!names(dir.path()).iter().any(|name| name.starts_with("k2")));
}

#[test]
fn a_gateway_of_the_native_wire_is_kept_as_asked_and_a_foreign_command_center_forgets_it() {
    let dir = State::new();
    let files = files(dir.path());
    let key = files.native_key().unwrap();
    let gateway = format!(r#","gateway_key":"{key}","gateway_address":"ws://10.0.0.2:8765""#);
    request(&files);
    answer(&files, &gateway).unwrap();
    files.store(&Change::Commit).unwrap();
    let load = || StateDir::at(dir.path()).load_native().unwrap().unwrap();
    let (identity, memory) = load();
    assert_eq!(identity.gateways, ["ws://10.0.0.2:8765".parse().unwrap()]);
    assert!(
        matches!(memory, NativeMemory::Asked { gateway } if write_public(gateway.as_bytes()) == key)
    );
    request(&files);
    answer(&files, "").unwrap();
    files.store(&Change::Commit).unwrap();
    assert_eq!(load().1, NativeMemory::Blank);
    assert!(matches!(
        answer(&files, &gateway.replace("ws:", "no:")),
        Err(ProvisioningFileError::Address { .. })
    ));
}

#[test]
fn a_damaged_file_is_named_and_left_alone_and_two_processes_never_share_the_files() {
    let dir = State::new();
    let files = provisioned(dir.path());
    assert!(matches!(ProvisioningFiles::open(dir.path()), Err(ProvisioningFileError::Busy { .. })));
    files.write(WIFI, b"gAAAAA").unwrap();
    let error = files.memory().unwrap_err().to_string();
    assert!(error.contains(WIFI) && error.contains("provision the node again"), "{error}");
}
