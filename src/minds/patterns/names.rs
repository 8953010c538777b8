//! Words of closed lists: forms of address, legal forms of companies, countries,
//! nationalities and religions. Pure.
//!
//! These fill what the model leaves open; words that are also something else (a first name,
//! a bird, a language) are not in the lists or need the right neighbours.

use std::collections::BTreeSet;

use regex::Regex;
use tokio::time::Instant;

use super::{Hit, Standing, before, behind, stands_alone};
use crate::minds::deadline::{Late, in_time};

const COUNTRIES: &str = include_str!("countries.txt");
const NATIONALITIES: &str = include_str!("nationalities.txt");
const GIVEN: &str = include_str!("given_names.txt");

/// Two to four capitalised words of which the first may be a given name, initials allowed.
const FULL_NAME: &str = r"\b([\p{Lu}][\p{L}'’]+)(?: [\p{Lu}]\.?)? (?:(?:van|von|de|der|den|da|di|la|le|el|al|bin|du) ){0,2}(?:Mc|Mac|O['’]|D['’])?[\p{Lu}][\p{L}'’-]+(?: Jr\.?| Sr\.?| II{1,2}| IV)?";
/// What a place or a company ends in, and a person does not.
const NO_SURNAMES: &str = "airport and apartments avenue bank bay beach bridge building center centre church city club college company corporation county court \
    creek drive foundation group high hospital hotel house inc industries institute international island lake lane library llc ltd mall memorial \
    mountain museum park place plaza river road school square st stadium station street studios theatre tower university valley village way \
    labs foods airlines airways media solutions systems partners associates consulting technologies software motors energy sons brothers \
    holdings enterprises ventures capital insurance services pharmaceuticals store shop cafe bar restaurant motorway highway estate court \
    day days eve fund award prize cup games theorem effect law method test syndrome disease algorithm";

/// Given names that stand for something else when they stand alone.
const ALSO_WORDS: &str = "abdul amber april bill bob chad cindy crystal daisy dale dan dawn dean dee dom don earl eve fred frank gail gary gene glen grant guy \
    hans holly hugh jack jake jasmine jean joe john josh kelly lance larry lee leslie mandy mark max may mercedes milan morgan norman pat penny pete ray \
    regina riley rob rod rosa rosemary ruby sally scott stanley stella sue taylor ted terry tom tony travis troy tyler vera victor wade warren wayne wei \
    will lena kurt leo mary oliver peter simon alexa siri gordon lewis martin jordan clara";

/// Words after which a capitalised name is a person's, or an organisation's.
const PERSON_CUES: &str = r"\b(?i:my (?:full )?name is|my name's|his name is|her name is|(?:customer|patient|full|first|last|contact|employee|account holder)(?:'s)? ?name[:\s]{1,2}|(?:^|\n)\s*(?:name|patient|claimant|customer|client|employee|insured|beneficiary|applicant|tenant|attendee|passenger|recipient|contact|author|signed|prepared by|attn|doctor|physician|nurse|attorney|manager|supervisor|agent|user):|\bdear|sincerely,|regards,|yours truly,) {0,4}\n?((?:[\p{Lu}][\p{L}'’-]*\.? ){0,3}[\p{Lu}][\p{L}'’-]+)";
const ORGANIZATION_CUES: &str = r"(?:\b(?i:work(?:s|ed|ing)? (?:for|at)|employed (?:by|at)|intern(?:s|ed|ing)? (?:for|at)|job at|(?:ceo|cto|cfo|coo|founder|co-founder|president|chairman|employees?) of|acquired by|invoice from)|(?:^|\n)\s*(?i:employer|company|organi[sz]ation|vendor|merchant|business name|firm|supplier|issuer|payee|seller):) {0,4}((?:[\p{Lu}0-9][\p{L}0-9&'’.-]*,? ){0,3}[\p{Lu}][\p{L}0-9&'’.-]*)";
/// Capitalised words after those cues that are no names.
const NO_NAMES: &str = "sir madam team all customer customers hiring manager colleague colleagues friend friends mom dad the a an my our your this that there \
    i we he she it they home work school one everyone world reader support committee editor valued mr mrs ms dr unknown none n/a tbd monday tuesday \
    wednesday thursday friday saturday sunday january february march april may june july august september october november december";

