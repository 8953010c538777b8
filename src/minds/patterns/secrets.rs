//! Secrets: keys and tokens in the shapes their issuers publish, values that are called a
//! password, and long random runs. The list is explained in `docs/secrets.md`. Pure.
//!
//! A value that stands for another (`<token>`, `${VAR}`, `your-api-key`, `xxxx`) is none,
//! and neither is a name of program text.

use regex::{Captures, Regex};
use tokio::time::Instant;

use super::{Hit, SECRET};
use crate::minds::deadline::{Late, in_time};

mod value;

/// Published shapes by the name they have in `docs/secrets.md`. Where a shape has a group,
/// the group is the secret.
pub(super) const SHAPES: &[(&str, &str)] = &[
    (
        "private-key",
        r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-[^-])*-----END [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----",
    ),
    (
        "private-key",
        r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----\s*(?:[A-Za-z-]{2,24}: [^\r\n]*\r?\n)*[A-Za-z0-9+/=\s\\]*",
    ),
    ("putty-key", r"(?s)PuTTY-User-Key-File-[23]:.*?Private-MAC: [0-9a-f]{40,64}"),
    ("age-key", r"(?-u:\b)AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    ("openai", r"(?-u:\b)sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}"),
    ("anthropic", r"(?-u:\b)sk-ant-[a-z0-9]{2,12}-[A-Za-z0-9_-]{20,}"),
    ("huggingface", r"(?-u:\b)(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    ("replicate", r"(?-u:\b)r8_[A-Za-z0-9]{37,40}"),
    ("groq", r"(?-u:\b)gsk_[A-Za-z0-9]{40,}"),
    ("perplexity", r"(?-u:\b)pplx-[A-Za-z0-9]{40,}"),
    ("xai", r"(?-u:\b)xai-[A-Za-z0-9]{60,}"),
    ("aws-access-key", r"(?-u:\b)(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}(?-u:\b)"),
    (
        "aws-secret-key",
        r#"(?i-u:\baws_?(?:secret)?_?(?:access)?_?key(?:_id)?["']?\s*[:=]\s*["']?)([A-Za-z0-9/+]{40})(?-u:\b)"#,
    ),
    ("google-api-key", r"(?-u:\b)AIza[A-Za-z0-9_-]{35}"),
    ("google-oauth", r"(?-u:\b)(?:ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}|1//0[A-Za-z0-9_-]{40,})"),
    ("azure-storage", r"(?i-u:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={0,2})"),
    ("azure-sas", r"(?i-u:[?&]sig)=([A-Za-z0-9%+/]{40,}(?:%3D|=){0,2})"),
    ("azure-client-secret", r"(?-u:\b)[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}"),
    ("digitalocean", r"(?-u:\b)do[opr]_v1_[a-f0-9]{64}"),
    ("cloudflare", r"(?-u:\b)v1\.0-[a-f0-9]{24}-[a-f0-9]{146}"),
    ("heroku", r"(?-u:\b)HRKU-[A-Za-z0-9_-]{36,60}"),
    ("github", r"(?-u:\b)(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})"),
    ("gitlab", r"(?-u:\b)gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_-]{20,}"),
    ("bitbucket", r"(?-u:\b)ATBB[A-Za-z0-9]{28,}"),
    ("atlassian", r"(?-u:\b)ATATT3[A-Za-z0-9_=-]{60,}"),
    ("npm", r"(?-u:\b)npm_[A-Za-z0-9]{36}"),
    ("pypi", r"(?-u:\b)pypi-[A-Za-z0-9_-]{50,}"),
    ("rubygems", r"(?-u:\b)rubygems_[a-f0-9]{48}"),
    ("crates-io", r"(?-u:\b)cio[A-Za-z0-9]{32}(?-u:\b)"),
    ("docker", r"(?-u:\b)dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}"),
    ("slack", r"(?-u:\b)(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{20,})"),
    ("slack-webhook", r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/]{20,})"),
    ("discord-webhook", r"discord(?:app)?\.com/api/webhooks/([0-9]{15,21}/[A-Za-z0-9_-]{60,})"),
    ("discord-bot", r"(?-u:\b)[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}"),
    ("telegram", r"(?-u:\b)[0-9]{8,10}:[A-Za-z0-9_-]{35}(?-u:\b)"),
    ("stripe", r"(?-u:\b)(?:[rs]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9]{20,})"),
    ("square", r"(?-u:\b)(?:sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}|EAAA[A-Za-z0-9_-]{60})"),
    ("paypal-braintree", r"(?-u:\b)access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}"),
    ("shopify", r"(?-u:\b)shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    ("twilio", r"(?-u:\b)SK[a-f0-9]{32}(?-u:\b)"),
    ("sendgrid", r"(?-u:\b)SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("mailgun", r"(?-u:\b)key-[a-f0-9]{32}(?-u:\b)"),
    ("mailchimp", r"(?-u:\b)[a-f0-9]{32}-us[0-9]{1,2}(?-u:\b)"),
    ("brevo", r"(?-u:\b)xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    ("facebook", r"(?-u:\b)EAA(?:CEdEose0cBA|[A-Za-z0-9]{90,})[A-Za-z0-9]*"),
    ("linear", r"(?-u:\b)lin_(?:api|oauth)_[A-Za-z0-9]{32,}"),
    ("notion", r"(?-u:\b)(?:secret_[A-Za-z0-9]{43}|ntn_[A-Za-z0-9]{40,})"),
    ("figma", r"(?-u:\b)figd_[A-Za-z0-9_-]{40,}"),
    ("airtable", r"(?-u:\b)pat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    ("databricks", r"(?-u:\b)dapi[a-f0-9]{32}"),
    ("grafana", r"(?-u:\b)gl(?:c|sa)_[A-Za-z0-9_+/=]{32,}"),
    ("new-relic", r"(?-u:\b)NRAK-[A-Z0-9]{27}"),
    ("sentry", r"(?-u:\b)sntry[su]_[A-Za-z0-9_+/=.-]{40,}"),
    ("vault", r"(?-u:\b)hv[sbr]\.[A-Za-z0-9_-]{24,}"),
    ("terraform-cloud", r"(?-u:\b)[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}"),
    ("planetscale", r"(?-u:\b)pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}"),
    ("supabase", r"(?-u:\b)sbp_[a-f0-9]{40}"),
    ("postman", r"(?-u:\b)PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    ("pulumi", r"(?-u:\b)pul-[a-f0-9]{40}"),
    ("json-web-token", r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    ("bearer", r"(?i-u:\bbearer)\s+([A-Za-z0-9._~+/-]{20,}=*)"),
    ("basic-auth", r"(?i-u:\bauthorization:\s*basic)\s+([A-Za-z0-9+/]{8,}={0,2})"),
    ("curl-user", r#"(?-u:\b)curl\s[^\n]*?\s?(?:-u|--user)[ =]?["']?[^\s:"']{1,64}:([^\s"']{4,})"#),
    ("url-password", r"(?i-u:\b[a-z][a-z0-9+.-]*)://[^\s:/@]{0,64}:([^\s:/@]{3,})@"),
    ("connection-string", r"(?i)(?:;|(?-u:\b))(?:pwd|password)=([^;\s\x22']{3,})(?:;|$|\s|\x22|')"),
    (
        "sql-password",
        r#"(?i)(?-u:\b)identified\s+(?:with\s+[a-z0-9_]+\s+)?by\s+(?:password\s+)?["'`]([^"'`\s]{4,})["'`]"#,
    ),
];

/// What keys of several lines begin with.
const BLOCKS: &[&str] = &["-----BEGIN", "PuTTY-User-Key-File"];

/// `password = …` and its kin; the group is the value.
const NAMED: &str = r#"(?:(?P<camel>[a-z0-9](?:Pass(?:word|wd|phrase|code)?|Pwd|Secret|ApiKey|AccessKey|SecretKey|PrivateKey|AuthKey|Token))|(?i-u:(?:\b|_)(?P<key>pass(?:word|wd|phrase|code)?|pwd|secret|(?:api|access|secret|private|auth|encryption|signing|master|account|storage)[ _-]?key|apikey|(?:client|app|shared)[ _-]?secret|token|auth|credentials?)))(?-u:[a-z0-9_-]{0,12})["'`]?\s*(?:(?P<sign>:=|=>|==|[:=])|is\s+set\s+to|is|was|>)\s*(?:"(?P<double>[^"\s]{4,})"|'(?P<single>[^'\s]{4,})'|`(?P<tick>[^`\s]{4,})`|(?P<bare>[^\s"'`,;<>(){}\[\]]{6,}))"#;

/// A long run beside a word that says what it is.
const BESIDE: &str = r"(?i-u:\b(?:key|token|secret|credential|apikey|passphrase|auth)s?\b)[^\n]{0,24}?(?-u:\b)([A-Za-z0-9+/_-]{20,}={0,2})";

/// A long unbroken run that may be random.
const RUN: &str = r"[A-Za-z0-9+/_-]{32,}={0,2}";

const SHAPE_SCORE: f32 = 0.99;
const NAMED_SCORE: f32 = 0.9;
const ENTROPY_SCORE: f32 = 0.8;

#[derive(Debug)]
pub(super) struct Secrets {
    shapes: Vec<Regex>,
    named: Regex,
    beside: Regex,
    run: Regex,
}

impl Secrets {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            shapes: SHAPES.iter().map(|(_, shape)| Regex::new(shape)).collect::<Result<_, _>>()?,
            named: Regex::new(NAMED)?,
            beside: Regex::new(BESIDE)?,
            run: Regex::new(RUN)?,
        })
    }

    pub(super) fn find(&self, text: &str, deadline: Instant, hits: &mut Vec<Hit>) -> Result<(), Late> {
        for shape in &self.shapes {
            in_time(deadline)?;
            for captures in shape.captures_iter(text) {
                let secret = captures.get(1).or_else(|| captures.get(0));
                let secret = secret.filter(|secret| match secret.as_str() {
                    block if BLOCKS.iter().any(|opening| block.starts_with(opening)) => value::has_key(block),
                    value => !value::stands_for_another(value),
                });
                hits.extend(secret.map(|secret| Hit::sure(secret.start(), secret.end(), SECRET, SHAPE_SCORE)));
            }
        }
        for captures in self.named.captures_iter(text) {
            if let Some((start, end)) = named(text, &captures) {
                hits.push(Hit::sure(start, end, SECRET, NAMED_SCORE));
            }
        }
        in_time(deadline)?;
        for run in self.beside.captures_iter(text).filter_map(|captures| captures.get(1)) {
            if value::is_dense(run.as_str()) && !value::is_code(text, run.range()) {
                hits.push(Hit::sure(run.start(), run.end(), SECRET, ENTROPY_SCORE));
            }
        }
        in_time(deadline)?;
        let random = self.run.find_iter(text).filter(|run| value::is_random(run.as_str()));
        // The content of a data URL is a file.
        let random = random.filter(|run| !text[..run.start()].ends_with("base64,"));
        hits.extend(random.map(|run| Hit::sure(run.start(), run.end(), SECRET, ENTROPY_SCORE)));
        Ok(())
    }
}

/// Where the value of `password = value` stands, if it is one.
fn named(text: &str, captures: &Captures<'_>) -> Option<(usize, usize)> {
    // `dbPass`: the first letter of what the key is made of tells nothing.
    let key = captures.name("key").or_else(|| captures.name("camel"))?.as_str();
    let key = key.trim_start_matches(|c: char| c.is_ascii_lowercase() && captures.name("camel").is_some());
    let quoted = ["double", "single", "tick"].iter().find_map(|name| captures.name(name));
    let found = quoted.or_else(|| captures.name("bare"))?;
    let secret = if quoted.is_some() { found.as_str() } else { found.as_str().trim_end_matches(['.', '?', '!', '\\']) };
    let said = value::Said {
        password: key.to_ascii_lowercase().starts_with("pass") || key.eq_ignore_ascii_case("pwd"),
        assigned: captures.name("sign").is_some(),
        quoted: quoted.is_some(),
    };
    let end = found.start() + secret.len();
    let code = quoted.is_none() && value::is_code(text, found.start()..end);
    (!code && value::is_chosen(secret, said)).then_some((found.start(), end))
}
