//! From the label spellings of others to ours, and what labels tell about a task. Pure.
//!
//! What the contract fixes is translated: the fourteen categories, benign and jailbreak, the
//! kinds of personal data. Everything else stays as it is spelled.

use super::super::tags::OUTSIDE;
use crate::config::{CATEGORIES, PII_LABELS};
use crate::minds::Task;
use crate::minds::manifest::BENIGN;

/// What the outputs of a model mean, as a manifest says it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) labels: Vec<String>,
    /// One per column, for personal data only.
    pub(super) tags: Vec<String>,
    /// Their spelling and ours, where the two differ in more than case.
    pub(super) renamed: Vec<(String, String)>,
}

/// Other names of our categories.
const CATEGORY_NAMES: [(&str, &str); 7] = [
    ("maths", "math"),
    ("mathematics", "math"),
    ("cs", "computer science"),
    ("compsci", "computer science"),
    ("medicine", "health"),
    ("others", "other"),
    ("miscellaneous", "other"),
];

const BENIGN_NAMES: [&str; 14] = [
    "benign",
    "safe",
    "normal",
    "legit",
    "legitimate",
    "harmless",
    "clean",
    "none",
    "negative",
    "no",
    "non jailbreak",
    "not jailbreak",
    "no jailbreak",
    "no injection",
];

const OUTSIDE_NAMES: [&str; 4] = [OUTSIDE, "NO_PII", "NONE", "OUTSIDE"];

/// Other names of our kinds of personal data.
const PII_NAMES: [(&str, &str); 57] = [
    ("ACCESS_TOKEN", "SECRET"),
    ("ADDRESS", "STREET_ADDRESS"),
    ("API_KEY", "SECRET"),
    ("CITY", "GPE"),
    ("COUNTRY", "GPE"),
    ("CREDITCARD", "CREDIT_CARD"),
    ("CREDITCARDNUMBER", "CREDIT_CARD"),
    ("CREDIT_CARD_NUMBER", "CREDIT_CARD"),
    ("DATE", "DATE_TIME"),
    ("DATEOFBIRTH", "DATE_TIME"),
    ("DATE_OF_BIRTH", "DATE_TIME"),
    ("DOB", "DATE_TIME"),
    ("DOMAIN", "DOMAIN_NAME"),
    ("DRIVERLICENSE", "US_DRIVER_LICENSE"),
    ("DRIVERLICENSENUM", "US_DRIVER_LICENSE"),
    ("DRIVER_LICENSE", "US_DRIVER_LICENSE"),
    ("DRIVERS_LICENSE", "US_DRIVER_LICENSE"),
    ("EMAIL", "EMAIL_ADDRESS"),
    ("E_MAIL", "EMAIL_ADDRESS"),
    ("FIRSTNAME", "PERSON"),
    ("FIRST_NAME", "PERSON"),
    ("FULL_NAME", "PERSON"),
    ("GIVENNAME", "PERSON"),
    ("IBAN", "IBAN_CODE"),
    ("IP", "IP_ADDRESS"),
    ("IPV4", "IP_ADDRESS"),
    ("IPV6", "IP_ADDRESS"),
    ("IP_ADDR", "IP_ADDRESS"),
    ("LASTNAME", "PERSON"),
    ("LAST_NAME", "PERSON"),
    ("LOC", "GPE"),
    ("LOCATION", "GPE"),
    ("NAME", "PERSON"),
    ("NATIONALITY", "NRP"),
    ("NORP", "NRP"),
    ("ORG", "ORGANIZATION"),
    ("ORGANISATION", "ORGANIZATION"),
    ("COMPANY", "ORGANIZATION"),
    ("PASSWORD", "SECRET"),
    ("PER", "PERSON"),
    ("PERSON_NAME", "PERSON"),
    ("PHONE", "PHONE_NUMBER"),
    ("PHONENUMBER", "PHONE_NUMBER"),
    ("PHONE_NUM", "PHONE_NUMBER"),
    ("POSTAL_CODE", "ZIP_CODE"),
    ("POSTCODE", "ZIP_CODE"),
    ("SECRET_KEY", "SECRET"),
    ("SOCIALNUM", "US_SSN"),
    ("SSN", "US_SSN"),
    ("STATE", "GPE"),
    ("STREET", "STREET_ADDRESS"),
    ("SURNAME", "PERSON"),
    ("TELEPHONE", "PHONE_NUMBER"),
    ("TELEPHONENUM", "PHONE_NUMBER"),
    ("TIME", "DATE_TIME"),
    ("ZIP", "ZIP_CODE"),
    ("ZIPCODE", "ZIP_CODE"),
];

