//! The text inside messages: who wrote it and where it stands.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::judged::{Input, Part as JudgedText, Place};

/// One entry of `messages`, as much of it as carries text.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a message object")]
pub struct Message<'a> {
    #[serde(borrow)]
    pub role: Cow<'a, str>,
    #[serde(borrow, default)]
    pub content: Content<'a>,
    #[serde(borrow, default)]
    pub refusal: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow, default)]
    pub function_call: Option<Function<'a>>,
}

/// A string, a list of parts, or nothing.
#[derive(Debug, Default)]
pub struct Content<'a>(pub Vec<ContentPart<'a>>);

/// One content part. Parts without text (images, audio, files) keep their place in the count.
#[derive(Debug, Default, Deserialize)]
pub struct ContentPart<'a> {
    #[serde(borrow, default, rename = "type")]
    pub kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub refusal: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
pub struct ToolCall<'a> {
    #[serde(borrow, default)]
    pub function: Option<Function<'a>>,
    /// Custom tools carry free text.
    #[serde(borrow, default)]
    pub custom: Option<Custom<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct Function<'a> {
    #[serde(borrow, default)]
    pub arguments: Option<Loose<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct Custom<'a> {
    #[serde(borrow, default)]
    pub input: Option<Loose<'a>>,
}

/// Text that some clients send as plain JSON: read as a string, else as its own spelling.
#[derive(Debug)]
pub struct Loose<'a>(Cow<'a, str>);

impl Message<'_> {
    /// System and developer prompts come from whoever operates the application; everything
    /// else can carry words of strangers.
    fn untrusted(&self) -> bool {
        !matches!(&*self.role, "system" | "developer")
    }

    fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        let content = self.content.0.iter().enumerate().flat_map(|(index, part)| {
            let texts = [part.text.as_deref(), part.refusal.as_deref()];
            texts.into_iter().flatten().map(move |text| (index, text))
        });
        let calls = self.tool_calls.iter().flatten().flat_map(|call| {
            let arguments = call.function.as_ref().and_then(|function| function.arguments.as_ref());
            let input = call.custom.as_ref().and_then(|custom| custom.input.as_ref());
            [arguments, input].into_iter().flatten()
        });
        let legacy = self.function_call.iter().filter_map(|function| function.arguments.as_ref());
        let calls = calls.chain(legacy).map(|text| &*text.0);
        let beside = self.refusal.as_deref().into_iter().chain(calls).enumerate();
        // Text beside `content` is numbered after its parts.
        content.chain(beside.map(|(index, text)| (self.content.0.len() + index, text)))
    }

    fn has(&self, kind: &str) -> bool {
        self.content.0.iter().any(|part| part.kind.as_deref() == Some(kind))
    }
}

/// What the minds read of a conversation: the last user message's own words are the ask,
/// everything but operator prompts is guarded.
pub fn judged(messages: &[Message<'_>]) -> Input {
    let ask = messages.iter().rposition(|message| message.role == "user");
    let parts = messages.iter().enumerate().flat_map(|(index, message)| {
        message.texts().map(move |(part, text)| JudgedText {
            place: Some(Place { message: index, part }),
            text: text.to_owned(),
            guarded: message.untrusted(),
            ask: Some(index) == ask,
        })
    });
    Input { parts: parts.collect(), not_text: false }
}

/// Whether any message carries an image, and any an audio part.
pub fn media(messages: &[Message<'_>]) -> (bool, bool) {
    let any = |kind| messages.iter().any(|message| message.has(kind));
    (any("image_url") || any("input_image"), any("input_audio"))
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = Vec<ContentPart<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of content parts")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(vec![ContentPart { text: Some(Cow::Borrowed(text)), ..ContentPart::default() }])
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(vec![ContentPart { text: Some(Cow::Owned(text.to_owned())), ..ContentPart::default() }])
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_any(Parts).map(Content)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(Self(serde_json::from_str::<Text<'de>>(raw).map_or(Cow::Borrowed(raw), |text| text.0)))
    }
}

/// `prompt` of completions and `input` of embeddings: texts, or token ids nobody can read.
#[derive(Debug, Default)]
pub struct Prompt<'a> {
    pub texts: Vec<Cow<'a, str>>,
    pub token_ids: bool,
}

impl Prompt<'_> {
    pub fn judged(&self) -> Input {
        let parts = self.texts.iter().enumerate().map(|(index, text)| JudgedText {
            place: Some(Place { message: 0, part: index }),
            text: text.clone().into_owned(),
            guarded: true,
            ask: true,
        });
        Input { parts: parts.collect(), not_text: self.token_ids }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Prompt<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Prompt<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings, or token ids")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Prompt { texts: vec![Cow::Borrowed(text)], token_ids: false })
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Prompt { texts: vec![Cow::Owned(text.to_owned())], token_ids: false })
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Prompt::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut prompt = Prompt::default();
                while let Some(item) = seq.next_element::<Item<'de>>()? {
                    match item {
                        Item::Text(text) => prompt.texts.push(text),
                        Item::Token(_) | Item::Tokens(_) => prompt.token_ids = true,
                    }
                }
                Ok(prompt)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Token(#[expect(dead_code, reason = "token ids are counted as unreadable, not read")] u32),
    Tokens(#[expect(dead_code, reason = "token ids are counted as unreadable, not read")] Vec<IgnoredAny>),
}
