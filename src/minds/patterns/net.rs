//! Addresses of mailboxes, machines and sites. Pure.

use std::net::Ipv6Addr;

use regex::Regex;
use tokio::time::Instant;

use super::{Hit, before, stands_alone};
use crate::minds::deadline::{Late, in_time};

const EMAIL: &str = r"[\p{L}0-9_](?:[\p{L}0-9._%+'-]*[\p{L}0-9_+-])?(?:@| @ )(?:[\p{L}0-9-]+(?:\.| \. ))+\p{L}\p{L}+";
/// Spelled out against harvesters: `jane [at] example [dot] com`.
const SPELLED: &str = r"(?i-u)\b[a-z0-9][a-z0-9._%+-]{0,62}\s?(?:[\[({<]\s?at\s?[\])}>]|\sat\s)\s?[a-z0-9-]+(?:\s?(?:[\[({<]\s?(?:dot|punkt)\s?[\])}>]|\sdot\s)\s?[a-z0-9-]+)+\b";
const URL: &str = r#"(?i)\b(?:https?|ftps?|wss?|sftp)://[^\s<>"'`\\^{}|\[\]]+"#;
const HOST: &str = r"(?:[\p{L}0-9-]+\.)+(\p{L}\p{L}+)(?:/[^\s<>\x22'`|)\]]*)?";
const IPV4: &str = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}";
const IPV6: &str = r"(?i-u)[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:.]*";

/// Endings that hardly any file, abbreviation, program text or sentence border has.
const CLEAR_TLDS: &str = "com org net edu gov mil biz io ai xyz uk de fr nl pl cz ch eu ru ua jp cn kr br mx ca au nz za ie se dk fi hu ro gr tr \
    il ae tn tv cc ng ke lu sk si hr lt lv ee pt ar cl pe ph vn th sg hk tw";
/// Countries whose endings are also words: they need `www.`, a path or more than one dot.
const COUNTRY_TLDS: &str = "it at be in me no us so my am es gg fm im ly co";
/// Endings that are also words of program text or file names: they need `www.` or a path.
const WORD_TLDS: &str = "info int app dev online site tech store cloud blog shop club space website live news agency digital media studio design \
    academy to by as do id is la sh rs py md ps pm cs js ml pro name";

#[derive(Debug)]
pub(super) struct Net {
    email: Regex,
    spelled: Regex,
    url: Regex,
    host: Regex,
    ipv4: Regex,
    ipv6: Regex,
}

