//! ONNX Runtime: finding the library, opening graphs, running them. The only file that
//! knows `ort`.
//!
//! A [`Session`] belongs to one thread at a time; nothing here locks.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ort::ep;
use ort::logging::LogLevel;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{self, RunOptions, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorElementType, TensorRef, ValueType};

use crate::config::Provider;

mod places;

use places::{LIBRARY, find, places};

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "the ONNX Runtime library was not found (looked for {LIBRARY} in: {}); run `make setup`, or set ORT_DYLIB_PATH",
        list(.0)
    )]
    NoLibrary(Vec<PathBuf>),
    #[error("{path}: not a usable ONNX Runtime library: {message}; run `make setup`")]
    BadLibrary { path: PathBuf, message: String },
    #[error("{path}: {message}")]
    Graph { path: PathBuf, message: String },
    #[error("it takes {:.1} ms for a window, one core of the CPU {:.1} ms", millis(.per_window), millis(.on_a_core))]
    Slow { per_window: Duration, on_a_core: Duration },
    #[error("inference failed: {0}")]
    Run(#[from] ort::Error),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn millis(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The loaded library.
#[derive(Clone)]
pub(super) struct Runtime(ort::environment::Environment);

/// The library allows one environment in a process.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Faults come back as errors; from here on the library does not print them as well.
    pub(super) fn hush(&self) {
        self.0.set_log_level(LogLevel::Fatal);
    }

    /// Finds and loads the library. A process loads it once; later calls reuse it.
    pub(super) fn load() -> Result<Self, EngineError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref() {
            return Ok(runtime.clone());
        }
        let path = find(&places())?;
        let bad = |message: String| EngineError::BadLibrary { path: path.clone(), message };
        let builder = ort::init_from(&path).map_err(|error| bad(error.to_string()))?;
        let environment =
            builder.with_name("mom").with_telemetry(false).build().map_err(|error| bad(error.to_string()))?;
        Ok(loaded.insert(Self(environment)).clone())
    }
}

/// The library in use, and what it says of its build. Nothing before a mind was loaded.
pub fn library() -> Option<String> {
    LOADED.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?;
    let path = find(&places()).ok()?;
    Some(format!("{} ({})", path.display(), ort::info().trim_start_matches("ORT Build Info: ")))
}

/// How to open a graph.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) provider: Provider,
    /// Providers that may take the parts of the graph that `provider` cannot, before the CPU does.
    pub(super) helpers: Vec<Provider>,
    /// Threads of one forward pass.
    pub(super) threads: usize,
    /// Most sequences of a pass, and most tokens of a sequence.
    pub(super) largest: [usize; 2],
    /// Graph outputs to compute, in the order [`Session::run`] returns them.
    pub(super) outputs: Vec<String>,
}

impl Options {
    /// On one core.
    pub(super) fn one_core(outputs: Vec<String>) -> Self {
        Self { provider: Provider::Cpu, helpers: Vec::new(), threads: 1, largest: [1; 2], outputs }
    }
}

/// One graph, ready to run.
pub(super) struct Session {
    session: session::Session,
    options: RunOptions<session::HasSelectedOutputs>,
    outputs: Vec<String>,
    inputs: Vec<Fed>,
    pub(super) provider: Provider,
}

/// An input that the graph asks for.
#[derive(Clone, Copy)]
struct Fed {
    name: &'static str,
    /// In 32 bits, as some exports have it.
    narrow: bool,
}

/// Every input that can be given; the last one is all zeros, and some graphs do without it.
const INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// One output as the graph declares it.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) name: String,
    /// `None` where it is no tensor of 16 or 32 bit floats.
    pub(super) bits: Option<u8>,
    /// -1 where it depends on the input.
    pub(super) shape: Vec<i64>,
}

/// Sequences of token ids for one forward pass, frames included.
pub(super) type Batch<'a> = &'a [Vec<i64>];

/// What the graph said about one sequence: one vector per output. Token-level outputs are
/// `tokens x width`, without padding.
pub(super) type Row = Vec<Vec<f32>>;

