//! What `config.json` and the tokenizer's files say about a model, and which kinds of model
//! are no encoder for us.

use serde_json::Value;

use super::ImportError;
use super::source::{self, Source};

/// Windows longer than this cost more than they tell; `--max-tokens` asks for more.
const WINDOW: usize = 512;

/// From this many entries on a vocabulary was made for many scripts: XLM-R has 250,000 and
/// mmBERT 256,000, the English ones at most 128,000.
const MANY_SCRIPTS: u64 = 150_000;

/// Families that read from left to right only, or write.
const DECODERS: [&str; 22] = [
    "bart", "bloom", "codegen", "cohere", "falcon", "gemma", "gpt", "granite", "internlm", "llama", "mamba", "mistral",
    "mixtral", "mpt", "olmo", "opt", "phi", "qwen", "rwkv", "smollm", "stablelm", "t5",
];

/// Ends of architecture names that are no classifier and no encoder.
const HEADS: [&str; 5] =
    ["ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "ForMaskedLM", "ForQuestionAnswering"];

#[derive(Debug)]
pub(super) struct Model {
    pub(super) architecture: Option<String>,
    /// What it was trained from, or else its family.
    pub(super) base: String,
    pub(super) vocabulary: Option<u64>,
    /// Tokens it has positions for.
    pub(super) positions: Option<usize>,
    /// Tokens it was meant to be given, if the tokenizer's files say so.
    meant: Option<usize>,
    pub(super) pad_id: Option<u32>,
    pub(super) exported_by: Option<String>,
}

impl Model {
    pub(super) fn read(source: &Source) -> Result<Self, ImportError> {
        let config = &source.config;
        let path = source.folder.join("config.json");
        let text = |key: &str| config[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let architecture = config["architectures"][0].as_str().map(str::to_owned);
        let family = text("model_type").unwrap_or_default();
        if let Some(fault) = fault(config, &family, architecture.as_deref()) {
            return Err(ImportError::refused(path, fault));
        }
        let whole = |value: &Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
        let kept = if family.contains("roberta") { 2 } else { 0 };
        let positions = whole(&config["max_position_embeddings"]).map(|positions| positions.saturating_sub(kept));
        Ok(Self {
            base: text("_name_or_path").or_else(|| text("model_type")).unwrap_or_else(|| "unknown".to_owned()),
            vocabulary: config["vocab_size"].as_u64(),
            positions: positions.filter(|&positions| positions > 0),
            meant: meant(source)?,
            pad_id: config["pad_token_id"].as_u64().and_then(|id| u32::try_from(id).ok()),
            exported_by: text("transformers_version"),
            architecture,
        })
    }

    /// Tokens of one window, special ones included.
    pub(super) fn window(&self, asked: Option<usize>) -> Result<usize, String> {
        match (asked, self.positions) {
            (Some(asked), Some(positions)) if asked > positions => {
                Err(format!("--max-tokens {asked} is more than the model's {positions} positions"))
            }
            (Some(asked), _) if asked < 16 => Err("--max-tokens must be at least 16".to_owned()),
            (Some(asked), _) => Ok(asked),
            (None, positions) => {
                let limits = [positions, self.meant];
                Ok(limits.into_iter().flatten().fold(WINDOW, usize::min).max(16))
            }
        }
    }

    /// The scripts that it reads, unless the user knows better.
    pub(super) fn scripts(&self) -> Vec<String> {
        let many =
            self.vocabulary.is_some_and(|size| size >= MANY_SCRIPTS) || self.base.to_lowercase().contains("mmbert");
        vec![if many { "Any" } else { "Latin" }.to_owned()]
    }
}

/// Why such a model cannot be a mind.
fn fault(config: &Value, family: &str, architecture: Option<&str>) -> Option<String> {
    let head = architecture.and_then(|name| HEADS.iter().find(|head| name.ends_with(**head)).map(|_| name));
    if let Some(name) = head {
        return Some(format!("{name} neither classifies nor embeds; sequence and token classifiers and encoders do"));
    }
    if config["problem_type"] == "multi_label_classification" {
        return Some("it gives several labels at once (problem_type); the minds' labels exclude each other".to_owned());
    }
    let decoder = DECODERS.iter().any(|known| family.starts_with(known))
        || ["is_decoder", "is_encoder_decoder"].iter().any(|key| config[key] == true);
    decoder.then(|| format!("a model of the family `{family}` is a decoder; this imports encoders such as ModernBERT"))
}

/// The shortest limit that the tokenizer's files name.
fn meant(source: &Source) -> Result<Option<usize>, ImportError> {
    let own = source::json(&source.tokenizer)?;
    let beside = source::json(&source.tokenizer.with_file_name("tokenizer_config.json"))?;
    let limits = [
        own.as_ref().map(|file| &file["truncation"]["max_length"]),
        beside.as_ref().map(|file| &file["model_max_length"]),
    ];
    // "No limit" is written as 10^30, which is no u64.
    Ok(limits.into_iter().flatten().filter_map(Value::as_u64).filter_map(|limit| usize::try_from(limit).ok()).min())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decoders_and_language_models_are_refused() {
        let fault = |family: &str, architecture: &str| fault(&json!({}), family, Some(architecture));
        assert!(fault("qwen3", "Qwen3ForSequenceClassification").unwrap().contains("decoder"));
        assert!(fault("modernbert", "ModernBertForMaskedLM").unwrap().contains("ForMaskedLM"));
        assert_eq!(fault("modernbert", "ModernBertForTokenClassification"), None);
        assert_eq!(fault("deberta-v2", "DebertaV2ForSequenceClassification"), None);
        assert!(super::fault(&json!({"is_encoder_decoder": true}), "new", None).is_some());
        let several = json!({"problem_type": "multi_label_classification"});
        assert!(super::fault(&several, "modernbert", None).unwrap().contains("several labels"));
    }

    #[test]
    fn windows_stay_within_the_model() {
        let model = |positions, meant| Model {
            architecture: None,
            base: String::new(),
            vocabulary: None,
            positions,
            meant,
            pad_id: None,
            exported_by: None,
        };
        assert_eq!(model(Some(8192), None).window(None), Ok(512));
        assert_eq!(model(Some(8192), Some(256)).window(None), Ok(256));
        assert_eq!(model(Some(128), None).window(None), Ok(128));
        assert_eq!(model(Some(8192), Some(256)).window(Some(1024)), Ok(1024));
        assert!(model(Some(128), None).window(Some(129)).unwrap_err().contains("128 positions"));
        assert!(model(None, None).window(Some(4)).is_err());
    }
}
