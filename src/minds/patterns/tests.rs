use std::time::Duration;

use super::super::normalise::normalise;
use super::*;

mod numbers;
mod secrets;

fn patterns() -> &'static Patterns {
    static PATTERNS: std::sync::OnceLock<Patterns> = std::sync::OnceLock::new();
    PATTERNS.get_or_init(|| Patterns::new().unwrap())
}

fn sightings(text: &str) -> Vec<Sighting> {
    patterns().find(0, &normalise(text), Instant::now() + Duration::from_secs(600)).unwrap()
}

/// Text and label of what stands by itself, in order.
fn found(text: &str) -> Vec<(String, &'static str)> {
    let given: Vec<char> = text.chars().collect();
    let sure = sightings(text).into_iter().filter(|seen| seen.standing == Standing::Sure);
    let spans = super::super::spans::overlay(Vec::new(), sure.map(|seen| seen.found).collect());
    spans.iter().map(|span| (given[span.start as usize..span.end as usize].iter().collect(), span.label)).collect()
}

fn labelled(text: &str, label: &str) -> Vec<String> {
    found(text).into_iter().filter(|(_, found)| *found == label).map(|(text, _)| text).collect()
}

/// Each text has exactly this one finding of the label; `""`: none.
fn check(label: &str, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let expected: Vec<&str> = if expected.is_empty() { Vec::new() } else { vec![expected] };
        assert_eq!(labelled(text, label), expected, "{text}");
    }
}

#[test]
fn telephones_of_many_countries() {
    check(
        "PHONE_NUMBER",
        &[
            ("Call +1 (704) 555-7528 now", "+1 (704) 555-7528"),
            ("or +447700 208 815.", "+447700 208 815"),
            ("+41 (0)69 979 80 58-Fax", "+41 (0)69 979 80 58"),
            ("001-204-821-0538x16944", "001-204-821-0538x16944"),
            ("reach me at 415.555.0132 ext. 22", "415.555.0132 ext. 22"),
            ("(505)498-8487", "(505)498-8487"),
            ("(03) 5327 5996", "(03) 5327 5996"),
            ("Tel. 030/1234567", "030/1234567"),
            ("ring 0494 92 82 32", "0494 92 82 32"),
            ("01.84.17.61.18", "01.84.17.61.18"),
            ("call me on 9472 7916", "9472 7916"),
            ("50-98-28-96 (office)", "50-98-28-96"),
            ("mobile: 9876543210", "9876543210"),
        ],
    );
}

#[test]
fn numbers_that_are_no_telephones() {
    check(
        "PHONE_NUMBER",
        &[
            ("9472 7916", ""),
            ("order 800-555-1234", ""),
            ("POL-9366416", ""),
            ("$ 1 234 567", ""),
            ("2023-11-24", ""),
            ("it was 1990-2001", ""),
            ("3.14159265", ""),
            ("call 911", ""),
            ("3600000000000 + 62426244000", ""),
            ("EIN: 57-1507344", ""),
            ("call Y822 3335 5026", ""),
        ],
    );
}