/// What answers batches: an encoder's graph, or a decoder's base with the heads on it.
pub(super) trait Forward: Send {
    /// One forward pass over all sequences of the batch; a row for each.
    fn run(&mut self, batch: Batch<'_>, padding: i64) -> Result<Vec<Row>, EngineError>;

    /// What it runs on.
    fn provider(&self) -> Provider;
}

/// Whether every value is a number: an overflow in the graph is none.
pub(super) fn finite(row: &Row) -> bool {
    row.iter().flatten().all(|value| value.is_finite())
}

/// How long the threads of a pass over several cores look for more work before they sleep. It
/// is what a lone request may cost each other core beyond its own work.
pub(super) const AWAKE: Duration = Duration::from_micros(700);

impl Session {
    pub(super) fn open(runtime: &Runtime, graph: &Path, options: &Options) -> Result<Self, EngineError> {
        let fault = |message: String| EngineError::Graph { path: graph.to_owned(), message };
        let session = open(runtime, graph, options).map_err(|error| fault(error.to_string()))?;
        let inputs = inputs(&session).map_err(fault)?;
        let run = RunOptions::new()?.with_outputs(session::OutputSelector::no_default());
        let mut session = Self { session, options: run, outputs: Vec::new(), inputs, provider: options.provider };
        session.choose(&options.outputs).map_err(fault)?;
        Ok(session)
    }

    /// Sets which outputs to compute.
    pub(super) fn choose(&mut self, outputs: &[String]) -> Result<(), String> {
        let declared = self.outputs();
        for name in outputs {
            match declared.iter().find(|output| output.name == *name) {
                None => return Err(format!("the graph has no output `{name}`")),
                Some(output) if output.bits.is_none() => {
                    return Err(format!("the output `{name}` is not made of 16 or 32 bit floats"));
                }
                Some(_) => {}
            }
        }
        let selected = outputs.iter().fold(session::OutputSelector::no_default(), session::OutputSelector::with);
        self.options = RunOptions::new().map_err(|error| error.to_string())?.with_outputs(selected);
        self.outputs = outputs.to_vec();
        Ok(())
    }

    /// Every output of the graph.
    pub(super) fn outputs(&self) -> Vec<Output> {
        let declared = |output: &ort::value::Outlet| {
            let (bits, shape) = match output.dtype() {
                ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => (Some(32), shape.to_vec()),
                ValueType::Tensor { ty: TensorElementType::Float16, shape, .. } => (Some(16), shape.to_vec()),
                _ => (None, Vec::new()),
            };
            Output { name: output.name().to_owned(), bits, shape }
        };
        self.session.outputs().iter().map(declared).collect()
    }

    /// One forward pass. Sequences are padded with `padding` to the longest.
    pub(super) fn run(&mut self, batch: Batch<'_>, padding: i64) -> Result<Vec<Row>, EngineError> {
        let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
        let shape = [batch.len(), longest];
        let mut ids = Vec::with_capacity(batch.len() * longest);
        let mut mask = Vec::with_capacity(batch.len() * longest);
        for sequence in batch {
            ids.extend_from_slice(sequence);
            ids.resize(ids.len() + longest - sequence.len(), padding);
            mask.resize(mask.len() + sequence.len(), 1_i64);
            mask.resize(ids.len(), 0);
        }
        let kinds = if self.inputs.len() > 2 { vec![0; ids.len()] } else { Vec::new() };
        let columns = [&ids, &mask, &kinds];
        let inputs =
            self.inputs.iter().zip(columns).map(|(input, values)| Ok((input.name, input.tensor(shape, values)?)));
        let inputs = inputs.collect::<Result<Vec<_>, ort::Error>>()?;
        let results = self.session.run_with_options(inputs, &self.options)?;
        let mut rows: Vec<Row> = batch.iter().map(|_| Vec::with_capacity(self.outputs.len())).collect();
        for name in &self.outputs {
            let (rank, values) = floats(&results[name.as_str()])?;
            let per_row = values.len() / batch.len().max(1);
            let per_token = rank == 3;
            for (index, (row, sequence)) in rows.iter_mut().zip(batch).enumerate() {
                let whole = &values[index * per_row..(index + 1) * per_row];
                let kept = if per_token { per_row / longest.max(1) * sequence.len() } else { per_row };
                row.push(whole[..kept].to_vec());
            }
        }
        Ok(rows)
    }
}

impl Forward for Session {
    fn run(&mut self, batch: Batch<'_>, padding: i64) -> Result<Vec<Row>, EngineError> {
        Self::run(self, batch, padding)
    }

