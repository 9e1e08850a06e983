//! Readers and printers of permissions and rules.

use std::path::Path;

use handfast_core::grant::scope::{Action, Pattern, Scope, ScopeError, ScopesBuf};
use handfast_core::limits::{LABEL_BYTES, REASON_BYTES};
use handfast_server::policy::{ApprovalTerms, Glob, ProofMethod, Rule, RuleVerdict, When};
use handfast_server::public_url::{Net, NotANet};
use toml::de::DeValue;

use super::duration::{lasting, show_lasting};
use super::keys::EXPIRIES;
use super::kinds::name_of;
use super::print::{list, quoted};
use super::settings::scopes;
use super::value::{ConfigProblem, ConfigValue, unknown};

const METHODS: [(&str, ProofMethod); 3] =
    [("pin", ProofMethod::Pin), ("code", ProofMethod::Code), ("approval", ProofMethod::Approval)];

/// Keys of a rule.
const RULE_KEYS: [&str; 8] =
    ["name", "method", "address", "decision", "permissions", "expires", "reason", "message"];

/// Name of a rule's table in errors.
const RULE: &str = "[[pairing.rule]]";
const RULE_EXAMPLE: &str = "name = \"lamp*\", decision = \"approve\"";

#[derive(Clone, Copy)]
enum RuleDecision {
    Approve,
    Reject,
    Ask,
}

const DECISIONS: [(&str, RuleDecision); 3] = [
    ("approve", RuleDecision::Approve),
    ("reject", RuleDecision::Reject),
    ("ask", RuleDecision::Ask),
];

/// Reads `{ read = […], write = […], admin = […] }`, or the scopes of an option.
pub(super) fn permissions(
    value: &ConfigValue<'_>,
    table: &str,
) -> Result<ScopesBuf, ConfigProblem> {
    let mut found = Vec::new();
    if value.as_words().is_some() {
        for item in value.items() {
            found.push(Scope::parse(item.text()?).map_err(|error| refused(&item, error))?);
        }
    } else {
        for field in value.fields(table)? {
            let action = Action::parse(field.name).map_err(|_| {
                unknown(field.name, table, field.offset, &["read", "write", "admin"])
            })?;
            for item in field.value.items() {
                let pattern =
                    Pattern::parse(item.text()?).map_err(|error| refused(&item, error))?;
                found.push(Scope { action, pattern });
            }
        }
    }
    scopes(found).map_err(|error| value.lacks(error.as_str()))
}

fn refused(value: &ConfigValue<'_>, error: ScopeError) -> ConfigProblem {
    value.wrong(error.as_str())
}

/// Reads an array of tables, or the words of an option, each of which is a table with or without
/// its braces.
pub(super) fn rules(value: &ConfigValue<'_>) -> Result<Vec<Rule>, ConfigProblem> {
    if value.as_words().is_none() && !value.is_list() {
        return Err(value.lacks(format!("rules stand in tables that are each headed {RULE}")));
    }
    let read = |item: &ConfigValue<'_>| match item.as_words() {
        Some(_) => from_word(item, "the rule", RULE_EXAMPLE, rule),
        None => rule(item, RULE),
    };
    value.items().iter().map(read).collect()
}

