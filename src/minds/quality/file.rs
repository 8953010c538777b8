//! A predictor's numbers on disk: one file of safetensors. Names of models stand in its metadata.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use half::f16;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};

use super::{Difficulty, Group, Landmarks, Predictor, SIGNS};

/// Why weights cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Format(#[from] SafeTensorError),
    #[error("{0}")]
    Metadata(#[from] serde_json::Error),
    #[error("`{0}` is missing, or does not fit the others")]
    Shape(String),
}

/// Bytes and shape of one tensor.
struct Tensor {
    shape: Vec<usize>,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Tensor {
    fn full(width: usize, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { shape: vec![values.len() / width.max(1), width], dtype: Dtype::F32, bytes }
    }

    fn half(width: usize, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        Self { shape: vec![values.len() / width.max(1), width], dtype: Dtype::F16, bytes }
    }
}

/// As a value reads back after it was kept in 16 bits.
pub fn kept(value: f32) -> f32 {
    f16::from_f32(value).to_f32()
}

impl Predictor {
    /// Landmarks are kept in 16 bits: round them with [`kept`] before weights are fitted to them.
    pub fn write(&self, path: &Path) -> Result<(), WeightsError> {
        let mut tensors = BTreeMap::from([
            ("difficulty.weights".to_owned(), Tensor::full(self.difficulty.weights.len(), &self.difficulty.weights)),
            ("difficulty.bias".to_owned(), Tensor::full(1, &[self.difficulty.bias])),
        ]);
        for (index, group) in self.groups.iter().enumerate() {
            let (marks, models) = (&group.landmarks, group.models.len());
            let (width, meaning) = (marks.mean.len(), marks.embeddings.len() / marks.len().max(1));
            let unknown = vec![f32::NAN; width + 2];
            let lengths: Vec<f32> = (group.lengths.iter())
                .flat_map(|length| if length.is_empty() { &unknown } else { length })
                .copied()
                .collect();
            let parts = [
                ("mean", Tensor::full(width, &marks.mean)),
                ("scale", Tensor::full(width, &marks.scale)),
                ("shapes", Tensor::half(width, &marks.shapes)),
                ("embeddings", Tensor::half(meaning, &marks.embeddings)),
                ("weights", Tensor::full(models, &group.weights)),
                ("lines", Tensor::full(2, group.lines.as_flattened())),
                ("lengths", Tensor::full(width + 2, &lengths)),
                ("near", Tensor::full(1, &[group.near])),
            ];
            tensors.extend(parts.map(|(name, tensor)| (format!("{index}.{name}"), tensor)));
        }
        let models: Vec<Vec<&str>> =
            self.groups.iter().map(|group| group.models.iter().map(|model| &**model).collect()).collect();
        let metadata = HashMap::from([("models".to_owned(), serde_json::to_string(&models)?)]);
        let views: Result<Vec<_>, SafeTensorError> = (tensors.iter())
            .map(|(name, tensor)| Ok((name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)?)))
            .collect();
        Ok(fs::write(path, safetensors::serialize(views?, Some(metadata))?)?)
    }

    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = fs::read(path)?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes)?;
        let models = metadata.metadata().as_ref().and_then(|metadata| metadata.get("models"));
        let models: Vec<Vec<String>> = serde_json::from_str(models.map_or("", String::as_str))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let all = |name: &str| values(&tensors, name, None);
        let [bias] = all("difficulty.bias")?[..] else { return Err(WeightsError::Shape("difficulty.bias".into())) };
        let difficulty = Difficulty { weights: values(&tensors, "difficulty.weights", Some(SIGNS))?, bias };
        let groups = models.into_iter().enumerate().map(|(index, models)| group(&tensors, index, models));
        Ok(Self { difficulty, groups: groups.collect::<Result<_, _>>()? })
    }
}

fn group(tensors: &SafeTensors<'_>, index: usize, models: Vec<String>) -> Result<Group, WeightsError> {
    let all = |name: &str| values(tensors, &format!("{index}.{name}"), None);
    let of = |name: &str, count: usize| values(tensors, &format!("{index}.{name}"), Some(count));
    let mean = all("mean")?;
    let width = mean.len();
    let shapes = all("shapes")?;
    let count = shapes.len() / width.max(1);
    let embeddings = all("embeddings")?;
    if width == 0 || count == 0 || shapes.len() != count * width || embeddings.len() % count != 0 || models.is_empty() {
        return Err(WeightsError::Shape(format!("{index}.shapes")));
    }
    let [near] = of("near", 1)?[..] else { return Err(WeightsError::Shape(format!("{index}.near"))) };
    let lengths = of("lengths", models.len() * (width + 2))?;
    let lengths = lengths.chunks_exact(width + 2).map(|one| if one[0].is_nan() { Vec::new() } else { one.to_vec() });
    Ok(Group {
        landmarks: Landmarks { scale: of("scale", width)?, mean, shapes, embeddings },
        weights: of("weights", count * models.len())?,
        lines: of("lines", 2 * models.len())?.as_chunks::<2>().0.to_vec(),
        lengths: lengths.collect(),
        models: models.into_iter().map(Arc::from).collect(),
        near,
    })
}

/// A tensor's values, `count` of them where that is known.
fn values(tensors: &SafeTensors<'_>, name: &str, count: Option<usize>) -> Result<Vec<f32>, WeightsError> {
    let tensor = tensors.tensor(name)?;
    let bytes = tensor.data();
    let values: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => bytes.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        _ => return Err(WeightsError::Shape(name.to_owned())),
    };
    match count {
        Some(count) if count != values.len() => Err(WeightsError::Shape(name.to_owned())),
        _ => Ok(values),
    }
}