    fn provider(&self) -> Provider {
        self.provider
    }
}

/// A graph of any inputs and outputs, ready to run.
pub(super) struct Program {
    session: session::Session,
    pub(super) provider: Provider,
}

/// Values for one input; the shape is theirs in rows, columns, ….
pub(super) struct Feed<'a> {
    pub(super) name: &'a str,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    Ints(&'a [i64]),
    Floats(&'a [f32]),
}

/// One output.
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Program {
    pub(super) fn open(runtime: &Runtime, graph: &Path, options: &Options) -> Result<Self, EngineError> {
        let fault = |error: ort::Error| EngineError::Graph { path: graph.to_owned(), message: error.to_string() };
        let session = open(runtime, graph, options).map_err(fault)?;
        Ok(Self { session, provider: options.provider })
    }

    /// Name and shape of every input; -1 where a length depends on what is given.
    pub(super) fn inputs(&self) -> Vec<(String, Vec<i64>)> {
        let shape = |input: &ort::value::Outlet| match input.dtype() {
            ValueType::Tensor { shape, .. } => shape.to_vec(),
            _ => Vec::new(),
        };
        self.session.inputs().iter().map(|input| (input.name().to_owned(), shape(input))).collect()
    }

    /// Computes `outputs`, and nothing that they do not need.
    pub(super) fn run(&mut self, inputs: &[Feed<'_>], outputs: &[&str]) -> Result<Vec<Array>, EngineError> {
        let selected = outputs.iter().fold(session::OutputSelector::no_default(), |all, name| all.with(*name));
        let options = RunOptions::new()?.with_outputs(selected);
        let fed = inputs.iter().map(|feed| Ok((feed.name, feed.tensor()?))).collect::<Result<Vec<_>, ort::Error>>()?;
        let results = self.session.run_with_options(fed, &options)?;
        let array = |name: &&str| {
            let (shape, values) = results[*name].try_extract_tensor::<f32>()?;
            Ok(Array { shape: shape.iter().map(|&length| length as usize).collect(), values: values.to_vec() })
        };
        outputs.iter().map(array).collect()
    }
}

impl Feed<'_> {
    fn tensor(&self) -> Result<SessionInputValue<'_>, ort::Error> {
        let shape = self.shape.clone();
        Ok(match self.values {
            Values::Ints(values) => TensorRef::from_array_view((shape, values))?.into(),
            Values::Floats(values) => TensorRef::from_array_view((shape, values))?.into(),
        })
    }
}

/// What the graph asks for, in the order of [`INPUTS`].
fn inputs(session: &session::Session) -> Result<Vec<Fed>, String> {
    let asked = session.inputs();
    if let Some(other) = asked.iter().find(|input| !INPUTS.contains(&input.name())) {
        return Err(format!("the graph asks for the input `{}`, which an encoder does not have", other.name()));
    }
    let mut found = Vec::new();
    for name in INPUTS {
        let narrow = match asked.iter().find(|input| input.name() == name).map(|input| input.dtype()) {
            Some(ValueType::Tensor { ty: TensorElementType::Int64, .. }) => false,
            Some(ValueType::Tensor { ty: TensorElementType::Int32, .. }) => true,
            Some(other) => return Err(format!("the input `{name}` is {other}, not a tensor of 32 or 64 bit integers")),
            None if name == INPUTS[2] => continue,
            None => return Err(format!("the graph has no input `{name}`")),
        };
        found.push(Fed { name, narrow });
    }
    Ok(found)
}

