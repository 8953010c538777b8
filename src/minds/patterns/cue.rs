//! Words that say what the number beside them is. Pure.

use regex::Regex;

/// What a cue announces. `Other`: a number that is no personal data of ours, such as an
/// order number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Card,
    Licence,
    Other,
    Phone,
    Ssn,
    Zip,
}

/// In the order of the capture groups of [`CUES`].
const KINDS: [Kind; 6] = [Kind::Licence, Kind::Zip, Kind::Ssn, Kind::Card, Kind::Phone, Kind::Other];

const CUES: &str = r"(?xi-u) \b (?:
    ( (?:driver(?:'?s'?)?|driving)[\ -]*(?:licen[cs]e|permit) | dl | dln | licen[cs]e (?:\ (?:number|no|id))? )
  | ( zip (?:[\ -]*code)? | post(?:al)?[\ -]*code | plz )
  | ( ssn | social[\ -]*(?:security|sec|insurance) | ss\#  | itin )
  | ( (?:credit|debit|bank|payment|gift|visa|master)?[\ -]*card | cc | visa | amex | american\ express | maestro | mastercard | diners | pan )
  | ( (?:tele)?phone s? | tel | telefon | mobile | cell (?:phone|ular)? | call (?:ing|ed|s)? | texts? | texting | fax | whats\ ?app | sms
      | dial (?:ing|led)? | ring | contact (?:\ (?:number|us|me|him|her|them))? | reach (?:ed|able)? | hotline | helpline | pager | voicemail
      | answering | messages? | (?:my|his|her|their|our|your)\ number | desk | office | landline | handy | phone\ no | ph )
  | ( order | invoice | ticket | account | acct | a/c | policy | case | ref (?:erence)? | id | ein | vat | tax | tin | npi | mrn | dea | serial | tracking
      | isbn | issn | doi | version | ver | v | model | routing | swift | bic | passport | sku | part | item | batch | build | commit | badge
      | employee | member (?:ship)? | customer\ (?:id|no|number) | confirmation | booking | flight | page | chapter | section | room
      | port | error | code | vin | patient | claim | receipt | transaction | total | amount | price | wages | salary | insurance
      | uid | guid | uuid | hash | sha | md5 | checksum | timestamp | epoch | population | product | asin | lot | rx | prescription | fig (?:ure)? | table | equation )
  ) \b";

/// How far before a number its cue may stand, in bytes.
const REACH: usize = 48;

#[derive(Debug)]
pub(super) struct Cues(Regex);

/// The cues of one text, in order.
#[derive(Debug)]
pub(super) struct Found<'a> {
    text: &'a str,
    cues: Vec<(usize, usize, Kind)>,
}

impl Cues {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Regex::new(CUES).map(Self)
    }

    pub(super) fn find<'a>(&self, text: &'a str) -> Found<'a> {
        let cues = self.0.captures_iter(text).filter_map(|captures| {
            let (group, kind) = (1..).zip(KINDS).find_map(|(at, kind)| Some((captures.get(at)?, kind)))?;
            Some((group.start(), group.end(), kind))
        });
        Found { text, cues: cues.collect() }
    }
}

impl Found<'_> {
    /// What the nearest cue before `at` announces: in reach, in the same paragraph, and with
    /// no other number between.
    pub(super) fn before(&self, at: usize) -> Option<Kind> {
        let next = self.cues.partition_point(|&(_, end, _)| end <= at);
        let &(_, end, kind) = self.cues.get(next.checked_sub(1)?)?;
        if at - end > REACH {
            return None;
        }
        let between = self.text.get(end..at)?;
        let digits = between.bytes().filter(u8::is_ascii_digit).count();
        (digits <= 2 && !between.contains("\n\n")).then_some(kind)
    }

    /// A cue right behind, as in `555-1234 (mobile)`.
    pub(super) fn after(&self, at: usize) -> Option<Kind> {
        let next = self.cues.partition_point(|&(start, ..)| start < at);
        let &(start, _, kind) = self.cues.get(next)?;
        let between = self.text.get(at..start)?;
        (between.len() <= 3 && !between.contains(['\n', ',', '.', ';'])).then_some(kind)
    }

    /// The cues of one kind: where they end.
    pub(super) fn ends(&self, wanted: Kind) -> impl Iterator<Item = usize> {
        self.cues.iter().filter(move |(.., kind)| *kind == wanted).map(|&(_, end, _)| end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(text: &str) -> Option<Kind> {
        let cues = Cues::new().unwrap();
        let at = text.rfind('5').unwrap();
        cues.find(text).before(at)
    }

    #[test]
    fn the_nearest_cue_counts() {
        assert_eq!(before("my account, or call me at 5"), Some(Kind::Phone));
        assert_eq!(before("call about order 5"), Some(Kind::Other));
        assert_eq!(before("My driver's license number is 5"), Some(Kind::Licence));
        assert_eq!(before("SSN: 5"), Some(Kind::Ssn));
        assert_eq!(before("zip code 5"), Some(Kind::Zip));
        assert_eq!(before("recall 5"), None);
    }

    #[test]
    fn a_cue_reaches_no_further_than_its_number() {
        assert_eq!(before("call 12345 or 5"), None);
        assert_eq!(before(&format!("call {} 5", "then go on and on ".repeat(4))), None);
        assert_eq!(before("call me\n\n5"), None);
    }
}
