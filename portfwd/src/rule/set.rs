//! Whether rules fit together: every one has a name of its own, and no two listen on the same
//! port.

use std::collections::HashMap;

use thiserror::Error;

use super::{Part, PortsText, Rule, RuleError, check};
use portfwd_common::PortRange;

/// Why a list of rules is refused: one line, with the way out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{error}")]
pub struct SetError {
    /// The rule's place in the list; of two that do not fit together, the later one's.
    pub index: usize,
    /// What is wrong with it.
    pub error: RuleError,
}

/// Gives each rule without a name one of its own, after checking the rules by themselves and
/// against each other.
///
/// # Errors
/// Where a rule is wrong, two have the same name, or two listen on the same address, protocol
/// and port. A rule without a listen address listens on all of them.
pub fn name_and_check(mut rules: Vec<Rule>) -> Result<Vec<Rule>, SetError> {
    for (index, rule) in rules.iter().enumerate() {
        check_alone(rule).map_err(|error| SetError { index, error })?;
    }
    check_names(&rules)?;
    check_overlaps(&rules)?;
    give_names(&mut rules);
    Ok(rules)
}

fn check_alone(rule: &Rule) -> Result<(), RuleError> {
    if !rule.name.is_empty() {
        check::parse_name(&rule.name)?;
    }
    check::together(rule)
}

fn check_names(rules: &[Rule]) -> Result<(), SetError> {
    let mut known: HashMap<&str, &Rule> = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        if rule.name.is_empty() {
            continue;
        }
        if let Some(other) = known.insert(&rule.name, rule) {
            let message = format!(
                "the name `{}` is taken by {other}: give {rule} another one",
                rule.name
            );
            let error = Part::Name.error(message);
            return Err(SetError { index, error });
        }
    }
    Ok(())
}

/// Walks through the rules by their first port, so that only neighbours are compared.
fn check_overlaps(rules: &[Rule]) -> Result<(), SetError> {
    let mut order: Vec<(usize, &Rule)> = rules.iter().enumerate().collect();
    order.sort_by_key(|(index, rule)| (rule.listen.ports.first, *index));
    for (place, (index, rule)) in order.iter().enumerate() {
        let further = order.iter().skip(place + 1);
        let near =
            further.take_while(|(_, other)| other.listen.ports.first <= rule.listen.ports.last);
        for (other_index, other) in near {
            if !overlap(rule, other) {
                continue;
            }
            let (earlier, later) = if index < other_index {
                (rule, other)
            } else {
                (other, rule)
            };
            let index = *index.max(other_index);
            let error = Part::Listen.error(format!(
                "{} and {} both listen on port {}: delete one of them, or change where it listens",
                described(earlier),
                described(later),
                PortsText(PortRange {
                    first: other.listen.ports.first,
                    last: rule.listen.ports.last.min(other.listen.ports.last),
                })
            ));
            return Err(SetError { index, error });
        }
    }
    Ok(())
}

/// Whether two rules whose ports overlap would both take the same packet.
fn overlap(one: &Rule, other: &Rule) -> bool {
    let same_address = match (one.listen.address, other.listen.address) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    same_address
        && one
            .protocols
            .iter()
            .any(|protocol| other.protocols.contains(protocol))
}

fn described(rule: &Rule) -> String {
    if rule.name.is_empty() {
        format!("the rule {rule}")
    } else {
        format!("the rule `{}` ({rule})", rule.name)
    }
}

fn give_names(rules: &mut [Rule]) {
    // The last number that was tried behind each name: 2 for a name that is taken once.
    let mut taken: HashMap<String, usize> = HashMap::new();
    for rule in rules.iter().filter(|rule| !rule.name.is_empty()) {
        taken.insert(rule.name.clone(), 1);
    }
    for rule in rules.iter_mut().filter(|rule| rule.name.is_empty()) {
        let wanted = rule.default_name();
        let mut name = wanted.clone();
        let mut number = taken.get(&wanted).copied().unwrap_or(0);
        while number > 0 && taken.contains_key(&name) {
            number += 1;
            name = format!("{wanted}-{number}");
        }
        taken.insert(wanted, number.max(1));
        taken.insert(name.clone(), 1);
        rule.name = name;
    }
}