impl Fed {
    fn tensor<'a>(self, shape: [usize; 2], values: &'a [i64]) -> Result<SessionInputValue<'a>, ort::Error> {
        if self.narrow {
            // Ids and masks are far below the limit of 32 bits.
            let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
            return Ok(Tensor::from_array((shape, values))?.into());
        }
        Ok(TensorRef::from_array_view((shape, values))?.into())
    }
}

/// Rank and values of an output of 32 or 16 bit floats.
fn floats(output: &DynValue) -> Result<(usize, Cow<'_, [f32]>), ort::Error> {
    match output.try_extract_tensor::<f32>() {
        Ok((shape, values)) => Ok((shape.len(), Cow::Borrowed(values))),
        Err(error) => {
            let (shape, values) = output.try_extract_tensor::<half::f16>().map_err(|_| error)?;
            Ok((shape.len(), values.iter().map(|value| value.to_f32()).collect()))
        }
    }
}

fn open(runtime: &Runtime, graph: &Path, options: &Options) -> Result<session::Session, ort::Error> {
    let card = [&[options.provider], &*options.helpers].concat().contains(&Provider::Tensorrt);
    let asked = if card { asked(runtime, graph)? } else { Vec::new() };
    let helpers = options.helpers.iter().map(|&provider| dispatch(provider, options, &asked));
    let providers: Vec<_> =
        std::iter::once(dispatch(options.provider, options, &asked).error_on_failure()).chain(helpers).collect();
    let mut builder = session::Session::builder(&runtime.0)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(options.threads)?
        // Between two operations of a shared pass the other cores are needed again within
        // microseconds; waking them takes longer than that. Afterwards they are for others.
        .with_intra_op_spinning(options.threads > 1)?
        .with_config_entry("session.intra_op.spin_duration_us", AWAKE.as_micros().to_string())?
        // Shapes differ from pass to pass.
        .with_memory_pattern(false)?
        .with_execution_providers(providers)?;
    builder.commit_from_file(graph)
}

/// Names of the inputs that the graph asks for.
fn asked(runtime: &Runtime, graph: &Path) -> Result<Vec<String>, ort::Error> {
    let session = open(runtime, graph, &Options::one_core(Vec::new()))?;
    Ok(session.inputs().iter().map(|input| input.name().to_owned()).collect())
}

/// `asked`: the graph's inputs. TensorRT wants shapes for every one of them, or for none.
fn dispatch(provider: Provider, options: &Options, asked: &[String]) -> ep::ExecutionProviderDispatch {
    match provider {
        Provider::Cpu => ep::CPU::default().with_arena_allocator(true).build(),
        Provider::Cuda => ep::CUDA::default().build(),
        Provider::Tensorrt => {
            // Without them an engine is built anew, for minutes, whenever a larger shape comes.
            let [rows, tokens] = options.largest;
            ep::TensorRT::default()
                .with_profile_min_shapes(shapes(asked, [1, 1]))
                .with_profile_opt_shapes(shapes(asked, [rows, tokens.min(64)]))
                .with_profile_max_shapes(shapes(asked, [rows, tokens]))
                .build()
        }
    }
}

/// As TensorRT spells them.
fn shapes(asked: &[String], [rows, tokens]: [usize; 2]) -> String {
    asked.iter().map(|name| format!("{name}:{rows}x{tokens}")).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Tensorrt => "tensorrt",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_of_a_graph_has_shapes() {
        let runtime = Runtime::load().unwrap();
        let of = |graph: &str| shapes(&asked(&runtime, Path::new(graph)).unwrap(), [8, 64]);
        assert_eq!(of("models/onnx/flash-trunk/model.onnx"), "input_ids:8x64,attention_mask:8x64");
        let third = of("tests/data/bert-sequence/model.onnx");
        let mut names: Vec<&str> = third.split(',').collect();
        names.sort_unstable();
        assert_eq!(names, ["attention_mask:8x64", "input_ids:8x64", "token_type_ids:8x64"]);
    }
}