/// `Computer_Science` → `computer science`.
fn plain(label: &str) -> String {
    label.trim().to_lowercase().replace(['_', '-'], " ")
}

/// `Phone-Num` → `PHONE_NUM`.
fn shouted(label: &str) -> String {
    label.trim().to_uppercase().replace(['-', ' '], "_")
}

/// The labels of a classifier of whole texts or of tokens, in our spelling.
pub(super) fn meaning(task: Task, theirs: &[String]) -> Result<Meaning, String> {
    let meaning = match task {
        Task::Intent => categories(theirs),
        Task::Jailbreak => guards(theirs)?,
        Task::Pii => personal(theirs)?,
        Task::Similarity => Meaning::default(),
        Task::Expert => return Err("an expert is a decoder, which is trained, not imported".to_owned()),
        Task::Quality => return Err("`mom calibrate train` makes such a mind".to_owned()),
    };
    match meaning.labels.iter().find(|label| !fits_a_header(label)) {
        None => Ok(meaning),
        Some(label) => Err(format!(
            "the label {label:?} cannot stand in an answer's headers: labels are printable ASCII without `,`, `;` and \
             `=`, and no space stands at either end"
        )),
    }
}

/// `x-mom-category` and `x-mom-guard` name labels, in lists and as values.
fn fits_a_header(label: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !b",;=".contains(&byte);
    !label.is_empty() && label.trim() == label && label.bytes().all(plain)
}

fn renamed(theirs: &[String], ours: &[String]) -> Vec<(String, String)> {
    let pairs = theirs.iter().zip(ours).filter(|(theirs, ours)| !theirs.eq_ignore_ascii_case(ours));
    pairs.map(|(theirs, ours)| (theirs.clone(), ours.clone())).collect()
}

fn category(label: &str) -> Option<&'static str> {
    let plain = plain(label);
    let other = CATEGORY_NAMES.iter().find(|(theirs, _)| *theirs == plain).map(|(_, ours)| *ours);
    other.or_else(|| CATEGORIES.into_iter().find(|ours| *ours == plain))
}

fn categories(theirs: &[String]) -> Meaning {
    let mut labels: Vec<String> = Vec::new();
    for label in theirs {
        // Two labels never become one: their scores would stand under the same name.
        let ours = category(label).filter(|ours| !labels.iter().any(|label| label == ours));
        labels.push(ours.unwrap_or(label).to_owned());
    }
    Meaning { renamed: renamed(theirs, &labels), labels, tags: Vec::new() }
}

fn is_benign(label: &str) -> bool {
    BENIGN_NAMES.contains(&plain(label).as_str())
}

fn guards(theirs: &[String]) -> Result<Meaning, String> {
    let benign = theirs.iter().filter(|label| is_benign(label)).count();
    if theirs.len() < 2 || benign != 1 {
        let labels = theirs.join(", ");
        return Err(format!(
            "exactly one label must mean benign and at least one an attack; there are: {labels}. A \
             jailbreak_mapping.json with {{\"label_to_id\": {{\"benign\": 0, \"jailbreak\": 1}}}} says which is which"
        ));
    }
    let ours = |label: &String| match (is_benign(label), theirs.len()) {
        (true, _) => BENIGN.to_owned(),
        (false, 2) => "jailbreak".to_owned(),
        (false, _) => plain(label),
    };
    let labels: Vec<String> = theirs.iter().map(ours).collect();
    Ok(Meaning { renamed: renamed(theirs, &labels), labels, tags: Vec::new() })
}

