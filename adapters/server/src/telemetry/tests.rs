//! What a scrape shows, read by a parser that forgives nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::labels::{MOST_CHARACTERS, MOST_VALUES, OTHER};
use super::*;

/// A text as a scraper reads it.
struct Scrape {
    /// The type of each family.
    families: BTreeMap<String, String>,
    /// Each series as it is written.
    series: BTreeMap<String, Sample>,
}

struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Scrape {
    /// Panics on whatever is not as the format demands: metadata before samples, one block per
    /// family, no series twice, buckets in order.
    fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the end of the text is marked");
        let mut scrape = Self { families: BTreeMap::new(), series: BTreeMap::new() };
        let (mut family, mut last_bucket) = (String::new(), (Vec::new(), f64::INFINITY, 0.0));
        for line in body.lines() {
            if let Some(metadata) = line.strip_prefix("# ") {
                family = scrape.metadata(family, metadata);
                continue;
            }
            let sample = Sample::read(line);
            match (
                scrape.families[&family].as_str(),
                sample.name.strip_prefix(&family).expect(line),
            ) {
                ("counter", "_total") | ("gauge", "") | ("histogram", "_sum" | "_count") => {}
                ("histogram", "_bucket") => {
                    let (le, others) = sample.labels.split_first().expect(line);
                    assert_eq!(le.0, "le", "{line}");
                    let le = if le.1 == "+Inf" { f64::INFINITY } else { le.1.parse().expect(line) };
                    let follows = last_bucket.0 == others && last_bucket.1.is_finite();
                    assert!(
                        !follows || (le > last_bucket.1 && sample.value >= last_bucket.2),
                        "{line} is out of order"
                    );
                    last_bucket = (others.to_vec(), le, sample.value);
                }
                (kind, _) => panic!("{line:?} is no sample of a {kind}"),
            }
            let series = line.rsplit_once(' ').expect(line).0;
            assert!(
                scrape.series.insert(series.to_owned(), sample).is_none(),
                "{series} is there twice"
            );
        }
        scrape
    }

    /// Reads a line of metadata in the block of a family; returns the family whose block it is in.
    fn metadata(&mut self, family: String, line: &str) -> String {
        let [kind, name, about] = line.splitn(3, ' ').collect::<Vec<_>>().try_into().expect(line);
        match kind {
            "HELP" => {
                assert!(about.ends_with('.') && !self.families.contains_key(name), "{line}");
                return name.to_owned();
            }
            "TYPE" => {
                assert!(
                    name == family && ["counter", "gauge", "histogram"].contains(&about),
                    "{line}"
                );
                self.families.insert(name.to_owned(), about.to_owned());
            }
            "UNIT" => assert!(name == family && name.ends_with(&format!("_{about}")), "{line}"),
            _ => panic!("{line:?} is no metadata"),
        }
        family
    }

    fn of(telemetry: &Telemetry) -> Self {
        Self::read(&telemetry.encode(&Live::default()))
    }

    fn value(&self, series: &str) -> f64 {
        self.series
            .get(series)
            .unwrap_or_else(|| panic!("{series} is not among {:#?}", self.series.keys()))
            .value
    }

    /// The values of one label over all series of a name.
    fn values_of(&self, name: &str, key: &str) -> BTreeSet<&str> {
        let labels = self
            .series
            .values()
            .filter(|sample| sample.name == name)
            .flat_map(|sample| &sample.labels);
        labels.filter(|label| label.0 == key).map(|label| label.1.as_str()).collect()
    }
}

impl Sample {
    fn read(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').expect(line);
        let value: f64 = value.parse().expect(line);
        assert!(value >= 0.0 && value.is_finite(), "{line}");
        let (name, mut rest) = series.split_once('{').unwrap_or((series, ""));
        let mut labels = Vec::new();
        while !rest.is_empty() {
            let (key, quoted) = rest.split_once("=\"").expect(line);
            assert!(
                !key.is_empty()
                    && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{line}"
            );
            let (mut text, mut characters) = (String::new(), quoted.chars());
            loop {
                match characters.next().expect(line) {
                    '"' => break,
                    '\\' => text
                        .push(characters.next().filter(|c| ['\\', '"'].contains(c)).expect(line)),
                    c => text.push(c),
                }
            }
            assert!(!text.is_empty() && !text.contains(char::is_control), "{line:?}");
            labels.push((key.to_owned(), text));
            rest = characters.as_str();
            rest = rest.strip_prefix(',').unwrap_or_else(|| {
                rest.strip_prefix('}').filter(|end| end.is_empty()).expect(line)
            });
        }
        Self { name: name.to_owned(), labels, value }
    }
}

