//! Secrets, and talk about them.

use super::super::secrets::SHAPES;
use super::*;

fn secret(text: &str) -> Option<String> {
    labelled(text, SECRET).into_iter().next()
}

/// `{}` stands for characters that a secret scanner would take for a real key, so that none
/// stands in this repository as a whole.
fn filled(example: &str) -> String {
    const BODY: &str =
        "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2g3H4i5J6k7L8m9N0o1P2q3R4s5T6u7V8w9X0y1Z2";
    const HEX: &str = "1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b";
    let mut text = String::new();
    let mut rest = example;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((count, tail)) = after.split_once('}') else { break };
        let (body, count) = match count.strip_prefix('x') {
            Some(count) => (HEX.to_owned(), count),
            None => match count.strip_prefix('A') {
                Some(count) => (BODY.to_uppercase(), count),
                None => (BODY.to_owned(), count),
            },
        };
        text.push_str(before);
        text.push_str(&body[..count.parse::<usize>().unwrap()]);
        rest = tail;
    }
    text.push_str(rest);
    text
}

/// The rows of the table in docs/secrets.md: name and example.
fn documented() -> Vec<(String, String)> {
    let text = std::fs::read_to_string("docs/secrets.md").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect();
        (cells[0].to_owned(), cells[2].to_owned())
    })
    .collect()
}

#[test]
fn the_published_list_is_the_list_and_its_examples_are_found() {
    let documented = documented();
    for (name, _) in SHAPES {
        assert!(documented.iter().any(|(listed, _)| listed == name), "docs/secrets.md lacks {name}");
    }
    for (name, example) in documented {
        assert!(
            SHAPES.iter().any(|(known, _)| *known == name),
            "docs/secrets.md lists {name}, which is not in the code"
        );
        let text = filled(&example).replace("\\n", "\n");
        let shapes = SHAPES.iter().filter(|(known, _)| *known == name);
        let hit = shapes.map(|(_, shape)| Regex::new(shape).unwrap()).any(|shape| shape.is_match(&text));
        assert!(hit, "{name}: {text}");
        assert!(secret(&format!("use {text} please")).is_some(), "{name}: {text}");
    }
}

#[test]
fn a_private_key_is_one_span() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEpAIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----";
    assert_eq!(labelled(&format!("here:\n{key}\nthanks - bye"), SECRET), [key]);
    let block = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\nComment: your key, some-dummy\n\nlQOYBF5your0123456789abcxxxxxyz\nReplace+0aBcDeFgHiJkLm\n=abcd\n";
    let whole = format!("{block}-----END PGP PRIVATE KEY BLOCK-----");
    assert_eq!(labelled(&format!("here:\n{whole}\nthanks - bye"), SECRET), [whole.as_str()]);
    assert_eq!(labelled(block.trim_end(), SECRET), [block.trim_end()]);
    let mentioned = format!("it begins with -----BEGIN PGP PRIVATE KEY BLOCK----- as in\n{whole}");
    assert_eq!(labelled(&mentioned, SECRET), [whole.as_str()]);
    assert!(secret("-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA").is_some());
    for body in [
        "",
        "<your private key with all its lines and nothing else>",
        "YOUR_PRIVATE_KEY_GOES_HERE",
        "xxxxxxxxxxxxxxxxxxxxxxxx",
        "...",
    ] {
        let block = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
        assert_eq!(secret(&block), None, "{body}");
        assert_eq!(secret("the line -----BEGIN PRIVATE KEY----- comes first"), None);
    }
    assert_eq!(secret("-----BEGIN PUBLIC KEY-----\nMIIEpAIBAAKCAQEA"), None);
}

#[test]
fn named_values() {
    for (text, expected) in [
        ("my password is hunter2.", "hunter2"),
        ("DB_PASSWORD=\"S3cr3t!pass\"", "S3cr3t!pass"),
        ("api_key: 9f8e7d6c5b4a", "9f8e7d6c5b4a"),
        ("postgres://bob:pa55word@db/x", "pa55word"),
        ("Server=db;User Id=sa;Password=p4ss;Timeout=3", "p4ss"),
        ("Authorization: Bearer abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx"),
        ("CREATE USER 'a'@'%' IDENTIFIED BY 'q9M@Xqy1hWG2m%sb'", "q9M@Xqy1hWG2m%sb"),
        ("pass := \"!BWl#TM3kkts4Kv\"", "!BWl#TM3kkts4Kv"),
        ("  db-password: 'letmein'", "letmein"),
        ("dbPass: \"AuegzZoDVSdk\",", "AuegzZoDVSdk"),
        ("const apiKey = 'a8Kd92lPq0'", "a8Kd92lPq0"),
        ("{\"client_secret\": \"a8Kd92lPq0\"}", "a8Kd92lPq0"),
        ("curl -u admin:s3cretpw https://x.example", "s3cretpw"),
        ("the passphrase is Tr0ub4dor&3", "Tr0ub4dor&3"),
    ] {
        assert_eq!(secret(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn talk_about_secrets_is_not_one() {
    for text in [
        "the password is required",
        "How do I reset my password?",
        "password: ********",
        "password: <your password>",
        "token = tokenizer.encode(text)",
        "password = input('Password: ')",
        "api_key = os.environ['API_KEY']",
        "password: string; token: number",
        "if (token === undefined) return",
        "the token was revoked",
        "API_KEY=${API_KEY}",
        "api_key=YOUR_API_KEY_1234",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
        "Authorization: Bearer <token>",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "id 123e4567-e89b-12d3-a456-426614174000",
        "Pneumonoultramicroscopicsilicovolcanoconiosis",
        "see https://example.com/some/long/path/with/many/words/in/it",
        "the secret is that nobody knows",
        "token: EOS, auth: none",
        "pay to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "compass: northwards, nextToken: next_page",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAMgAAADICAYAAACtWK6eAAAACXBIWXMAAAsTAAALEwEAmpwYAAAKT2lDQ1BQ",
    ] {
        assert_eq!(secret(text), None, "{text}");
    }
}

/// Any four letters occur in some random value of a few thousand.
#[test]
fn a_long_value_may_hold_a_short_word() {
    let token = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8yourc9D0e1F2g3H4i5J6k7L8m9N0";
    assert_eq!(secret(&format!("Authorization: Bearer {token}")).as_deref(), Some(token));
    assert_eq!(secret(&format!("Authorization: Bearer {}your{}", &token[..20], &token[..20])), None);
}

#[test]
fn random_runs_are_secrets() {
    assert!(secret("use wJalrXUtnFEMIK7MDENGbPxRfiCYzQ4rTqLm9 here").is_some());
    assert!(secret("the key for it: 9f8e7d6c5b4a39281706f5e4").is_some());
}

#[test]
fn offsets_survive_disguise() {
    let text = "🎉 ke\u{301}y: ghp_a1B2c3D4e5\u{200B}F6g7H8i9J0k1L2m3N4o5P6q7R8";
    assert_eq!(secret(text).as_deref(), Some("ghp_a1B2c3D4e5\u{200B}F6g7H8i9J0k1L2m3N4o5P6q7R8"));
}
