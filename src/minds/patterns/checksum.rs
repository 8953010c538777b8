//! Luhn for cards, modulo 97 for IBANs. Pure.

use std::ops::Range;

/// IBAN length by country, from the SWIFT registry.
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 \
    EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 \
    LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 \
    RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 YE30 XK20";

/// Digits of the longest cards.
const LONGEST_CARD: usize = 19;

/// How many `groups` of a run of digits, from the first, are a valid card number: the most.
pub(super) fn card(run: &str, groups: &[Range<usize>]) -> Option<usize> {
    let mut sum = 0;
    let counted = groups.iter().map(|group| {
        sum += group.len();
        sum
    });
    let counted: Vec<usize> = counted.take_while(|&digits| digits <= LONGEST_CARD).collect();
    let whole = groups.first()?.start..groups[..counted.len()].last()?.end;
    let digits: Vec<u8> = run[whole].bytes().filter(u8::is_ascii_digit).collect();
    let fits = |&count: &usize| is_card(&digits[..counted[count - 1]]) && is_written_like_one(run, &groups[..count]);
    (1..=counted.len()).rev().find(fits)
}

/// One separator throughout, and groups as on a card: four digits or more but for the last, or
/// all of one size.
fn is_written_like_one(run: &str, groups: &[Range<usize>]) -> bool {
    let mut gaps = groups.windows(2).map(|pair| &run[pair[0].end..pair[1].start]);
    let first = gaps.next();
    let one_gap = gaps.all(|gap| Some(gap) == first);
    let (last, rest) = match groups.split_last() {
        Some((last, rest)) => (last.len(), rest),
        None => return false,
    };
    let wide = rest.iter().all(|group| group.len() >= 4);
    let even = rest.iter().all(|group| group.len() == rest[0].len() && last <= group.len());
    one_gap && (wide || even)
}

/// The groups of digits in a run, as byte ranges.
pub(super) fn groups(run: &str) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, _) in run.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
        match groups.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

/// Issuer prefix, length and Luhn sum fit.
pub(super) fn is_card(digits: &[u8]) -> bool {
    let number = |count: usize| digits.iter().take(count).fold(0_u32, |n, digit| n * 10 + u32::from(digit - b'0'));
    let issued = matches!(
        (digits.len(), number(4)),
        (13 | 16 | 19, 4000..=4999)
            | (16, 2221..=2720 | 5100..=5599)
            | (15, 3400..=3499 | 3700..=3799)
            | (14, 3000..=3059 | 3600..=3699 | 3800..=3999)
            | (16..=19, 3528..=3589 | 6000..=6999)
            | (13..=19, 5000..=5099 | 5600..=5999)
    );
    issued && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = (digits.iter().rev().enumerate())
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0') << (place % 2);
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether the two letters before it belong to a country that has IBANs.
pub(super) fn has_ibans(run: &str) -> bool {
    iban_length(run).is_some()
}

fn iban_length(run: &str) -> Option<usize> {
    let country = run.get(..2)?.to_ascii_uppercase();
    IBAN_LENGTHS.split(' ').find_map(|entry| entry.strip_prefix(country.as_str()))?.parse().ok()
}

/// Where an IBAN of the country at the start of `run` would end.
pub(super) fn iban_end(run: &str) -> Option<usize> {
    let mut kept = run.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric());
    kept.nth(iban_length(run)? - 1).map(|(last, _)| last + 1)
}

/// Where the valid IBAN at the start of `run` (letters, digits, spaces, hyphens, dots) ends.
pub(super) fn iban(run: &str) -> Option<usize> {
    let length = iban_length(run)?;
    let kept: Vec<(usize, u8)> =
        run.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric()).take(length).collect();
    let end = kept.last()?.0 + 1;
    // Country and check digits count last.
    let turned = kept.iter().cycle().skip(4).take(kept.len());
    let rest = turned.fold(0_u32, |rest, &(_, byte)| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    (kept.len() == length && rest == 1).then_some(end)
}

/// Every country with the length of its IBANs.
#[cfg(test)]
pub(super) fn countries() -> impl Iterator<Item = (&'static str, usize)> {
    IBAN_LENGTHS.split_whitespace().filter_map(|entry| Some((entry.get(..2)?, entry.get(2..)?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first card in a run.
    fn first(run: &str) -> Option<Range<usize>> {
        let groups = groups(run);
        let fits = |first: usize| card(run, &groups[first..]).map(|count| (first, first + count - 1));
        let (first, last) = (0..groups.len()).find_map(fits)?;
        Some(groups[first].start..groups[last].end)
    }

    #[test]
    fn cards_by_issuer_and_sum() {
        for valid in
            ["4111111111111111", "5555-5555-5555-4444", "3782 822463 10005", "6011 1111 1111 1117", "2223003122003222"]
        {
            assert_eq!(first(valid), Some(0..valid.len()), "{valid}");
        }
        for wrong in
            ["4111 1111-1111.1111", "41 111 1111 1111111", "4111111111111112", "1234567890123452", "0000000000000000"]
        {
            assert_eq!(first(wrong), None, "{wrong}");
        }
        assert_eq!(first("12 4111 1111 1111 1111 7"), Some(3..22));
        assert_eq!(first("2024-11-22 4111 1111 1111 1111 5500 0055 5555 5559"), Some(11..30));
        assert_eq!(first(&"4111111111111111".repeat(2)), None);
    }

    #[test]
    fn ibans_by_country_and_remainder() {
        assert_eq!(iban("GB82 WEST 1234 5698 7654 32"), Some(27));
        assert_eq!(iban("DE89370400440532013000 EUR"), Some(22));
        assert_eq!(iban("NO9386011117947"), Some(15));
        assert_eq!(iban("GB82 WEST 1234 5698 7654 33"), None);
        assert_eq!(iban("ZZ82 WEST 1234 5698 7654 32"), None);
        assert_eq!(iban("GB82 WEST"), None);
        assert_eq!((iban_end("GB82 WEST 1234 5698 7654 33 x"), iban_end("GB82 WEST")), (Some(27), None));
    }
}
