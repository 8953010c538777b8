//! Opening a graph: on the first execution provider that really answers, with a session for
//! each thread. A provider that cannot be used is a warning with a reason, never a crash.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::batch::Sessions;
use super::engine::{Batch, EngineError, Options, Runtime, Session};
use super::queue::PassLimit;
use crate::config::Provider;

/// Threads that are started unasked. Each holds its own copy of the weights: `Session::run` is
/// for one thread at a time, and `PrepackedWeights` shares nothing of weights that stand in the
/// graph's file (139 MB with one session, 183 to 206 with three, with and without it).
const MOST_THREADS: usize = 8;

/// Beyond this a single window is too little work to share.
const MOST_FOR_ONE: usize = 4;

/// Tokens of one pass on a CPU, padding included, unless a single window has more: company pays
/// up to about 16 tokens a window there, and longer passes only keep others waiting.
const CPU_PASS_TOKENS: usize = 128;

/// Windows of one pass where nobody said how many.
const CPU_PASS_WINDOWS: usize = 8;
const GPU_PASS_WINDOWS: usize = 64;

/// Tokens of one pass on a graphics card: its memory has an end, too.
const GPU_PASS_TOKENS: usize = 16 * 1024;

/// An execution provider that was wanted and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    #[serde(rename = "execution_provider")]
    pub provider: Provider,
    #[serde(rename = "error")]
    pub why: String,
}

/// What one family of minds asks of its graph.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Tried in order; the CPU is always the last resort.
    pub(super) providers: Vec<Provider>,
    /// Cores to use; 0: all of them, up to [`MOST_THREADS`].
    pub(super) threads: usize,
    /// Most windows in one pass, where that changes no score; `None`: as many as pays.
    pub(super) batch: Option<usize>,
    /// A window's answer does not depend on what else is in its pass.
    pub(super) batch_invariant: bool,
    /// Tokens of the longest window.
    pub(super) max_tokens: usize,
    pub(super) outputs: Vec<String>,
}

impl Plan {
    pub(super) fn limit(&self, provider: Provider) -> PassLimit {
        let (pays, tokens) = match provider {
            Provider::Cpu => (CPU_PASS_WINDOWS, CPU_PASS_TOKENS),
            Provider::Cuda | Provider::Tensorrt => (GPU_PASS_WINDOWS, GPU_PASS_TOKENS),
        };
        let windows = if self.batch_invariant { self.batch.unwrap_or(pays) } else { 1 };
        PassLimit { windows: windows.max(1), tokens }
    }

    fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS),
            threads => threads,
        }
    }

    fn options(&self, provider: Provider, threads: usize) -> Options {
        let after = self.providers.iter().skip_while(|&&wanted| wanted != provider).skip(1);
        let helpers = after.copied().filter(|&other| other != Provider::Cpu && provider != Provider::Cpu).collect();
        let largest = [self.limit(provider).windows, self.max_tokens];
        Options { provider, helpers, threads, largest, outputs: self.outputs.clone() }
    }

    /// The first session, on the first provider with which `proof` succeeds and which is no
    /// slower than one core, and those that could not be used.
    pub(super) fn open<T>(
        &self,
        runtime: &Runtime,
        graph: &Path,
        proof: impl Fn(&mut Session) -> Result<T, EngineError>,
    ) -> Result<(Session, T, Vec<Refusal>), EngineError> {
        let attempt = |provider| {
            let mut session = Session::open(runtime, graph, &self.options(provider, 1))?;
            let proven = proof(&mut session)?;
            if self.batch_invariant && !steady(&mut session)? {
                let message = "the manifest says batch_invariant, but company in a pass changes the answer".to_owned();
                return Err(EngineError::Graph { path: graph.to_owned(), message });
            }
            if provider != Provider::Cpu {
                self.outruns_a_core(runtime, graph, &mut session)?;
            }
            Ok::<_, EngineError>((session, proven))
        };
        let ((session, proven), mut refused) = first_usable(&self.providers, attempt)?;
        // Which graph it is about is plain from whose refusal it is.
        let name = format!("{}: ", graph.display());
        for Refusal { why, .. } in &mut refused {
            *why = why.strip_prefix(&name).unwrap_or(why).to_owned();
        }
        Ok((session, proven, refused))
    }

    /// A card that knows no kernel for the heavy parts of a graph leaves them to the CPU and
    /// copies back and forth. It must not pass for the faster one.
    fn outruns_a_core(&self, runtime: &Runtime, graph: &Path, session: &mut Session) -> Result<(), EngineError> {
        let limit = self.limit(session.provider);
        let windows = limit.windows.min(limit.tokens / self.max_tokens.max(1)).max(1);
        let window = vec![1; self.max_tokens];
        let per_window = quickest(session, &vec![window.clone(); windows])? / windows as u32;
        let mut core = Session::open(runtime, graph, &Options::one_core(self.outputs.clone()))?;
        outruns(per_window, quickest(&mut core, &[window])?)
    }

    /// All sessions, `first` among them. A graphics card serves one pass at a time; on a CPU
    /// every core has a session, and a lone window has one over several cores.
    pub(super) fn crew<T>(
        &self,
        runtime: &Runtime,
        graph: &Path,
        first: Session,
        proof: impl Fn(&mut Session) -> Result<T, EngineError>,
    ) -> Result<Sessions, EngineError> {
        let more = |threads| {
            let mut session = Session::open(runtime, graph, &self.options(Provider::Cpu, threads))?;
            proof(&mut session)?;
            Ok::<_, EngineError>(session)
        };
        let (provider, threads) = (first.provider, self.threads());
        let mut sessions = Sessions { each: vec![Box::new(first)], wide: None };
        if provider == Provider::Cpu && threads > 1 {
            for _ in 1..threads {
                sessions.each.push(Box::new(more(1)?));
            }
            sessions.wide = Some(Box::new(more(threads.min(MOST_FOR_ONE))?));
        }
        Ok(sessions)
    }
}