/// A form of address before a capitalised name; groups: the form, the name.
const ADDRESSED: &str = r"\b((?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Hon|Sgt|Capt|Messrs)\b\.?|Miss|Sir|Madam|Mister|Professor|Herr|Frau|Monsieur|Madame|Mademoiselle|Señora?|Senhora?|Signora?|Dame|Lord|Lady) {1,2}((?:[\p{Lu}][\p{L}'’-]*\.? ){0,3}[\p{Lu}][\p{L}'’-]+)";
/// As [`ADDRESSED`], for one word.
const HONORIFICS: &str = "mr mrs ms mx dr prof rev hon sgt capt miss sir madam mister professor herr frau monsieur madame mademoiselle señor señora lord lady dame";

const COMPANY: &str = r"\b((?:[0-9]{1,3} )?(?:[\p{Lu}][\p{L}0-9&'’.-]* (?:& )?){0,4}[\p{Lu}][\p{L}0-9&'’.-]*,? (?:Inc|Ltd|LLC|LLP|PLC|Plc|Corp|Corporation|Incorporated|Limited|GmbH|S\.A|S\.p\.A|S\.r\.l|S\.L|S\.L\.U|B\.V|N\.V|Pty|SARL|Oyj?|ApS|A/S|KGaA)\b\.?)";
/// Kinds of organisations; what is called so is one where the model sees a name too.
const INSTITUTION: &str = r"\b((?:[\p{Lu}][\p{L}0-9&'’-]* (?:& )?){1,3}(?:Airlines|Airways|Associates|Bank|Consulting|Energy|Enterprises|Foods|Foundation|Group|Holdings|Hospital|Industries|Institute|Insurance|Labs|Laboratories|Logistics|Media|Motors|Partners|Pharmaceuticals|Services|Software|Solutions|Systems|Technologies|University|Ventures|(?i:and|&) (?:Sons|Brothers|Co\.?)))\b";
/// Countries in capitals.
const INITIALS: &str = r"\b(?:U\.S\.A\.|U\.S\.|USA|U\.K\.|UK|UAE|US)";

/// Words that start a sentence or a field rather than a company's name.
const OPENERS: &str = "a an and at by contact dear for from in my of on our the their to we with when where who why is was are employer company organization customer client vendor sender recipient";

#[derive(Debug)]
pub(super) struct Names {
    addressed: Regex,
    company: Regex,
    institution: Regex,
    initials: Regex,
    full_name: Regex,
    person: Regex,
    organization: Regex,
    word: Regex,
    given: BTreeSet<&'static str>,
    countries: Lists,
    nationalities: Lists,
}

/// Names of one or several words.
#[derive(Debug)]
struct Lists {
    whole: BTreeSet<&'static str>,
    /// Words of the longest one.
    longest: usize,
}

