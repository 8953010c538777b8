//! Cards, account numbers, social security numbers and licences, in quantity.

use super::*;

/// A small generator with a fixed seed: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + self.roll(10) as u8)).collect()
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.roll(choices.len())]
    }
}

const SENTENCES: &[&str] = &[
    "Please charge {} for the order.",
    "{}",
    "My card number is {}, thanks!",
    "Number: {}\nName: Ann Lee",
    "I paid 12.50 with {} on Monday",
    "{\"number\": \"{}\"}",
    "id,number\n7,{}\n8,none",
    "Can you check ({}) again? It failed twice.",
    "the old one was {}; the new one comes tomorrow",
    "Überweisung an {} – danke",
];

const BRANDS: &[(&str, usize)] = &[
    ("4", 16),
    ("4", 13),
    ("4", 19),
    ("51", 16),
    ("55", 16),
    ("2221", 16),
    ("2720", 16),
    ("34", 15),
    ("37", 15),
    ("6011", 16),
    ("65", 16),
    ("644", 16),
    ("3528", 16),
    ("3589", 16),
    ("300", 14),
    ("36", 14),
    ("38", 14),
    ("5018", 16),
    ("6304", 16),
    ("62", 16),
    ("62", 19),
    ("56", 13),
];

fn card(dice: &mut Dice) -> String {
    let (prefix, length) = BRANDS[dice.roll(BRANDS.len())];
    let body = format!("{prefix}{}", dice.digits(length - prefix.len() - 1));
    let last = (0..10).find(|last| checksum::is_card(format!("{body}{last}").as_bytes())).unwrap();
    let number = format!("{body}{last}");
    let separator = dice.of(&["", "", " ", "-", ".", " - ", "\u{A0}", "\u{2011}"]);
    let sizes: &[usize] = match (length, dice.roll(4)) {
        (15, _) => &[4, 6, 5],
        (14, _) => &[4, 6, 4],
        (16, 0) => &[8, 8],
        (16, 1) => &[6, 10],
        (19, 0) => &[6, 13],
        _ => &[4, 4, 4, 4, 4],
    };
    grouped(&number, sizes, separator)
}

fn grouped(number: &str, sizes: &[usize], separator: &str) -> String {
    let mut rest = number;
    let mut groups = Vec::new();
    for &size in sizes {
        let (group, tail) = rest.split_at(size.min(rest.len()));
        groups.push(group);
        rest = tail;
    }
    groups.retain(|group| !group.is_empty());
    groups.join(separator)
}

/// A valid number of the country: the right check digits before random letters and digits.
fn iban(dice: &mut Dice, country: &str, length: usize) -> String {
    let body: String = (0..length - 4)
        .map(|place| {
            if place < 4 && dice.roll(3) == 0 {
                char::from(b'A' + dice.roll(26) as u8)
            } else {
                char::from(b'0' + dice.roll(10) as u8)
            }
        })
        .collect();
    let check = (2..99)
        .map(|check| format!("{country}{check:02}{body}"))
        .find(|number| checksum::iban(number).is_some())
        .unwrap();
    let separator = dice.of(&["", "", " ", " ", "-", "\u{A0}"]);
    let number = grouped(&check, &[4; 9], separator);
    if dice.roll(4) == 0 { number.to_lowercase() } else { number }
}

/// Dates, amounts and other numbers right before one.
const LEADS: &[&str] = &[
    "2024-11-22 {} paid",
    "22.11.2024 {}",
    "11/22/2024 10:15:07 {}",
    "[12/Nov/2024:10:15:07 +0000] {}",
    "12.50 {}",
    "7 {}",
    "no 12 {}",
    "at 10 pm send to {}",
    "2024 {} 12.50",
    "{} 12/27",
];

/// Sentences with one number, and with several side by side.
fn recall(label: &str, count: usize, mut make: impl FnMut(&mut Dice) -> String) {
    let mut dice = Dice(20_260_101);
    let mut missed = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..count {
        let numbers = [make(&mut dice), make(&mut dice), make(&mut dice)];
        let several = numbers.join(dice.of(&[" ", ", ", "\n", "; ", " / "]));
        let ways = [
            (dice.of(SENTENCES).replacen("{}", &numbers[0], 1), &numbers[..1]),
            (dice.of(LEADS).replacen("{}", &numbers[0], 1), &numbers[..1]),
            (several, &numbers[..]),
        ];
        for (missed, (text, expected)) in missed.iter_mut().zip(ways) {
            if labelled(&text, label) != expected {
                missed.push((text.clone(), found(&text)));
            }
        }
    }
    for missed in missed {
        let recall = (count - missed.len()) as f64 / count as f64;
        assert!(recall >= 0.99, "{recall}: {:#?}", &missed[..missed.len().min(10)]);
    }
}

#[test]
fn two_thousand_valid_cards() {
    recall("CREDIT_CARD", 2000, card);
}

#[test]
fn two_thousand_valid_ibans_of_all_countries() {
    let countries: Vec<(&str, usize)> = checksum::countries().collect();
    assert!(countries.len() >= 75);
    let mut next = 0;
    recall("IBAN_CODE", 2000, |dice| {
        next = (next + 1) % countries.len();
        iban(dice, countries[next].0, countries[next].1)
    });
}

