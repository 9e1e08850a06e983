use super::*;

/// What is written of a text, and the number of dropped lines.
#[derive(Debug, PartialEq, Eq)]
struct Cleaned {
    text: String,
    dropped: u64,
}

fn clean(text: &str, prefix: &str) -> Cleaned {
    let (metrics, dropped) = ForeignMetrics::parse(text, prefix);
    Cleaned { text: metrics.text(), dropped }
}

fn kept(text: &str) -> String {
    clean(text, "echo_").text
}

#[test]
fn well_formed_families_pass_in_order_with_type_and_help_before_their_samples() {
    let text = "# a comment\n\necho_b{ x = \"1\" , y=\"a\\\"b\",} 2.5e3\n# TYPE echo_a_total counter\n# HELP echo_a_total What\\nit is.\necho_a_total 1\r\n\
                echo_h_count 3\n# TYPE echo_h histogram\necho_h_bucket{le=\"+Inf\"} 3\necho_h_sum NaN\n";
    let expected = "# HELP echo_a What\\nit is.\n# TYPE echo_a counter\necho_a_total 1\n\
                    # TYPE echo_h histogram\necho_h_count 3\necho_h_bucket{le=\"+Inf\"} 3\necho_h_sum NaN\n\
                    echo_b{x=\"1\",y=\"a\\\"b\"} 2.5e3\n";
    assert_eq!(clean(text, "echo_"), Cleaned { text: expected.to_owned(), dropped: 0 });
}

#[test]
fn whatever_could_harm_others_is_dropped_and_counted() {
    let lies = [
        "pairing_approvals_total 1",
        "echo 1",
        "echoes_x 1",
        "# TYPE pairing_approvals_total gauge",
        "# TYPE echo_x untyped",
        "# TYPE echo_x",
        "# HELP echo_x bad \\q escape",
        "# EOF",
        "echo_x",
        "echo_x one",
        "echo_x inf",
        "echo_x 1 1700000000000",
        "echo_x 1 # {a=\"b\"} 1",
        "echo_x{a=\"b\" 1",
        "echo_x{a=\"b} 1",
        "echo_x{a=b} 1",
        "echo_x{a=\"b\"c=\"d\"} 1",
        "echo_x{a=\"b\",a=\"c\"} 1",
        "echo_x{__name__=\"pairing_x\"} 1",
        "echo_x{a=\"\\x\"} 1",
        "echo_x{a=\"\u{7}\"} 1",
        "echo_é 1",
        "echo_x:y 1",
        " echo_x 1",
    ];
    for lie in lies {
        assert_eq!(clean(lie, "echo_"), Cleaned { text: String::new(), dropped: 1 }, "{lie}");
    }
}

/// Parses the text as an OpenMetrics reader does: a counter's samples end in `_total` and count
/// up from 0, and no two families share a name.
fn strictly(text: &str) {
    let (mut family, mut families, mut seen) = (("", "unknown"), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some((what, name, rest)) = comment(line) {
            let begins = family.0 != name;
            assert!(!begins || seen.insert(name), "{line}: a name for the second time");
            family = (name, if what == "TYPE" { rest } else { "unknown" });
            continue;
        }
        let sample = sample(line).expect(line);
        let fits = |(name, kind): (&str, &str)| match kind {
            "counter" => sample.name.strip_suffix(TOTAL) == Some(name),
            _ => sample.name == name,
        };
        if !fits(family) {
            assert!(seen.insert(sample.name), "{line}: not of {family:?}, and in a second place");
            family = (sample.name, "unknown");
        }
        families.insert(family);
        assert!(
            family.1 != "counter" || sample.value.parse::<f64>().is_ok_and(|value| value >= 0.0),
            "{line}"
        );
    }
    for (name, kind) in &families {
        let total = format!("{name}{TOTAL}");
        assert!(
            *kind != "counter" || !families.iter().any(|(other, _)| *other == total),
            "{name}: its samples are another's too"
        );
    }
}

