//! Tables of the decisions about requests to pair on the native wire, for every combination of
//! standing, proof, method and policy.

use handfast_core::flow::native::settle::{
    PolicyVerdict, Proven, SettleRequest, Settlement, not_entered, not_redeemed, plan, settle,
};
use handfast_core::registry::record::{Cause, Credential, Mode, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::NotRedeemed;
use handfast_core::wire::native::pair::{Method, Selector};
use handfast_core::{Refusal, Span, UnixTime};

use super::Table;

const NOW: UnixTime = UnixTime::from_secs(1_000);

type Known = (&'static str, Option<Standing>, Option<Rejection>);

fn known() -> Vec<Known> {
    let credential = || Credential::Keys;
    let rejected = || Some(Standing::Revoked { cause: Cause::Rejected });
    let until = |secs| Some(Rejection { times: 1, until: Some(UnixTime::from_secs(secs)) });
    let pending = |secs| Standing::Pending { expires: UnixTime::from_secs(secs) };
    vec![
        ("unknown", None, None),
        ("Pending", Some(pending(1_001)), None),
        ("Pending, ran out", Some(pending(1_000)), None),
        ("Paired", Some(Standing::Paired { credential: credential(), mode: Mode::Full }), None),
        ("Muted", Some(Standing::Muted { credential: credential(), restore: Mode::Full }), None),
        ("Rejected, may not ask yet", rejected(), until(1_030)),
        ("Rejected, may ask again", rejected(), until(1_000)),
        ("Rejected, long ago", rejected(), None),
        ("Rejected for good", rejected(), Some(Rejection { times: 1, until: None })),
        ("Barred", Some(Standing::Revoked { cause: Cause::Barred }), None),
        ("Unpaired", Some(Standing::Revoked { cause: Cause::Unpaired }), None),
    ]
}

fn methods() -> [(&'static str, Method); 4] {
    let selector = Selector::parse("ABCD").expect("a selector");
    [
        ("approval", Method::Approval),
        ("PIN", Method::Pin),
        ("code", Method::Code { selector }),
        ("setup code", Method::Setup),
    ]
}

#[test]
fn the_next_stage_of_a_request_is_the_one_of_the_table() {
    let mut table = Table::about("flow::native::settle::plan");
    for (name, standing, _) in known() {
        table.state(name);
        for (method_name, method) in methods() {
            table.row(method_name, &format!("{:?}", plan(standing.as_ref(), method)), &[]);
        }
    }
    table.check("plan.txt");
}

#[test]
fn a_request_is_settled_as_the_table_says() {
    let mut table = Table::about("flow::native::settle::settle");
    let policies = [
        PolicyVerdict::NotAsked,
        PolicyVerdict::Approves,
        PolicyVerdict::Rejects,
        PolicyVerdict::Asks,
    ];
    for (name, standing, rejection) in known() {
        for proof in [Proven::Key, Proven::Code, Proven::Setup, Proven::Void] {
            table.state(&format!("{name}, proven: {proof:?}"));
            for (method_name, method) in methods() {
                let asked = SettleRequest { standing: standing.as_ref(), rejection, method, proof };
                let each = policies.map(|policy| settle(&asked, policy, NOW));
                let [first, ..] = each;
                if each.iter().all(|settled| *settled == first) {
                    table.row(method_name, &format!("{first:?}"), &[]);
                } else {
                    let each: Vec<String> = policies
                        .iter()
                        .zip(each)
                        .map(|(policy, settled)| format!("{policy:?}: {settled:?}"))
                        .collect();
                    table.row(method_name, "depends on the policy", &each);
                }
            }
        }
    }
    table.check("settle.txt");
}

#[test]
fn a_setup_code_that_is_not_redeemed_is_answered_as_the_table_says() {
    let mut table = Table::about("flow::native::settle::not_redeemed");
    for (name, standing, _) in known() {
        table.state(name);
        for reason in [NotRedeemed::AlreadyUsed, NotRedeemed::Expired, NotRedeemed::ClockInDoubt] {
            let settled = not_redeemed(standing.as_ref(), reason);
            table.row(&format!("{reason:?}"), &format!("{settled:?}"), &[]);
        }
    }
    table.check("not_redeemed.txt");
}

#[test]
fn only_a_change_of_the_record_lets_a_request_that_was_not_entered_be_settled_again() {
    for refusal in [Refusal::AlreadyPaired, Refusal::Revoked] {
        assert_eq!(not_entered(refusal), None, "{refusal:?}");
    }
    let wait = Span::from_secs(9);
    for refusal in [Refusal::Rejected { wait }, Refusal::Barred, Refusal::TooManyPending] {
        assert!(not_entered(refusal).is_some(), "{refusal:?}");
    }
}

#[test]
fn nobody_revoked_is_paired_and_nobody_is_paired_without_a_word_for_it() {
    for (name, standing, rejection) in known() {
        for proof in [Proven::Key, Proven::Code, Proven::Setup, Proven::Void] {
            for (_, method) in methods() {
                for policy in [
                    PolicyVerdict::NotAsked,
                    PolicyVerdict::Approves,
                    PolicyVerdict::Rejects,
                    PolicyVerdict::Asks,
                ] {
                    let asked =
                        SettleRequest { standing: standing.as_ref(), rejection, method, proof };
                    if settle(&asked, policy, NOW) == Settlement::Pair {
                        assert!(standing.as_ref().is_none_or(|it| !it.bars()), "{name}");
                        assert!(
                            policy == PolicyVerdict::Approves || proof == Proven::Setup,
                            "{name}"
                        );
                        assert!(proof != Proven::Void, "{name}");
                    }
                }
            }
        }
    }
}