fn busy() -> Telemetry {
    let telemetry = Telemetry::new();
    let channel = telemetry.channel("telegram");
    for approval in ApprovalResult::ALL {
        channel.approval(*approval);
    }
    for challenge in ChallengeResult::ALL {
        channel.challenged(*challenge);
    }
    for reason in DropReason::ALL {
        channel.decided(GateDecision::Dropped(*reason));
    }
    for decision in [
        GateDecision::Admitted,
        GateDecision::Admitted,
        GateDecision::Challenged,
        GateDecision::Failed,
    ] {
        channel.decided(decision);
    }
    telemetry.codes_expired(3);
    telemetry.bootstrap_token_issued("phone");
    for result in Verification::ALL {
        telemetry.bootstrap_token_verified(*result);
    }
    for event in SessionEvent::ALL {
        telemetry.sessions(*event, 2);
    }
    telemetry.event(&Event::WindowClosed);
    for result in ExtensionResult::ALL {
        telemetry.extension_call("signal", *result);
    }
    for (path, micros) in AdmitPath::ALL.iter().zip([1, 70, 900]) {
        telemetry.admit_took(*path, Duration::from_micros(micros));
    }
    telemetry.verify_took(Duration::from_micros(2));
    telemetry.redeem_took(Duration::from_millis(4));
    telemetry
}

#[test]
fn every_counter_has_its_name_its_labels_and_its_words() {
    let scrape = Scrape::of(&busy());
    let per_channel = [
        (
            "pairing_approvals_total",
            "result",
            vec!["ok", "expired", "not_found", "rejected", "error"],
        ),
        (
            "pairing_inbound_challenged_total",
            "result",
            vec![
                "delivered_via_adapter",
                "delivered_via_broker",
                "publish_failed",
                "no_adapter_no_broker_topic",
                "throttled",
            ],
        ),
        (
            "pairing_inbound_dropped_total",
            "reason",
            vec!["blocked", "not_a_sender", "absent", "full", "clock_in_doubt"],
        ),
    ];
    for (name, key, words) in per_channel {
        for word in words {
            assert_eq!(
                scrape.value(&format!("{name}{{channel=\"telegram\",{key}=\"{word}\"}}")),
                1.0
            );
        }
    }
    assert_eq!(
        scrape.value("pairing_inbound_challenged_total{channel=\"telegram\",result=\"capped\"}"),
        1.0
    );
    for (decision, count) in
        [("admitted", 2.0), ("challenged", 1.0), ("dropped", 5.0), ("failed", 1.0)]
    {
        assert_eq!(
            scrape.value(&format!(
                "pairing_inbound_total{{channel=\"telegram\",decision=\"{decision}\"}}"
            )),
            count
        );
    }
    assert_eq!(scrape.value("pairing_codes_expired_total"), 3.0);
    assert_eq!(scrape.value("pairing_bootstrap_tokens_issued_total{profile=\"phone\"}"), 1.0);
    for result in ["ok", "malformed", "invalid_signature", "expired", "already_used", "error"] {
        assert_eq!(
            scrape
                .value(&format!("pairing_bootstrap_tokens_verified_total{{result=\"{result}\"}}")),
            1.0
        );
    }
    for event in ["opened", "refreshed", "revoked", "expired", "refused"] {
        assert_eq!(scrape.value(&format!("pairing_sessions_total{{event=\"{event}\"}}")), 2.0);
    }
    for result in ["ok", "refused", "timed_out", "unavailable", "malformed"] {
        assert_eq!(
            scrape.value(&format!(
                "handfast_extension_calls_total{{extension=\"signal\",result=\"{result}\"}}"
            )),
            1.0
        );
    }
    assert_eq!(scrape.value("handfast_events_total{event=\"window_closed\"}"), 1.0);
    assert_eq!(scrape.values_of("handfast_events_total", "event").len(), EventKind::ALL.len());
}