/// Reads a word of an option as a table, with or without its braces. Errors call the table `table`,
/// and show an example.
pub(super) fn from_word<T>(
    item: &ConfigValue<'_>,
    table: &str,
    example: &str,
    read: fn(&ConfigValue<'_>, &str) -> Result<T, ConfigProblem>,
) -> Result<T, ConfigProblem> {
    let text = item.text()?.trim();
    let braced = if text.starts_with('{') { text.to_owned() } else { format!("{{ {text} }}") };
    match DeValue::parse(&braced) {
        Ok(value) => {
            read(&ConfigValue::in_file(table.to_owned(), Path::new(""), &braced, &value), table)
        }
        Err(error) => {
            Err(item.wrong(format!("it must read like '{example}': {}", error.message())))
        }
    }
}

fn rule(value: &ConfigValue<'_>, table: &str) -> Result<Rule, ConfigProblem> {
    let (mut when, mut terms) = (When::default(), ApprovalTerms::default());
    let (mut decision, mut reason) = (None, None);
    // Keys that are valid only with some decisions.
    let (mut only_approved, mut only_rejected) = (None, None);
    for field in value.fields(table)? {
        let value = &field.value;
        match field.name {
            "name" => when.name = Some(Glob::new(value.message(LABEL_BYTES)?)),
            "method" => when.method = Some(value.choice(&METHODS)?),
            "address" => when.address = Some(net(value)?),
            "decision" => decision = Some(value.choice(&DECISIONS)?),
            "permissions" => {
                terms.permissions = Some(permissions(value, &format!("permissions of {table}"))?);
            }
            "expires" => terms.expires = Some(lasting(value.duration(EXPIRIES)?)),
            "message" => terms.message = Some(value.message(REASON_BYTES)?),
            "reason" => reason = Some(value.message(REASON_BYTES)?),
            name => return Err(unknown(name, table, field.offset, &RULE_KEYS)),
        }
        match field.name {
            "permissions" | "expires" | "message" => only_approved = Some(field),
            "reason" => only_rejected = Some(field),
            _ => {}
        }
    }
    match (decision, only_approved, only_rejected) {
        (None, _, _) => Err(value.lacks("`decision` is missing: approve, reject or ask")),
        (Some(RuleDecision::Reject), Some(field), _) => {
            Err(field.value.lacks("a rule that rejects has no such key, only `reason`"))
        }
        (Some(RuleDecision::Approve | RuleDecision::Ask), _, Some(field)) => {
            Err(field.value.lacks("only a rule that rejects has a reason; others have a `message`"))
        }
        (Some(RuleDecision::Reject), None, _) => {
            Ok(Rule { when, verdict: RuleVerdict::Reject { reason } })
        }
        (Some(RuleDecision::Approve), _, None) => {
            Ok(Rule { when, verdict: RuleVerdict::Approve(terms) })
        }
        (Some(RuleDecision::Ask), _, None) => Ok(Rule { when, verdict: RuleVerdict::Ask(terms) }),
    }
}

fn net(value: &ConfigValue<'_>) -> Result<Net, ConfigProblem> {
    value.text()?.parse().map_err(|error: NotANet| value.wrong(error.to_string()))
}

pub(super) fn show_permissions(scopes: &ScopesBuf) -> String {
    let scopes = scopes.scopes();
    let of = |action: Action| {
        let patterns = scopes.as_slice().iter().filter(|scope| scope.action == action);
        format!("{action} = {}", list(patterns.map(|scope| quoted(scope.pattern))))
    };
    format!("{{ {}, {}, {} }}", of(Action::Read), of(Action::Write), of(Action::Admin))
}

/// Prints a rule as TOML.
pub(super) fn show_rule(rule: &Rule) -> String {
    let Rule { when: When { name, method, address }, verdict } = rule;
    let method = method.and_then(|method| name_of(&METHODS, method));
    let (decision, terms, reason) = match verdict {
        RuleVerdict::Approve(terms) => ("approve", Some(terms), None),
        RuleVerdict::Ask(terms) => ("ask", Some(terms), None),
        RuleVerdict::Reject { reason } => ("reject", None, reason.as_ref()),
    };
    let entries = [
        ("name", name.as_ref().map(|glob| quoted(glob.as_str()))),
        ("method", method),
        ("address", address.map(quoted)),
        ("decision", Some(quoted(decision))),
        ("permissions", terms.and_then(|terms| terms.permissions.as_ref()).map(show_permissions)),
        (
            "expires",
            terms.and_then(|terms| terms.expires).map(|expires| quoted(show_lasting(expires))),
        ),
        ("message", terms.and_then(|terms| terms.message.as_ref()).map(quoted)),
        ("reason", reason.map(quoted)),
    ];
    let set = entries
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| format!("{key} = {value}")));
    format!("{{ {} }}", set.collect::<Vec<_>>().join(", "))
}
