//! What a graph gives, and what the model is for. Its name, its files and its graph must not
//! contradict each other.

use super::ImportError;
use super::labels::Labels;
use super::source::{self, Source};
use super::spelling;
use super::trial::Shape;
use crate::minds::Task;
use crate::minds::engine::{Output, Session};
use crate::minds::manifest::{PoolBy, Pooling};
use crate::minds::reading::Reader;

/// Outputs that classify, then outputs that embed.
const LOGITS: &str = "logits";
const VECTORS: [&str; 4] = ["sentence_embedding", "embedding", "last_hidden_state", "token_embeddings"];

/// The output to use. `embeds`: vectors are wanted, not labels.
pub(super) fn output(outputs: &[Output], embeds: bool) -> Result<Output, String> {
    let called = |name: &str| outputs.iter().find(|output| output.name == name);
    let logits = if embeds { None } else { called(LOGITS) };
    let known = logits.or_else(|| VECTORS.iter().find_map(|name| called(name)));
    let found = known.or(match outputs {
        [only] => Some(only),
        _ => None,
    });
    let list = || outputs.iter().map(|output| format!("`{}`", output.name)).collect::<Vec<_>>().join(", ");
    let found = found.ok_or_else(|| format!("none of its outputs is called `{LOGITS}`; it has {}", list()))?;
    if embeds && found.name == LOGITS {
        return Err(
            "it classifies: its only output is `logits`; similarity needs hidden states or an embedding".to_owned()
        );
    }
    match (found.bits, found.shape.len()) {
        (None, _) => Err(format!("its output `{}` is not made of 16 or 32 bit floats", found.name)),
        (_, 2 | 3) => Ok(found.clone()),
        (_, rank) => Err(format!(
            "its output `{}` has {rank} dimensions, not texts x labels or texts x tokens x labels",
            found.name
        )),
    }
}

/// What the chosen output gives, measured where the graph does not declare it.
pub(super) fn shape(session: &mut Session, reader: &Reader, output: &Output) -> Result<Shape, String> {
    let per_token = output.shape.len() == 3;
    if let Some(width) = output.shape.last().and_then(|&width| usize::try_from(width).ok()).filter(|&width| width > 0) {
        return Ok(Shape { width, per_token });
    }
    let window = reader.framed(&[]);
    let rows = session.run(std::slice::from_ref(&window), 0).map_err(|error| error.to_string())?;
    let values = rows.first().and_then(|row| row.first()).map_or(0, Vec::len);
    Ok(Shape { width: if per_token { values / window.len().max(1) } else { values }, per_token })
}

/// What the model is for: as `asked`, as `named`, or as its files say.
pub(super) fn task(
    asked: Option<Task>,
    named: Option<Task>,
    labels: Option<&Labels>,
    output: &Output,
    shape: Shape,
) -> Result<Task, String> {
    let mapped = labels.and_then(|labels| labels.task);
    if let (None, Some(named), Some(mapped)) = (asked, named, mapped)
        && named != mapped
    {
        return Err(format!("the name says {named}, the mapping file {mapped}; which is it? say so with --task"));
    }
    let guessed = || match (shape.per_token, labels) {
        (_, None) => (output.name != LOGITS).then_some(Task::Similarity),
        (true, Some(_)) if output.name == LOGITS => Some(Task::Pii),
        (_, Some(labels)) => spelling::task_of_labels(&labels.names),
    };
    let found = named.or(mapped).or_else(guessed).ok_or(
        "neither the name nor the files say what it is for; say so with --task intent, jailbreak, pii or similarity",
    )?;
    match (found, shape.per_token) {
        (Task::Pii, false) => Err("its answer is one for the whole text, which does not say where personal data \
                                   stands; pii needs a token classifier"
            .to_owned()),
        (Task::Intent | Task::Jailbreak, true) => {
            Err(format!("it answers for each token; {found} needs a classifier of whole texts"))
        }
        _ => Ok(found),
    }
}

/// As `sentence-transformers` notes it; the mean where it does not.
pub(super) fn pooling(source: &Source, width: usize) -> Result<Pooling, ImportError> {
    let noted = source::json(&source.folder.join("1_Pooling/config.json"))?.unwrap_or_default();
    let by = if noted["pooling_mode_cls_token"] == true { PoolBy::First } else { PoolBy::Mean };
    Ok(Pooling { by, width })
}