#[test]
fn every_family_is_known_as_the_gateways_own() {
    let scrape = Scrape::of(&busy());
    assert!(scrape.families.keys().eq(super::foreign::OWN));
}

#[test]
fn the_histograms_are_in_seconds_and_cumulative() {
    let scrape = Scrape::of(&busy());
    assert_eq!(scrape.families["pairing_admit_seconds"], "histogram");
    assert_eq!(scrape.value("pairing_admit_seconds_sum{path=\"store\"}"), 70e-6);
    assert_eq!(scrape.value("pairing_admit_seconds_bucket{le=\"0.00005\",path=\"store\"}"), 0.0);
    assert_eq!(scrape.value("pairing_admit_seconds_bucket{le=\"0.0001\",path=\"store\"}"), 1.0);
    for path in ["cached", "store", "new"] {
        assert_eq!(
            scrape.value(&format!("pairing_admit_seconds_bucket{{le=\"+Inf\",path=\"{path}\"}}")),
            1.0
        );
        assert_eq!(scrape.value(&format!("pairing_admit_seconds_count{{path=\"{path}\"}}")), 1.0);
    }
    assert_eq!(scrape.value("pairing_verify_seconds_bucket{le=\"1.0\"}"), 1.0);
    assert_eq!(scrape.value("pairing_redeem_seconds_bucket{le=\"10.0\"}"), 1.0);
    assert_eq!(scrape.value("pairing_redeem_seconds_sum"), 4e-3);
}

#[test]
fn the_gauges_are_those_of_the_moment() {
    let telemetry = Telemetry::new();
    let _ = telemetry.channel("signal");
    let live = Live {
        nodes_pending: 1,
        nodes_paired: 2,
        nodes_muted: 3,
        nodes_revoked: u64::MAX,
        links: 4,
        waiting_connections: 5,
        sessions: 6,
        store_write_failures: 7,
        store_failing: true,
        decisions_unstored: 8,
        sharing: Some(LiveSharing {
            behind_seconds: 0.25,
            cut_off: true,
            present: 3,
            bus_connected: Some(true),
        }),
        senders_pending: vec![
            ("telegram".to_owned(), 2),
            ("mail".to_owned(), 1),
            ("telegram".to_owned(), 3),
        ],
    };
    let scrape = Scrape::read(&telemetry.encode(&live));
    assert_eq!(scrape.families["handfast_nodes"], "gauge");
    for (series, count) in [
        ("handfast_nodes{standing=\"pending\"}", 1.0),
        ("handfast_nodes{standing=\"paired\"}", 2.0),
        ("handfast_nodes{standing=\"muted\"}", 3.0),
        ("handfast_links", 4.0),
        ("handfast_waiting_connections", 5.0),
        ("pairing_sessions_live", 6.0),
        ("handfast_store_write_failures_total", 7.0),
        ("handfast_store_failing", 1.0),
        ("handfast_decisions_unstored", 8.0),
        ("handfast_gateway_behind_seconds", 0.25),
        ("handfast_gateway_cut_off", 1.0),
        ("handfast_gateways_present", 3.0),
        ("handfast_bus_connected", 1.0),
        ("pairing_requests_pending{channel=\"telegram\"}", 5.0),
        ("pairing_requests_pending{channel=\"mail\"}", 1.0),
        ("pairing_requests_pending{channel=\"signal\"}", 0.0),
    ] {
        assert_eq!(scrape.value(series), count, "{series}");
    }
    let later = Scrape::of(&telemetry);
    assert_eq!(later.value("pairing_requests_pending{channel=\"telegram\"}"), 0.0);
    assert_eq!(later.value("handfast_nodes{standing=\"revoked\"}"), 0.0);
}

