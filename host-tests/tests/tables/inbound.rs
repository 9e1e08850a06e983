//! Table of decisions about a message, for every combination of facts about its sender.

use handfast_core::UnixTime;
use handfast_core::flow::inbound::{Challenge, ChannelPolicy, Seen, Verdict, decide};
use handfast_core::registry::inbound::{Allowed, ChallengeCode, Facts, InboundLimits, Pending};

use super::Table;

const NOW: u64 = 100_000;

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

fn words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Admit => "Admit".to_owned(),
        Verdict::Drop(why) => format!("Drop, {why:?}"),
        Verdict::Challenge(Challenge::New(code)) => format!("Challenge, new {code}"),
        Verdict::Challenge(Challenge::Again(code)) => format!("Challenge, again {code}"),
        Verdict::Challenge(Challenge::Quiet(code)) => format!("Challenge, quiet {code}"),
    }
}

#[test]
fn a_message_is_let_in_challenged_or_dropped_as_the_table_says() {
    let code = ChallengeCode::parse("KNWN2345").unwrap();
    let allowed = |until: Option<u64>, revoked_at: Option<u64>| {
        Some(Allowed { until: until.map(at), revoked_at: revoked_at.map(at) })
    };
    let alloweds = [
        ("never allowed", None),
        ("allowed", allowed(None, None)),
        ("allowed until later", allowed(Some(NOW + 1), None)),
        ("allowed until now", allowed(Some(NOW), None)),
        ("allowed, revoked", allowed(None, Some(NOW))),
        ("allowed until later, revoked", allowed(Some(NOW + 1), Some(NOW + 9))),
    ];
    let pending = |since, told| Some(Pending { code, created_at: at(since), told_at: at(told) });
    let pendings = [
        ("not waiting", None),
        ("waiting, told long ago", pending(NOW - 100, NOW - 60)),
        ("waiting, told just now", pending(NOW - 100, NOW - 59)),
        ("waiting, told later than now", pending(NOW - 100, NOW + 1)),
        ("waiting, for the last second", pending(NOW - 3599, NOW - 3599)),
        ("waiting, its time is over", pending(NOW - 3600, NOW - 3600)),
        ("waiting, since much later than now", pending(NOW + 3601, NOW + 3601)),
    ];
    let rooms = [
        ("room", 2, 1023),
        ("full for the account", 3, 3),
        ("full for all", 0, 1024),
        ("full twice", 3, 1024),
    ];
    let mut table = Table::about("flow::inbound::decide");
    for auto_challenge in [false, true] {
        for seen in [Seen::Sender, Seen::NotASender, Seen::Nobody] {
            for blocked in [false, true] {
                table.state(&format!(
                    "auto_challenge {auto_challenge}, {seen:?}{}",
                    if blocked { ", blocked" } else { "" }
                ));
                for (allowed_name, allowed) in alloweds {
                    for (pending_name, pending) in pendings {
                        let of = |(of_account, total): (u32, u32)| {
                            let facts = Facts {
                                blocked,
                                allowed,
                                pending,
                                pending_of_account: of_account,
                                pending_total: total,
                            };
                            let fresh = ChallengeCode::parse("FRESH234").unwrap();
                            words(decide(
                                ChannelPolicy { auto_challenge },
                                seen,
                                &facts,
                                &InboundLimits::DEFAULT,
                                fresh,
                                at(NOW),
                            ))
                        };
                        let verdicts: Vec<_> =
                            rooms.iter().map(|(name, a, t)| (*name, of((*a, *t)))).collect();
                        let first = &verdicts[0].1;
                        if verdicts.iter().all(|(_, verdict)| verdict == first) {
                            table.row(&format!("{allowed_name}; {pending_name}"), first, &[]);
                        } else {
                            let each: Vec<_> = verdicts
                                .iter()
                                .map(|(name, verdict)| format!("{name}: {verdict}"))
                                .collect();
                            table.row(
                                &format!("{allowed_name}; {pending_name}"),
                                "depends on the room",
                                &each,
                            );
                        }
                    }
                }
            }
        }
    }
    table.check("inbound.txt");
}
