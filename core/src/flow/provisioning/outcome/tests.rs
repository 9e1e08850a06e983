use super::super::radio::Security;
use super::*;

const WPA2: Option<Seen> = Some(Seen { security: Security::Wpa2, signal: -45 });
const WPA3: Option<Seen> = Some(Seen { security: Security::Wpa3, signal: -55 });
const BOTH: Option<Seen> = Some(Seen { security: Security::Wpa2Wpa3, signal: -55 });
const FAR: Option<Seen> = Some(Seen { security: Security::Wpa2, signal: -88 });

/// Plays states with their reasons, as numbers, behind what the last scan found.
fn play(seen: Option<Seen>, changes: &[(u32, u32)]) -> (JoinWatch, Progress) {
    let mut watch = JoinWatch::new();
    let mut last = watch.report(RadioReport::Scanned(seen));
    for (state, reason) in changes {
        assert_eq!(last, Progress::Going, "it ended before {state}");
        last = watch.report(RadioReport::Changed {
            state: DeviceState::from_number(*state),
            reason: Reason::from_number(*reason),
        });
    }
    (watch, last)
}

fn failed(seen: Option<Seen>, changes: &[(u32, u32)]) -> Outcome {
    match play(seen, changes).1 {
        Progress::Failed(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

/// What comes before every end of an attempt.
const AGAIN: [(u32, u32); 5] = [(40, 0), (50, 0), (60, 8), (40, 0), (50, 0)];

#[test]
fn a_wrong_wpa2_passphrase_is_a_wrong_password() {
    let changes = [&AGAIN[..], &[(60, 8), (120, 7)]].concat();
    assert_eq!(failed(WPA2, &changes), Outcome::WrongPassword { certain: true });
}

#[test]
fn a_wrong_wpa3_passphrase_is_a_wrong_password_though_the_radio_says_not_found() {
    let changes = [&AGAIN[..], &[(120, 53)]].concat();
    assert_eq!(failed(WPA3, &changes), Outcome::WrongPassword { certain: false });
    assert_eq!(failed(BOTH, &changes), Outcome::WrongPassword { certain: false });
}

#[test]
fn a_network_that_is_not_there_is_not_found() {
    assert_eq!(failed(None, &[(40, 0), (50, 0), (120, 53)]), Outcome::NetworkNotFound);
    assert_eq!(failed(WPA2, &[(40, 0), (50, 0), (120, 53)]), Outcome::NetworkNotFound);
}

#[test]
fn a_network_at_the_edge_of_its_reach_is_too_weak() {
    for reason in [53, 8, 10, 11] {
        assert_eq!(failed(FAR, &[(40, 0), (50, 0), (120, reason)]), Outcome::TooWeak);
    }
}

#[test]
fn a_supplicant_that_fails_near_the_router_is_a_busy_radio() {
    for reason in [8, 9, 10, 11, 1] {
        assert_eq!(failed(WPA2, &[(40, 0), (50, 0), (120, reason)]), Outcome::RadioBusy);
    }
}

#[test]
fn a_right_passphrase_joins_through_all_states_and_state_60_alone_means_nothing() {
    let changes =
        [&AGAIN[..], &[(60, 0), (40, 0), (50, 0), (70, 0), (80, 0), (90, 0), (100, 0)]].concat();
    assert_eq!(play(WPA2, &changes).1, Progress::Joined);
}

#[test]
fn no_address_is_told_by_its_reasons_by_the_state_that_failed_and_by_the_time_limit() {
    for reason in [5, 15, 16, 17, 8, 1] {
        assert_eq!(failed(WPA2, &[(50, 0), (70, 0), (120, reason)]), Outcome::NoAddress);
    }
    let (waiting, progress) = play(WPA2, &[(50, 0), (70, 0)]);
    assert_eq!((waiting.overdue(), progress), (Outcome::NoAddress, Progress::Going));
}

#[test]
fn an_attempt_that_takes_too_long_before_an_address_is_told_by_the_last_scan() {
    for (seen, outcome) in
        [(None, Outcome::NetworkNotFound), (FAR, Outcome::TooWeak), (WPA2, Outcome::RadioBusy)]
    {
        assert_eq!(play(seen, &[(40, 0), (50, 0), (60, 0)]).0.overdue(), outcome);
    }
}

#[test]
fn a_blocked_and_a_refusing_radio_end_the_attempt() {
    for (report, outcome) in [
        (RadioReport::Blocked, Outcome::CountryMissing),
        (RadioReport::Refused, Outcome::RadioBusy),
    ] {
        assert_eq!(JoinWatch::new().report(report), Progress::Failed(outcome));
    }
}

#[test]
fn every_state_number_is_read_as_its_range() {
    let states = [
        (0, DeviceState::Disconnected),
        (30, DeviceState::Disconnected),
        (40, DeviceState::Prepare),
        (50, DeviceState::Config),
        (60, DeviceState::NeedAuth),
        (70, DeviceState::IpConfig),
        (80, DeviceState::IpCheck),
        (90, DeviceState::Secondaries),
        (100, DeviceState::Activated),
        (110, DeviceState::Deactivating),
        (120, DeviceState::Failed),
        (u32::MAX, DeviceState::Failed),
    ];
    for (number, state) in states {
        assert_eq!(DeviceState::from_number(number), state, "{number}");
    }
}