impl Names {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            addressed: Regex::new(ADDRESSED)?,
            company: Regex::new(COMPANY)?,
            institution: Regex::new(INSTITUTION)?,
            initials: Regex::new(INITIALS)?,
            full_name: Regex::new(FULL_NAME)?,
            person: Regex::new(PERSON_CUES)?,
            organization: Regex::new(ORGANIZATION_CUES)?,
            given: GIVEN.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect(),
            word: Regex::new(r"[\p{L}'’-]+")?,
            countries: Lists::of(COUNTRIES),
            nationalities: Lists::of(NATIONALITIES),
        })
    }

    pub(super) fn find(&self, text: &str, deadline: Instant, hits: &mut Vec<Hit>) -> Result<(), Late> {
        for captures in self.addressed.captures_iter(text) {
            let (Some(form), Some(name)) = (captures.get(1), captures.get(2)) else { continue };
            if !is_street(text, form.as_str(), form.start()) {
                hits.push(Hit::sure(form.start(), form.end(), "TITLE", 0.92));
                hits.push(Hit::filler(name.start(), name.end(), "PERSON", 0.85));
            }
        }
        in_time(deadline)?;
        for company in self.company.captures_iter(text).filter_map(|captures| captures.get(1)) {
            let start = company.start() + opening(company.as_str());
            let whole =
                ["Corporation.", "Incorporated.", "Limited."].iter().any(|word| company.as_str().ends_with(word));
            let end = company.end() - usize::from(whole);
            if end - start > 6 {
                hits.push(Hit::sure(start, end, "ORGANIZATION", 0.9));
            }
        }
        in_time(deadline)?;
        for kind in self.institution.captures_iter(text).filter_map(|captures| captures.get(1)) {
            let start = kind.start() + opening(kind.as_str());
            hits.push(Hit { start, end: kind.end(), label: "ORGANIZATION", score: 0.82, standing: Standing::Weak });
        }
        in_time(deadline)?;
        self.full_names(text, hits);
        in_time(deadline)?;
        self.first_names(text, hits);
        for (cue, label) in [(&self.person, "PERSON"), (&self.organization, "ORGANIZATION")] {
            in_time(deadline)?;
            for name in cue.captures_iter(text).filter_map(|captures| captures.get(1)) {
                let first =
                    name.as_str().split(' ').next().unwrap_or_default().trim_end_matches(['.', ',']).to_lowercase();
                if !is_word_of(NO_NAMES, &first) {
                    hits.push(Hit::filler(name.start(), name.end(), label, 0.82));
                }
            }
        }
        in_time(deadline)?;
        self.listed(text, hits);
        Ok(())
    }

    /// A known given name alone, unless it is a word or a place as well.
    fn first_names(&self, text: &str, hits: &mut Vec<Hit>) {
        for word in self.word.find_iter(text).filter(|word| word.as_str().starts_with(char::is_uppercase)) {
            let name = word.as_str().trim_end_matches("'s").trim_end_matches("’s").trim_end_matches(['\'', '’', '-']);
            let lower = name.to_lowercase();
            let end = word.start() + name.len();
            let compound = text[end..].starts_with(' ') && text[end + 1..].starts_with(|c: char| c.is_uppercase());
            if self.given.contains(lower.as_str()) && !is_word_of(ALSO_WORDS, &lower) && !compound {
                hits.push(Hit::filler(word.start(), end, "PERSON", 0.8));
            }
        }
    }

    /// A known given name and a surname.
    fn full_names(&self, text: &str, hits: &mut Vec<Hit>) {
        let mut from = 0;
        while let Some(captures) = self.full_name.captures_at(text, from) {
            let (Some(all), Some(given)) = (captures.get(0), captures.get(1)) else { break };
            let lower = given.as_str().to_lowercase();
            let surname = all.as_str().rsplit(' ').next().unwrap_or_default().trim_end_matches('.').to_lowercase();
            let numbered = text[..all.start()].trim_end().ends_with(|c: char| c.is_ascii_digit());
            let known = !numbered
                && self.given.contains(lower.as_str())
                && !is_word_of(NO_SURNAMES, &surname)
                && !is_word_of(NO_NAMES, &surname);
            if known {
                let name =
                    all.as_str().trim_end_matches("'s").trim_end_matches("’s").trim_end_matches(['\'', '’', '-']);
                let end = all.start() + name.len();
                hits.push(Hit { start: all.start(), end, label: "PERSON", score: 0.85, standing: Standing::Outer });
            }
            from = if known { all.end() } else { given.end() };
        }
    }

    fn listed(&self, text: &str, hits: &mut Vec<Hit>) {
        let words: Vec<(usize, usize)> = self.word.find_iter(text).map(|word| (word.start(), word.end())).collect();
        let shouted = !text.chars().any(char::is_lowercase);
        let quiet = !text.chars().any(char::is_uppercase);
        if !shouted {
            let alone = self.initials.find_iter(text).filter(|hit| stands_alone(text, hit.start(), hit.end()));
            hits.extend(alone.map(|hit| Hit::filler(hit.start(), hit.end(), "GPE", 0.85)));
        }
        let mut next = 0;
        while next < words.len() {
            let at = next;
            next += 1;
            let proper = |stretch: &str| quiet || shouted || stretch.starts_with(char::is_uppercase);
            let (start, end) = words[at];
            if !proper(&text[start..end]) {
                continue;
            }
            let lists = [(&self.countries, "GPE"), (&self.nationalities, "NRP")];
            let found = lists.into_iter().find_map(|(list, label)| {
                let most = list.longest.min(words.len() - at);
                let length = (1..=most).rev().find(|&length| list.has(&text[start..words[at + length - 1].1]))?;
                Some((length, label))
            });
            let Some((length, label)) = found else { continue };
            let end = words[at + length - 1].1;
            next = at + length;
            if label == "GPE" || is_people(text, start, end) {
                hits.push(Hit::filler(start, end, label, 0.85));
            }
        }
    }
}