#[test]
fn counters_are_written_as_openmetrics_has_them() {
    for (text, expected) in [
        (
            "# HELP echo_a_total x\n# TYPE echo_a_total counter\necho_a_total 1",
            "# HELP echo_a x\n# TYPE echo_a counter\necho_a_total 1\n",
        ),
        ("# TYPE echo_a counter\necho_a_total 1", "# TYPE echo_a counter\necho_a_total 1\n"),
        ("# TYPE echo_a counter\necho_a 1", "# TYPE echo_a unknown\necho_a 1\n"),
        (
            "# TYPE echo_a counter\necho_a_total 1\necho_a 2",
            "# TYPE echo_a unknown\necho_a 2\necho_a_total 1\n",
        ),
        (
            "# TYPE echo_a_total counter\necho_a_total -1",
            "# TYPE echo_a_total unknown\necho_a_total -1\n",
        ),
        (
            "# TYPE echo_a_total counter\necho_a_total NaN",
            "# TYPE echo_a_total unknown\necho_a_total NaN\n",
        ),
        ("# TYPE echo_total counter\necho_total 1", "# TYPE echo_total unknown\necho_total 1\n"),
        (
            "# TYPE echo_a_total counter\necho_a_total 1\necho_a 2",
            "# TYPE echo_a_total unknown\necho_a_total 1\necho_a 2\n",
        ),
        (
            "# TYPE echo_a gauge\n# TYPE echo_a_total counter\necho_a 1\necho_a_total 2",
            "# TYPE echo_a gauge\necho_a 1\n# TYPE echo_a_total unknown\necho_a_total 2\n",
        ),
        (
            "# TYPE echo_a counter\n# TYPE echo_a_total counter\necho_a_total 2",
            "# TYPE echo_a unknown\n# TYPE echo_a_total unknown\necho_a_total 2\n",
        ),
        (
            "# TYPE echo_a gauge\necho_a_total 1\necho_a 2",
            "# TYPE echo_a gauge\necho_a 2\necho_a_total 1\n",
        ),
    ] {
        assert_eq!(
            clean(text, "echo_"),
            Cleaned { text: expected.to_owned(), dropped: 0 },
            "{text}"
        );
        strictly(expected);
    }
}

#[test]
fn nothing_is_said_twice() {
    let text = "echo_x{a=\"1\",b=\"2\"} 1\necho_x{b=\"2\",a=\"1\"} 2\n# TYPE echo_x gauge\n# TYPE echo_x counter\n";
    let expected = "# TYPE echo_x gauge\necho_x{a=\"1\",b=\"2\"} 1\n";
    assert_eq!(clean(text, "echo_"), Cleaned { text: expected.to_owned(), dropped: 2 });
}

#[test]
fn the_text_is_bounded_and_cut_at_a_line() {
    let line = "echo_é".len();
    let many: String = (0..100_000).map(|n| format!("echo_x{{n=\"é{n}\"}} {n}\n")).collect();
    let cleaned = clean(&many, "echo_");
    assert!(
        cleaned.text.len() <= TEXT_BYTES
            && cleaned.text.len() > TEXT_BYTES - 64
            && cleaned.dropped == 1,
        "{line}"
    );
    assert!(cleaned.text.ends_with('\n'));
    assert_eq!(kept(&"x".repeat(TEXT_BYTES * 2)), "");
    assert_eq!(kept(&format!("echo_x{{a=\"{}\"}} 1", "y".repeat(METRIC_LINE_BYTES))), "");
}

#[test]
fn nobody_speaks_in_the_gateways_name() {
    for own in [
        "pairing_approvals_total{channel=\"x\"} 7",
        "pairing_approvals 7",
        "# TYPE handfast_nodes counter",
        "# HELP handfast_nodes x\nhandfast_nodes 7",
        "handfast_links_created 7",
        "pairing_admit_seconds_bucket{le=\"1\"} 7",
        "# TYPE pairing_admit gauge\npairing_admit_seconds_count 7",
    ] {
        let kept = clean(own, "").text;
        assert!(!kept.contains('7') && !kept.contains("handfast"), "{own:?}: {kept}");
    }
    assert_eq!(clean("pairing_approvals_of_mine 7", "").text, "pairing_approvals_of_mine 7\n");
}

#[test]
fn all_of_them_together_are_bounded_at_a_line() {
    let line = format!("echo_x{{a=\"{}\"}} 1\n", "x".repeat(3000));
    let one: String = (0..80).map(|n| line.replacen("echo_x", &format!("echo_x{n}"), 1)).collect();
    let mut all = ForeignMetrics::default();
    for _ in 0..40 {
        all.append(ForeignMetrics::parse(&one, "echo_").0);
    }
    let text = all.text();
    assert!(text.len() <= MOST_BYTES && text.len() > MOST_BYTES - line.len() - 8);
    assert!(text.ends_with("} 1\n"));
}