impl Net {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            email: Regex::new(EMAIL)?,
            spelled: Regex::new(SPELLED)?,
            url: Regex::new(URL)?,
            host: Regex::new(HOST)?,
            ipv4: Regex::new(IPV4)?,
            ipv6: Regex::new(IPV6)?,
        })
    }

    pub(super) fn find(&self, text: &str, deadline: Instant, hits: &mut Vec<Hit>) -> Result<(), Late> {
        if text.contains('@') {
            let alone = self.email.find_iter(text).filter(|hit| stands_alone(text, hit.start(), hit.end()));
            hits.extend(alone.map(|hit| Hit::sure(hit.start(), hit.end(), "EMAIL_ADDRESS", 0.97)));
        }
        in_time(deadline)?;
        let spelled = self.spelled.find_iter(text).filter(|hit| is_spelled(hit.as_str()));
        hits.extend(spelled.map(|hit| Hit::sure(hit.start(), hit.end(), "EMAIL_ADDRESS", 0.9)));
        in_time(deadline)?;
        for hit in self.url.find_iter(text) {
            let end = hit.start() + hit.as_str().trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '*', '_']).len();
            hits.push(Hit::sure(hit.start(), end, "DOMAIN_NAME", 0.98));
        }
        in_time(deadline)?;
        self.hosts(text, hits);
        in_time(deadline)?;
        if text.bytes().any(|byte| byte.is_ascii_digit()) {
            self.machines(text, hits);
        }
        Ok(())
    }

    fn hosts(&self, text: &str, hits: &mut Vec<Hit>) {
        for captures in self.host.captures_iter(text) {
            let (Some(all), Some(tld)) = (captures.get(0), captures.get(1)) else { continue };
            let host = &text[all.start()..tld.end()];
            let before = text[..all.start()].chars().next_back();
            let glued = before.is_some_and(|c| c.is_alphanumeric() || "@/\\._-$=".contains(c));
            let after = text[all.end()..].chars().next();
            let goes_on = after.is_some_and(|c| c.is_alphanumeric() || c == '@' || c == '(' || c == '_');
            if glued || goes_on || !is_site(host, tld.as_str(), all.end() > tld.end()) {
                continue;
            }
            let end = all.start() + all.as_str().trim_end_matches(['.', ',', ';', ':', '!', '?']).len();
            hits.push(Hit::sure(all.start(), end, "DOMAIN_NAME", 0.88));
        }
    }

    fn machines(&self, text: &str, hits: &mut Vec<Hit>) {
        for hit in self.ipv4.find_iter(text) {
            let octets = hit.as_str().split('.').all(|octet| octet.parse::<u8>().is_ok());
            let word = before(text, hit.start()).trim_end().rsplit(|c: char| !c.is_alphanumeric()).next();
            let version = ["version", "ver", "v", "release"]
                .iter()
                .any(|announced| word.is_some_and(|word| word.eq_ignore_ascii_case(announced)));
            let dotted = |c: Option<char>| c.is_some_and(|c| c == '.' || c.is_ascii_alphanumeric());
            let mut after = text[hit.end()..].chars();
            let goes_on = match after.next() {
                Some('.') => after.next().is_some_and(|c| c.is_ascii_digit()),
                other => other.is_some_and(|c| c.is_ascii_alphanumeric()),
            };
            if octets && !version && !goes_on && !dotted(text[..hit.start()].chars().next_back()) {
                hits.push(Hit::sure(hit.start(), hit.end(), "IP_ADDRESS", 0.97));
            }
        }
        for hit in self.ipv6.find_iter(text) {
            let address = hit.as_str().trim_end_matches('.');
            let address = if address.ends_with("::") { address } else { address.trim_end_matches(':') };
            let end = hit.start() + address.len();
            if is_ipv6(address) && stands_alone(text, hit.start(), end) {
                hits.push(Hit::sure(hit.start(), end, "IP_ADDRESS", 0.97));
            }
        }
    }
}

/// Both signs are spelled, and the last label could be a top-level domain.
fn is_spelled(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let bracketed = lower.contains(['[', '(', '{', '<']);
    let last = lower.rsplit(|c: char| !c.is_ascii_alphanumeric()).find(|word| !word.is_empty()).unwrap_or_default();
    let clear = CLEAR_TLDS.split_whitespace().any(|tld| tld == last);
    clear && (bracketed || lower.contains(" dot "))
}

fn is_site(host: &str, tld: &str, path: bool) -> bool {
    // `end.In the` is two sentences: an ending is written in one case.
    let one_case = tld.chars().all(char::is_lowercase) || host.chars().all(|c| !c.is_lowercase());
    let lower = tld.to_lowercase();
    let known = |list: &str| list.split_whitespace().any(|known| known == lower);
    let labels = host.split('.').count();
    let named = host.split('.').next().is_some_and(|first| first.eq_ignore_ascii_case("www"));
    let single = host.split('.').all(|label| label.chars().count() < 2);
    one_case
        && !single
        && (known(CLEAR_TLDS)
            || known(COUNTRY_TLDS) && (named || path || labels > 2)
            || known(WORD_TLDS) && (named || path))
}

/// Parses, and is more than `a::b` as it stands in program text.
fn is_ipv6(text: &str) -> bool {
    let groups = text.split(':').filter(|group| !group.is_empty()).count();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    text.parse::<Ipv6Addr>().is_ok() && (text == "::1" || groups >= 3 || groups == 2 && digits >= 2 && text.len() >= 6)
}
