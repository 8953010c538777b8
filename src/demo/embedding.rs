//! Deterministic stand-ins for embeddings: a digest as a unit vector. They mean nothing.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{FINGERPRINT, tokens};

const DIMENSIONS: usize = 8;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The `/v1/embeddings` answer for `input`: one text or token list, or an array of them.
pub(super) fn list(input: &Value, model: &str, base64: bool) -> Value {
    let inputs = match input {
        Value::Array(items) if !items.iter().all(Value::is_number) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = embed(&input.to_string());
            let embedding = if base64 { json!(encode(&vector)) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let prompt_tokens: u64 = inputs.iter().map(|input| tokens(&input.to_string())).sum();
    json!({
        "object": "list", "data": data, "model": model, "system_fingerprint": FINGERPRINT,
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
    })
}

fn embed(text: &str) -> [f32; DIMENSIONS] {
    let digest = Sha256::digest(text.as_bytes());
    let mut vector: [f32; DIMENSIONS] = std::array::from_fn(|index| f32::from(digest[index]) - 127.5);
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
    vector
}

/// Little-endian floats in base64, what the official clients ask for by default.
fn encode(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = if place > group.len() { b'=' } else { BASE64[(word >> (18 - 6 * place)) as usize & 63] };
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_and_embeddings_are_unit_length() {
        assert_eq!(encode(&[1.0]), "AACAPw==");
        assert_eq!(encode(&[1.0, -2.0]), "AACAPwAAAMA=");
        let length: f32 = embed("hello").iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }

    #[test]
    fn embeddings_say_that_they_are_a_demo() {
        assert_eq!(list(&json!("a"), "m", false)["system_fingerprint"], "fp_demo");
    }

    #[test]
    fn a_token_list_is_one_input_and_a_list_of_texts_is_many() {
        assert_eq!(list(&json!([1, 2, 3]), "m", false)["data"].as_array().unwrap().len(), 1);
        assert_eq!(list(&json!(["a", "b"]), "m", false)["data"].as_array().unwrap().len(), 2);
        assert_eq!(list(&json!([[1], [2], [3]]), "m", false)["data"].as_array().unwrap().len(), 3);
    }
}
