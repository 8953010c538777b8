//! What a label can be, by its letters and digits. Small predicates, one per label.

use crate::minds::patterns::is_honorific;

/// How a label behaves beside patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// A number, a code or an address of a machine: patterns know its borders better.
    Number,
    /// A name of someone, something or some place.
    Name,
    /// A street address.
    Address,
    /// A date or an age.
    Time,
}

pub(super) fn family(label: &str) -> Family {
    match label {
        "PERSON" | "ORGANIZATION" | "GPE" | "NRP" | "TITLE" => Family::Name,
        "STREET_ADDRESS" => Family::Address,
        "DATE_TIME" | "AGE" => Family::Time,
        _ => Family::Number,
    }
}

/// Words that name a field of a form and are no value of it.
const FIELDS: &[&str] = &[
    "account",
    "address",
    "amount",
    "bank",
    "birthday",
    "card",
    "city",
    "company",
    "contact",
    "country",
    "customer",
    "date",
    "department",
    "diagnosis",
    "dob",
    "email",
    "e-mail",
    "employer",
    "fax",
    "from",
    "iban",
    "id",
    "invoice",
    "ip",
    "location",
    "mobile",
    "mrn",
    "name",
    "notes",
    "office",
    "organization",
    "patient",
    "phone",
    "policy",
    "postcode",
    "provider",
    "server",
    "ssn",
    "state",
    "status",
    "street",
    "subject",
    "swift",
    "tel",
    "telephone",
    "title",
    "to",
    "total",
    "url",
    "user",
    "username",
    "website",
    "zip",
];

/// Number words that can be an age.
const AGE_WORDS: &[&str] = &[
    "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "teen", "twenty", "thirty", "forty", "fifty", "sixty",
    "seventy", "eighty", "ninety",
];

/// Words around the number of an age.
const AGE_PARTS: &[&str] = &[
    "one", "two", "three", "four", "five", "year", "years", "yr", "yrs", "month", "months", "old", "y/o", "yo", "y.o.",
    "of", "age", "aged", "and", "a", "half",
];

const OLDEST: u32 = 120;

/// Whether `label` can be what stands there.
pub(super) fn plausible(label: &str, text: &str) -> bool {
    let digits = text.chars().filter(|c| c.is_numeric()).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let plain = text.to_lowercase();
    if FIELDS.contains(&plain.as_str()) {
        return false;
    }
    match label {
        "AGE" => age(&plain),
        "CREDIT_CARD" => (12..=19).contains(&digits) && letters == 0,
        "DATE_TIME" => date(&plain, digits, letters),
        "DOMAIN_NAME" => text.contains('.') && letters >= 2 && !text.contains('@'),
        "EMAIL_ADDRESS" => {
            text.contains('@') || plain.contains(" at ") || plain.contains("[at]") || plain.contains("(at)")
        }
        "IBAN_CODE" => letters >= 2 && digits >= 8 && text.chars().take(2).all(char::is_alphabetic),
        "IP_ADDRESS" => ip(text, digits),
        "PHONE_NUMBER" => telephone(&plain, digits),
        "US_DRIVER_LICENSE" => digits >= 4 && (5..=24).contains(&text.chars().count()),
        "US_SSN" => social_security(text),
        "ZIP_CODE" => (3..=10).contains(&text.chars().count()) && digits >= 2,
        "TITLE" => letters >= 2 && digits == 0,
        "PERSON" => letters >= 2 && !is_honorific(text) && named(&plain, 6),
        "ORGANIZATION" | "GPE" => letters >= 2 && named(&plain, 10),
        "NRP" => letters >= 2 && named(&plain, 3),
        "STREET_ADDRESS" => digits + letters >= 2,
        _ => true,
    }
}

/// At most so many words, not all of them small ones.
fn named(plain: &str, most: usize) -> bool {
    const SMALL: &[&str] = &[
        "a", "an", "and", "are", "at", "he", "his", "i", "in", "is", "it", "of", "on", "or", "she", "that", "the",
        "they", "this", "to", "was", "we", "were", "you",
    ];
    let count = plain.split_whitespace().count();
    count <= most && !plain.split_whitespace().all(|word| SMALL.contains(&word))
}

/// A number of years or months, with hardly more than the words for them.
fn age(plain: &str) -> bool {
    let mut words = plain.split(|c: char| c.is_whitespace() || c == '-').filter(|word| !word.is_empty());
    let number = |word: &str| match word.parse::<u32>() {
        Ok(age) => age <= OLDEST,
        Err(_) => AGE_WORDS.iter().any(|known| word.contains(known)),
    };
    words.clone().any(number) && words.all(|word| number(word) || AGE_PARTS.contains(&word))
}

/// Seven digits or more (six in three groups), and only what stands in a telephone number.
fn telephone(plain: &str, digits: usize) -> bool {
    let groups = plain.split(|c: char| !c.is_numeric()).filter(|group| !group.is_empty()).count();
    let decimal = groups == 2 && plain.contains('.');
    let allowed =
        |c: char| c.is_numeric() || c.is_whitespace() || "+()-./x,:ext\u{2010}\u{2011}\u{2012}\u{2013}".contains(c);
    !decimal && plain.chars().all(allowed) && ((7..=17).contains(&digits) || digits == 6 && groups >= 3)
}

/// A number of a date's size, or a word.
fn date(plain: &str, digits: usize, letters: usize) -> bool {
    match (digits, letters) {
        (0, letters) => letters >= 3,
        (1, 0) => false,
        // A lone run of digits is a year or part of something else.
        (_, 0) if plain.chars().all(|c| c.is_numeric()) => digits == 4 || digits == 8,
        _ => true,
    }
}

/// Nine digits: three, two and four of them, or all together.
fn social_security(text: &str) -> bool {
    let groups: Vec<usize> =
        text.split(|c: char| !c.is_numeric()).map(|group| group.chars().count()).filter(|&count| count > 0).collect();
    matches!(groups.as_slice(), [9] | [3, 2, 4] | [3, 6] | [5, 4])
}

fn ip(text: &str, digits: usize) -> bool {
    let dots = text.chars().filter(|c| *c == '.').count();
    let colons = text.chars().filter(|c| *c == ':').count();
    digits >= 1 && (dots == 3 || colons >= 2)
}
