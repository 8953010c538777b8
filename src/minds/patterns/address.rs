//! Street addresses whose spelling gives them away. Pure.
//!
//! Only capitalised ones with a house number, a box or a military post office: the rest is
//! the model's. `merge.rs` joins town, state and postal code to them.

use regex::Regex;
use tokio::time::Instant;

use super::{Hit, compile, stands_alone};
use crate::minds::deadline::{Late, in_time};

const WORD: &str = r"[\p{Lu}0-9][\p{L}0-9'’.-]*";
const TYPE: &str = r"(?:St|Street|Ave|Avenue|Rd|Road|Blvd|Boulevard|Ln|Lane|Dr|Drive|Ct|Court|Cir|Circle|Pl|Place|Sq|Square|Ter|Terrace|Pkwy|Parkway|Hwy|Highway|Way|Trail|Trl|Alley|Crescent|Close|Mews|Grove|Row|Loop|Turnpike|Expressway|Freeway|Quay|Esplanade)";
const UNIT: &str = r"(?:[,\s]{1,4}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Room|Rm|No|#)\.? ?#?[0-9A-Z]{1,6}\b)?";
const TOWN: &str =
    r"(?:,?\s{1,3}(?:[\p{Lu}][\p{L}'’.-]*[ -]){0,3}[\p{Lu}][\p{L}'’.-]*,? [A-Z]{2},? [0-9]{5}(?:-[0-9]{4})?)?";
/// Streets whose kind comes first: `Rue de Rivoli 12`.
const LEADING: &str = r"(?:Rue|Avenue|Boulevard|Via|Viale|Piazza|Corso|Calle|Avenida|Paseo|Plaza|Carrer|Rua|Travessa|Praça|Alameda|ul\.|al\.|pl\.|os\.|aleja|Largo|Chemin|Impasse|Quai|Rambla|Camino|Carretera)";
/// Streets whose kind is part of the word: `Hauptstraße 5`.
const TRAILING: &str = r"(?:straße|strasse|strase|str\.|gasse|weg|platz|allee|damm|ufer|straat|laan|plein|gracht|singel|dreef|vej|gata|gatan|vägen|vegen|veien|katu|kuja|utca|utja|körút)";

#[derive(Debug)]
pub(super) struct Addresses(Vec<Regex>);

impl Addresses {
    pub(super) fn new() -> Result<Self, regex::Error> {
        let numbered =
            format!(r"\b[0-9]{{1,6}}[A-Z]?(?:[-/][0-9]{{1,5}})?,? (?:{WORD} ){{1,4}}{TYPE}\b\.?{UNIT}{TOWN}");
        let leading = format!(
            r"\b(?:[0-9]{{1,5}}(?: ?(?:bis|ter|[A-D]))?,? )?{LEADING} (?:(?:{WORD}|d[aeiou]s?|del|della|dei|di|la|las|los|les|du|des|al|von) ){{1,5}}[0-9]{{1,5}}[a-z]?(?:/[0-9]{{1,4}})?\b"
        );
        let numbered_leading = format!(
            r"\b[0-9]{{1,5}}(?: ?(?:bis|ter|[A-D]))?,? {LEADING}(?: (?:{WORD}|d[aeiou]s?|del|della|dei|di|la|las|los|les|du|des|al)){{0,4}} {WORD}"
        );
        let trailing = format!(
            r"\b(?:[\p{{Lu}}][\p{{L}}.-]* ){{0,2}}[\p{{Lu}}][\p{{L}}-]*{TRAILING} [0-9]{{1,4}} ?[a-z]?(?:/[0-9]{{1,4}})?\b"
        );
        compile(&[
            &numbered,
            &leading,
            &numbered_leading,
            &trailing,
            r"\b(?:P\.? ?O\.? ?Box|Post Office Box|Postfach|Apartado)[ #]{1,2}[0-9]{1,6}\b",
            r"\b(?:(?:PSC|CMR|Unit|UNIT) [0-9]{1,5},? (?:Box|BOX) [0-9]{1,5}|(?:USS|USNS|USNV|USCGC) [\p{Lu}][\p{L}-]+)[,\s]{1,3}[AFD]PO,? A[AEP],? [0-9]{5}(?:-[0-9]{4})?\b",
        ])
        .map(Self)
    }

    pub(super) fn find(&self, text: &str, deadline: Instant, hits: &mut Vec<Hit>) -> Result<(), Late> {
        for shape in &self.0 {
            in_time(deadline)?;
            let alone = shape.find_iter(text).filter(|hit| stands_alone(text, hit.start(), hit.end()));
            hits.extend(alone.map(|hit| Hit::sure(hit.start(), hit.end(), "STREET_ADDRESS", 0.86)));
        }
        Ok(())
    }
}
