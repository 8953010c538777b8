//! Names of minds: `mom-{category}-{size}` and `mom-expert-{domain}-{size}`.
//!
//! Parsed by pattern, never matched against a list: a user adds `mom-expert-law-flash`
//! by adding a folder.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A parsed name; `Display` gives the original spelling back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct MindName {
    pub kind: Kind,
    pub size: Size,
}

/// What a mind is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Category(String),
    Expert { domain: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    Flash,
    Pro,
    Max,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a mind's name; expected mom-CATEGORY-SIZE or mom-expert-DOMAIN-SIZE, SIZE one of flash, pro, max"
)]
pub struct WrongName(String);

impl MindName {
    /// The section of the configuration that a decoder of this name has: the name without `mom-`,
    /// and without `flash`, which is the size that needs no saying.
    pub fn role(&self) -> String {
        let name = self.to_string();
        let role = name.strip_prefix("mom-").unwrap_or(&name);
        role.strip_suffix("-flash").unwrap_or(role).to_owned()
    }
}

impl FromStr for MindName {
    type Err = WrongName;

    fn from_str(text: &str) -> Result<Self, WrongName> {
        parse(text).ok_or_else(|| WrongName(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<MindName> {
    let (middle, size) = text.strip_prefix("mom-")?.rsplit_once('-')?;
    let size = match size {
        "flash" => Size::Flash,
        "pro" => Size::Pro,
        "max" => Size::Max,
        _ => return None,
    };
    let word = |part: &str| {
        let plain = part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        (plain && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')).then(|| part.to_owned())
    };
    let kind = match middle.strip_prefix("expert-") {
        Some(domain) => Kind::Expert { domain: word(domain)? },
        None if middle == "expert" => return None,
        None => Kind::Category(word(middle)?),
    };
    Some(MindName { kind, size })
}

impl TryFrom<String> for MindName {
    type Error = WrongName;

    fn try_from(text: String) -> Result<Self, WrongName> {
        text.parse()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flash => "flash",
            Self::Pro => "pro",
            Self::Max => "max",
        })
    }
}

impl fmt::Display for MindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Category(category) => write!(f, "mom-{category}-{}", self.size),
            Kind::Expert { domain } => write!(f, "mom-expert-{domain}-{}", self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_category_and_domain_is_a_name() {
        for name in ["mom-brain-flash", "mom-expert-law-flash", "mom-expert-real-estate-pro", "mom-tone-max"] {
            assert_eq!(name.parse::<MindName>().unwrap().to_string(), name);
        }
        let law: MindName = "mom-expert-law-flash".parse().unwrap();
        assert_eq!(law.kind, Kind::Expert { domain: "law".into() });
    }

    #[test]
    fn other_spellings_are_refused() {
        for name in [
            "",
            "mom",
            "mom-brain",
            "mom-flash",
            "mom--flash",
            "mom-expert-flash",
            "mom-Brain-flash",
            "brain-flash",
            "mom-brain-huge",
            "mom-../x-flash",
            "mom-a--flash",
        ] {
            assert!(name.parse::<MindName>().is_err(), "{name}");
        }
    }
}