fn is_word_of(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|known| known == word)
}

impl Lists {
    fn of(file: &'static str) -> Self {
        let whole: BTreeSet<&str> = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let longest = whole.iter().map(|name| name.split(' ').count()).max().unwrap_or(1);
        Self { whole, longest }
    }

    fn has(&self, stretch: &str) -> bool {
        stretch.len() <= 48 && self.whole.contains(stretch.trim_end_matches("'s").to_lowercase().as_str())
    }
}

/// Whether `name` is a country's, whatever its case.
pub(in crate::minds) fn is_country(name: &str) -> bool {
    let name = name.to_lowercase();
    COUNTRIES.lines().any(|country| country == name)
}

/// Whether `word` is a form of address, with or without its full stop.
pub(in crate::minds) fn is_honorific(word: &str) -> bool {
    let word = word.trim_end_matches('.').to_lowercase();
    HONORIFICS.split(' ').any(|honorific| honorific == word)
}

/// `2978 Willow Dr. Springfield`: a drive, no doctor.
fn is_street(text: &str, form: &str, at: usize) -> bool {
    let line = before(text, at).rsplit('\n').next().unwrap_or_default();
    let mut words = line.split_whitespace().rev().take(4);
    form.starts_with("Dr")
        && words.next().is_some_and(|word| word.starts_with(char::is_uppercase))
        && words.any(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

/// Bytes of the words that only lead up to a company's name.
fn opening(company: &str) -> usize {
    let mut skipped = 0;
    for word in company.split_inclusive(' ') {
        if !OPENERS.split(' ').any(|opener| word.trim().eq_ignore_ascii_case(opener)) {
            break;
        }
        skipped += word.len();
    }
    skipped
}

/// A nationality, unless it names a language or is part of a name.
fn is_people(text: &str, start: usize, end: usize) -> bool {
    let last = before(text, start).split_whitespace().next_back().unwrap_or_default().to_lowercase();
    let rest = behind(text, end);
    let next = rest.split_whitespace().next().unwrap_or_default().trim_matches(|c: char| !c.is_alphabetic());
    let lower = next.to_lowercase();
    let spoken = ["in", "into", "to", "speak", "speaks", "speaking", "learn", "learning", "from", "than"]
        .contains(&last.as_str());
    let language = [
        "language",
        "word",
        "words",
        "translation",
        "text",
        "version",
        "grammar",
        "speaker",
        "speakers",
        "lessons",
        "class",
        "and",
    ];
    let named = rest.starts_with(' ')
        && next.starts_with(char::is_uppercase)
        && !text[start..end].chars().all(|c| !c.is_lowercase());
    let part_of_name = named && !STATE_WORDS.contains(&lower.as_str());
    !(spoken || part_of_name || language.contains(&lower.as_str()) || rest.starts_with('-'))
}

/// Capitalised words that may follow a nationality without making it part of a name.
const STATE_WORDS: &[&str] = &[
    "border",
    "government",
    "army",
    "navy",
    "embassy",
    "consulate",
    "police",
    "president",
    "citizen",
    "national",
    "minister",
];