#[test]
fn mailboxes_sites_and_machines() {
    check(
        "EMAIL_ADDRESS",
        &[
            ("to a.b+c@mail.example.co.uk, please", "a.b+c@mail.example.co.uk"),
            ("jürgen@müller.de", "jürgen@müller.de"),
            ("jane [at] example [dot] com", "jane [at] example [dot] com"),
            ("me @ home . com !", "me @ home . com"),
            ("look @ this", ""),
        ],
    );
    check(
        "DOMAIN_NAME",
        &[
            ("see https://example.com/a?b=c.", "https://example.com/a?b=c"),
            ("my site is http://www.Example.com.au/", "http://www.Example.com.au/"),
            ("at sub.example.org, yes", "sub.example.org"),
            ("www.example.it", "www.example.it"),
            ("the end.In short, main.rs, e.g. this.is", ""),
            ("x@example.com", ""),
            ("self.borrower.name = user.profile.id", ""),
            ("docs at my.example.info/start", "my.example.info/start"),
        ],
    );
    check(
        "IP_ADDRESS",
        &[
            ("server 10.0.0.1:8080", "10.0.0.1"),
            ("fe80::1ff:fe23:4567:890a.", "fe80::1ff:fe23:4567:890a"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("version 1.2.3.4", ""),
            ("256.1.1.1 and 1.2.3.4.5", ""),
            ("std::vector a::b 12:34:56 cf:08:72:c5:fb:ac", ""),
        ],
    );
}

#[test]
fn dates_in_clear_spellings() {
    for date in [
        "1942-01-14",
        "2023-11-24T16:58:00Z",
        "1971-09-07 22:49:16",
        "7/5/1970",
        "31.12.1999",
        "12 May 2021",
        "May 12th, 2021",
        "3. März 1985",
        "12 de mayo de 2020",
        "24/Nov/2023:16:58:00 +0000",
        "Thursday, March 4",
    ] {
        assert_eq!(labelled(&format!("on {date}, I think"), "DATE_TIME"), [date]);
    }
    for text in ["1/2", "you may 5", "version 1.2.30", "99-99-9999", "5/6/7/8"] {
        assert_eq!(labelled(text, "DATE_TIME"), [""; 0], "{text}");
    }
}

#[test]
fn ages() {
    check(
        "AGE",
        &[
            ("He is 34 years old", "34"),
            ("my 5-year-old son", "5"),
            ("aged 71.", "71"),
            ("at the age of 45", "45"),
            ("29 y/o male", "29"),
            ("I'm 25, living here", "25"),
            ("he just turned 22 years old", "22"),
            ("forty-two years old", "forty-two"),
            ("turned 180 degrees", ""),
            ("turned 90 degrees", ""),
            ("I'm 80% sure", ""),
            ("page 25", ""),
            ("200 years old", ""),
        ],
    );
}

#[test]
fn addresses_and_postal_codes() {
    check(
        "STREET_ADDRESS",
        &[
            ("at 123 Main St, Apt 4B, Springfield, IL 62704.", "123 Main St, Apt 4B, Springfield, IL 62704"),
            ("Rue de Rivoli 12, Paris", "Rue de Rivoli 12"),
            ("Hauptstraße 5a", "Hauptstraße 5a"),
            ("P.O. Box 1234", "P.O. Box 1234"),
            ("PSC 5436, Box 5539\nAPO AA 44720", "PSC 5436, Box 5539\nAPO AA 44720"),
            ("5 miles down the road", ""),
            ("During 2008", ""),
        ],
    );
    check(
        "ZIP_CODE",
        &[
            ("ZIP: 1098", "1098"),
            ("My zip code is 94107-1234", "94107-1234"),
            ("in Springfield, IL 62704", "62704"),
            ("K1A 0B1", "K1A 0B1"),
            ("postcode SW1A 1AA", "SW1A 1AA"),
            ("order 94107-1234", ""),
            ("62704", ""),
        ],
    );
}

#[test]
fn names_of_closed_lists() {
    check("TITLE", &[("Ask Dr. Lee", "Dr."), ("2978 Willow Dr. Springfield", ""), ("I miss Paris", "")]);
    check(
        "ORGANIZATION",
        &[
            ("I work for Pixia Corp. now", "Pixia Corp."),
            ("from Globex Corporation.", "Globex Corporation"),
            ("During 2022, Payne Ltd invested", "Payne Ltd"),
            ("the inc file", ""),
        ],
    );
    let fillers = |text: &str| -> Vec<String> {
        let seen = sightings(text).into_iter().filter(|seen| seen.standing == Standing::Filler);
        seen.map(|seen| text[seen.found.start as usize..seen.found.end as usize].to_owned()).collect()
    };
    assert_eq!(fillers("In Czech Republic they have South Korea too"), ["Czech Republic", "South Korea"]);
    assert_eq!(fillers("great Hungarian food in chad"), ["Hungarian"]);
    assert_eq!(fillers("speak German, translate to French, French Polynesia"), ["French Polynesia"]);
}

#[test]
fn finding_stops_at_the_deadline() {
    for text in ["call 5551234", "no digit"] {
        assert!(patterns().find(0, &normalise(text), Instant::now()).is_err());
    }
}

/// What stands around a finding is looked at as far as it can say anything, whatever the length.
#[test]
fn words_far_away_say_nothing() {
    assert_eq!(labelled(&format!("version {}1.2.3.4", " ".repeat(NEAR)), "IP_ADDRESS"), ["1.2.3.4"]);
    assert_eq!(labelled(&format!("call {} 5551234", "-".repeat(NEAR)), "PHONE_NUMBER"), [""; 0]);
    let street = format!("9 {} Willow Dr. Springfield", " ".repeat(NEAR));
    assert_eq!(labelled(&street, "TITLE"), ["Dr."]);
    for at in 0..8 {
        let text = "é".repeat(NEAR);
        let (before, behind) = (before(&text, 2 * at + NEAR), behind(&text, 2 * at));
        assert!((NEAR - 1..=NEAR + 1).contains(&before.len()) && (NEAR - 1..=NEAR).contains(&behind.len()));
    }
}

#[test]
#[ignore = "measures time: run it by itself on a quiet machine"]
fn finding_is_linear() {
    for text in [
        "call 5551234 , ",
        "5551234 , ",
        "1.1.1.1 ",
        "Mr Xy ,,",
        "French,",
        "Ann-",
        "4111 1111 1111 1111 ",
        "0",
        "0 ",
        "DE89370400440532013000",
        "a@b.cc.d.",
        "eyJ-",
        "password=\"",
        "-----BEGIN PRIVATE KEY-----",
        "curl -u ",
        "1 A St ",
        "\n",
    ] {
        let took = |times: usize| {
            let text = text.repeat(times * 100_000 / text.len());
            let runs = (0..3).map(|_| {
                let started = Instant::now();
                sightings(&text);
                started.elapsed()
            });
            runs.min().unwrap()
        };
        let (once, fourfold) = (took(1), took(4));
        assert!(fourfold < 6 * once, "{text:?}: {once:?}, {fourfold:?}");
    }
}

#[test]
fn spans_count_code_points_of_the_text_as_given() {
    assert_eq!(
        labelled("🎉 e\u{301} ｃａｌｌ +1\u{200B} (704) 555-7528", "PHONE_NUMBER"),
        ["+1\u{200B} (704) 555-7528"]
    );
}