fn kind(label: &str) -> String {
    let shouted = shouted(label);
    if PII_LABELS.contains(&shouted.as_str()) {
        return shouted;
    }
    let ours = PII_NAMES.iter().find(|(theirs, _)| *theirs == shouted).map(|(_, ours)| (*ours).to_owned());
    ours.unwrap_or_else(|| label.to_owned())
}

/// Prefix and kind of a tag, where tags have prefixes: `B-PERSON`, `S_PERSON`.
fn prefixed(tag: &str) -> Option<(bool, &str)> {
    let (prefix, kind) = tag.split_once(['-', '_'])?;
    let begins = match prefix {
        "B" | "S" | "U" => true,
        "I" | "E" | "L" | "M" => false,
        _ => return None,
    };
    (!kind.is_empty()).then_some((begins, kind))
}

fn is_outside(tag: &str) -> bool {
    OUTSIDE_NAMES.contains(&shouted(tag).as_str())
}

fn personal(theirs: &[String]) -> Result<Meaning, String> {
    // `E_MAIL` alone is no end of a `MAIL`; beside `B-…` and `I-…` everything has a prefix.
    let marked = theirs.iter().filter(|tag| !is_outside(tag)).all(|tag| prefixed(tag).is_some());
    let outside = theirs.iter().filter(|tag| is_outside(tag)).count();
    if outside != 1 || theirs.len() < 2 {
        let labels = theirs.join(", ");
        return Err(format!("one label must stand for tokens outside any span, written `O`; there are: {labels}"));
    }
    let (mut meaning, mut kinds) = (Meaning::default(), Vec::new());
    for tag in theirs {
        if is_outside(tag) {
            meaning.tags.push(OUTSIDE.to_owned());
            continue;
        }
        // A label without a prefix begins nothing, so that neighbours join.
        let (begins, theirs) = prefixed(tag).filter(|_| marked).unwrap_or((false, tag));
        let ours = kind(theirs);
        meaning.tags.push(format!("{}-{ours}", if begins { "B" } else { "I" }));
        if !kinds.contains(&theirs) {
            kinds.push(theirs);
            meaning.renamed.extend((!theirs.eq_ignore_ascii_case(&ours)).then(|| (theirs.to_owned(), ours.clone())));
        }
        if !meaning.labels.contains(&ours) {
            meaning.labels.push(ours);
        }
    }
    meaning.labels.sort();
    Ok(meaning)
}

/// What a name such as `mom-brain-modern-flash` says a mind is for.
pub(super) fn task_of_name(category: &str) -> Option<Task> {
    category.split('-').find_map(|word| match word {
        "brain" | "intent" | "category" | "domain" | "topic" => Some(Task::Intent),
        "jailbreak" | "guard" | "injection" => Some(Task::Jailbreak),
        "pii" | "privacy" | "ner" => Some(Task::Pii),
        "similarity" | "embedding" | "embed" => Some(Task::Similarity),
        _ => None,
    })
}

/// What the labels of a classifier of whole texts are about, if they say so.
pub(super) fn task_of_labels(theirs: &[String]) -> Option<Task> {
    let known = theirs.iter().filter(|label| category(label).is_some()).count();
    let attacks =
        theirs.iter().filter(|label| ["jailbreak", "injection"].iter().any(|word| plain(label).contains(word)));
    match theirs.iter().filter(|label| is_benign(label)).count() {
        1 if attacks.count() > 0 => Some(Task::Jailbreak),
        _ => (2 * known > theirs.len()).then_some(Task::Intent),
    }
}

#[cfg(test)]
mod tests;
