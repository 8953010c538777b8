//! Letters that pass for Latin ones. Pure.
//!
//! Cyrillic, Greek and Armenian letters count as disguise only inside a word that has plain
//! Latin letters too: an honest foreign word stays what it is.

/// Letters of other alphabets, each with the Latin one that it is drawn like (after the
/// "confusables" of Unicode UTS 39, letters only).
const FOREIGN: &[(&str, &str)] = &[
    ("аеорсухіјѕһԁԛԝѵкмтвнгпи", "aeopcyxijshdqwvkmtbhrnn"),
    ("АВЕКМНОРСТУХІЈЅԌԚԜЗ", "ABEKMHOPCTYXIJSGQWZ"),
    ("αβγεηικνορτυχωϲϳ", "abyenikvoptuxwcj"),
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "ABEZHIKMNOPTYXC"),
    ("оսհցզթաՏՕԱ", "ouhgqpwSOU"),
];

/// Small capitals and other Latin letters that no tokenizer knows as what they look like.
const DRESSED: (&str, &str) = ("ᴀʙᴄᴅᴇꜰғɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢɑɡɩıȷʋⱱℓ", "abcdeffghijklmnopqrstuvwyzagiijvvl");

/// The plain letter for one in fancy dress: small capitals, letters in black circles or squares.
pub(super) fn undressed(c: char) -> Option<char> {
    match u32::from(c) {
        code @ 0x1F150..=0x1F169 => char::from_u32(code - 0x1F150 + 0x41),
        code @ 0x1F170..=0x1F189 => char::from_u32(code - 0x1F170 + 0x41),
        _ => pair(c, DRESSED.0, DRESSED.1),
    }
}

/// The Latin letter that a foreign one looks like.
pub(super) fn latin(c: char) -> Option<char> {
    if !matches!(u32::from(c), 0x370..=0x58F) {
        return None;
    }
    FOREIGN.iter().find_map(|(foreign, latin)| pair(c, foreign, latin))
}

fn pair(c: char, from: &str, to: &str) -> Option<char> {
    if c.is_ascii() {
        return None;
    }
    from.chars().zip(to.chars()).find(|&(foreign, _)| foreign == c).map(|(_, latin)| latin)
}

/// Replaces look-alikes in words that mix alphabets, character for character. Whether any was.
pub(super) fn replace(text: &mut String) -> bool {
    if !text.chars().any(|c| matches!(u32::from(c), 0x370..=0x58F)) {
        return false;
    }
    let letters: Vec<char> = text.chars().collect();
    let mut out = letters.clone();
    let mut changed = false;
    let mut start = 0;
    while start < letters.len() {
        let end =
            letters[start..].iter().position(|c| !c.is_alphanumeric()).map_or(letters.len(), |length| start + length);
        let word = &letters[start..end];
        // One Latin letter beside a Greek one is a formula: `αx`.
        let mixed = word.iter().filter(|c| c.is_ascii_alphabetic()).count() >= 2;
        if mixed && word.iter().all(|&c| c.is_ascii() || latin(c).is_some()) && word.iter().any(|c| !c.is_ascii()) {
            for (out, &c) in out[start..end].iter_mut().zip(word) {
                *out = latin(c).unwrap_or(c);
            }
            changed = true;
        }
        start = end + 1;
    }
    if changed {
        *text = out.into_iter().collect();
    }
    changed
}
