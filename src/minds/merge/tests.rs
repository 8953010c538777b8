use super::plausible::plausible;
use super::*;

fn model(text: &str, found: &[(&str, &str)]) -> Vec<Marked> {
    let mut from = 0;
    let span = |&(stretch, label): &(&str, &str)| {
        let start = from + text[from..].find(stretch).unwrap();
        from = start;
        let chars = |byte: usize| text[..byte].chars().count() as u32;
        Found { part: 0, start: chars(start), end: chars(start + stretch.len()), label: label.into(), score: 0.9 }
    };
    found.iter().map(span).collect()
}

fn seen(text: &str, found: &[(&str, &'static str, Standing)]) -> Vec<Sighting> {
    let plain: Vec<(&str, &str)> = found.iter().map(|&(stretch, label, _)| (stretch, label)).collect();
    let spans = model(text, &plain).into_iter().zip(found);
    spans
        .map(|(span, &(_, label, standing))| Sighting {
            found: Found { part: 0, start: span.start, end: span.end, label, score: 0.8 },
            standing,
        })
        .collect()
}

const BOTH: Thresholds = Thresholds { model: 0.5, patterns: 0.0 };

fn merged(text: &str, found: &[(&str, &str)], patterns: &[(&str, &'static str, Standing)]) -> Vec<(String, String)> {
    let chars: Vec<char> = text.chars().collect();
    let spans = merge(&chars, model(text, found), seen(text, patterns), BOTH);
    spans.iter().map(|span| (covered(&chars, span.start, span.end), span.label.to_string())).collect()
}

fn check(text: &str, found: &[(&str, &str)], patterns: &[(&str, &'static str, Standing)], expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(merged(text, found, patterns), expected, "{text}");
}

#[test]
fn names_get_the_borders_of_words() {
    check("at SAINT-PRIEST now", &[("SAINT", "GPE")], &[], &[("SAINT-PRIEST", "GPE")]);
    check("Ann O'Neil's dog", &[("Ann O", "PERSON")], &[], &[("Ann O'Neil", "PERSON")]);
    check("see \"Ann Lee\", ok", &[("\"Ann Lee\",", "PERSON")], &[], &[("Ann Lee", "PERSON")]);
    check("Ann Lee of Rome", &[("Ann Lee of", "PERSON")], &[], &[("Ann Lee", "PERSON")]);
    check("Sally Brown\n\nHoliday rep", &[("Sally Brown\n\nHoliday", "PERSON")], &[], &[("Sally Brown", "PERSON")]);
    check("with Miller Ltd. we", &[("Miller Ltd", "ORGANIZATION")], &[], &[("Miller Ltd.", "ORGANIZATION")]);
    check("Ronald Abbott Jr. sang", &[("Ronald Abbott Jr", "PERSON")], &[], &[("Ronald Abbott Jr.", "PERSON")]);
    check("in Southern Tunisia", &[("Southern Tunisia", "GPE")], &[], &[("Tunisia", "GPE")]);
    check("in Southern California", &[("Southern California", "GPE")], &[], &[("Southern California", "GPE")]);
}

#[test]
fn forms_of_address_are_titles() {
    let both: &[(&str, &str)] = &[("Dr.", "TITLE"), ("Ann Lee", "PERSON")];
    check("to Dr. Ann Lee", &[("Dr. Ann Lee", "PERSON")], &[], both);
    check("to Dr. Ann Lee", &[(". Ann Lee", "PERSON")], &[], both);
    check("to dr. ann", &[("ann", "PERSON")], &[], &[("dr.", "TITLE"), ("ann", "PERSON")]);
    check("to Mr. and", &[("Mr.", "PERSON")], &[], &[]);
}

#[test]
fn what_a_label_cannot_be_is_dropped() {
    for (label, text) in [
        ("AGE", "two"),
        ("AGE", "350"),
        ("AGE", "is 50% longer than"),
        ("AGE", "7 x-2 x"),
        ("PHONE_NUMBER", "40.7128"),
        ("PHONE_NUMBER", "177-187"),
        ("PHONE_NUMBER", "54996*17267"),
        ("CREDIT_CARD", "4111"),
        ("DATE_TIME", "194901"),
        ("DOMAIN_NAME", "Website"),
        ("EMAIL_ADDRESS", "Jacob"),
        ("IBAN_CODE", "LESHJP52"),
        ("IP_ADDRESS", "240"),
        ("ORGANIZATION", "Bank"),
        ("PHONE_NUMBER", "1234"),
        ("US_DRIVER_LICENSE", "AB"),
        ("US_SSN", "57-1507344"),
        ("US_SSN", "133"),
        ("ZIP_CODE", "-"),
    ] {
        assert!(!plausible(label, text), "{label} {text}");
    }
    for (label, text) in [
        ("AGE", "34"),
        ("AGE", "forty-two"),
        ("AGE", "34 years old"),
        ("DATE_TIME", "2021"),
        ("DATE_TIME", "noon"),
        ("US_SSN", "970-98-5114"),
    ] {
        assert!(plausible(label, text), "{label} {text}");
    }
    check("POL-9366416", &[("9366416", "PHONE_NUMBER")], &[], &[]);
    check("EMP-36327", &[("36327", "STREET_ADDRESS")], &[], &[]);
    check("123e4567-e89b-426614174000", &[("426614174000", "CREDIT_CARD")], &[], &[]);
    check("label 60^2", &[("60", "AGE")], &[], &[]);
    check("821091117+4908374100427", &[("4908374100427", "CREDIT_CARD")], &[], &[]);
    check("Wages: $216,000", &[("216", "STREET_ADDRESS")], &[], &[]);
}

#[test]
fn sure_patterns_win_and_cut() {
    use Standing::Sure;
    let text = "Ann Lee 555-1234 home";
    check(
        text,
        &[("Ann Lee 555", "PERSON"), ("1234", "US_SSN")],
        &[("555-1234", "PHONE_NUMBER", Sure)],
        &[("Ann Lee", "PERSON"), ("555-1234", "PHONE_NUMBER")],
    );
}

#[test]
fn what_a_link_carries_counts_by_itself() {
    use Standing::Sure;
    let text = "see https://a.example/p?mail=x@y.example&n=1 now";
    let link: &[(&str, &'static str, Standing)] = &[("https://a.example/p?mail=x@y.example&n=1", "DOMAIN_NAME", Sure)];
    check(text, &[], link, &[("https://a.example/p?mail=x@y.example&n=1", "DOMAIN_NAME")]);
    let chars: Vec<char> = text.chars().collect();
    let mut both = seen(text, link);
    both.extend(seen(text, &[("x@y.example", "EMAIL_ADDRESS", Sure)]));
    let spans = merge(&chars, Vec::new(), both, BOTH);
    let spans: Vec<String> = spans.iter().map(|span| covered(&chars, span.start, span.end)).collect();
    assert_eq!(spans, ["https://a.example/p", "x@y.example"]);
}

#[test]
fn an_age_needs_words_about_it() {
    check("he is 14 years", &[("14", "AGE")], &[], &[("14", "AGE")]);
    check("Target sum: 14", &[("14", "AGE")], &[], &[]);
}

#[test]
fn weak_patterns_need_the_model() {
    use Standing::Weak;
    let text = "say 699 956 915 twice";
    let weak: &[(&str, &'static str, Standing)] = &[("699 956 915", "PHONE_NUMBER", Weak)];
    check(text, &[], weak, &[]);
    check(text, &[("699", "CREDIT_CARD")], weak, &[("699 956 915", "PHONE_NUMBER")]);
    check(text, &[("say", "PERSON")], weak, &[("say", "PERSON")]);
    let card = "676130628222 is";
    check(
        card,
        &[("676130628222", "CREDIT_CARD")],
        &[("676130628222", "PHONE_NUMBER", Weak)],
        &[("676130628222", "CREDIT_CARD")],
    );
}

#[test]
fn fillers_fill_and_full_names_take_over() {
    use Standing::{Filler, Outer};
    check("from Spain", &[], &[("Spain", "GPE", Filler)], &[("Spain", "GPE")]);
    check(
        "Bank of Spain",
        &[("Bank of Spain", "ORGANIZATION")],
        &[("Spain", "GPE", Filler)],
        &[("Bank of Spain", "ORGANIZATION")],
    );
    let name: &[(&str, &'static str, Standing)] = &[("Brian Hill", "PERSON", Outer)];
    check("To: Brian Hill", &[("Brian", "PERSON"), ("Hill", "ORGANIZATION")], name, &[("Brian Hill", "PERSON")]);
    check("Brian Hill Road", &[("Brian Hill Road", "STREET_ADDRESS")], name, &[("Brian Hill Road", "STREET_ADDRESS")]);
}

#[test]
fn the_pieces_of_an_address_are_one() {
    let whole = "12 High St, Springfield, IL 62704";
    check(
        whole,
        &[("12 High St", "STREET_ADDRESS"), ("Springfield", "GPE"), ("62704", "ZIP_CODE")],
        &[],
        &[(whole, "STREET_ADDRESS")],
    );
    let lines = "60 Hoog St\n Apt. 839\n Brakpan\n South Africa 70651";
    check(
        lines,
        &[("60 Hoog St\n Apt. 839", "STREET_ADDRESS"), ("South Africa", "GPE"), ("70651", "STREET_ADDRESS")],
        &[],
        &[(lines, "STREET_ADDRESS")],
    );
    check(
        "12 High St. Rome is far",
        &[("12 High St", "STREET_ADDRESS"), ("Rome", "GPE")],
        &[],
        &[("12 High St", "STREET_ADDRESS"), ("Rome", "GPE")],
    );
    check(
        "12 High St and 9 Low Rd",
        &[("12 High St", "STREET_ADDRESS"), ("9 Low Rd", "STREET_ADDRESS")],
        &[],
        &[("12 High St", "STREET_ADDRESS"), ("9 Low Rd", "STREET_ADDRESS")],
    );
}

#[test]
fn a_postal_code_may_follow_a_place() {
    check(
        "in Costamezzana 43015 it",
        &[("Costamezzana", "GPE")],
        &[],
        &[("Costamezzana", "GPE"), ("43015", "ZIP_CODE")],
    );
    check("of Portugal, 1526 it", &[("Portugal", "GPE")], &[], &[("Portugal", "GPE")]);
    check("in Paris 2024 it", &[("Paris", "GPE")], &[], &[("Paris", "GPE")]);
}

#[test]
fn the_manifests_threshold_is_for_the_model() {
    use Standing::Sure;
    let text: Vec<char> = "Ann 10.0.0.1".chars().collect();
    let spans = |thresholds| {
        let patterns = seen("Ann 10.0.0.1", &[("10.0.0.1", "IP_ADDRESS", Sure)]);
        merge(&text, model("Ann 10.0.0.1", &[("Ann", "PERSON")]), patterns, thresholds).len()
    };
    assert_eq!(spans(BOTH), 2);
    assert_eq!(spans(Thresholds { model: 0.95, patterns: 0.0 }), 1);
    assert_eq!(spans(Thresholds { model: 0.95, patterns: 0.95 }), 0);
}