#[test]
fn ten_thousand_values_of_an_open_label_stay_within_the_bound_and_none_is_lost() {
    let telemetry = Telemetry::new();
    let mut live = Live::default();
    for number in 0..10_000 {
        let name = format!("{number} \"\\\n\u{202e}{}", "x".repeat(1000));
        telemetry.channel(&name).decided(GateDecision::Admitted);
        telemetry.bootstrap_token_issued(&name);
        telemetry.extension_call(&name, ExtensionResult::Ok);
        live.senders_pending.push((name, 1));
    }
    let scrape = Scrape::read(&telemetry.encode(&live));
    for (name, key, word) in [
        ("pairing_inbound_total", "channel", Some("admitted")),
        ("pairing_bootstrap_tokens_issued_total", "profile", None),
        ("handfast_extension_calls_total", "extension", Some("ok")),
        ("pairing_requests_pending", "channel", None),
    ] {
        let values = scrape.values_of(name, key);
        assert_eq!(values.len(), MOST_VALUES + 1, "{name}");
        assert!(
            values.contains(OTHER)
                && values.iter().all(|value| value.chars().count() <= MOST_CHARACTERS),
            "{values:?}"
        );
        assert!(values.iter().any(|value| value.starts_with("7 \"\\__x")), "{values:?}");
        let counted = scrape.series.values().filter(|sample| {
            sample.name == name && sample.labels.get(1).map(|label| &*label.1) == word
        });
        assert_eq!(counted.map(|sample| sample.value).sum::<f64>(), 10_000.0, "{name}");
    }
}

#[test]
fn two_gateways_in_one_process_do_not_mix() {
    let (one, other) = (busy(), Telemetry::new());
    other.channel("telegram").decided(GateDecision::Failed);
    let (one, other) = (Scrape::of(&one), Scrape::of(&other));
    assert_eq!(one.value("pairing_codes_expired_total"), 3.0);
    assert_eq!(other.value("pairing_codes_expired_total"), 0.0);
    assert_eq!(
        other.value("pairing_inbound_total{channel=\"telegram\",decision=\"admitted\"}"),
        0.0
    );
    assert_eq!(other.value("pairing_inbound_total{channel=\"telegram\",decision=\"failed\"}"), 1.0);
    assert_eq!(other.value("pairing_redeem_seconds_count"), 0.0);
}

#[test]
fn the_metrics_of_others_stand_before_the_end_and_cannot_forge_it() {
    let telemetry = busy();
    let extra = "# HELP bot Seen.\n# TYPE bot counter\nbot_total 1\n# EOF\npairing_codes_expired_total 99\nnonsense\nbot_total{a=\"b\"} 2";
    let (extra, dropped) = ForeignMetrics::parse(extra, "");
    assert_eq!(dropped, 2, "the end, and a line that is none");
    let text = telemetry.encode_with(&Live::default(), &extra);
    assert_eq!(text.matches("# EOF").count(), 1);
    let scrape = Scrape::read(&text);
    assert_eq!(scrape.value("bot_total"), 1.0);
    assert_eq!(scrape.value("bot_total{a=\"b\"}"), 2.0);
    assert_eq!(scrape.value("pairing_codes_expired_total"), 3.0);
}

#[test]
fn one_admission_in_sixty_four_is_timed() {
    let telemetry = Telemetry::new();
    let channel = telemetry.channel("telegram");
    let mut timed = 0;
    for _ in 0..640 {
        timed += u32::from(channel.is_to_be_timed());
        channel.decided(GateDecision::Admitted);
    }
    assert_eq!(timed, 10);
}

#[test]
fn what_many_threads_count_at_once_is_all_there() {
    let telemetry = Telemetry::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    telemetry.channel("telegram").decided(GateDecision::Admitted);
                    telemetry.admit_took(AdmitPath::Cached, Duration::from_micros(1));
                }
            });
        }
    });
    let scrape = Scrape::of(&telemetry);
    assert_eq!(
        scrape.value("pairing_inbound_total{channel=\"telegram\",decision=\"admitted\"}"),
        8000.0
    );
    assert_eq!(scrape.value("pairing_admit_seconds_count{path=\"cached\"}"), 8000.0);
    assert_eq!(scrape.value("pairing_admit_seconds_sum{path=\"cached\"}"), 8e-3);
}
