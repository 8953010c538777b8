//! The text inside messages: who wrote it and where it stands.
//!
//! Read by exclusion: a backend may put any string of a message before its model, so the
//! guards see every one that is not known to be an id, a kind or binary data.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::judged::{Input, Part as JudgedText, Place, Source};
use super::keys;

/// One entry of `messages`, as much of it as carries text.
#[derive(Debug, Default)]
pub struct Message<'a> {
    pub role: Cow<'a, str>,
    pub content: Content<'a>,
    /// Strings beside `content`: names, refusals, tool calls, reasoning, whatever else.
    beside: Vec<Cow<'a, str>>,
}

/// A string, a list of parts, or nothing.
#[derive(Debug, Default)]
pub struct Content<'a>(pub Vec<ContentPart<'a>>);

/// One content part. Parts without text (images, audio, files) keep their place in the count.
#[derive(Debug, Default)]
pub struct ContentPart<'a> {
    kind: Option<Cow<'a, str>>,
    texts: Vec<Cow<'a, str>>,
}

/// Keys whose strings no model reads as words: identifiers, kinds, binary data and links.
const NOT_WORDS: [&str; 13] = [
    "role",
    "type",
    "id",
    "tool_call_id",
    "call_id",
    "index",
    "image_url",
    "input_audio",
    "audio",
    "file",
    "file_data",
    "data",
    "signature",
];

impl Message<'_> {
    /// System and developer prompts come from whoever operates the application; everything
    /// else can carry words of strangers.
    fn untrusted(&self) -> bool {
        !matches!(&*self.role, "system" | "developer")
    }

    fn source(&self) -> Source {
        match &*self.role {
            "user" => Source::User,
            "assistant" => Source::Assistant,
            "tool" | "function" => Source::Tool,
            _ => Source::Document,
        }
    }

    fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        let content = self.content.0.iter().enumerate();
        let content = content.flat_map(|(index, part)| part.texts.iter().map(move |text| (index, &**text)));
        // Text beside `content` is numbered after its parts.
        let beside = self.beside.iter().enumerate();
        content.chain(beside.map(|(index, text)| (self.content.0.len() + index, &**text)))
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
            ask: Some(index) == ask && part < message.content.0.len(),
            source: message.source(),
        })
    });
    Input { parts: parts.collect(), not_text: false }
}

/// Whether any message carries an image, and any an audio part.
pub fn media(messages: &[Message<'_>]) -> (bool, bool) {
    let any = |kind| messages.iter().any(|message| message.has(kind));
    (any("image_url") || any("input_image"), any("input_audio"))
}

/// Every string in a piece of JSON that may be words, decoded.
pub(super) fn words<'a>(raw: &'a RawValue, out: &mut Vec<Cow<'a, str>>) {
    match serde_json::from_str(raw.get()) {
        Ok(value) => walk(value, out),
        // Nested too deeply for a tree: judged as it is spelled.
        Err(_) => out.push(Cow::Borrowed(raw.get())),
    }
}

fn walk(value: Value, out: &mut Vec<Cow<'_, str>>) {
    match value {
        Value::String(text) => {
            // JSON in a string, as in tool arguments: its escapes hide words that the backend will see.
            let inner = text.contains('\\').then(|| serde_json::from_str::<Value>(&text)).and_then(Result::ok);
            out.push(Cow::Owned(text));
            if let Some(inner @ (Value::Object(_) | Value::Array(_))) = inner {
                walk(inner, out);
            }
        }
        Value::Array(items) => items.into_iter().for_each(|item| walk(item, out)),
        Value::Object(fields) => {
            let words = fields.into_iter().filter(|(key, _)| !NOT_WORDS.contains(&key.as_str()));
            words.for_each(|(_, value)| walk(value, out));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A string borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Message<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut message, mut role, mut seen) = (Message::default(), None, keys::Seen::default());
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    seen.check(&key, &["role", "content"])?;
                    match &*key {
                        "role" => role = Some(map.next_value::<Text<'de>>()?.0),
                        "content" => message.content = map.next_value()?,
                        key if NOT_WORDS.contains(&key) => drop(map.next_value::<IgnoredAny>()?),
                        _ => words(map.next_value()?, &mut message.beside),
                    }
                }
                message.role = role.ok_or_else(|| A::Error::missing_field("role"))?;
                Ok(message)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ContentPart<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = ContentPart<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content part object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut part, mut seen) = (ContentPart::default(), keys::Seen::default());
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    seen.check(&key, &["type", "text"])?;
                    match &*key {
                        "type" => part.kind = map.next_value::<Option<Text<'de>>>()?.map(|text| text.0),
                        "text" => {
                            let raw: &'de RawValue = map.next_value()?;
                            match serde_json::from_str::<Text<'de>>(raw.get()) {
                                Ok(text) => part.texts.push(text.0),
                                Err(_) => words(raw, &mut part.texts),
                            }
                        }
                        key if NOT_WORDS.contains(&key) => drop(map.next_value::<IgnoredAny>()?),
                        _ => words(map.next_value()?, &mut part.texts),
                    }
                }
                Ok(part)
            }
        }
        deserializer.deserialize_map(Fields)
    }
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
                Ok(vec![ContentPart { kind: None, texts: vec![Cow::Borrowed(text)] }])
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(vec![ContentPart { kind: None, texts: vec![Cow::Owned(text.to_owned())] }])
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
            source: Source::User,
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