#[test]
fn a_wrong_checksum_lowers_the_score_but_deletes_nothing() {
    let score = |text: &str| sightings(text).iter().map(|seen| seen.found.score).fold(0.0, f32::max);
    for (right, wrong, label) in [
        ("my card 4111 1111 1111 1111", "my card 4111 1111 1111 1112", "CREDIT_CARD"),
        ("4111111111111111", "4111111111111112", "CREDIT_CARD"),
        ("DE89370400440532013000", "DE89370400440532013001", "IBAN_CODE"),
        ("GB82 WEST 1234 5698 7654 32", "GB82 WEST 1234 5698 7654 33", "IBAN_CODE"),
    ] {
        assert_eq!(labelled(wrong, label).len(), 1, "{wrong}");
        assert!(score(wrong) < score(right), "{wrong}");
    }
}

#[test]
fn numbers_side_by_side() {
    for (text, label, expected) in [
        ("2024-11-22 4111 1111 1111 1111 paid", "CREDIT_CARD", vec!["4111 1111 1111 1111"]),
        ("4111111111111111 5500005555555559", "CREDIT_CARD", vec!["4111111111111111", "5500005555555559"]),
        ("4111 1111 1111 1111 5500 0055 5555 5559", "CREDIT_CARD", vec!["4111 1111 1111 1111", "5500 0055 5555 5559"]),
        ("2024-11-22 4111 1111 1111 1112 12/27", "CREDIT_CARD", vec!["4111 1111 1111 1112"]),
        ("4111 1111 1111 1111 5105 1051 0510 5101", "CREDIT_CARD", vec!["4111 1111 1111 1111", "5105 1051 0510 5101"]),
        ("BE71 0961 2345 6769 BE68 5390 0754 7034", "IBAN_CODE", vec!["BE71 0961 2345 6769", "BE68 5390 0754 7034"]),
        ("BE71 0961 2345 6760 BE68 5390 0754 7030", "IBAN_CODE", vec!["BE71 0961 2345 6760", "BE68 5390 0754 7030"]),
        ("at 10 pm send to de89370400440532013000", "IBAN_CODE", vec!["de89370400440532013000"]),
        ("apt 22 704-555-7528", "PHONE_NUMBER", vec!["704-555-7528"]),
        ("since 2024 704-555-7528 704-555-7529", "PHONE_NUMBER", vec!["704-555-7528", "704-555-7529"]),
        ("2024-11-22 123-45-6789 234-56-7890", "US_SSN", vec!["123-45-6789", "234-56-7890"]),
    ] {
        assert_eq!(labelled(text, label), expected, "{text}");
    }
}

/// What docs/reading.md says about "order" and its like.
#[test]
fn what_an_order_number_may_still_be() {
    for said in ["order", "invoice", "account"] {
        for (number, label) in [
            ("4111 1111 1111 1111", "CREDIT_CARD"),
            ("DE89370400440532013000", "IBAN_CODE"),
            ("+1 704 555 7528", "PHONE_NUMBER"),
            ("0049 151 234 5678", "PHONE_NUMBER"),
            ("123-45-6789", "US_SSN"),
        ] {
            assert_eq!(labelled(&format!("{said} {number}"), label), [number]);
        }
        for (number, label) in [("704-555-7528", "PHONE_NUMBER"), ("94107-1234", "ZIP_CODE")] {
            assert_eq!(labelled(&format!("{said} {number}"), label), [""; 0], "{said} {number}");
        }
        let ssn = sightings(&format!("{said} 123-45-6789")).into_iter().find(|seen| seen.found.label == "US_SSN");
        assert_eq!(ssn.map(|seen| seen.found.score), Some(0.78));
    }
}

#[test]
fn numbers_that_are_no_cards() {
    check(
        "CREDIT_CARD",
        &[
            ("1700000000000", ""),
            ("123e4567-e89b-12d3-a456-426614174000", ""),
            ("order 1234-5678-9012", ""),
            ("a4111111111111111", ""),
            ("0.1234567890123456", ""),
            ("0.4111111111111111", ""),
            ("2001 2002 2003 2004 2005 2006 2007 2008", ""),
        ],
    );
    check(
        "IBAN_CODE",
        &[("commit de89a70400440532013000ffab12", ""), ("INV12345678901234567", ""), ("ZZ82WEST12345698765432", "")],
    );
}

#[test]
fn social_security_numbers_and_licences() {
    check(
        "US_SSN",
        &[
            ("SSN: 760-38-1475", "760-38-1475"),
            ("123-45-6789", "123-45-6789"),
            ("982-82-9082", "982-82-9082"),
            ("my ssn 167 72 6046", "167 72 6046"),
            ("167 72 6046", ""),
            ("EIN 57-1507344", ""),
            ("1-123-45-6789", ""),
        ],
    );
    check(
        "US_DRIVER_LICENSE",
        &[
            ("My driver's license number is A56319335", "A56319335"),
            ("my driver's license number is 2270-66-1551", "2270-66-1551"),
            ("DL: F255-921-50-094-0", "F255-921-50-094-0"),
            ("they asked for my license so I sent E219 1425 7782 and", "E219 1425 7782"),
            ("License: DL-N15265-65", "DL-N15265-65"),
            ("MIT license 2023", ""),
        ],
    );
}
