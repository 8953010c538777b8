use super::*;

const SMALLEST: &str = r#"
[backends.one]
base_url = "http://127.0.0.1:9000/v1"

[[routes]]
name = "all"
candidates = ["one"]
"#;

fn faults(text: &str, environment: &[(&str, &str)]) -> String {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    match read("config.toml", text, &environment) {
        Ok(_) => String::new(),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn every_fault_is_found_in_one_run() {
    let text = r#"
[server]
listen = "8080"
drain = "soon"
max_requsts = 10

[minds.jailbreak]
threshold = 1.5
on_error = "close"

[backends.cheap]
base_url = "127.0.0.1:9000/v1"
price = { input = -1, output = 2 }
api_key = { env = "NO_SUCH_KEY" }

[backends.premium]
price = { input = 1 }

[quality.premuim]
source = "measured"
default = 0.9
maths = { simple = 0.9, medium = 0.8, hard = "low" }

[[routes]]
name = "math"
when = { category = "maths", complexity = ["hard", "harder"], confidence = { min = 0.9, max = 0.1 } }
candidates = ["cheap", "premum"]

[[routes]]
name = "math"
candidates = "cheap"
policy = { min_quality = 2, cascade = true }

[limits]
rpm = 5
"#;
    insta::assert_snapshot!(faults(text, &[]), @r#"
    config.toml:3: server.listen: expected an address such as "127.0.0.1:8080", found "8080"
    config.toml:4: server.drain: expected a duration such as "250ms", "5s" or "2m", found "soon"
    config.toml:5: server.max_requsts: unknown key; did you mean "max_requests"?
    config.toml:8: minds.jailbreak.threshold: must be between 0 and 1, found 1.5
    config.toml:9: minds.jailbreak.on_error: expected "closed" or "open" or "default", found "close"; did you mean "closed"?
    config.toml:12: backends.cheap.base_url: expected a URL such as "https://host/v1", found "127.0.0.1:9000/v1"
    config.toml:13: backends.cheap.price.input: must be USD per 1M tokens, 0 or more
    config.toml:14: backends.cheap.api_key: the environment variable NO_SUCH_KEY is not set; export NO_SUCH_KEY=…
    config.toml:16: backends.premium: `base_url` is missing; write base_url = "https://host/v1"
    config.toml:17: backends.premium.price: `output` is missing; prices are USD per 1M tokens
    config.toml:19: quality.premuim: unknown backend "premuim"; did you mean "premium"?
    config.toml:22: quality.premuim.maths: expected a number from 0 to 1, or { simple, medium, hard }, found a table
    config.toml:26: routes[0].when.category: unknown category "maths"; did you mean "math"?
    config.toml:26: routes[0].when.complexity[1]: unknown complexity "harder"; did you mean "hard"?
    config.toml:26: routes[0].when.confidence: min 0.9 is more than max 0.1
    config.toml:27: routes[0].candidates[1]: unknown backend "premum"; did you mean "premium"?
    config.toml:30: routes[1].name: there is already a route "math"
    config.toml:31: routes[1].candidates: expected a list, found "cheap"
    config.toml:32: routes[1].policy.cascade: unknown key; known: prefer, min_quality, max_cost, max_usd_per_1k_requests, quality_of, worth_usd, sticky
    config.toml:32: routes[1].policy.min_quality: must be between 0 and 1, found 2
    config.toml:34: limits: not built yet; remove it
    "#);
}

#[test]
fn the_smallest_file_is_enough() {
    let config = Config::parse(SMALLEST).unwrap();
    let roles: Vec<&str> = config.minds.keys().map(String::as_str).collect();
    assert_eq!(roles, ["brain", "jailbreak", "pii", "similarity"]);
    assert_eq!(config.minds["pii"].model, "mom-pii-flash");
    assert!(config.virtual_models.contains_key("auto"));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn a_file_that_cannot_be_parsed_is_one_line() {
    insta::assert_snapshot!(faults("[server]\nlisten = \"a\n", &[]), @r#"config.toml:2: not valid TOML: invalid basic string, expected `"`"#);
    insta::assert_snapshot!(faults("a = 1\na = 2\n", &[]), @r#"config.toml:2: not valid TOML: duplicate key"#);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    std::fs::write(&path, b"# one\n[server]\n# \xff\n").unwrap();
    let wrong = Config::load(&path).unwrap_err().to_string();
    assert!(wrong.ends_with("bad.toml:3: not UTF-8"), "{wrong}");
    let absent = Config::load(&folder.path().join("none.toml")).unwrap_err().to_string();
    assert!(absent.contains("none.toml: cannot be read: No such file"), "{absent}");
}

#[test]
fn variables_override_the_file() {
    let environment = [
        ("MOM_SERVER__LISTEN", "127.0.0.1:7000"),
        ("MOM_SERVER__MAX_REQUESTS", "7"),
        ("MOM_BACKENDS__ONE__MODEL", "other"),
        ("MOM_MODELS_DIR", "/srv/models"),
        ("MOM_LOG", "debug"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = read("config.toml", SMALLEST, &environment).unwrap();
    assert_eq!((config.server.listen.port(), config.server.max_requests), (7000, 7));
    assert_eq!(config.upstream_model("one"), "other");
    assert_eq!(config.models_dir.to_str(), Some("/srv/models"));
}

#[test]
fn a_fault_in_a_variable_names_it() {
    let environment = [
        ("MOM_SERVER__LISTEN", "nowhere"),
        ("MOM_SERVERS__LISTEN", "127.0.0.1:1"),
        ("MOM_BACKENDS__TWO__MODEL", "m"),
        ("MOM_GUARD", "off"),
    ];
    insta::assert_snapshot!(faults(SMALLEST, &environment), @r#"
    MOM_SERVERS__LISTEN: the configuration has no section "servers"; did you mean "server"?
    MOM_BACKENDS__TWO__MODEL: backends.two: `base_url` is missing; write base_url = "https://host/v1"
    MOM_GUARD: guard: expected a table, found "off"
    MOM_SERVER__LISTEN: server.listen: expected an address such as "127.0.0.1:8080", found "nowhere"
    "#);
}

#[test]
fn no_secret_is_ever_printed() {
    let text = format!(
        "{SMALLEST}[backends.two]\nbase_url = \"http://user:hunter2@h/v1\"\napi_key = \"hunter2\"\n[keys.me]\nsha256 = \"hunter2\"\n"
    );
    let printed = faults(&text, &[]);
    assert_eq!(printed.lines().count(), 3, "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
    let keyed = SMALLEST.replace("/v1\"", "/v1\"\napi_key = { env = \"THE_KEY\" }");
    let with = |key: &str| read("config.toml", &keyed, &[("THE_KEY".to_owned(), key.to_owned())].into()).unwrap();
    assert!(!format!("{:?}", with("hunter2")).contains("hunter2"));
    assert_eq!(with("hunter2").hash, with("hunter3").hash);
    let Some(ApiKey::Env { value, .. }) = &with("hunter2").backends["one"].api_key else { panic!("no key") };
    assert_eq!(value.expose(), "hunter2");
}

#[test]
fn a_key_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let keyed = SMALLEST.replace("/v1\"", &format!("/v1\"\napi_key = {{ file = {:?} }}", path));
    assert!(faults(&keyed, &[]).contains(":4: backends.one.api_key"), "{}", faults(&keyed, &[]));
    std::fs::write(&path, "  \n").unwrap();
    assert!(faults(&keyed, &[]).contains("is empty"));
    std::fs::write(&path, "k\n").unwrap();
    assert_eq!(faults(&keyed, &[]), "");
}

#[test]
fn what_is_not_built_is_refused() {
    for (section, key) in [("[limits]", "limits"), ("[cache]", "cache")] {
        assert!(faults(&format!("{SMALLEST}{section}\nx = 1\n"), &[]).contains(&format!("{key}: not built yet")));
    }
    let redact = format!("{SMALLEST}[guard]\npii = {{ action = \"redact\" }}\n");
    insta::assert_snapshot!(faults(&redact, &[]), @r#"config.toml:9: guard.pii.action: redact is not built yet; use "block", "refuse" or "flag""#);
}

#[test]
fn a_cascade_is_between_two_candidates() {
    let with = |cascade: &str, candidates: &str| {
        format!(
            "[backends.a]\nbase_url = \"http://h/v1\"\n[backends.b]\nbase_url = \"http://h/v1\"\n\
             [[routes]]\nname = \"all\"\ncandidates = [{candidates}]\ncascade = {{ {cascade} }}\n"
        )
    };
    let both = "\"a\", \"b\"";
    let good =
        "first = \"a\", then = \"b\", min_logprob = -0.4, request_logprobs = true, max_cost = 0.1, max_wait = \"3s\"";
    let config = Config::parse(&with(good, both)).unwrap();
    let cascade = config.routes[0].cascade.as_ref().unwrap();
    assert!(cascade.refusals && cascade.request_logprobs);
    assert_eq!((cascade.max_wait.as_secs(), cascade.skip_below), (3, None));
    let all = "first = \"c\", then = \"a\", min_logprob = 0.4, max_cost = 0, max_wait = 0, skip_below = 2, last = 1";
    insta::assert_snapshot!(faults(&with(all, both), &[]), @r#"
    config.toml:8: routes[0].cascade.last: unknown key; known: first, then, min_logprob, request_logprobs, refusals, max_cost, max_wait, skip_below
    config.toml:8: routes[0].cascade.first: unknown backend "c"; known: a, b
    config.toml:8: routes[0].cascade.min_logprob: must be a mean of log-probabilities, 0 or less, such as -0.5
    config.toml:8: routes[0].cascade.max_cost: must be USD for both calls, more than 0
    config.toml:8: routes[0].cascade.max_wait: must be more than 0
    config.toml:8: routes[0].cascade.skip_below: must be between 0 and 1, found 2
    "#);
    let same = "first = \"a\", then = \"a\", request_logprobs = true, skip_below = 0.3";
    insta::assert_snapshot!(faults(&with(same, both), &[]), @r#"
    config.toml:8: routes[0].cascade.then: is the backend that was asked first; name another candidate
    config.toml:8: routes[0].cascade.request_logprobs: asks for log-probabilities that nothing judges; set min_logprob, or remove it
    config.toml:8: routes[0].cascade.skip_below: "a" has no [quality] table to be judged by; add [quality.a] or [minds.quality], or remove skip_below
    "#);
    let alone = faults(&with("first = \"a\", then = \"b\"", "\"a\""), &[]);
    insta::assert_snapshot!(alone, @r#"config.toml:8: routes[0].cascade.then: "b" is not among the route's candidates; add it to candidates"#);
    insta::assert_snapshot!(faults(&with("first = \"a\"", both), &[]), @"config.toml:8: routes[0].cascade: `then` is missing");
}

#[test]
fn a_section_wide_source_speaks_for_backends_without_one() {
    let two = "[backends.two]\nbase_url = \"http://127.0.0.1:9000/v1\"\n";
    let tables = "[quality.one]\ndefault = 0.5\n[quality.two]\nsource = \"ours\"\ndefault = 0.7\n";
    let config = Config::parse(&format!("{SMALLEST}{two}[quality]\nsource = \"a paper\"\n{tables}")).unwrap();
    let sources = config.quality.values().map(|table| table.source.as_str());
    assert_eq!(sources.collect::<Vec<_>>(), ["a paper", "ours"]);
    let neither = faults(&format!("{SMALLEST}{two}{tables}"), &[]);
    assert!(neither.contains("quality.one: `source` is missing"), "{neither}");
    let empty = faults(&format!("{SMALLEST}{two}[quality]\nsource = \" \"\n{tables}"), &[]);
    assert!(empty.contains("quality.one.source: say where the numbers come from"), "{empty}");
}

#[test]
fn the_gateway_does_not_open_itself_to_strangers() {
    let open = format!("{SMALLEST}[server]\nlisten = \"0.0.0.0:8080\"\n");
    insta::assert_snapshot!(faults(&open, &[]), @r#"config.toml:9: server.listen: 0.0.0.0:8080 would let anyone who reaches it spend your money; add [keys], or set server.allow_unauthenticated = true"#);
    assert_eq!(faults(&format!("{open}allow_unauthenticated = true\n"), &[]), "");
    assert_eq!(faults(&format!("{open}[keys.me]\nsha256 = \"{}\"\n", "0".repeat(64)), &[]), "");
}

#[test]
fn a_rule_on_a_mind_that_is_off_is_refused() {
    let text = format!(
        "[minds.jailbreak]\nenabled = false\n[minds.brain]\nenabled = false\n\
         [[routes]]\nname = \"math\"\nwhen = {{ category = \"math\" }}\ncandidates = [\"one\"]\n{SMALLEST}"
    );
    insta::assert_snapshot!(faults(&text, &[]), @r#"
    config.toml:2: minds.jailbreak.enabled: [guard] jailbreak acts on what this mind says; set guard.jailbreak = { action = "off" }, or enable the mind
    config.toml:7: routes[0].when.category: needs the mind "brain", which is not enabled
    "#);
}

#[test]
fn every_wrong_value_is_found_once_and_breaks_nothing_else() {
    let wrong = [
        ("max_body_bytes = -1", "server"),
        ("read_timeout = 0", "server"),
        ("admin_listen = \"127.0.0.1:8080\"", "server"),
        ("unknown = 1", "telemetry"),
        ("log = \"xml\"", "telemetry"),
        ("otlp_endpoint = \"collector:4318\"", "telemetry"),
        ("auto = [\"no\"]", "virtual_models"),
        ("auto = 7", "virtual_models"),
        ("one = \"all\"", "virtual_models"),
        ("model = \"../mind\"", "minds.brain"),
        ("deadline = \"0s\"", "minds.brain"),
        ("execution_providers = [\"gpu\"]", "minds.brain"),
        ("jailbreak = { action = \"blok\" }", "guard"),
        ("pii = { action = \"flag\", labels = [\"EMAIL\"] }", "guard"),
        ("pii = { labels = [\"PERSON\"] }", "guard"),
        ("texts = []", "exemplars.a"),
        ("threshold = 0.5", "exemplars.a"),
        ("default = 1.5\nsource = \"x\"", "quality.one"),
        ("default = 0.5", "quality.one"),
        ("default = 0.5\nsource = \"x\"\nmath = { simple = 1 }", "quality.one"),
    ];
    for (line, section) in wrong {
        let printed = faults(&format!("{SMALLEST}[{section}]\n{line}\n"), &[]);
        assert_eq!(printed.lines().count(), 1, "{line}: {printed}");
        assert!(printed.starts_with("config.toml:"), "{line}: {printed}");
    }
}

#[test]
fn equal_values_have_equal_hashes() {
    let hash = |text: &str| Config::parse(text).unwrap().hash;
    let spaced = SMALLEST.replace('=', "  =  ");
    assert_eq!(hash(SMALLEST), hash(&spaced));
    assert_eq!(hash(SMALLEST).len(), 12);
    assert_ne!(hash(SMALLEST), hash(&SMALLEST.replace("9000", "9001")));
    let logged = format!("{SMALLEST}[telemetry]\nlog = \"json\"\n");
    let policy = |text: &str| Config::parse(text).unwrap().policy_version;
    assert_ne!(hash(SMALLEST), hash(&logged));
    assert_eq!(policy(SMALLEST), policy(&logged));
}

#[test]
fn no_text_makes_it_panic() {
    for text in ["", "routes = 5", "backends = []", "[[backends]]", "[routes]", "[[routes]]\n[[routes]]", "quality = 1"]
    {
        assert!(!faults(text, &[]).is_empty(), "{text}");
    }
}

#[test]
fn every_key_is_documented() {
    let documented = include_str!("../../../docs/configuration.md");
    let code = [
        include_str!("../../config.rs"),
        include_str!("../backend.rs"),
        include_str!("../budget.rs"),
        include_str!("../cascade.rs"),
        include_str!("../learn.rs"),
        include_str!("../ledger.rs"),
        include_str!("../mind.rs"),
        include_str!("../secret.rs"),
        include_str!("../shadow.rs"),
    ]
    .concat();
    let structures = code.split("\n}\n").filter(|block| block.contains("Deserialize") && block.contains("pub struct"));
    let fields = structures.flat_map(str::lines).filter_map(|line| line.strip_prefix("    pub ")?.split_once(": "));
    let set_by_code = ["hash", "policy_version", "policy"];
    let mut checked = 0;
    for (field, _) in fields.filter(|(field, _)| !set_by_code.contains(field)) {
        let known = [format!("`{field}`"), format!("[{field}]"), format!("[{field}."), format!("[[{field}]]")];
        assert!(known.iter().any(|form| documented.contains(form)), "docs/configuration.md lacks `{field}`");
        checked += 1;
    }
    assert!(checked > 60, "only {checked} keys were found");
}

#[test]
fn what_the_documentation_shows_is_valid() {
    let documented = include_str!("../../../docs/configuration.md");
    let examples = || documented.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let (smallest, _) = examples().next().unwrap();
    assert_eq!(faults(smallest, &[]), "");
    let backends = ["cheap", "local"].map(|name| format!("[backends.{name}]\nbase_url = \"http://127.0.0.1:1/v1\"\n"));
    let others: Vec<&str> = examples().skip(1).map(|(example, _)| example).collect();
    let whole = format!("{}{}", backends.concat(), others.join("\n"));
    let found = faults(&whole, &[("OPENAI_API_KEY", "k")]);
    let others: Vec<&str> =
        found.lines().filter(|fault| !fault.starts_with("candidate.toml: cannot be read")).collect();
    assert_eq!(others, [""; 0]);
}

#[test]
fn the_shipped_file_is_valid() {
    assert_eq!(faults(include_str!("../../../config.toml"), &[]), "");
}

proptest::proptest! {
    /// Whatever is torn out of a file or pasted into it: an answer, and each fault once.
    #[test]
    fn a_mangled_file_is_faulted_or_read(
        at in 0..10_000_usize,
        length in 0..40_usize,
        paste in proptest::sample::select(vec!["", "7", "\"x\"", "[]", "{}", "true", "[[routes]]\n", "\n[x]\n", "x = 1\n"]),
    ) {
        let whole = include_str!("../../../config.toml");
        let characters: Vec<char> = whole.chars().collect();
        let start = at % characters.len();
        let end = (start + length).min(characters.len());
        let mangled: String = characters[..start].iter().copied().chain(paste.chars()).chain(characters[end..].iter().copied()).collect();
        if let Err(faults) = read("config.toml", &mangled, &Environment::new()) {
            proptest::prop_assert!(!faults.faults.is_empty() && faults.faults.len() < 20, "{faults:?}");
        }
    }
}

#[test]
fn a_mind_from_elsewhere_brings_labels_of_its_own() {
    let with = |brain: &str, pii: &str| {
        let minds = format!("[minds.brain]\nmodel = \"{brain}\"\n[minds.pii]\nmodel = \"{pii}\"\n");
        let guard = "[guard]\npii = { action = \"flag\", labels = [\"BADGE_ID\"] }\n";
        let route = "[[routes]]\nname = \"x\"\nwhen = { category = \"astrology\", pii = [\"BADGE_ID\"] }\n";
        faults(&format!("{minds}{guard}{route}candidates = [\"one\"]\n{SMALLEST}"), &[])
    };
    assert_eq!(with("mom-brain-modern-flash", "mom-pii-modern-flash"), "");
    let shipped = with("mom-brain-pro", "mom-pii-flash");
    assert_eq!((shipped.matches("astrology").count(), shipped.matches("BADGE_ID").count()), (1, 2), "{shipped}");
}

#[test]
fn harm_has_a_rule_and_a_threshold_of_its_own() {
    let with = |more: &str| faults(&format!("{SMALLEST}{more}"), &[]);
    assert_eq!(with("[guard]\nharm = { action = \"flag\" }\n[minds.jailbreak]\nharm_threshold = 0.7\n"), "");
    let wrong = with("[minds.jailbreak]\nharm_threshold = 7\n[minds.pii]\nharm_threshold = 0.5\n");
    assert!(wrong.contains("minds.jailbreak.harm_threshold: must be between 0 and 1"), "{wrong}");
    assert!(wrong.contains("minds.pii.harm_threshold: only the jailbreak mind"), "{wrong}");
    let off = with("[guard]\njailbreak = { action = \"off\" }\nharm = { action = \"redact\" }\n");
    assert!(off.contains("guard.harm.action: redact is not built yet"), "{off}");
}

#[test]
fn decoders_have_sections_of_their_own() {
    let faults = |section: &str| faults(&format!("{SMALLEST}[minds.{section}\n"), &[]);
    for role in ["expert-math", "expert-law-pro", "brain-pro", "brain-max"] {
        assert_eq!(faults(&format!("{role}]\nwhen = {{ confidence = {{ max = 0.6 }} }}")), "");
    }
    assert!(faults("brain-pro]\nroutes = [\"no-such\"]").contains("unknown route \"no-such\""));
    assert!(faults("brain-pro]\nwhen = { category = \"maths\" }").contains("unknown category \"maths\"; did you mean"));
    assert!(faults("brain-pro]\nthreshold = 0.5").contains("a decoder decides nothing by a threshold"));
    assert!(faults("brain-pro]\non_error = \"closed\"").contains("a decoder never stops a request"));
    assert!(faults("brain]\nroutes = [\"all\"]").contains("this mind reads every request"));
    assert!(faults("brain]\nexplain = \"log\"").contains("it takes no `when`, `routes` or `explain`"));
    assert!(
        faults("brain-pro]\nexplain = \"always\"").contains("always"),
        "{}",
        faults("brain-pro]\nexplain = \"always\"")
    );
    assert_eq!(faults("brain-pro]\nexplain = \"inline\""), "");
    assert!(faults("brain-huge]\nenabled = true").contains("unknown role \"brain-huge\""));
}

#[test]
fn a_budget_needs_sense_a_ledger_and_prices() {
    let whole = |budget: &str, ledger: &str, price: &str| {
        let backend = SMALLEST.replace("/v1\"", &format!("/v1\"\n{price}"));
        let key = format!("[keys.me]\nsha256 = \"{}\"\nbudget = {budget}\n", "0".repeat(64));
        faults(&format!("{backend}{key}{ledger}"), &[])
    };
    let (ledger, price) = ("[ledger]\npath = \"l.db\"\n", "price = { input = 1, output = 2 }");
    let good = "{ usd = 10, per = \"day\", soft_usd = 8.5, assume_output_tokens = 500 }";
    assert_eq!(whole(good, ledger, price), "");
    let config = Config::parse(&format!("{SMALLEST}[keys.me]\nsha256 = \"{}\"\n", "0".repeat(64))).unwrap();
    assert_eq!(config.keys["me"].budget, None);
    insta::assert_snapshot!(whole(good, "", "price = { input = 0, output = 0 }"), @r#"
    config.toml:11: keys.me.budget: what was spent has to outlive a restart, and nothing is kept; add [ledger] with path = "ledger.db"
    config.toml:11: keys.me.budget: no backend costs anything, so nothing would ever be spent; give backends a price = { input, output }
    "#);
    let told = |budget: &str| whole(budget, ledger, price);
    insta::assert_snapshot!(told("{ usd = 0, per = \"day\", soft_usd = 1, assume_output_tokens = 0 }"), @r#"
    config.toml:11: keys.me.budget.usd: must be USD, more than 0
    config.toml:11: keys.me.budget.soft_usd: must be USD, more than 0 and less than `usd`
    config.toml:11: keys.me.budget.assume_output_tokens: must be more than 0
    "#);
    insta::assert_snapshot!(told("{ usd = 10, per = \"year\", soft = 5 }"), @r#"
    config.toml:11: keys.me.budget.per: expected "day" or "week" or "month"
    config.toml:11: keys.me.budget.soft: unknown key; did you mean "soft_usd"?
    "#);
    insta::assert_snapshot!(told("{ soft_usd = 5 }"), @r#"
    config.toml:11: keys.me.budget: `usd` is missing; write usd = 10.0
    config.toml:11: keys.me.budget: `per` is missing; write per = "day", "week" or "month"
    "#);
    insta::assert_snapshot!(whole(good.replace("day", "month").as_str(), "[ledger]\npath = \"l.db\"\nkeep = \"7d\"\n", price), @r#"
    config.toml:11: keys.me.budget.per: a budget per month needs requests that ledger.keep has removed by then; keep at least "31d"
    "#);
}
