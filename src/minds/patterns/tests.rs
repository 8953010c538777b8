use super::super::normalise::normalise;
use super::*;

fn found(text: &str) -> Vec<(String, &'static str)> {
    let patterns = Patterns::new().unwrap();
    let given: Vec<char> = text.chars().collect();
    let mut found: Vec<_> = patterns
        .find(0, &normalise(text))
        .into_iter()
        .map(|span| (given[span.start as usize..span.end as usize].iter().collect(), span.label))
        .collect();
    found.dedup();
    found
}

fn secret(text: &str) -> Option<String> {
    found(text).into_iter().find(|(_, label)| *label == SECRET).map(|(secret, _)| secret)
}

#[test]
fn published_shapes() {
    let body = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8";
    for key in [
        "AKIAIOSFODNN7EXAMPLE".to_owned(),
        format!("ghp_{body}"),
        format!("sk-proj-{body}"),
        format!("sk-ant-api03-{body}"),
        format!("AIza{}", &body[..35]),
        format!("xoxb-123456789012-{body}"),
        format!("sk_live_{body}"),
        format!("hf_{body}"),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P".to_owned(),
    ] {
        assert_eq!(secret(&format!("use {key} please")).as_deref(), Some(key.as_str()));
    }
}

#[test]
fn private_keys_whole_or_cut_off() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----";
    assert_eq!(secret(&format!("here:\n{key}\nthanks - bye")).as_deref(), Some(key));
    assert!(secret("-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA").is_some());
}

#[test]
fn named_values() {
    assert_eq!(secret("my password is hunter2.").as_deref(), Some("hunter2"));
    assert_eq!(secret("DB_PASSWORD=\"S3cr3t!pass\"").as_deref(), Some("S3cr3t!pass"));
    assert_eq!(secret("api_key: 9f8e7d6c5b4a").as_deref(), Some("9f8e7d6c5b4a"));
    assert_eq!(secret("postgres://bob:pa55word@db/x").as_deref(), Some("pa55word"));
    assert_eq!(secret("Authorization: Bearer abcdefghijklmnopqrstuvwx").as_deref(), Some("abcdefghijklmnopqrstuvwx"));
}

#[test]
fn talk_about_secrets_is_not_one() {
    for text in [
        "the password is required",
        "How do I reset my password?",
        "password: ********",
        "the token was revoked",
        "API_KEY=${API_KEY}",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "Pneumonoultramicroscopicsilicovolcanoconiosis",
        "see https://example.com/some/long/path/with/many/words/in/it",
    ] {
        assert_eq!(secret(text), None, "{text}");
    }
}

#[test]
fn random_runs_are_secrets() {
    assert!(secret("use wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY9zQ4 here").is_some());
}

#[test]
fn offsets_survive_disguise() {
    assert_eq!(
        secret("🎉 ke\u{301}y: ghp_a1B2c3D4e5\u{200B}F6g7H8i9J0k1L2m3N4o5P6q7R8").as_deref(),
        Some("ghp_a1B2c3D4e5\u{200B}F6g7H8i9J0k1L2m3N4o5P6q7R8")
    );
}

#[test]
fn numbers_with_a_checksum() {
    let text = "pay 4111 1111 1111 1111 or GB82 WEST 1234 5698 7654 32 EUR";
    assert_eq!(
        found(text),
        [("4111 1111 1111 1111".into(), "CREDIT_CARD"), ("GB82 WEST 1234 5698 7654 32".into(), "IBAN_CODE")]
    );
    assert_eq!(found("order 4111 1111 1111 1112"), []);
}
