use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn of(task: Task, theirs: &[&str]) -> Meaning {
    meaning(task, &names(theirs)).unwrap()
}

#[test]
fn every_translation_leads_to_a_label_of_ours() {
    assert!(CATEGORY_NAMES.iter().all(|(_, ours)| CATEGORIES.contains(ours)));
    for (theirs, ours) in PII_NAMES {
        assert!(PII_LABELS.contains(&ours) && !PII_LABELS.contains(&theirs) && shouted(theirs) == theirs, "{theirs}");
    }
}

#[test]
fn categories_get_our_spelling_and_strangers_keep_theirs() {
    let found = of(Task::Intent, &["computer_science", "Math", "Astrology", "maths"]);
    assert_eq!(found.labels, ["computer science", "math", "Astrology", "maths"]);
    assert_eq!(found.renamed, [("computer_science".to_owned(), "computer science".to_owned())]);
}

#[test]
fn one_label_is_benign_and_the_rest_are_attacks() {
    assert_eq!(of(Task::Jailbreak, &["INJECTION", "SAFE"]).labels, ["jailbreak", "benign"]);
    assert_eq!(of(Task::Jailbreak, &["BENIGN", "INJECTION", "JAILBREAK"]).labels, ["benign", "injection", "jailbreak"]);
    for unclear in [&["LABEL_0", "LABEL_1"][..], &["safe", "benign", "jailbreak"], &["benign"]] {
        assert!(meaning(Task::Jailbreak, &names(unclear)).unwrap_err().contains("benign"));
    }
}

#[test]
fn labels_fit_a_header() {
    for spoilt in ["a, b", "a;b", "a=b", "Recht & Gesetz für alle", "法律", "two\nlines", " stars", ""] {
        let fault = meaning(Task::Intent, &names(&["math", spoilt])).unwrap_err();
        assert!(fault.contains(&format!("{spoilt:?}")), "{fault}");
    }
    assert!(meaning(Task::Pii, &names(&["O", "B-Straße", "I-Straße"])).unwrap_err().contains("Straße"));
    assert_eq!(of(Task::Intent, &["math", "Law & Order (2)"]).labels, ["math", "Law & Order (2)"]);
}

#[test]
fn tags_are_told_apart_from_labels() {
    let found = of(Task::Pii, &["B-PHONE", "O", "I-PHONE", "B-BADGE_ID", "I-BADGE_ID", "S-PHONE_NUM"]);
    assert_eq!(found.labels, ["BADGE_ID", "PHONE_NUMBER"]);
    let tags = ["B-PHONE_NUMBER", "O", "I-PHONE_NUMBER", "B-BADGE_ID", "I-BADGE_ID", "B-PHONE_NUMBER"];
    assert_eq!(found.tags, tags);
    let bare = of(Task::Pii, &["E_MAIL", "no_pii", "Location", "STREET"]);
    assert_eq!(bare.tags, ["I-EMAIL_ADDRESS", "O", "I-GPE", "I-STREET_ADDRESS"]);
    assert!(meaning(Task::Pii, &names(&["B-AGE", "I-AGE"])).unwrap_err().contains("`O`"));
}

#[test]
fn names_and_labels_tell_the_task() {
    assert_eq!(task_of_name("brain-modern"), Some(Task::Intent));
    assert_eq!(task_of_name("prompt-guard"), Some(Task::Jailbreak));
    assert_eq!(task_of_name("tone"), None);
    assert_eq!(task_of_labels(&names(&["law", "health", "x"])), Some(Task::Intent));
    assert_eq!(task_of_labels(&names(&["BENIGN", "JAILBREAK"])), Some(Task::Jailbreak));
    assert_eq!(task_of_labels(&names(&["sad", "glad"])), None);
}