/// Whether two windows get the answers together that each gets alone, within a hundredth of the
/// largest value: other kernels may round differently.
fn steady(session: &mut Session) -> Result<bool, EngineError> {
    let windows = [vec![1; 8], vec![2; 24]];
    let together = session.run(&windows, 0)?;
    for (window, together) in windows.iter().zip(&together) {
        let alone = session.run(std::slice::from_ref(window), 0)?;
        for (alone, together) in alone.iter().flatten().zip(together) {
            let largest = alone.iter().map(|value| value.abs()).fold(0.0, f32::max);
            let apart = alone.iter().zip(together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            if apart > largest / 100.0 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn outruns(per_window: Duration, on_a_core: Duration) -> Result<(), EngineError> {
    if per_window > on_a_core { Err(EngineError::Slow { per_window, on_a_core }) } else { Ok(()) }
}

fn quickest(session: &mut Session, windows: Batch<'_>) -> Result<Duration, EngineError> {
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        session.run(windows, 0)?;
        quickest = quickest.min(started.elapsed());
    }
    Ok(quickest)
}

/// Longest reason that is kept, in characters: the library explains itself at length, and
/// names its own source file before it comes to the point.
const LONGEST_WHY: usize = 300;

/// Tries `wanted` in order, and the CPU in any case. Only the CPU's failure is an error.
pub(super) fn first_usable<T, E: Display>(
    wanted: &[Provider],
    mut attempt: impl FnMut(Provider) -> Result<T, E>,
) -> Result<(T, Vec<Refusal>), E> {
    let mut refused = Vec::new();
    for &provider in wanted.iter().take_while(|&&provider| provider != Provider::Cpu) {
        match attempt(provider) {
            Ok(usable) => return Ok((usable, refused)),
            Err(error) => {
                let text = error.to_string();
                tracing::warn!(%provider, error = text, "execution provider not usable; trying the next");
                let why = text.rsplit_once(" : FAIL : ").map_or(text.as_str(), |(_, why)| why);
                let why = why.lines().next().unwrap_or_default().chars().take(LONGEST_WHY).collect();
                refused.push(Refusal { provider, why });
            }
        }
    }
    Ok((attempt(Provider::Cpu)?, refused))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::manifest::Folder;
    use super::*;

    const ALL: [Provider; 3] = [Provider::Tensorrt, Provider::Cuda, Provider::Cpu];

    #[test]
    fn the_first_provider_that_answers_is_used() {
        let only = |usable: Provider| {
            let attempt = move |provider| {
                if provider == usable {
                    Ok(provider)
                } else {
                    Err(format!("a.cc:7 [Error] : 1 : FAIL : no {provider}\nat all"))
                }
            };
            first_usable(&ALL, attempt)
        };
        let refusal = |provider, why: &str| Refusal { provider, why: why.to_owned() };
        assert_eq!(only(Provider::Tensorrt).unwrap(), (Provider::Tensorrt, vec![]));
        let (used, refused) = only(Provider::Cpu).unwrap();
        let expected = vec![refusal(Provider::Tensorrt, "no tensorrt"), refusal(Provider::Cuda, "no cuda")];
        assert_eq!((used, refused), (Provider::Cpu, expected));
    }

    #[test]
    fn a_card_slower_than_a_core_is_refused() {
        let [fast, slow] = [20, 40].map(Duration::from_millis);
        assert!(outruns(fast, slow).is_ok());
        let refused = outruns(slow, fast).unwrap_err().to_string();
        assert_eq!(refused, "it takes 40.0 ms for a window, one core of the CPU 20.0 ms");
        // The measurement itself, with the CPU in the part of the card: either may win.
        let (runtime, graph, plan) = shipped(false);
        let (mut card, (), _) = plan.open(&runtime, &graph, |_| Ok(())).unwrap();
        assert!(matches!(plan.outruns_a_core(&runtime, &graph, &mut card), Ok(()) | Err(EngineError::Slow { .. })));
    }

    #[test]
    fn manifests_tell_the_truth_about_batching() {
        let (runtime, graph, plan) = shipped(false);
        let (mut session, (), _) = plan.open(&runtime, &graph, |_| Ok(())).unwrap();
        let truth = Folder::open(Path::new("models/onnx"), "mom-jailbreak-flash").unwrap().manifest.batch_invariant;
        assert_eq!(steady(&mut session).unwrap(), truth);
        // A manifest that claims it without cause is refused.
        let (runtime, graph, plan) = shipped(true);
        assert_eq!(plan.open(&runtime, &graph, |_| Ok(())).is_ok(), truth);
    }

    fn shipped(batch_invariant: bool) -> (Runtime, PathBuf, Plan) {
        let graph = PathBuf::from("models/onnx/flash-trunk/model.onnx");
        let (providers, outputs) = (vec![Provider::Cpu], vec!["jailbreak_logits".to_owned()]);
        let plan = Plan { providers, threads: 1, batch: None, batch_invariant, max_tokens: 16, outputs };
        (Runtime::load().unwrap(), graph, plan)
    }

    #[test]
    fn the_cpu_is_the_last_resort_and_ends_the_list() {
        let attempt = |provider| if provider == Provider::Cpu { Ok(()) } else { Err("no") };
        assert_eq!(first_usable(&[Provider::Cuda], attempt).unwrap().1.len(), 1);
        assert!(first_usable(&[Provider::Cpu, Provider::Cuda], attempt).unwrap().1.is_empty());
        assert!(first_usable(&ALL, |_| Err::<(), _>("broken graph")).is_err());
    }

    #[test]
    fn only_graphs_that_say_so_are_batched() {
        let plan = |batch, batch_invariant| {
            let (providers, outputs) = (ALL.to_vec(), Vec::new());
            Plan { providers, threads: 1, batch, batch_invariant, max_tokens: 256, outputs }
        };
        let windows = |plan: Plan| [Provider::Cpu, Provider::Cuda].map(|provider| plan.limit(provider).windows);
        assert_eq!(windows(plan(None, false)), [1, 1]);
        assert_eq!(windows(plan(None, true)), [CPU_PASS_WINDOWS, GPU_PASS_WINDOWS]);
        assert_eq!([windows(plan(Some(3), false)), windows(plan(Some(3), true))], [[1, 1], [3, 3]]);
        let helpers = |provider| plan(None, true).options(provider, 1).helpers;
        assert_eq!(
            [Provider::Tensorrt, Provider::Cuda, Provider::Cpu].map(helpers),
            [vec![Provider::Cuda], vec![], vec![]]
        );
    }
}
